//! Scripts of workers, and the gate's own scripts as files: what stands before them, under which head.

use std::io::Read as _;

use crate::harness::{Gate, Got, Upstream, respond};

const WORKER: [(&str, &str); 2] = [("sec-fetch-dest", "worker"), ("sec-fetch-mode", "same-origin")];

fn script(got: &Got) -> Vec<u8> {
    let text = match got.path() {
        "/strict.js" => "/* ours */ 'use strict'; postMessage(1)",
        "/module.js" => "import { a } from './a.js'; postMessage(a)",
        "/coded.js" => return respond("200 OK", &[("content-type", "text/javascript"), ("content-encoding", "br")], b"x"),
        _ => "postMessage(1)",
    };
    let again = got.header("if-none-match") == Some("\"one\"");
    let head = [("content-type", "text/javascript"), ("etag", "\"one\""), ("cache-control", "public, max-age=31536000")];
    respond(if again { "304 Not Modified" } else { "200 OK" }, &head, if again { b"" } else { text.as_bytes() })
}

#[tokio::test]
async fn the_guard_stands_before_a_workers_script_and_is_the_same_for_everybody() {
    let upstream = Upstream::start(script).await;
    let gate = Gate::start(&upstream).await;
    let undecided = gate.get("/w.js", &WORKER).await;
    assert_eq!(upstream.last().header("accept-encoding"), Some("identity"));
    assert!(undecided.text().starts_with("(()=>{'use strict';") && undecided.text().ends_with("postMessage(1)"));
    assert_eq!(undecided.header("cache-control"), Some("private, no-cache"));

    // Browsers compare these bytes to see whether a service worker is a new one.
    let cookie = gate.accepted().await;
    for dest in [[("sec-fetch-dest", "serviceworker")], [("service-worker", "script")]] {
        let decided = gate.get("/w.js", &[&dest[..], &[("cookie", &cookie)]].concat()).await;
        assert_eq!(decided.body, undecided.body, "{dest:?}");
    }

    let tag = undecided.header("etag").expect("a tag").to_owned();
    assert_ne!(tag, "\"one\"");
    let again = gate.get("/w.js", &[&WORKER[..], &[("if-none-match", &tag)]].concat()).await;
    assert_eq!((again.status, again.header("etag")), (304, Some(tag.as_str())));
    // A copy from before the gate is not confirmed.
    let before = gate.get("/w.js", &[&WORKER[..], &[("if-none-match", "\"one\"")]].concat()).await;
    assert_eq!((before.status, before.body), (200, undecided.body));
}

#[tokio::test]
async fn what_has_to_stand_first_in_a_workers_script_does() {
    let upstream = Upstream::start(script).await;
    let gate = Gate::start(&upstream).await;
    let strict = gate.get("/strict.js", &WORKER).await.text();
    assert!(strict.starts_with("'use strict';(()=>{"), "{strict}");
    let module = gate.get("/module.js", &WORKER).await.text();
    let guard = module.strip_prefix("import\"").and_then(|rest| rest.split_once('"')).expect("an import").0;
    assert!(guard.starts_with("/_consent/assets/") && guard.ends_with("/worker.js"), "{guard}");
    assert_eq!(gate.get(guard, &[]).await.status, 200);
    assert_eq!(gate.get("/coded.js", &WORKER).await.status, 502, "what cannot be read is not passed on");
}

#[tokio::test]
async fn other_scripts_and_a_gate_without_the_ring_are_left_alone() {
    let upstream = Upstream::start(script).await;
    let gate = Gate::start(&upstream).await;
    assert_eq!(gate.get("/w.js", &[("sec-fetch-dest", "script")]).await.text(), "postMessage(1)");
    let without = Gate::with(&upstream, |config| config.sites[0].rings.guard = false).await;
    assert_eq!(without.get("/w.js", &WORKER).await.text(), "postMessage(1)");
}

#[tokio::test]
async fn the_gates_scripts_are_served_as_small_as_the_visitor_takes_them() {
    let upstream = Upstream::page("<!doctype html><title>Shop</title><p>Cups</p>").await;
    let gate = Gate::start(&upstream).await;
    let page = gate.get("/", &[("sec-fetch-dest", "document")]).await.text();
    let guard = page.find("/guard.js\"").expect("the guard");
    assert!(guard < page.find("<title>").expect("the page"), "before anything of the page's own: {page}");
    let path = page.split("/guard.js\"").next().and_then(|before| before.rsplit("/_consent/").next()).expect("its address");
    let path = format!("/_consent/{path}/guard.js");

    let plain = gate.get(&path, &[]).await;
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    let gzip = gate.get(&path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(gzip.body.as_slice()).read_to_end(&mut text).expect("it is gzip");
    assert_eq!(text, plain.body);
    let brotli = gate.get(&path, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(brotli.header("content-encoding"), Some("br"));
    let mut text = Vec::new();
    brotli::Decompressor::new(brotli.body.as_slice(), 4096).read_to_end(&mut text).expect("it is brotli");
    assert_eq!(text, plain.body);
    assert!(brotli.header("cache-control").is_some_and(|value| value.contains("immutable")));
}
