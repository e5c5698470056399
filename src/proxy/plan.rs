//! What becomes of an answer, planned from its head: pass, gate, or refuse.

use http::{HeaderMap, Method, StatusCode, header, response};

use super::{asked::Asked, mime};
use crate::{
    headers::{self, Conditionals},
    html,
    wire::{self, SEC_FETCH_DEST},
};

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
    Said(String),
    /// A style sheet, by its head: its type with parameters.
    Sheet(String),
    /// The head says nothing that browsers believe; they look at the body.
    Unsaid,
}

/// Makes a head say one thing to everybody: one type, and where it depends on what the answer is for
/// whether it is gated, so that no cache gives the one in the other's place.
pub(super) fn settle(headers: &mut HeaderMap) {
    mime::settle(headers);
    let kind = mime::extract(headers).filter(|kind| !kind.is_unknown());
    if kind.is_none_or(|kind| html::Kind::of(&kind.essence) == Some(html::Kind::Xml)) {
        headers::append_vary(headers, &["Sec-Fetch-Dest"]);
    }
}

/// Plans. A page is what says so, and a document that says nothing (browsers sniff it).
pub(super) fn of(
    method: &Method,
    asked: Asked,
    request: &HeaderMap,
    conditionals: &Conditionals,
    head: &response::Parts,
) -> Plan {
    if head.status == StatusCode::NOT_MODIFIED {
        return match conditionals {
            // The browser holds our variant of the page, and the upstream says it still stands.
            ours if ours.confirms_gated(&head.headers) => Plan::HeadOnly,
            other if other.may_relay_304() => Plan::Pass,
            // An answer to a question that was not asked names a copy that was never gated (traps: deployment day).
            _ => Plan::Refuse("the upstream answered 304 to a request without conditions"),
        };
    }
    // A page in quirks mode takes a style sheet of any type.
    let styles = wire::single(request, &SEC_FETCH_DEST) == Some("style") && !is_nosniff(&head.headers);
    let kind = match mime::extract(&head.headers).filter(|kind| !kind.is_unknown()) {
        None if styles => Kind::Sheet("text/css".to_owned()),
        Some(kind) if styles && html::Kind::of(&kind.essence).is_none() => Kind::Sheet("text/css".to_owned()),
        // Told not to look at the body, a browser shows it as text.
        None if is_nosniff(&head.headers) => return Plan::Pass,
        None if asked.page || asked.top_level => Kind::Unsaid,
        None => return Plan::Pass,
        Some(kind) => match html::Kind::of(&kind.essence) {
            Some(html::Kind::Html) => Kind::Said(kind.to_string()),
            // What asks for a part of it is no browser that shows it.
            Some(html::Kind::Xml) if head.status == StatusCode::PARTIAL_CONTENT && !asked.page => return Plan::Pass,
            Some(html::Kind::Xml) if is_shown(asked, request) => Kind::Said(kind.to_string()),
            Some(html::Kind::Xml) => return Plan::Pass,
            Some(html::Kind::Css) => Kind::Sheet(kind.to_string()),
            None if kind.essence.starts_with("multipart/") && asked.page => {
                return Plan::Refuse(
                    "the answer to a navigation has several parts, and some browsers show parts in HTML; exempt the path if \
                     it is a camera's pictures",
                );
            }
            None if matches!(kind.essence.as_str(), "application/signed-exchange" | "application/webbundle") => {
                return Plan::Refuse("a signed exchange is a page that nobody may change; let the site send the page itself");
            }
            None => return Plan::Pass,
        },
    };
    let bodiless = head.status.is_informational() || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
    match kind {
        // It is saved and not shown: what the visitor saves is what the site sends.
        _ if bodiless || is_attachment(&head.headers) => Plan::Pass,
        // Whether this is a page only its body could tell.
        // Nor whether a sheet is to be changed.
        Kind::Unsaid | Kind::Sheet(_) if method == Method::HEAD => Plan::Pass,
        // No browser asks for part of a sheet, and none would use it.
        Kind::Sheet(_) if head.status == StatusCode::PARTIAL_CONTENT => Plan::Pass,
        _ if method == Method::HEAD => Plan::HeadOnly,
        _ if head.status == StatusCode::PARTIAL_CONTENT => Plan::Refuse("the upstream answered with part of a page (206)"),
        kind => Plan::Gate(kind),
    }
}

/// Whether XML that is the answer may be shown as a document, or make one (XSLT). As an image, SVG runs no
/// script and loads nothing; what page code fetches is data. Who does not say what it is for may show it.
fn is_shown(asked: Asked, request: &HeaderMap) -> bool {
    match wire::single(request, &SEC_FETCH_DEST) {
        Some("xslt") => true,
        Some(_) => asked.page,
        None => asked.page || asked.top_level,
    }
}

/// Fetch standard, "determine nosniff".
fn is_nosniff(headers: &HeaderMap) -> bool {
    let line = headers.get(header::X_CONTENT_TYPE_OPTIONS).and_then(|line| line.to_str().ok()).unwrap_or_default();
    line.split(',').next().unwrap_or_default().trim().eq_ignore_ascii_case("nosniff")
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
        let conditionals = headers::prepare_conditionals(&mut asked, || headers::Variant::new(&Hash([0; 32])), true);
        let head = resp.body(()).expect("a test answer").into_parts().0;
        of(&method, Asked { page: true, top_level: true, framed: false }, &HeaderMap::new(), &conditionals, &head)
    }

    #[test]
    fn pages_are_gated_whatever_their_status() {
        let get = |status, kind| plan(Method::GET, status, &[("content-type", kind)], None);
        let html = |kind: &str| Plan::Gate(Kind::Said(kind.to_owned()));
        assert_eq!(get(200, "text/html; charset=utf-8"), html("text/html; charset=utf-8"));
        assert_eq!(get(404, "TEXT/HTML"), html("text/html"));
        for sniffed in ["nonsense", "*/*", "unknown/unknown", "application/unknown; charset=x"] {
            assert_eq!(get(200, sniffed), Plan::Gate(Kind::Unsaid), "{sniffed}");
            let told = [("content-type", sniffed), ("x-content-type-options", "NoSniff")];
            assert_eq!(plan(Method::GET, 200, &told, None), Plan::Pass, "{sniffed}");
        }
        assert_eq!(get(200, "text/html, text/html; charset=utf-8"), html("text/html; charset=utf-8"));
        assert_eq!(get(200, "image/png, text/html"), html("text/html"));
        assert_eq!(get(200, "text/html, image/png"), Plan::Pass);
        let lines = [("content-type", "text/plain"), ("content-type", "text/html")];
        assert_eq!(plan(Method::GET, 200, &lines, None), html("text/html"));
        assert_eq!(get(200, "application/xhtml+xml"), html("application/xhtml+xml"));
        assert!(matches!(get(200, "multipart/x-mixed-replace;boundary=x"), Plan::Refuse(_)));
        assert!(matches!(get(200, "application/signed-exchange;v=b3"), Plan::Refuse(_)));
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
    fn xml_is_gated_where_it_may_be_shown() {
        let head = |kind: &str| Response::builder().header("content-type", kind).body(()).expect("a test").into_parts().0;
        let get = |kind: &str, lines: &[(&'static str, &'static str)]| {
            let request: HeaderMap = lines
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let asked = Asked::of(&Method::GET, &request);
            matches!(of(&Method::GET, asked, &request, &Conditionals::default(), &head(kind)), Plan::Gate(_))
        };
        for kind in ["image/svg+xml", "text/xml", "application/xml; charset=utf-8", "application/rss+xml", "text/xsl"] {
            for shown in ["document", "iframe", "frame", "embed", "object", "xslt"] {
                assert!(get(kind, &[("sec-fetch-dest", shown)]), "{kind} as {shown}");
            }
            assert!(get(kind, &[]) && get(kind, &[("accept", "*/*")]), "{kind} for nobody knows what");
            assert!(get(kind, &[("sec-fetch-dest", "image"), ("sec-fetch-dest", "image")]), "{kind}, told twice");
            for other in ["image", "empty", "style", "script"] {
                assert!(!get(kind, &[("sec-fetch-dest", other)]), "{kind} as {other}");
            }
        }
        let mut headers = head("image/svg+xml").headers;
        settle(&mut headers);
        assert_eq!(headers.get("vary"), Some(&HeaderValue::from_static("Sec-Fetch-Dest")));
    }

    #[test]
    fn a_304_that_was_not_asked_for_is_never_relayed() {
        assert!(matches!(plan(Method::GET, 304, &[], None), Plan::Refuse(_)));
        assert!(matches!(plan(Method::GET, 304, &[("etag", "\"a\"")], Some("\"a\"")), Plan::Refuse(_)));
    }
}
