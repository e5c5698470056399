//! The vendors as the demo plays them: their scripts and frames from `templates/demo/`, and one
//! answer for every beacon.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::FILES;
use crate::{
    config::File,
    wire::{self, Body},
};

/// What the played vendors answer.
pub(super) struct Played {
    /// `//host` of every vendor and what it is on this machine.
    names: Vec<(String, String)>,
    files: Vec<PlayedFile>,
}

struct PlayedFile {
    vendor: String,
    host: String,
    /// A path with `*` for any run of characters.
    path: String,
    content_type: &'static str,
    body: Bytes,
}

/// A transparent image of one pixel: what an image beacon is answered with.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

impl Played {
    /// Reads `played.toml`; vendors live on `port` of this machine.
    pub(super) fn read(port: u16) -> anyhow::Result<Self> {
        let text = FILES.get_file("played.toml").and_then(|file| file.contents_utf8()).unwrap_or_default();
        let ((hosts, raw), faults) = File::read("templates/demo/played.toml", text, |root| {
            let hosts: BTreeSet<String> = root.strings("hosts").unwrap_or_default().into_iter().map(|at| at.value).collect();
            let mut raw = Vec::new();
            for (key, content_type) in [("script", "text/javascript; charset=utf-8"), ("frame", "text/html; charset=utf-8")] {
                for mut section in root.sections(key) {
                    let fields =
                        ["vendor", "host", "path", "file"].map(|field| section.required_string(field).map(|at| at.value));
                    section.finish();
                    if let [Some(vendor), Some(host), Some(path), Some(file)] = fields {
                        raw.push((vendor, host, path, file, content_type));
                    }
                }
            }
            (hosts, raw)
        });
        anyhow::ensure!(faults.is_empty(), "{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        let mut names: Vec<(String, String)> =
            hosts.iter().map(|host| (format!("//{host}"), format!("//{host}.localhost:{port}"))).collect();
        // The longest first: `//a.b.c` must not be read as `//a.b`.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut played = Self { names, files: Vec::new() };
        for (vendor, host, path, file, content_type) in raw {
            let text = FILES.get_file(format!("played/{file}")).and_then(|file| file.contents_utf8());
            let text = text.ok_or_else(|| anyhow::anyhow!("templates/demo/played/{file} is not built in"))?;
            let body = Bytes::from(played.localise(text));
            played.files.push(PlayedFile { vendor, host, path, content_type, body });
        }
        Ok(played)
    }

    /// Text with every vendor's address turned to this machine: `https://host` and `//host` alike.
    pub(super) fn localise(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() * 11 / 10);
        let mut rest = text;
        while let Some(at) = rest.find("//") {
            let (before, from) = rest.split_at(at);
            let name = self.names.iter().find(|(name, _)| {
                let ends = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
                from.strip_prefix(name.as_str()).is_some_and(|tail| tail.is_empty() || tail.starts_with(ends))
            });
            match name {
                Some((name, here)) => {
                    match before.strip_suffix("https:") {
                        Some(text) => {
                            out.push_str(text);
                            out.push_str("http:");
                        }
                        None => out.push_str(before),
                    }
                    out.push_str(here);
                    rest = &from[name.len()..];
                }
                None => {
                    out.push_str(before);
                    out.push_str("//");
                    rest = &from[2..];
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// Answers a request that reached a vendor. Returns the vendor's id for a file, `None` for a beacon.
    pub(super) fn answer(&self, method: &Method, host: &str, path: &str) -> (Response<Body>, Option<&str>) {
        let file = self.files.iter().find(|file| file.host == host && matches(&file.path, path));
        let mut resp = match file {
            Some(file) => wire::answer(StatusCode::OK, file.content_type, file.body.clone()),
            None if method == Method::GET => wire::answer(StatusCode::OK, "image/gif", PIXEL),
            None => wire::answer(StatusCode::NO_CONTENT, "text/plain", ""),
        };
        resp.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        (resp, file.map(|file| file.vendor.as_str()))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path
            .strip_prefix(before)
            .is_some_and(|rest| rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_played_file_is_built_in_and_turned_to_this_machine() {
        let played = Played::read(8082).expect("the demo's own files are good");
        assert!(!played.files.is_empty());
        for file in &played.files {
            let text = String::from_utf8_lossy(&file.body);
            for (name, _) in &played.names {
                for (at, _) in text.match_indices(name.as_str()) {
                    let tail = &text[at + name.len()..];
                    let here = tail.starts_with(".localhost:8082")
                        || tail.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-');
                    assert!(here, "{}: {name} would leave the machine", file.vendor);
                }
            }
        }
    }

    #[test]
    fn addresses_are_turned_and_nothing_else() {
        let played = Played { names: vec![("//a.b".to_owned(), "//a.b.localhost:1".to_owned())], files: Vec::new() };
        assert_eq!(
            played.localise("x https://a.b/c '//a.b' //a.bc http://a.b // https://z"),
            "x http://a.b.localhost:1/c '//a.b.localhost:1' //a.bc http://a.b.localhost:1 // https://z"
        );
    }
}
