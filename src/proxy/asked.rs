//! What a request asks for, as far as its head tells: a page, a top-level page, part of a page, or
//! something else.

use http::{HeaderMap, HeaderName, Method, header};

use crate::wire::{self, SEC_FETCH_DEST, SEC_FETCH_MODE};

/// Page code that asks for part of a page says so in one of these: htmx, Turbo, PJAX.
const PARTIAL: [HeaderName; 3] =
    [HeaderName::from_static("hx-request"), HeaderName::from_static("turbo-frame"), HeaderName::from_static("x-pjax")];

/// The habit before them. The browser inside an Android app sends the app's name here with every
/// document, so only this one value counts.
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// A document: what answers it may be a page.
    pub(super) page: bool,
    /// A document that fills a tab: only there do notices belong.
    pub(super) top_level: bool,
    /// A document in a frame.
    pub(super) framed: bool,
}

impl Asked {
    /// Reads Fetch Metadata where the browser sends it; without it, `Accept` and the absence of the
    /// marks of partial requests.
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Self {
        if !matches!(*method, Method::GET | Method::HEAD | Method::POST) {
            return Self { page: false, top_level: false, framed: false };
        }
        let by_script = wire::single(headers, &REQUESTED_WITH).is_some_and(|by| by.eq_ignore_ascii_case("XMLHttpRequest"));
        let partial = by_script || PARTIAL.iter().any(|name| headers.contains_key(name));
        match wire::single(headers, &SEC_FETCH_DEST) {
            Some("document") => Self { page: true, top_level: !partial, framed: false },
            Some("iframe" | "frame" | "embed" | "object" | "fencedframe") => Self { page: true, top_level: false, framed: true },
            Some(_) => Self { page: wire::single(headers, &SEC_FETCH_MODE) == Some("navigate"), top_level: false, framed: false },
            None => {
                let accepts_page = match headers.get(header::ACCEPT).map(|value| value.to_str().unwrap_or_default()) {
                    None => true,
                    Some(accept) => accept.contains("text/html") || accept.contains("*/*"),
                };
                // An old browser says text/html for documents only; `*/*` alone may be an image, and
                // then the answer's type decides.
                let document =
                    headers.get(header::ACCEPT).is_none_or(|accept| accept.to_str().is_ok_and(|text| text.contains("text/html")));
                Self { page: document && !partial, top_level: accepts_page && !partial, framed: false }
            }
        }
    }

    /// Whether the answer is a document of its own, which gets the gate's scripts, and not part of one.
    pub(super) fn has_scripts(self) -> bool {
        self.top_level || self.framed
    }

    /// The kind of page, as far as that makes a page another one.
    pub(super) fn part(self) -> &'static str {
        match self {
            Self { top_level: true, .. } => "top",
            Self { framed: true, .. } => "frame",
            _ => "part",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(lines: &[(&'static str, &'static str)]) -> (bool, bool) {
        let headers =
            lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        let Asked { page, top_level, .. } = Asked::of(&Method::GET, &headers);
        (page, top_level)
    }

    #[test]
    fn only_what_fills_a_tab_is_top_level() {
        for (lines, want) in [
            (&[("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")][..], (true, true)),
            (&[("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")], (true, false)),
            (&[("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors"), ("accept", "text/html")], (false, false)),
            (&[("sec-fetch-dest", "document"), ("turbo-frame", "x")], (true, false)),
            (&[("accept", "text/html,*/*;q=0.8")], (true, true)),
            (&[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")], (false, false)),
            (&[("accept", "text/html"), ("x-requested-with", "com.app.example")], (true, true)),
            (&[("accept", "*/*")], (false, true)),
            (&[("accept", "image/avif,image/webp")], (false, false)),
            (&[], (true, true)),
        ] {
            assert_eq!(asked(lines), want, "{lines:?}");
        }
        assert!(!Asked::of(&Method::PUT, &HeaderMap::new()).page);
    }
}
