//! The command line: exit codes, faults with file and line, and what `init` writes.

use std::collections::BTreeMap;

use crate::harness::{run, write_files};

#[test]
fn three_faults_are_three_reports_and_exit_64() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = BTreeMap::from([
        ("consentry.toml", "policies = \"policies\"\n[gate]\ncontainment = \"on\"\n".to_owned()),
        ("policies/site.toml", "vendors = [\"metta\"]\n[controler]\nname = \"x\"\n".to_owned()),
        ("policies/regimes/eu.toml", "id = \"eu\"\njurisdiction = \"EU\"\nmodel = \"opt-out\"\n".to_owned()),
    ]);
    write_files(dir.path(), &files);
    let (code, _, err) = run(&["check"], dir.path());
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("consentry.toml:3:15: `on` is no containment"), "{err}");

    let policies = dir.path().join("policies");
    let (code, _, err) =
        run(&["check", "--config", "consentry.toml", "--policies", policies.to_str().expect("a path")], dir.path());
    assert_eq!(code, 64);
    for line in [
        "site.toml:1:12: there is no vendor `metta`",
        "site.toml:2:2: unknown key `controler`",
        "regimes/eu.toml:3:9: the model `opt-out`",
    ] {
        assert!(err.contains(line), "{line} in {err}");
    }
    assert!(err.contains("did you mean `meta`?"), "{err}");

    let (code, _, err) =
        run(&["serve", "--upstream", "http://127.0.0.1:1", "--policies", policies.to_str().expect("a path")], dir.path());
    assert_eq!(code, 64, "{err}");
    assert!(!dir.path().join("consentry-data").exists(), "nothing was started");
}

#[test]
fn a_wrong_command_line_is_64_and_help_is_0() {
    let dir = tempfile::tempdir().expect("a folder");
    for args in
        [&["serve"][..], &["serve", "--upstream", "ftp://x"], &["serve", "--upstream", "http://a/path"], &["nonsense"], &[]]
    {
        let (code, _, err) = run(args, dir.path());
        assert_eq!(code, 64, "{args:?}: {err}");
        assert!(!err.is_empty());
    }
    assert_eq!(run(&["--help"], dir.path()).0, 0);
    assert_eq!(run(&["--version"], dir.path()).0, 0);
}

#[test]
fn what_init_writes_is_good_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, out, err) = run(&["init", "site"], dir.path());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("consentry check"), "{out}");
    let site = dir.path().join("site");
    for file in [
        "consentry.toml",
        "policies/site.toml",
        "policies/vendors/meta.toml",
        "templates/banner.html",
        "templates/strings/de.toml",
    ] {
        assert!(site.join(file).is_file(), "{file}");
    }
    let (code, out, err) = run(&["check", "--config", "site/consentry.toml"], dir.path());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("policy revision") && out.contains("warning"), "the broad default is warned of: {out}");
    let (code, _, err) = run(&["init", "site"], dir.path());
    assert_eq!(code, 64);
    assert!(err.contains("already there"), "{err}");
}

#[test]
fn explain_names_verdict_and_rule() {
    let dir = tempfile::tempdir().expect("a folder");
    let page = "<html><head><script async src=\"https://www.googletagmanager.com/gtag/js?id=G-ABC1234567\"></script></head>\n<body><iframe src=\"https://www.youtube.com/embed/x\"></iframe></body></html>";
    write_files(dir.path(), &BTreeMap::from([("page.html", page.to_owned())]));
    let (code, out, err) = run(&["explain", "--html", "page.html"], dir.path());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("google-analytics/gtag") && out.contains("hold"), "{out}");
    let (_, granted, _) = run(&["explain", "--html", "page.html", "--grant", "analytics"], dir.path());
    let line = granted.lines().find(|line| line.contains("google-analytics/gtag")).expect("a line");
    assert!(line.contains("allow"), "{line}");
    let (_, json, _) = run(&["explain", "--html", "page.html", "--json"], dir.path());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["tags"].as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!(run(&["explain", "--html", "page.html", "--grant", "nonsense"], dir.path()).0, 64);
}
