//! The small language of the cases' texts.
//!
//! `{pixel}` is the vendor's address, `{pixel|upper}` a spelling of it; `[[b64]]…[[/b64]]` encodes a stretch
//! of text. Everything else, other braces too, stands for itself.

use base64::Engine;

use super::data::Vendor;

/// What the names in braces stand for.
pub(super) struct Scope<'case> {
    pub(super) vendor: &'case Vendor,
    /// The vendor's id.
    pub(super) name: &'case str,
    /// Unique for round, case, vendor and moment.
    pub(super) id: &'case str,
    /// The folder of the page, with slashes around.
    pub(super) base: &'case str,
}

impl Scope<'_> {
    /// A text with everything filled in.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            match after.split_once('}').and_then(|(inside, after)| Some((self.value(inside)?, after))) {
                Some((value, after)) => {
                    filled.push_str(&value);
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        encoded(filled)
    }

    fn value(&self, inside: &str) -> Option<String> {
        let mut parts = inside.split('|');
        let value = match parts.next()? {
            "script" => self.address(&self.vendor.script),
            "pixel" => self.address(&self.vendor.pixel),
            "frame" => self.address(&self.vendor.frame),
            "id" => self.id.to_owned(),
            "base" => self.base.to_owned(),
            "vendor" => self.name.to_owned(),
            // A part of class names and the like, unique on a page.
            "mark" => self.id.chars().map(|c| if c == '.' { '-' } else { c }).collect(),
            _ => return None,
        };
        Some(parts.fold(value, |value, how| spelled(&value, how)))
    }

    fn address(&self, rule: &str) -> String {
        let (path, query) = rule.split_once('?').unwrap_or((rule, ""));
        let and = if query.is_empty() { "" } else { "&" };
        format!("https://{path}?hc={}{and}{query}", self.id)
    }
}

/// Another spelling of `https://host/rest`. A browser goes to the same place.
fn spelled(url: &str, how: &str) -> String {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, rest) = rest.split_at(at);
    match how {
        "host" => host.to_owned(),
        "rest" => rest.to_owned(),
        "relative" => format!("//{host}{rest}"),
        "http" => format!("http://{host}{rest}"),
        "ws" => format!("wss://{host}{rest}"),
        "upper" => format!("HTTPS://{}{rest}", host.to_uppercase()),
        "tabs" => format!("ht\ttps:/\t/{}{rest}", host.replace('.', "\t.")),
        "lines" => format!("\n https://{}{rest} \n", host.replace('.', ".\n")),
        "backslash" => format!("https:\\\\{host}\\{}", rest.trim_start_matches('/')),
        "noslash" => format!("https:{host}{rest}"),
        "slashes" => format!("https:////{host}{rest}"),
        "user" => format!("https://:@{host}{rest}"),
        "port" => format!("https://{host}:443{rest}"),
        "dot" => format!("https://{host}.{rest}"),
        "percent" => format!("https://{}{rest}", host.bytes().map(|b| format!("%{b:02x}")).collect::<String>()),
        "wide" => format!("https://{}{rest}", host.chars().map(wide).collect::<String>()),
        "ideographic" => format!("https://{}{rest}", host.replace('.', "\u{3002}")),
        "soft" => format!("https://{}{rest}", host.replace('.', "\u{AD}.")),
        "circled" => format!("https://{}{rest}", host.chars().map(circled).collect::<String>()),
        "entities" => url.chars().map(|c| format!("&#{};", c as u32)).collect(),
        "hexentities" => url.chars().map(|c| format!("&#X{:X};", c as u32)).collect(),
        "unended" => url.chars().map(|c| format!("&#{}", c as u32)).collect(),
        "named" => url.replacen("://", "&colon;&sol;&sol;", 1).replace('.', "&period;").replace('/', "&sol;"),
        "longentities" => url.chars().map(|c| format!("&#0000{}", c as u32) + ";").collect(),
        "xml" => url.replace('&', "&amp;"),
        "css" => {
            url.chars().map(|c| if c.is_ascii_alphanumeric() { format!("\\{:x} ", c as u32) } else { c.to_string() }).collect()
        }
        "json" => url.replace('/', "\\u002f"),
        "jshex" => url.bytes().map(|b| format!("\\x{b:02x}")).collect(),
        "split" => {
            let chars: Vec<char> = url.chars().collect();
            let parts: Vec<String> = chars.chunks(4).map(|part| format!("'{}'", part.iter().collect::<String>())).collect();
            parts.join("+")
        }
        other => panic!("nobody knows the spelling `{other}`"),
    }
}

fn wide(c: char) -> char {
    if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xFEE0).unwrap_or(c) } else { c }
}

fn circled(c: char) -> char {
    if c.is_ascii_lowercase() { char::from_u32(c as u32 - 'a' as u32 + 0x24D0).unwrap_or(c) } else { c }
}

/// Innermost stretches first.
fn encoded(mut text: String) -> String {
    while let Some(end) = text.find("[[/") {
        let close = text[end..].find("]]").map(|at| end + at + 2).expect("an end mark has brackets");
        let how = text[end + 3..close - 2].to_owned();
        let mark = format!("[[{how}]]");
        let start = text[..end].rfind(&mark).unwrap_or_else(|| panic!("no {mark} before its end"));
        let inner = &text[start + mark.len()..end];
        let inner = match how.as_str() {
            "b64" => base64::engine::general_purpose::STANDARD.encode(inner),
            "url" => inner.bytes().map(|b| format!("%{b:02X}")).collect(),
            "html" => inner.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;"),
            "js" => serde_json::to_string(inner).expect("text is JSON").replace("</", "<\\/"),
            other => panic!("nobody knows the coding `{other}`"),
        };
        text.replace_range(start..close, &inner);
    }
    text
}
