//! Two readers of one request: the checker, and hyper behind it. Shared by a property test and a fuzz target.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use consentry::proxy::listen::strict::{
    body::Body,
    head::{self, Bounds, Framing, Head, Scan},
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::{Body as _, Bytes, Incoming},
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;

const BOUNDS: Bounds =
    Bounds { target_bytes_max: 2_000, head_bytes_max: 8_000, head_lines_max: 90, chunk_extension_bytes_max: 100 };

/// What hyper took a head for.
struct Taken {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    framing: Framing,
    upgrade: bool,
    /// Whether its body came to an end.
    whole: bool,
}

/// Panics where the checker accepts what hyper refuses, or takes for another request. Returns whether
/// the bytes begin with a head that is accepted.
pub(crate) fn agree(bytes: &[u8]) -> bool {
    let Ok(Some(length)) = Scan::default().advance(bytes, &BOUNDS) else { return false };
    let bytes = &bytes[..length];
    let Ok(head) = head::check(bytes, &BOUNDS) else { return false };
    let shown = bytes.escape_ascii().to_string();
    let taken = hyper(bytes).unwrap_or_else(|| panic!("hyper refuses: {shown}"));
    assert_eq!(taken.method.as_bytes(), head.method, "{shown}");
    assert_eq!(taken.target, target(&head), "{shown}");
    assert_eq!(taken.framing, head.framing, "{shown}");
    assert_eq!(taken.upgrade, head.asks_upgrade, "{shown}");
    let lines = head::lines(bytes).map(|line| line.expect("a line that was checked"));
    let mut lines: Vec<_> =
        lines.map(|(name, value)| (String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec())).collect();
    // hyper groups lines of one name; their order among themselves stays.
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(taken.headers, lines, "{shown}");
    true
}

/// As hyper's parser writes it: an absolute address has a path, its scheme is in small letters.
fn target(head: &Head<'_>) -> String {
    let text = String::from_utf8(head.target.to_vec()).expect("a checked target is text");
    let Some((scheme, rest)) = text.split_once("://").filter(|_| !text.starts_with('/')) else { return text };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{}://{authority}{slash}{path}", scheme.to_ascii_lowercase())
}

/// Panics where the checker finds the end of a chunked body and hyper does not find it there. Returns
/// whether the bytes begin with a body that is accepted.
pub(crate) fn agree_on_body(bytes: &[u8]) -> bool {
    let mut body = Body::new(Framing::Chunked, &BOUNDS).expect("a body");
    let Ok(length) = body.follow(bytes) else { return false };
    if !body.is_over() {
        return false;
    }
    let shown = bytes[..length].escape_ascii().to_string();
    let first = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let next = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let taken = serve(&[first, &bytes[..length], next].concat());
    let targets: Vec<&str> = taken.iter().map(|taken| taken.target.as_str()).collect();
    assert_eq!(targets, ["/", "/next"], "{shown}");
    assert!(taken.iter().all(|taken| taken.whole), "{shown}");
    true
}

fn hyper(bytes: &[u8]) -> Option<Taken> {
    serve(bytes).into_iter().next()
}

/// The requests that hyper reads.
fn serve(bytes: &[u8]) -> Vec<Taken> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&taken);
    let service = service_fn(move |req: Request<Incoming>| {
        let kept = Arc::clone(&kept);
        async move {
            let taken = take(&req);
            // A body of known length is not there; what counts is where its end is said to be.
            let whole = matches!(taken.framing, Framing::Length(_)) || req.into_body().collect().await.is_ok();
            kept.lock().expect("no panic holds it").push(Taken { whole, ..taken });
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    runtime.block_on(async {
        let (mut visitor, gate) = tokio::io::duplex(1 << 16);
        visitor.write_all(bytes).await.expect("it has room");
        visitor.shutdown().await.expect("it is open");
        let mut server = hyper::server::conn::http1::Builder::new();
        server.max_headers(BOUNDS.head_lines_max).half_close(true);
        // Ends with an error where the request is refused, or where its body is missing.
        let _ = server.serve_connection(TokioIo::new(gate), service).with_upgrades().await;
    });
    let mut taken = taken.lock().expect("no panic holds it");
    std::mem::take(&mut *taken)
}

fn take(req: &Request<Incoming>) -> Taken {
    let framing = match (req.body().is_end_stream(), req.body().size_hint().exact()) {
        (true, _) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::Chunked,
    };
    let mut headers: Vec<_> = req.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    Taken {
        method: req.method().to_string(),
        target: req.uri().to_string(),
        headers,
        framing,
        upgrade: req.extensions().get::<OnUpgrade>().is_some(),
        whole: false,
    }
}
