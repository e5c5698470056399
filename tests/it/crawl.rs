//! `consentry explain --crawl`: a small real site on a port of its own, walked to its end; the table
//! against a golden one; the files it writes are good policy files.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Got, Upstream, respond, run};

const GOLDEN: &str = include_str!("../golden/crawl.txt");

fn page(body: &str) -> Vec<u8> {
    let html = format!(
        "<!doctype html><html><head><link rel=\"stylesheet\" href=\"/site.css\"><link rel=\"canonical\" href=\"https://kiln.example/\">\
         <script src=\"https://www.googletagmanager.com/gtag/js?id=G-ABC1234567\"></script></head><body>{body}</body></html>"
    );
    respond("200 OK", &[("content-type", "text/html; charset=utf-8")], html.as_bytes())
}

fn answer(got: &Got) -> Vec<u8> {
    match got.path() {
        "/" => page(
            "<a href=\"/shop\">Shop</a> <a href=\"/shop#top\">again</a> <a href=\"shop?page=2\">more</a> <a href=\"https://elsewhere.example/\">out</a>\
             <a href=\"/folder.pdf\">PDF</a> <a href=\"mailto:a@b.example\">mail</a> <img src=\"//cdn.jsdelivr.net/npm/x.png\">\
             <img srcset=\"https://img.unknown-shop.example/a.png 1x, https://img.unknown-shop.example/b.png 2x\">",
        ),
        "/shop" => page(
            "<a href=\"/\">home</a> <a href=\"/gone\">gone</a> <a href=\"/moved\">moved</a> <script src=\"https://js.stripe.com/v3/\"></script>\
             <script>!function(){fbq('init', '1234567890')}()</script> <div style=\"background:url(https://img.unknown-shop.example/c.png)\"></div>",
        ),
        "/moved" => respond("302 Found", &[("location", "/new")], b""),
        "/new" => page("<iframe src=\"https://widgets.reviews.example/embed\"></iframe>"),
        "/gone" => respond("404 Not Found", &[("content-type", "text/html")], b"<p>gone <a href=/>home</a>"),
        "/site.css" => respond(
            "200 OK",
            &[("content-type", "text/css")],
            b"@import \"https://fonts.unknown-shop.example/f.css\"; body { background: url('/own.png') }",
        ),
        path if path.starts_with("/shop?page=") => {
            let next: usize = path.rsplit('=').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            page(&format!("<a href=\"/shop?page={}\">next</a>", next + 1))
        }
        _ => respond("200 OK", &[("content-type", "application/pdf")], b"%PDF"),
    }
}

async fn crawl(upstream: &Upstream, args: &[&str], dir: &Path) -> (i32, String, String) {
    let start = format!("http://{}/", upstream.address);
    let args: Vec<String> = ["explain", "--crawl", &start].iter().chain(args).map(|&arg| arg.to_owned()).collect();
    let dir = dir.to_owned();
    let ran = tokio::task::spawn_blocking(move || run(&args.iter().map(String::as_str).collect::<Vec<_>>(), &dir)).await;
    ran.expect("the binary runs")
}

#[tokio::test]
async fn a_site_is_walked_to_its_end_and_told_as_a_table() {
    let upstream = Upstream::start(answer).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (code, out, err) = crawl(&upstream, &[], dir.path()).await;
    assert_eq!(code, 0, "{err}");
    let out = out.replace(&upstream.address.to_string(), "SITE");
    assert_eq!(out, GOLDEN, "the table changed; if it should: tests/golden/crawl.txt\n{out}");
    let asked: Vec<String> = upstream.got().iter().map(|got| got.path().to_owned()).collect();
    assert_eq!(asked.iter().filter(|path| path.as_str() == "/site.css").count(), 1, "{asked:?}");
    assert!(!asked.iter().any(|path| path.contains(".pdf")), "{asked:?}");
    assert_eq!(asked.iter().filter(|path| path.contains("page=")).count(), 3, "a calendar has no end: {asked:?}");
}

#[tokio::test]
async fn bounds_hold_and_json_says_what_was_left() {
    let upstream = Upstream::start(answer).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (code, out, err) = crawl(&upstream, &["--pages", "2", "--json"], dir.path()).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["pages"], 2);
    assert!(told["left"].as_u64() > Some(0), "{told}");
    let ids: Vec<&Value> = told["vendors"].as_array().expect("a list").iter().map(|vendor| &vendor["id"]).collect();
    assert_eq!(ids, [&json!("google-analytics"), &json!("meta")]);
    let stripe = told["others"].as_array().expect("a list").iter().find(|other| other["host"] == "js.stripe.com").cloned();
    let stripe = stripe.expect("it is on the second page");
    assert_eq!((&stripe["class"], &stripe["preset"], &stripe["listed"]), (&json!("preset"), &json!("stripe"), &Value::Null));
}

#[tokio::test]
async fn what_it_writes_is_a_policy_to_review() {
    let upstream = Upstream::start(answer).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (code, _, err) = crawl(&upstream, &["--write", "found"], dir.path()).await;
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = run(&["check", "--policies", "found"], dir.path());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("2 declared of"), "{out}");
    let hosts = fs::read_to_string(dir.path().join("found/hosts.toml")).expect("a file");
    for line in [
        "\"stripe\", # payment: js.stripe.com.",
        "\"jsdelivr\", # public CDN",
        "# [[gated]]",
        "# hosts = [\"widgets.reviews.example\"]",
    ] {
        assert!(hosts.contains(line), "{line} in {hosts}");
    }
    let (code, _, err) = crawl(&upstream, &["--write", "found"], dir.path()).await;
    assert_eq!(code, 64);
    assert!(err.contains("already there"), "{err}");

    // Reviewed: the proposals taken as they stand are good files too.
    let taken: String = hosts
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("# ").filter(|l| l.starts_with("[[") || l.contains(" = ")).unwrap_or(line)))
        .collect();
    fs::write(dir.path().join("found/hosts.toml"), taken).expect("a file");
    let (code, _, err) = run(&["check", "--policies", "found"], dir.path());
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = crawl(&upstream, &["--policies", "found", "--json"], dir.path()).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let open: Vec<&Value> = told["others"].as_array().expect("a list").iter().filter(|other| other["class"] == "gated").collect();
    assert!(open.is_empty(), "nothing is left to classify: {open:?}");
}

#[tokio::test]
async fn a_start_that_does_not_answer_is_said_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, _, err) = run(&["explain", "--crawl", "http://127.0.0.1:1/"], dir.path());
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("cannot be reached"), "{err}");
    assert_eq!(run(&["explain", "--crawl", "ftp://x/"], dir.path()).0, 64);
    assert_eq!(run(&["explain", "--crawl", "http://127.0.0.1:1/", "--pages", "0"], dir.path()).0, 64);
}

#[cfg(not(feature = "filter-lists"))]
#[test]
fn without_the_feature_a_filter_list_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, _, err) = run(&["explain", "--crawl", "http://127.0.0.1:1/", "--filter-list", "x.txt"], dir.path());
    assert_eq!(code, 64);
    assert!(err.contains("--features filter-lists"), "{err}");
}

#[cfg(feature = "filter-lists")]
#[tokio::test]
async fn a_filter_list_is_a_second_opinion() {
    let upstream = Upstream::start(answer).await;
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("list.txt"), "! Title: test\n||reviews.example^$third-party\n").expect("a file");
    let (code, out, err) = crawl(&upstream, &["--filter-list", "list.txt", "--json"], dir.path()).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let listed = |host: &str| {
        told["others"].as_array().expect("a list").iter().find(|other| other["host"] == host).map(|other| other["listed"].clone())
    };
    assert_eq!((listed("widgets.reviews.example"), listed("js.stripe.com")), (Some(json!(true)), Some(json!(false))));
}
