//! What becomes of an answer, planned from its head: pass, gate, or refuse.

use http::{HeaderMap, Method, StatusCode, header, response};

use super::asked::Asked;
use crate::headers::Conditionals;

/// The plan for a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Not a page: it streams through untouched.
    Pass,
    /// A page's head without its body (HEAD, 304): marked as the page would be.
    HeadOnly,
    /// A page, or what a browser may take for one: it goes through the engine.
    Gate(Kind),
    /// A page that cannot be gated as it came.
    Refuse(&'static str),
}

/// How it is known that a body is a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The head says so: its type with parameters.
    Html(String),
    /// The head says nothing that browsers believe; they look at the body.
    Unsaid,
}

/// Plans. A page is what says so, and a document that says nothing (browsers sniff it).
pub(super) fn of(method: &Method, asked: Asked, conditionals: &Conditionals, head: &response::Parts) -> Plan {
    if head.status == StatusCode::NOT_MODIFIED {
        return match conditionals {
            // The browser holds our variant of the page, and the upstream says it still stands.
            ours if ours.confirms_gated(&head.headers) => Plan::HeadOnly,
            other if other.may_relay_304() => Plan::Pass,
            // An answer to a question that was not asked names a copy that was never gated (traps: deployment day).
            _ => Plan::Refuse("the upstream answered 304 to a request without conditions"),
        };
    }
    let kind = match content_type(&head.headers) {
        ContentType::Sniffed if asked.page || asked.top_level => Kind::Unsaid,
        ContentType::Known(kind) if kind == "application/xhtml+xml" => {
            return Plan::Refuse("the page is XHTML, which is not read in this version; let the site send text/html");
        }
        ContentType::Known(kind) if kind == "text/html" => Kind::Html(first_type(&head.headers)),
        ContentType::Contradictory => return Plan::Refuse("the page has several content types; let the site send one"),
        ContentType::Sniffed | ContentType::Known(_) => return Plan::Pass,
    };
    let bodiless = head.status.is_informational() || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
    match kind {
        // It is saved and not shown: what the visitor saves is what the site sends.
        _ if bodiless || is_attachment(&head.headers) => Plan::Pass,
        // Whether this is a page only its body could tell.
        Kind::Unsaid if method == Method::HEAD => Plan::Pass,
        _ if method == Method::HEAD => Plan::HeadOnly,
        _ if head.status == StatusCode::PARTIAL_CONTENT => Plan::Refuse("the upstream answered with part of a page (206)"),
        kind => Plan::Gate(kind),
    }
}

/// The first type as it came, bytes that are no ASCII included.
fn first_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    value.split(',').next().unwrap_or_default().to_owned()
}

/// What a browser makes of `Content-Type`.
enum ContentType {
    /// Nothing that it believes: it looks at the body (MIME Sniffing, section 7.1).
    Sniffed,
    /// One type, without parameters, in lower case.
    Known(String),
    /// Several, one of them a page's. Browsers take the last one (Fetch, "extract a MIME type"); what
    /// stands between them and here may not.
    Contradictory,
}

fn content_type(headers: &HeaderMap) -> ContentType {
    let mut kinds: Vec<String> = Vec::new();
    for value in headers.get_all(header::CONTENT_TYPE) {
        for part in String::from_utf8_lossy(value.as_bytes()).split(',') {
            let kind = part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if kind.contains('/') && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
    }
    kinds.retain(|kind| !matches!(kind.as_str(), "*/*" | "unknown/unknown" | "application/unknown"));
    match kinds.as_slice() {
        [] => ContentType::Sniffed,
        [kind] => ContentType::Known(kind.clone()),
        several if several.iter().any(|kind| kind.contains("html")) => ContentType::Contradictory,
        [first, ..] => ContentType::Known(first.clone()),
    }
}

/// `Content-Disposition: attachment` (RFC 6266): one value, and that type; anything else may be shown.
fn is_attachment(headers: &HeaderMap) -> bool {
    let value = crate::wire::single(headers, &header::CONTENT_DISPOSITION).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("attachment")
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Response};

    use super::*;
    use crate::{headers, vocab::Hash};

    fn plan(method: Method, status: u16, lines: &[(&str, &str)], if_none_match: Option<&'static str>) -> Plan {
        let mut resp = Response::builder().status(status);
        for (name, value) in lines {
            resp = resp.header(*name, *value);
        }
        let mut asked = HeaderMap::new();
        if let Some(tag) = if_none_match {
            asked.insert(header::IF_NONE_MATCH, HeaderValue::from_static(tag));
        }
        let conditionals = headers::prepare_conditionals(&mut asked, &headers::Variant::new(&Hash([0; 32])), true);
        let head = resp.body(()).expect("a test answer").into_parts().0;
        of(&method, Asked { page: true, top_level: true, framed: false }, &conditionals, &head)
    }

    #[test]
    fn pages_are_gated_whatever_their_status() {
        let get = |status, kind| plan(Method::GET, status, &[("content-type", kind)], None);
        let html = |kind: &str| Plan::Gate(Kind::Html(kind.to_owned()));
        assert_eq!(get(200, "text/html; charset=utf-8"), html("text/html; charset=utf-8"));
        assert_eq!(get(404, "TEXT/HTML"), html("TEXT/HTML"));
        assert!(matches!(get(200, "text/html; x=\"\u{e9}\""), Plan::Gate(Kind::Html(_))));
        for sniffed in ["nonsense", "*/*", "unknown/unknown", "application/unknown; charset=x"] {
            assert_eq!(get(200, sniffed), Plan::Gate(Kind::Unsaid), "{sniffed}");
        }
        assert!(matches!(get(200, "text/html, text/html; charset=utf-8"), Plan::Gate(Kind::Html(_))));
        assert!(matches!(get(200, "image/png, text/html"), Plan::Refuse(_)));
        assert!(matches!(
            plan(Method::GET, 200, &[("content-type", "text/plain"), ("content-type", "text/html")], None),
            Plan::Refuse(_)
        ));
        assert!(matches!(get(200, "application/xhtml+xml"), Plan::Refuse(_)));
        assert_eq!(plan(Method::GET, 200, &[], None), Plan::Gate(Kind::Unsaid));
        assert_eq!(get(200, "image/png"), Plan::Pass);
        assert_eq!(get(204, "text/html"), Plan::Pass);
        assert!(matches!(get(206, "text/html"), Plan::Refuse(_)));
        assert_eq!(plan(Method::HEAD, 200, &[("content-type", "text/html")], None), Plan::HeadOnly);
        let saved =
            |disposition| plan(Method::GET, 200, &[("content-type", "text/html"), ("content-disposition", disposition)], None);
        assert_eq!((saved("attachment; filename=x.html"), saved("inline")), (Plan::Pass, html("text/html")));
    }

    #[test]
    fn a_304_that_was_not_asked_for_is_never_relayed() {
        assert!(matches!(plan(Method::GET, 304, &[], None), Plan::Refuse(_)));
        assert!(matches!(plan(Method::GET, 304, &[("etag", "\"a\"")], Some("\"a\"")), Plan::Refuse(_)));
    }
}
