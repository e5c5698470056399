//! Path patterns of `[gate] exempt`: an exact path, or everything below one.

/// The paths that pass untouched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathPatterns(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Below(String),
}

impl PathPatterns {
    /// Adds `"/path"` or `"/folder/*"`.
    pub fn add(&mut self, text: &str) -> Result<(), &'static str> {
        let (path, below) = match text.strip_suffix('*') {
            Some(folder) => (folder, true),
            None => (text, false),
        };
        if !path.starts_with('/') || path.contains(['*', '?', '#']) {
            return Err("a path pattern begins with `/` and has a star at most at its end");
        }
        self.0.push(if below { Pattern::Below(path.to_owned()) } else { Pattern::Exact(path.to_owned()) });
        Ok(())
    }

    /// Whether the path of a request is one of them. Dot segments and encoded letters are resolved
    /// first, as the site behind may do: `/wp-admin/../shop` is not below `/wp-admin/`.
    pub fn contains(&self, path: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let plain = plain_path(path);
        self.0.iter().any(|pattern| match pattern {
            Pattern::Exact(exact) => plain == *exact,
            Pattern::Below(folder) => plain.starts_with(folder.as_str()),
        })
    }
}

/// Decodes until nothing changes, then resolves dot segments: an exemption needs the plainest reading.
fn plain_path(path: &str) -> String {
    let mut plain = path.to_owned();
    for _ in 0..4 {
        let decoded = percent_encoding::percent_decode_str(&plain).decode_utf8_lossy().replace('\\', "/");
        if decoded == plain {
            break;
        }
        plain = decoded;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in plain.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::PathPatterns;

    #[test]
    fn only_what_really_lies_below_is_exempt() {
        let mut paths = PathPatterns::default();
        paths.add("/wp-admin/*").expect("a folder");
        paths.add("/feed.xml").expect("a path");
        for (path, want) in [
            ("/wp-admin/post.php", true),
            ("/wp-admin/", true),
            ("/wp-admin", false),
            ("/feed.xml", true),
            ("/feed.xml2", false),
            ("/wp-admin/../shop", false),
            ("/wp-admin/%2e%2e/shop", false),
            ("/wp-admin/%252e%252e/shop", false),
            ("/wp-admin/..\\shop", false),
            ("/", false),
        ] {
            assert_eq!(paths.contains(path), want, "{path}");
        }
        assert!(paths.add("wp").is_err() && paths.add("/a*b").is_err());
    }
}
