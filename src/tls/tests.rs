//! The rules of choice and of the redirect, on certificates made here.

use std::{fs, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::crypto::ring;

use super::{Tls, certificate::Certificate, check, resolver::Table};
use crate::config::{Config, Limits, TlsConfig};

/// Self-signed, from 2020 to the beginning of `year`; PEM of chain and key.
fn pem(names: &[&str], year: i32) -> (String, String) {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

pub(super) fn certificate(names: &[&str], year: i32) -> Arc<Certificate> {
    let (chain, key) = pem(names, year);
    Arc::new(Certificate::parse(chain.as_bytes(), key.as_bytes(), &ring::default_provider()).expect("a good pair"))
}

fn setting(text: &str) -> TlsConfig {
    let (config, faults, _) = Config::read("c.toml", text);
    assert!(faults.is_empty(), "{faults:?}");
    config.tls.expect("[tls] is there")
}

/// A folder with one pair, and the setting that names it.
fn with_files(names: &[&str], more: &str) -> (tempfile::TempDir, TlsConfig) {
    let dir = tempfile::tempdir().expect("a folder");
    let (chain, key) = pem(names, 2040);
    fs::write(dir.path().join("a.pem"), chain).expect("a file");
    fs::write(dir.path().join("a.key"), key).expect("a file");
    let mut setting = setting(&format!("[tls]\ncert = \"a.pem\"\nkey = \"a.key\"\n{more}"));
    setting.lie_beside(dir.path());
    (dir, setting)
}

#[test]
fn a_certificate_tells_what_it_is_good_for() {
    let certificate = certificate(&["A.example", "*.b.example", "192.0.2.1", "2001:db8::1"], 2040);
    assert_eq!(certificate.names, ["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"]);
    assert_eq!(certificate.not_after.to_string(), "2040-01-01T00:00:00Z");
    for (host, covered) in [
        ("a.example", true),
        ("x.b.example", true),
        ("b.example", false),
        ("x.y.b.example", false),
        ("192.0.2.1", true),
        ("example", false),
    ] {
        assert_eq!(certificate.covers(host), covered, "{host}");
    }
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    assert!(certificate.expired(time("2040-01-02T00:00:00Z")) && !certificate.expired(time("2039-12-31T00:00:00Z")));
}

#[test]
fn a_name_that_waits_for_its_certificate_gets_no_other() {
    let certificates = [certificate(&["a.example"], 2040), certificate(&["*.b.example"], 2040)];
    let awaited = || ["new.example", "a.example", "x.b.example"].map(str::to_owned).into_iter();
    let table = Table::new(certificates.iter(), awaited(), false);
    assert_eq!(table.choose(Some("new.example")).len(), 0);
    assert_eq!(table.choose(Some("other.example")).len(), 1);
    assert_eq!(table.choose(Some("a.example")).len(), 1, "a file goes before what is to come");
    assert_eq!(table.choose(Some("x.b.example")).len(), 1, "so does a wildcard");
    assert!(!table.covers("new.example") && table.covers("x.b.example"));
    let none = Table::new([].iter(), awaited(), false);
    assert!(none.choose(None).is_empty() && none.choose(Some("z.example")).is_empty());
}

#[test]
fn keys_of_two_kinds_may_serve_one_name() {
    let certificates = [certificate(&["a.example"], 2040), certificate(&["b.example"], 2040), certificate(&["a.example"], 2041)];
    let table = Table::new(certificates.iter(), std::iter::empty(), false);
    assert_eq!(table.choose(Some("a.example")).len(), 2);
    assert_eq!(table.choose(None).len(), 2, "for clients that name no host as well");
}

#[test]
fn hosts_without_a_certificate_are_told() {
    let (_dir, mut setting) = with_files(&["a.example", "*.b.example"], "");
    let hosts = ["a.example", "x.b.example", "c.example"].map(str::to_owned);
    let (faults, warnings) = check(&setting, &hosts);
    let told: Vec<String> = warnings.iter().map(ToString::to_string).filter(|text| text.contains("covers")).collect();
    assert!(
        faults.is_empty() && told.len() == 1 && told[0].starts_with("c.toml:1:1:") && told[0].contains("c.example"),
        "{told:?}"
    );
    // Ordered for: nothing to tell.
    setting.acme = self::setting("[tls]\n[tls.acme]\nagree = true\nnames = [\"c.example\"]\n").acme;
    assert!(!check(&setting, &hosts).1.iter().any(|warning| warning.message.contains("covers")));
}

#[test]
fn acme_takes_a_name_and_a_root_that_is_there() {
    let mut setting = setting("[tls]\n[tls.acme]\nagree = true\nca = \"none.pem\"\n");
    let (faults, _) = check(&setting, &["*.a.example".to_owned()]);
    let told: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    setting.acme.as_mut().expect("[tls.acme]").ca = None;
    assert!(check(&setting, &["a.example".to_owned()]).0.is_empty(), "the sites' names do");
}

#[test]
fn the_redirect_names_only_what_is_covered() {
    let (_dir, setting) = with_files(&["a.example", "*.b.example", "::1"], "");
    let open =
        |setting: &TlsConfig| Tls::open(setting.clone(), &[], &PathBuf::from("none"), &Limits::default()).expect("good files").0;
    let tls = open(&setting);
    let to = |tls: &Tls, host: &str, target: &str, port| {
        let location = tls.redirect(host, &target.parse().expect("a target"), port)?;
        Some(location.to_str().expect("ASCII").to_owned())
    };
    assert_eq!(to(&tls, "a.example", "/x?y=1", 443).as_deref(), Some("https://a.example/x?y=1"));
    assert_eq!(to(&tls, "x.b.example", "http://other/x", 8443).as_deref(), Some("https://x.b.example:8443/x"));
    assert_eq!(to(&tls, "::1", "/", 443).as_deref(), Some("https://[::1]/"));
    for (host, target) in [("c.example", "/"), ("a.example", "/.well-known/acme-challenge/t"), ("a.example", "*")] {
        assert_eq!(to(&tls, host, target, 443), None, "{host} {target}");
    }
    assert_eq!(to(&open(&TlsConfig { redirect: false, ..setting }), "a.example", "/", 443), None);
}

#[test]
fn a_change_is_taken_up_once_it_stands_still() {
    let (dir, setting) = with_files(&["a.example"], "");
    let (tls, _) = Tls::open(setting, &[], dir.path(), &Limits::default()).expect("good files");
    assert_eq!(tls.reload(), Ok(false));
    let (chain, key) = pem(&["a.example"], 2040);
    fs::write(dir.path().join("a.pem"), chain).expect("a file");
    assert_eq!(tls.reload(), Ok(false), "just changed");
    let faults = tls.reload().expect_err("half of a pair");
    assert!(faults[0].message.contains("does not belong"), "{faults:?}");
    assert_eq!(tls.reload(), Ok(false), "told once");
    fs::write(dir.path().join("a.key"), key).expect("a file");
    assert_eq!((tls.reload(), tls.reload(), tls.reload()), (Ok(false), Ok(true), Ok(false)));
}
