//! What a browser would load: html5ever builds the tree, this walks it. Written apart from the
//! engine, from what browsers do, and simpler: one address is looked at like the next.

use cssparser::{Parser, ParserInput, Token};
use html5ever::{ParseOpts, local_name, ns, parse_document, tendril::TendrilSink, tree_builder::TreeBuilderOpts};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use url::Url;

use crate::world::{HOSTS, SIGNATURE, TRACE_FILE, TRACE_FOLDER, TRACE_QUERY, TRACE_STEM};

/// The live tags of the vendors of the tests, each in a few words.
pub(crate) fn live(page: &[u8], scripts: bool) -> Vec<String> {
    let base = Url::parse("https://shop.example/a/b").expect("a constant");
    live_below(page, scripts, &base, 0)
}

fn live_below(page: &[u8], scripts: bool, base: &Url, depth: u8) -> Vec<String> {
    let options = ParseOpts {
        tree_builder: TreeBuilderOpts { scripting_enabled: scripts, ..TreeBuilderOpts::default() },
        ..ParseOpts::default()
    };
    let dom = parse_document(RcDom::default(), options).from_utf8().one(page);
    let mut walk = Walk { scripts, base: base.clone(), base_seen: false, depth, found: Vec::new() };
    walk.node(&dom.document);
    walk.found
}

struct Walk {
    scripts: bool,
    base: Url,
    base_seen: bool,
    depth: u8,
    found: Vec<String>,
}

impl Walk {
    fn node(&mut self, node: &Handle) {
        // Not recursive: generated documents nest deeply.
        let mut stack = vec![(node.clone(), false)];
        while let Some((node, inert)) = stack.pop() {
            if let NodeData::Element { name, template_contents, .. } = &node.data {
                // What stands in a template loads once a script has copied it; a `base` there is none of the page's.
                if !inert || name.local != local_name!("base") {
                    self.element(&node);
                }
                stack.extend(template_contents.borrow().iter().map(|inside| (inside.clone(), true)));
            }
            stack.extend(node.children.borrow().iter().rev().map(|child| (child.clone(), inert)));
        }
    }

    fn element(&mut self, node: &Handle) {
        let NodeData::Element { name, .. } = &node.data else { return };
        let svg = name.ns == ns!(svg);
        if !svg && name.ns != ns!(html) {
            return;
        }
        let tag = name.local.to_string();
        let attribute = |wanted: &str| attribute(node, wanted);
        self.css(&tag, attribute("style"));
        if svg {
            ["fill", "filter", "mask", "cursor"].iter().for_each(|name| self.css(&tag, attribute(name)));
        }
        match (svg, tag.as_str()) {
            (false, "base") if !self.base_seen => {
                // The first with an address counts, even where the address is none to build on.
                if let Some(href) = attribute("href") {
                    self.base_seen = true;
                    let base = self.base.join(&href).ok();
                    self.base = base.filter(|url| !["data", "javascript"].contains(&url.scheme())).unwrap_or(self.base.clone());
                }
            }
            (_, "script") => self.script(node, svg),
            (_, "style") => self.style(node),
            (true, "image" | "feImage" | "use" | "pattern" | "textPath") => {
                self.address(&tag, attribute("href").or_else(|| attribute("xlink:href")));
            }
            (false, "table" | "tbody" | "tr" | "td") => self.address(&tag, attribute("background")),
            (false, "bgsound") => self.address(&tag, attribute("src")),
            (false, "img") => {
                self.address(&tag, attribute("src"));
                self.addresses(&tag, srcset(&attribute("srcset").unwrap_or_default()));
            }
            (false, "source") => {
                self.address(&tag, attribute("src"));
                self.addresses(&tag, srcset(&attribute("srcset").unwrap_or_default()));
            }
            (false, "video") => {
                self.address(&tag, attribute("src"));
                self.address(&tag, attribute("poster"));
            }
            (false, "embed" | "frame") => self.frame(&tag, attribute("src")),
            (false, "audio" | "track") => self.address(&tag, attribute("src")),
            (false, "iframe") => match attribute("srcdoc").filter(|_| self.depth < 4) {
                Some(document) => {
                    let inner = live_below(document.as_bytes(), self.scripts, &self.base.clone(), self.depth + 1);
                    // One attribute, one tag.
                    self.found.extend(inner.into_iter().take(1));
                }
                None => self.frame(&tag, attribute("src")),
            },
            (false, "input") if attribute("type").is_some_and(|kind| kind.eq_ignore_ascii_case("image")) => {
                self.address(&tag, attribute("src"));
            }
            (false, "object") => self.frame(&tag, attribute("data")),
            (false, "body") => self.address(&tag, attribute("background")),
            (false, "a" | "area") => {
                let ping = attribute("ping").unwrap_or_default();
                self.addresses(&tag, ping.split_ascii_whitespace().map(str::to_owned).collect());
            }
            (false, "link") => {
                const LOADS: [&str; 8] =
                    ["stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "prefetch", "manifest"];
                let rel = attribute("rel").unwrap_or_default().to_ascii_lowercase();
                if rel.split_ascii_whitespace().any(|word| LOADS.contains(&word)) {
                    self.address(&tag, attribute("href"));
                }
            }
            (false, "meta") if attribute("http-equiv").is_some_and(|kind| kind.eq_ignore_ascii_case("refresh")) => {
                let content = attribute("content").unwrap_or_default();
                self.address(&tag, refresh(&content).map(str::to_owned));
            }
            _ => {}
        }
    }

    fn script(&mut self, node: &Handle, svg: bool) {
        if !self.scripts {
            return;
        }
        let kind = attribute(node, "type").unwrap_or_default().to_ascii_lowercase();
        if !["", "text/javascript", "application/javascript", "module"].contains(&kind.trim()) {
            return;
        }
        let language = attribute(node, "language").unwrap_or_default();
        if attribute(node, "type").is_none() && !language.is_empty() && !language.eq_ignore_ascii_case("javascript") {
            return;
        }
        let address =
            if svg { attribute(node, "href").or_else(|| attribute(node, "xlink:href")) } else { attribute(node, "src") };
        if let Some(address) = address {
            // Only the plain form is generated.
            let code = address.trim().strip_prefix("data:text/javascript,").map(percent_decoded);
            return match code {
                Some(code) if runs(&code, kind.trim() == "module") => self.found.push(format!("script {address}")),
                _ => self.address("script", Some(address)),
            };
        }
        let mut text = String::new();
        for child in node.children.borrow().iter() {
            if let NodeData::Text { contents } = &child.data {
                text.push_str(&contents.borrow());
            }
        }
        // A framework's data about its page is let through on purpose.
        if ["self.__next_f", "window.__NUXT__"].iter().any(|prefix| text.trim_start().starts_with(prefix)) {
            return;
        }
        // What ends in a syntax error does not run.
        if runs(&text, kind.trim() == "module") && !text.ends_with("\n}])@#\n") {
            self.found.push("inline script".to_owned());
        }
    }

    fn style(&mut self, node: &Handle) {
        let kind = attribute(node, "type").unwrap_or_default().to_ascii_lowercase();
        if !["", "text/css"].contains(&kind.as_str()) {
            return;
        }
        let mut text = String::new();
        for child in node.children.borrow().iter() {
            if let NodeData::Text { contents } = &child.data {
                text.push_str(&contents.borrow());
            }
        }
        self.css("style", Some(text));
    }

    fn css(&mut self, tag: &str, text: Option<String>) {
        if let Some(address) = css_addresses(&text.unwrap_or_default()).into_iter().find(|address| self.is_gated(address)) {
            self.found.push(format!("{tag} {address}"));
        }
    }

    /// A frame, whose document may stand in its address.
    fn frame(&mut self, tag: &str, address: Option<String>) {
        let Some(address) = address else { return };
        match address.strip_prefix("data:text/html,").filter(|_| self.depth < 4) {
            Some(document) => {
                let document = percent_decoded(document);
                let inner = live_below(document.as_bytes(), self.scripts, &self.base.clone(), self.depth + 1);
                self.found.extend(inner.into_iter().take(1));
            }
            None => self.address(tag, Some(address)),
        }
    }

    fn address(&mut self, tag: &str, address: Option<String>) {
        if let Some(address) = address.filter(|address| self.is_gated(address)) {
            self.found.push(format!("{tag} {address}"));
        }
    }

    fn addresses(&mut self, tag: &str, list: Vec<String>) {
        if let Some(address) = list.into_iter().find(|address| self.is_gated(address)) {
            self.found.push(format!("{tag} {address}"));
        }
    }

    fn is_gated(&self, address: &str) -> bool {
        gated_below(&self.base, address)
    }
}

/// A script of a vendor, or one that imports one; only the plain form is generated.
fn runs(text: &str, module: bool) -> bool {
    text.contains(SIGNATURE) || module && HOSTS.iter().any(|host| text.contains(&format!("import '//{host}/m.js'")))
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text.split('#').next().unwrap_or_default()).decode_utf8_lossy().into_owned()
}

/// The addresses that a sheet, or a declaration, names: read by the tokenizer of a browser.
pub(crate) fn css_addresses(text: &str) -> Vec<String> {
    let mut input = ParserInput::new(text);
    let mut found = Vec::new();
    css_block(&mut Parser::new(&mut input), false, false, &mut found);
    found
}

fn css_block(parser: &mut Parser<'_, '_>, mut strings: bool, first_only: bool, found: &mut Vec<String>) {
    let (mut import, mut first) = (false, true);
    while let Ok(token) = parser.next().cloned() {
        let mut next_import = false;
        let nested = |parser: &mut Parser<'_, '_>, strings, first_only, found: &mut Vec<String>| {
            let _: Result<(), cssparser::ParseError<'_, ()>> = parser.parse_nested_block(|inner| {
                css_block(inner, strings, first_only, found);
                Ok(())
            });
        };
        match token {
            Token::UnquotedUrl(address) => found.push(address.to_string()),
            Token::QuotedString(text) if strings || import || first_only && first => found.push(text.to_string()),
            Token::Function(name) => match name.to_ascii_lowercase().as_str() {
                "url" | "src" => nested(parser, strings, true, found),
                "image-set" | "-webkit-image-set" => nested(parser, true, false, found),
                _ => nested(parser, strings, false, found),
            },
            Token::ParenthesisBlock => nested(parser, strings, false, found),
            // With one of these an image function is not valid, and nothing that stands in it is loaded.
            Token::SquareBracketBlock | Token::CurlyBracketBlock => {
                strings = false;
                nested(parser, strings, false, found);
            }
            Token::AtKeyword(name) => next_import = name.eq_ignore_ascii_case("import"),
            _ => {}
        }
        import = next_import;
        first = false;
    }
}

/// Whether the page of the tests must not load this address.
pub(crate) fn is_gated(address: &str) -> bool {
    let base = Url::parse("https://shop.example/a/b").expect("a constant");
    gated_below(&base, address)
}

fn gated_below(base: &Url, address: &str) -> bool {
    // Nothing is loaded from an address of no characters, whatever the base.
    if address.trim_matches(|c: char| c.is_ascii_whitespace()).is_empty() {
        return false;
    }
    let Ok(url) = base.join(address) else { return false };
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    // What is played below `.localhost` counts like the host itself.
    let host = host.strip_suffix(".localhost").unwrap_or(host);
    // Nothing is loaded over a scheme that nobody knows.
    let loads = matches!(url.scheme(), "http" | "https");
    loads && (HOSTS.iter().any(|gated| is_below(host, gated)) || is_traced(&url, host))
}

fn is_below(host: &str, name: &str) -> bool {
    host == name || host.ends_with(&format!(".{name}"))
}

/// The rules that look at more than a host, as a server reads an address: `%66` is `f`, `//` is `/`.
fn is_traced(url: &Url, host: &str) -> bool {
    let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let in_folder = segments.next() == Some(TRACE_FOLDER.1) && (segments.next().is_some() || path.ends_with('/'));
    let labels: Vec<&str> = host.split('.').collect();
    let [(version, two), (id, prefix)] = TRACE_QUERY;
    let any_country = (0..labels.len()).filter(|&at| labels[at] == TRACE_STEM).any(|at| match labels[at + 1..] {
        [_] => true,
        [second, country] => country.len() == 2 && ["co", "com", "ne", "net", "or", "org"].contains(&second),
        _ => false,
    });
    path.ends_with(&format!("/{TRACE_FILE}"))
        || in_folder && is_below(host, TRACE_FOLDER.0)
        || any_country
        || url.query_pairs().any(|(name, value)| name == version && value == two)
            && url.query_pairs().any(|(name, value)| name == id && value.starts_with(prefix))
}

/// The addresses of a `srcset`: descriptors, which may stand in parentheses, are none.
fn srcset(text: &str) -> Vec<String> {
    let (mut found, mut chars) = (Vec::new(), text.chars().peekable());
    loop {
        while chars.next_if(|&c| c.is_ascii_whitespace() || c == ',').is_some() {}
        let mut address = String::new();
        while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace()) {
            address.push(c);
        }
        if address.is_empty() {
            return found;
        }
        let alone = address.ends_with(',');
        found.push(address.trim_end_matches(',').to_owned());
        let mut inside = false;
        while !alone && let Some(c) = chars.next() {
            match c {
                '(' => inside = true,
                ')' => inside = false,
                ',' if !inside => break,
                _ => {}
            }
        }
    }
}

/// The usual form of a refresh: a delay, one separator, `url=`.
fn refresh(content: &str) -> Option<&str> {
    let space = |c: char| c.is_ascii_whitespace();
    let content = content.trim_start_matches(space);
    let rest = content.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let separated = rest.len() < content.len() && rest.starts_with(|c: char| space(c) || c == ';' || c == ',');
    let rest = rest.trim_start_matches(space);
    let address = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start_matches(space).strip_prefix("url=")?;
    separated.then_some(address)
}

fn attribute(node: &Handle, wanted: &str) -> Option<String> {
    let NodeData::Element { attrs, .. } = &node.data else { return None };
    let attrs = attrs.borrow();
    let found = attrs.iter().find(|attribute| {
        let xlink = attribute.name.ns == ns!(xlink) && attribute.name.local == local_name!("href");
        if wanted == "xlink:href" { xlink } else { attribute.name.ns == ns!() && &*attribute.name.local == wanted }
    });
    found.map(|attribute| attribute.value.to_string())
}
