//! Several sites in one process: names, policies, languages, containment, and what one knows of another.

use std::collections::BTreeMap;

use consentry::config::{Config, SiteConfig};
use serde_json::json;

use crate::harness::{Answer, Gate, Upstream, run, write_files};

const PAGE: &str =
    "<!doctype html><html><head><script src=\"https://cdn.newcomer.example/tag.js\"></script></head><body><p>x</body></html>";
const HELD: &str = "data-gate-";

const NEWCOMER: &str = "id = \"newcomer\"\nname = \"Newcomer\"\npurposes = [\"marketing\"]\n[[rule]]\nid = \"host\"\nhosts = [\"newcomer.example\"]\n";

fn controller(name: &str) -> String {
    format!("vendors = [\"matomo\"]\n[controller]\nname = \"{name}\"\ncontact = \"privacy@museum.example\"\n")
}

/// Sites as `consentry.toml` has them, below the folder of the test.
fn sites(text: &str, dir: &std::path::Path) -> Vec<SiteConfig> {
    let (config, faults, _) = Config::read("consentry.toml", text);
    assert!(faults.is_empty(), "{faults:#?}");
    let mut sites = config.sites;
    sites.iter_mut().flat_map(SiteConfig::paths_mut).for_each(|path| *path = dir.join(&*path));
    sites
}

async fn ask(gate: &Gate, host: &str, path: &str, more: &[(&str, &str)]) -> Answer {
    gate.get(path, &[&[("host", host)], more].concat()).await
}

#[tokio::test]
async fn each_site_has_its_policy_its_languages_and_its_containment() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = BTreeMap::from([
        ("museum/site.toml", controller("The Museum")),
        ("shop/site.toml", controller("The Shop")),
        ("shop/vendors/newcomer.toml", NEWCOMER.to_owned()),
        ("words/strings/nl.toml", "[language]\nname = \"Nederlands\"\n[preferences]\ntitle = \"Privacykeuzes\"\n".to_owned()),
    ]);
    write_files(dir.path(), &files);
    let (museum, shop) = (Upstream::page(PAGE).await, Upstream::page(PAGE).await);
    let text = format!(
        "[gate]\nexempt = [\"/plain\"]\n[[site]]\nhosts = [\"museum.example\"]\nupstream = \"{}\"\npolicies = \"museum\"\ncontainment = \"enforce\"\n\
         [[site]]\nhosts = [\"shop.example\"]\nupstream = \"{}\"\npolicies = \"shop\"\ntemplates = \"words\"\ncontainment = \"off\"\nexempt = []\nprefix = \"/_keuze\"\n",
        museum.url(),
        shop.url()
    );
    let gate = Gate::with(&museum, |config| config.sites = sites(&text, dir.path())).await;

    let (one, other) = (ask(&gate, "museum.example", "/", &[]).await, ask(&gate, "shop.example", "/", &[]).await);
    assert!(!one.text().contains(HELD) && one.text().contains("The Museum"), "{}", one.text());
    assert!(other.text().contains(HELD) && other.text().contains("The Shop"), "{}", other.text());
    assert!(one.header("content-security-policy").is_some_and(|csp| csp.contains("default-src")), "{:?}", one.headers);
    assert!(other.header("content-security-policy").is_none(), "{:?}", other.headers);
    assert_eq!(museum.last().header("host"), Some(museum.address.to_string().as_str()));

    let dutch = [("accept-language", "nl")];
    assert!(ask(&gate, "museum.example", "/_consent/", &dutch).await.text().contains("lang=\"en\""));
    let there = ask(&gate, "shop.example", "/_keuze/", &dutch).await;
    assert!(there.text().contains("lang=\"nl\"") && there.text().contains("Privacykeuzes"), "{}", there.text());
    ask(&gate, "shop.example", "/_consent/state", &[]).await;
    assert_eq!(shop.last().path(), "/_consent/state", "no path of the gate there");

    assert!(!ask(&gate, "museum.example", "/plain", &[]).await.text().contains("The Museum"), "exempt");
    assert!(ask(&gate, "shop.example", "/plain", &[]).await.text().contains("The Shop"), "not exempt there");

    let health = gate.admin("/healthz", &[]).await.json();
    assert_ne!(health["policy"]["museum.example"], health["policy"]["shop.example"], "{health}");
    let reports = gate.admin("/reports", &[]).await.json();
    assert_eq!(
        (&reports["museum.example"]["containment"], &reports["shop.example"]["containment"]),
        (&json!("enforce"), &json!("off"))
    );
}

#[tokio::test]
async fn a_request_goes_to_the_site_it_names() {
    let named = |name: &'static str| Upstream::start(move |_| crate::harness::respond("200 OK", &[], name.as_bytes()));
    let (exact, below, deep) = (named("exact").await, named("below").await, named("deep").await);
    let text = format!(
        "[[site]]\nhosts = [\"a.example\", \"bücher.example\", \"c.b.example\"]\nupstream = \"{}\"\n\
         [[site]]\nhosts = [\"*.b.example\"]\nupstream = \"{}\"\n[[site]]\nhosts = [\"*.d.b.example\"]\nupstream = \"{}\"\n",
        exact.url(),
        below.url(),
        deep.url()
    );
    let gate = Gate::with(&exact, |config| config.sites = sites(&text, std::path::Path::new(""))).await;
    for (host, want) in [
        ("a.example", "exact"),
        ("A.Example:8443", "exact"),
        ("a.example.", "exact"),
        ("a.example.:80", "exact"),
        ("xn--bcher-kva.example", "exact"),
        ("c.b.example", "exact"),
        ("x.b.example", "below"),
        ("x.y.b.example", "below"),
        ("d.b.example", "below"),
        ("x.d.b.example", "deep"),
        ("x.y.d.b.example", "deep"),
    ] {
        let answer = ask(&gate, host, "/x.txt", &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, want), "{host}");
    }
    for host in ["b.example", "ba.example", "x.a.example", "xb.example", "127.0.0.1", "localhost", "example", "."] {
        let answer = ask(&gate, host, "/x.txt", &[]).await;
        assert!(matches!(answer.status, 421 | 400), "{host}: {}", answer.status);
    }
    let forwarded = [("x-forwarded-host", "x.b.example")];
    assert_eq!(ask(&gate, "a.example", "/x.txt", &forwarded).await.text(), "exact", "anybody can write that header");
    let behind = Gate::with(&exact, |config| {
        config.sites = sites(&text, std::path::Path::new(""));
        config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    });
    assert_eq!(ask(&behind.await, "a.example", "/x.txt", &forwarded).await.text(), "below", "a trusted proxy knows");
    let absolute = gate.raw(b"GET http://x.b.example/x.txt HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n").await;
    assert_eq!(absolute.text(), "below", "the target names the host (RFC 9112, 3.2.2)");
}

#[tokio::test]
async fn a_name_of_no_site_gets_421_and_learns_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    write_files(dir.path(), &BTreeMap::from([("site.toml", controller("The Museum"))]));
    let upstream = Upstream::page(PAGE).await;
    let text = format!("[[site]]\nhosts = [\"museum.example\"]\nupstream = \"{}\"\npolicies = \"\"\n", upstream.url());
    let gate = Gate::with(&upstream, |config| config.sites = sites(&text, dir.path())).await;
    for (path, language, want) in
        [("/", "en", "This site is not here"), ("/_consent/state", "de", "Diese Website ist hier nicht")]
    {
        let answer = ask(&gate, "other.example", path, &[("accept-language", language), ("accept", "text/html")]).await;
        assert_eq!(answer.status, 421);
        assert!(answer.text().contains(want), "{}", answer.text());
        let all = format!("{:?}{}", answer.headers, answer.text()).to_lowercase();
        assert!(!all.contains("museum") && !all.contains(&upstream.address.port().to_string()), "{all}");
        assert_eq!((answer.header("set-cookie"), answer.header("connection")), (None, Some("close")));
    }
    let posted =
        gate.send("POST", "/_consent/decision", &[("host", "other.example"), ("content-type", "application/json")], b"{}");
    let posted = posted.await;
    assert_eq!((posted.status, posted.header("content-type")), (421, Some("application/json")));
    assert_eq!(ask(&gate, "a b", "/", &[]).await.status, 400);
    assert!(upstream.got().is_empty(), "nothing of it is forwarded");
}

#[tokio::test]
async fn a_decision_made_on_one_site_is_none_on_another() {
    let upstream = Upstream::page(PAGE).await;
    let site = |host: &str| format!("[[site]]\nhosts = [\"{host}\"]\nupstream = \"{}\"\n", upstream.url());
    let text = site("a.example") + &site("b.example");
    let gate = Gate::with(&upstream, |config| config.sites = sites(&text, std::path::Path::new(""))).await;
    let token = ask(&gate, "a.example", "/_consent/notice-token", &[]).await.json()["notice"].clone();
    let decide = async |host: &str| {
        let origin = format!("http://{host}");
        let headers = [("host", host), ("origin", origin.as_str()), ("content-type", "application/json")];
        gate.send(
            "POST",
            "/_consent/decision",
            &headers,
            json!({ "choice": "accept_all", "notice": token }).to_string().as_bytes(),
        )
        .await
    };
    let decided = decide("a.example").await;
    assert_eq!(decided.status, 200, "{}", decided.text());
    let cookie = decided.consent_cookie().expect("a consent cookie");
    let state = async |host: &str| ask(&gate, host, "/_consent/state", &[("cookie", &cookie)]).await.json();
    let (here, there) = (state("a.example").await, state("b.example").await);
    assert_eq!(here["policy"], there["policy"], "the same policy, even");
    assert_eq!((&here["decided"], &there["decided"]), (&json!(true), &json!(false)));
    let elsewhere = decide("b.example").await;
    assert_eq!(elsewhere.status, 422, "a token names what was shown on its own site: {}", elsewhere.text());
}

#[test]
fn check_reads_the_files_of_every_site() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = "[[site]]\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:1\"\npolicies = \"one\"\n\
                  [[site]]\nhosts = [\"b.example\"]\nupstream = \"https://127.0.0.1:2\"\npolicies = \"two\"\nupstream_ca = \"ca.pem\"\n";
    let files = BTreeMap::from([
        ("consentry.toml", config.to_owned()),
        ("one/site.toml", "vendors = [\"metta\"]\n".to_owned()),
        ("two/site.toml", "vendor = []\n".to_owned()),
        ("ca.pem", "nothing".to_owned()),
    ]);
    write_files(dir.path(), &files);
    let (code, _, err) = run(&["check"], dir.path());
    assert_eq!(code, 64, "{err}");
    for line in [
        "one/site.toml:1:12: there is no vendor `metta`",
        "two/site.toml:1:1: unknown key `vendor`",
        "ca.pem: there is no certificate",
    ] {
        assert!(err.contains(line), "{line} in {err}");
    }
    let (code, _, err) = run(&["serve"], dir.path());
    assert_eq!(code, 64, "{err}");
    assert!(!dir.path().join("consentry-data").exists(), "nothing was started");

    write_files(dir.path(), &BTreeMap::from([("one/site.toml", controller("A")), ("two/site.toml", controller("B"))]));
    write_files(dir.path(), &BTreeMap::from([("consentry.toml", config.replace("upstream_ca = \"ca.pem\"\n", ""))]));
    let (code, out, err) = run(&["check"], dir.path());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("site             a.example") && out.contains("site             b.example"), "{out}");
    let (code, _, err) = run(&["serve", "--upstream", "http://127.0.0.1:1"], dir.path());
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("--upstream: the configuration file has [[site]]"), "{err}");
    let (code, _, err) = run(&["log", "stats"], dir.path());
    assert_ne!(code, 64, "the data folder is found: {err}");
}

#[test]
fn explain_takes_the_policies_of_the_site_that_has_the_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = "[[site]]\nhosts = [\"a.example\"]\nupstream = \"http://127.0.0.1:1\"\n\
                  [[site]]\nhosts = [\"*.b.example\"]\nupstream = \"http://127.0.0.1:2\"\npolicies = \"two\"\n";
    let files = BTreeMap::from([
        ("consentry.toml", config.to_owned()),
        ("two/vendors/newcomer.toml", NEWCOMER.to_owned()),
        ("page.html", PAGE.to_owned()),
    ]);
    write_files(dir.path(), &files);
    let explain = |base: &str| run(&["explain", "--html", "page.html", "--config", "consentry.toml", "--base", base], dir.path());
    let (code, out, err) = explain("https://www.b.example/");
    assert!(code == 0 && out.contains("newcomer/host"), "{out}{err}");
    let (code, out, err) = explain("https://a.example/");
    assert!(code == 0 && out.contains("no tag of a known vendor"), "{out}{err}");
    assert_eq!(explain("https://c.example/").0, 64);
}
