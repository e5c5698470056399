//! The adapter at its door: frames in, frames out.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::Waker,
};

use http_body_util::BodyExt as _;
use hyper::HeaderMap;

use super::*;
use crate::{
    html::tests::{NONCE, page},
    vocab::Verdict,
};

const PAGE: &str = "<!doctype html><title>x</title><img src=//acme.example/p><p>text";

/// A body that comes in the pieces it is given; an empty piece is a moment without any.
struct Pieces(VecDeque<Result<Frame<Bytes>, std::io::Error>>);

impl Pieces {
    fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect())
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let piece = self.0.pop_front();
        if matches!(&piece, Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty)) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(piece)
    }
}

type Seen = Arc<Mutex<Vec<String>>>;

async fn start(upstream: Pieces, head: BodyHead<'_>) -> (Result<Gated<Pieces>, Refusal>, Seen) {
    let seen = Seen::default();
    let note = Arc::clone(&seen);
    let on_end: OnEnd = Box::new(move |report, ending| {
        let held = report.tags.iter().filter(|tag| tag.verdict == Verdict::Hold).count();
        note.lock().expect("no test panics in here").push(format!("{held} held, {ending:?}"));
    });
    let page = Arc::into_inner(page(|_| {})).expect("the only one");
    (gate_body(upstream, head, page, Limits::default(), on_end, None).await, seen)
}

async fn all(gated: Gated<Pieces>) -> Result<Vec<u8>, BodyError> {
    gated.body.collect().await.map(|body| body.to_bytes().to_vec())
}

fn encoded(coding: Coding, text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = Encoder::new(coding).expect("an encoder can be made");
    encoder.write(text, &mut packed).and_then(|()| encoder.finish(&mut packed)).expect("memory takes it");
    packed
}

fn decoded(coding: Coding, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = Decoder::new(&[coding], decoder_limits(&Limits::default()));
    decoder.write(packed, &mut plain).and_then(|()| decoder.finish(&mut plain)).expect("it was packed here");
    plain
}

fn held(html: &str) -> String {
    html.replace("<img src", &format!("<img data-gate-{NONCE}=\"acme:marketing\" data-gate-{NONCE}-src"))
}

#[tokio::test]
async fn a_body_is_recoded_and_its_headers_say_so() {
    for (from, from_name) in [(Coding::Identity, None), (Coding::Gzip, Some("gzip")), (Coding::Zstd, Some("zstd"))] {
        for (answer, to, to_name) in [
            (None, Coding::Identity, None),
            (Some("identity"), Coding::Identity, None),
            (Some("br"), Coding::Brotli, Some("br")),
            (Some("gzip"), Coding::Gzip, Some("gzip")),
        ] {
            let head = BodyHead { content_type: Some("Text/HTML"), content_encoding: from_name, answer_encoding: answer };
            let packed = encoded(from, PAGE.as_bytes());
            let (gated, seen) = start(Pieces::of(packed.chunks(9)), head).await;
            let gated = gated.expect("it can be gated");
            assert_eq!(gated.content_encoding, to_name);
            assert_eq!(gated.content_type.as_deref(), Some("Text/HTML; charset=windows-1252"));
            let body = all(gated).await.expect("it comes to an end");
            assert_eq!(String::from_utf8_lossy(&decoded(to, &body)), held(PAGE));
            assert_eq!(*seen.lock().expect("no panic"), ["1 held, Complete"]);
        }
    }
}

#[tokio::test]
async fn what_is_there_is_sent_while_the_upstream_thinks() {
    let pieces = [&b"<p>first"[..], b"", b"<p>second"];
    for accept in ["", "gzip", "br", "zstd"] {
        let head =
            BodyHead { content_type: Some("text/html;charset=utf-8"), answer_encoding: Some(accept), ..BodyHead::default() };
        let (gated, _) = start(Pieces::of(pieces), head).await;
        let mut body = gated.expect("it can be gated").body;
        let first = body.frame().await.expect("there is a frame").expect("it is no error");
        let first = first.into_data().expect("it is data");
        let mut plain = Vec::new();
        let mut decoder = Decoder::new(&[Coding::of(Some(accept)).expect("it is known")], decoder_limits(&Limits::default()));
        decoder.write(&first, &mut plain).expect("it is a beginning");
        assert_eq!(plain, b"<p>first", "{accept}");
    }
}

#[tokio::test]
async fn without_a_type_the_first_bytes_decide() {
    let (gated, _) = start(Pieces::of([&b" <!DOC"[..], b"TYPE html><img src=//acme.example>"]), BodyHead::default()).await;
    let gated = gated.expect("it can be gated");
    assert_eq!(gated.content_type.as_deref(), Some("text/html; charset=windows-1252"));
    assert!(all(gated).await.expect("it ends").len() > 60);

    let (gated, _) = start(Pieces::of([&b"{\"a\":\"<img src=//acme.example>\"}"[..]]), BodyHead::default()).await;
    let gated = gated.expect("it passes");
    assert_eq!(gated.content_type, None);
    assert_eq!(all(gated).await.expect("it ends"), b"{\"a\":\"<img src=//acme.example>\"}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_a_byte_is_sent() {
    let html = |content_type| BodyHead { content_type: Some(content_type), ..BodyHead::default() };
    let coded = |coding| BodyHead { content_type: Some("text/html"), content_encoding: Some(coding), ..BodyHead::default() };
    let page = || Pieces::of([PAGE.as_bytes()]);
    assert!(matches!(start(page(), coded("gzip, compress")).await.0, Err(Refusal::Coding(_))));
    assert!(matches!(start(page(), coded("gzip, br, gzip, br")).await.0, Err(Refusal::Coding(_))));
    assert!(matches!(start(page(), coded("br")).await.0, Err(Refusal::Body(BodyError::Decode(_)))));
    let (refused, seen) = start(Pieces(VecDeque::from([Err(std::io::Error::other("reset"))])), html("text/html")).await;
    assert!(matches!(refused, Err(Refusal::Body(BodyError::Upstream(_)))));
    assert!(seen.lock().expect("no panic").is_empty(), "nothing began, nothing ended");
}

#[tokio::test]
async fn double_bytes_are_gated_as_text_in_utf_8_however_they_arrive() {
    let text = "<title>\u{65e5}\u{672c} \u{1f600}</title><img src=//acme.example/p><p>text";
    let utf16: [Vec<u8>; 2] = [
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        [&b"\xfe\xff"[..], &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()].concat(),
    ];
    let jis =
        encoding_rs::ISO_2022_JP.encode("<meta charset=iso-2022-jp><img src=//acme.example/p>\u{65e5}\u{672c}").0.into_owned();
    for (bytes, kind, want) in [
        (&utf16[0], "text/html; charset=utf-16", held(text)),
        (&utf16[1], "text/html; charset=gbk", held(text)),
        (&jis, "text/html", held("<meta charset=iso-2022-jp><img src=//acme.example/p>\u{65e5}\u{672c}")),
        (&b"<p>anything".to_vec(), "text/html; charset=hz-gb-2312", "\u{fffd}".to_owned()),
        // Cut in a character, and half a pair.
        (&b"<\0p\0>\0\0\xd8x\0\x3d".to_vec(), "text/html; charset=utf-16", "<p>\u{fffd}x\u{fffd}".to_owned()),
    ] {
        for size in [1, 2, 3, 7, 1024] {
            let head = BodyHead { content_type: Some(kind), ..BodyHead::default() };
            let (gated, _) = start(Pieces::of(bytes.chunks(size)), head).await;
            let gated = gated.expect("it can be gated");
            assert_eq!(gated.content_type.as_deref(), Some("text/html; charset=utf-8"));
            assert_eq!(String::from_utf8(all(gated).await.expect("it ends")).expect("UTF-8"), want, "{kind} in {size}");
        }
    }
}

#[tokio::test]
async fn xml_is_read_as_xml_and_ends_where_a_browser_stops() {
    let svg = "<svg xmlns='http://www.w3.org/2000/svg'><image href='//acme.example'/>";
    let want = svg.replace(" href", &format!(" data-gate-{NONCE}=\"acme:marketing\" data-gate-{NONCE}-href"));
    for (kind, to) in
        [("image/svg+xml", "image/svg+xml; charset=utf-8"), ("text/xml;charset=utf-16le", "text/xml; charset=utf-8")]
    {
        for (rest, whole) in [("</svg>", true), ("</g></svg>", false)] {
            let text = format!("{svg}{rest}");
            let bytes: Vec<u8> = if kind.contains("utf-16") {
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            } else {
                text.into_bytes()
            };
            let head = BodyHead { content_type: Some(kind), answer_encoding: Some("gzip"), ..BodyHead::default() };
            let (gated, seen) = start(Pieces::of(bytes.chunks(5)), head).await;
            let mut gated = gated.expect("it can be gated");
            assert_eq!(gated.content_type.as_deref(), Some(to));
            let (mut packed, mut fault) = (Vec::new(), None);
            while let Some(frame) = gated.body.frame().await {
                match frame {
                    Ok(frame) => packed.extend_from_slice(&frame.into_data().expect("it is data")),
                    Err(error) => fault = Some(error),
                }
            }
            assert_eq!(fault.is_none(), whole, "{fault:?}");
            let mut plain = Vec::new();
            Decoder::new(&[Coding::Gzip], decoder_limits(&Limits::default())).write(&packed, &mut plain).expect("it is gzip");
            assert_eq!(String::from_utf8_lossy(&plain), if whole { format!("{want}{rest}") } else { want.clone() });
            assert_eq!(seen.lock().expect("no panic").len(), 1);
        }
    }
    let (gated, _) = start(Pieces::of([&b"<?xml version='1.0' encoding='koi8-r'?><r>\xc1</r>"[..]]), BodyHead::default()).await;
    let gated = gated.expect("it can be gated");
    assert_eq!(gated.content_type.as_deref(), Some("text/xml; charset=utf-8"));
    assert!(String::from_utf8(all(gated).await.expect("it ends")).expect("UTF-8").ends_with("<r>\u{430}</r>"));
}

#[tokio::test]
async fn an_error_later_on_cuts_the_body() {
    let head = BodyHead { content_type: Some("text/html; charset=utf-8"), ..BodyHead::default() };
    let mut upstream = Pieces::of([&b"<p>first"[..], b"", b"<img src=//acme.example>"]);
    upstream.0.push_back(Err(std::io::Error::other("reset")));
    let (gated, seen) = start(upstream, head).await;
    let mut body = gated.expect("it begins well").body;
    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    assert!(matches!(body.frame().await, Some(Err(BodyError::Upstream(_)))));
    assert!(body.frame().await.is_none(), "nothing follows an error");
    assert_eq!(seen.lock().expect("no panic").len(), 1);

    let packed = encoded(Coding::Gzip, PAGE.as_bytes());
    let head = BodyHead { content_encoding: Some("gzip"), ..head };
    let (gated, _) = start(Pieces::of([&packed[..packed.len() - 2]]), head).await;
    assert!(matches!(all(gated.expect("it begins well")).await, Err(BodyError::Decode(_))), "cut off is not complete");
}

#[tokio::test]
async fn trailers_are_dropped_and_leaving_is_told() {
    let head = BodyHead { content_type: Some("text/html; charset=utf-8"), ..BodyHead::default() };
    let mut upstream = Pieces::of([PAGE.as_bytes()]);
    upstream.0.push_back(Ok(Frame::trailers(HeaderMap::new())));
    let (gated, _) = start(upstream, head).await;
    let mut body = gated.expect("it can be gated").body;
    while let Some(frame) = body.frame().await {
        assert!(frame.expect("no error").is_data());
    }

    let (gated, seen) = start(Pieces::of([PAGE.as_bytes()]), head).await;
    drop(gated);
    assert_eq!(*seen.lock().expect("no panic"), ["1 held, Left"]);
}

#[test]
fn a_page_that_is_pulled_slowly_is_read_slowly() {
    // Nothing is read ahead of what is asked for.
    let piece = "<p>0123456789</p>".repeat(4096);
    let upstream = Pieces::of([piece.as_bytes(); 8]);
    let head = BodyHead { content_type: Some("text/html; charset=utf-8"), ..BodyHead::default() };
    let mut cx = Context::from_waker(Waker::noop());
    let mut starting = Box::pin(start(upstream, head));
    let Poll::Ready((gated, _)) = starting.as_mut().poll(&mut cx) else { panic!("there are bytes") };
    let mut body = gated.expect("it can be gated").body;
    let Poll::Ready(Some(Ok(_))) = Pin::new(&mut body).poll_frame(&mut cx) else { panic!("there are bytes") };
    assert!(body.upstream.0.len() >= 7, "{} pieces are left", body.upstream.0.len());
}
