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

/// What an answer is for, as far as the request's head tells: an empty one has to be of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A document that fills a tab: the visitor goes there.
    Navigation,
    /// A document inside another one.
    Frame,
    /// Code: a script, a worker, a worklet.
    Script,
    /// A style sheet.
    Style,
    /// An image.
    Image,
    /// What page code asks for, a beacon, media, a font.
    Data,
}

impl Wanted {
    /// Reads Fetch Metadata where the browser sends it (not over plain HTTP); without it `Accept`, then
    /// the name's ending. What nothing is said about is a script: to page code an empty one is as good
    /// as no answer.
    pub(super) fn of(method: &Method, headers: &HeaderMap, path: &str) -> Self {
        match wire::single(headers, &SEC_FETCH_DEST) {
            Some("document") => Self::Navigation,
            Some("iframe" | "frame" | "embed" | "object" | "fencedframe") => Self::Frame,
            Some("script" | "worker" | "sharedworker" | "serviceworker" | "audioworklet" | "paintworklet") => Self::Script,
            Some("style") => Self::Style,
            Some("image") => Self::Image,
            Some(_) => Self::Data,
            None if wire::single(headers, &SEC_FETCH_MODE) == Some("navigate") => Self::Navigation,
            None => Self::guess(method, headers, path),
        }
    }

    fn guess(method: &Method, headers: &HeaderMap, path: &str) -> Self {
        let accept = wire::single(headers, &header::ACCEPT).unwrap_or_default().to_ascii_lowercase();
        if accept.contains("text/html") && Asked::of(method, headers).top_level {
            return Self::Navigation;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Self::Data;
        }
        if accept.starts_with("image/") {
            return Self::Image;
        }
        if accept.starts_with("text/css") {
            return Self::Style;
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "gif" | "png" | "jpg" | "jpeg" | "webp" | "avif" | "svg" | "ico" => Self::Image,
            "css" => Self::Style,
            "html" | "htm" => Self::Frame,
            "json" | "xml" | "txt" | "woff2" | "mp4" => Self::Data,
            _ => Self::Script,
        }
    }
}

/// Whether a browser asks for something before anybody wants to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// It is wanted now.
    No,
    /// To be kept until it is wanted.
    Fetched,
    /// A page that runs out of sight until it is wanted.
    Rendered,
}

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
/// Before `Sec-Purpose`.
const OLDER_PURPOSES: [HeaderName; 2] = [HeaderName::from_static("purpose"), HeaderName::from_static("x-moz")];

impl Ahead {
    /// Reads `Sec-Purpose` (Fetch standard) and what browsers sent before it.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let says = |name: &HeaderName, word: &str| {
            let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()).to_ascii_lowercase());
            lines.into_iter().any(|line| line.split([';', ',']).any(|part| part.trim() == word))
        };
        if says(&SEC_PURPOSE, "prerender") {
            return Self::Rendered;
        }
        let fetched = says(&SEC_PURPOSE, "prefetch") || OLDER_PURPOSES.iter().any(|name| says(name, "prefetch"));
        if fetched { Self::Fetched } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn asked(lines: &[(&'static str, &'static str)]) -> (bool, bool) {
        let Asked { page, top_level, .. } = Asked::of(&Method::GET, &map(lines));
        (page, top_level)
    }

    #[test]
    fn what_an_answer_is_for_is_told_by_fetch_metadata_or_guessed() {
        use Wanted::{Data, Frame, Image, Navigation, Script, Style};
        for (method, path, lines, want) in [
            (Method::GET, "/a.js", &[("sec-fetch-dest", "document")][..], Navigation),
            (Method::GET, "/a.js", &[("sec-fetch-dest", "iframe")], Frame),
            (Method::GET, "/a.gif", &[("sec-fetch-dest", "script")], Script),
            (Method::GET, "/a.js", &[("sec-fetch-dest", "image")], Image),
            (Method::POST, "/a", &[("sec-fetch-dest", "empty")], Data),
            (Method::GET, "/a", &[("accept", "text/html,*/*")], Navigation),
            (Method::POST, "/a", &[("accept", "text/html,*/*")], Navigation),
            (Method::GET, "/a", &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")], Script),
            (Method::GET, "/a", &[("accept", "image/avif,*/*")], Image),
            (Method::GET, "/a", &[("accept", "text/css,*/*;q=0.1")], Style),
            (Method::GET, "/a.js", &[("accept", "*/*")], Script),
            (Method::GET, "/a", &[("accept", "*/*")], Script),
            (Method::GET, "/a.gif", &[("accept", "*/*")], Image),
            (Method::GET, "/a.html", &[], Frame),
            (Method::POST, "/a", &[("accept", "*/*")], Data),
        ] {
            assert_eq!(Wanted::of(&method, &map(lines), path), want, "{method} {path} {lines:?}");
        }
    }

    #[test]
    fn what_is_asked_for_ahead_of_time_says_so() {
        for (lines, want) in [
            (&[][..], Ahead::No),
            (&[("sec-purpose", "prefetch")], Ahead::Fetched),
            (&[("sec-purpose", "prefetch;anonymous-client-ip")], Ahead::Fetched),
            (&[("sec-purpose", "prefetch;prerender")], Ahead::Rendered),
            (&[("purpose", "prefetch")], Ahead::Fetched),
            (&[("x-moz", "Prefetch")], Ahead::Fetched),
            (&[("purpose", "preview")], Ahead::No),
        ] {
            assert_eq!(Ahead::of(&map(lines)), want, "{lines:?}");
        }
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
