//! TLS towards visitors: certificates by name, versions, reload, the redirect, HSTS, cookies, faults.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion, pki_types::CertificateDer, version};

use crate::{
    certificates::{Authority, BOTH, Client, settings},
    harness::{Gate, Upstream, respond, run},
};

const PAGE: &str = "<!doctype html><html><head><title>t</title></head><body><p>hello</p></body></html>";
const H1: &[&str] = &["http/1.1"];

/// A gate with one certificate, for `a.example`, and the folder it lies in.
async fn gate(upstream: &Upstream, authority: &Authority, more: &str) -> (Gate, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    authority.issue(&["a.example"]).write(dir.path(), "a");
    let tls = settings(dir.path(), &format!("cert = \"a.pem\"\nkey = \"a.key\"\n{more}"));
    (Gate::with(upstream, |config| config.tls = Some(tls)).await, dir)
}

fn at(gate: &Gate) -> std::net::SocketAddr {
    gate.tls.expect("it speaks TLS")
}

#[tokio::test]
async fn a_name_gets_its_certificate() {
    let authority = Authority::new();
    let upstream = Upstream::page(PAGE).await;
    let dir = tempfile::tempdir().expect("a folder");
    let [a, wild, exact] = [&["a.example"][..], &["*.b.example"], &["x.b.example"]].map(|names| authority.issue(names));
    a.write(dir.path(), "a");
    wild.write(dir.path(), "wild");
    exact.write(dir.path(), "exact");
    let text = "cert = \"a.pem\"\nkey = \"a.key\"\nstrict_sni = false\n[[tls.certificate]]\ncert = \"wild.pem\"\nkey = \"wild.key\"\n[[tls.certificate]]\ncert = \"exact.pem\"\nkey = \"exact.key\"\n";
    let open = Gate::with(&upstream, |config| config.tls = Some(settings(dir.path(), text))).await;
    let strict = text.replace("strict_sni = false", "strict_sni = true");
    let strict = Gate::with(&upstream, |config| config.tls = Some(settings(dir.path(), &strict))).await;

    let client = Client::new(BOTH, H1);
    let (first, wildcard, exact) = (Some(a.der()), Some(wild.der()), Some(exact.der()));
    let table: &[(&str, &Option<CertificateDer<'static>>, &Option<CertificateDer<'static>>)] = &[
        ("a.example", &first, &first),
        ("A.EXAMPLE", &first, &first),
        ("y.b.example", &wildcard, &wildcard),
        ("x.b.example", &exact, &exact),
        // A wildcard stands for one label.
        ("y.z.b.example", &first, &None),
        ("b.example", &first, &None),
        ("unknown.example", &first, &None),
        // An address: no host is named.
        ("127.0.0.1", &first, &first),
    ];
    for (name, otherwise, strictly) in table {
        assert!(client.shown(at(&open), name).await == **otherwise, "{name}");
        assert!(client.shown(at(&strict), name).await == **strictly, "{name}, strictly");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_are_refused_and_sessions_are_resumed() {
    let upstream = Upstream::page(PAGE).await;
    let (gate, _dir) = gate(&upstream, &Authority::new(), "").await;
    for (flag, good) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let address = at(&gate).to_string();
        // Level 0 lets the client offer what it would not by itself.
        let args = ["s_client", "-connect", &address, "-servername", "a.example", flag, "-cipher", "DEFAULT@SECLEVEL=0"];
        let command = || Command::new("openssl").args(args).stdin(std::process::Stdio::null()).output().expect("openssl runs");
        let output = tokio::task::block_in_place(command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.contains("BEGIN CERTIFICATE"), good, "{flag}: {text}");
        assert_eq!(text.contains("SSL alert number"), !good, "{flag}, refused by the gate and not by the client: {text}");
    }
    for version in [&version::TLS12, &version::TLS13] {
        let client = Client::new(&[version], H1);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = client.connect(at(&gate), "a.example").await.expect("a handshake");
            // Tickets of TLS 1.3 come with the first answer.
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n").await.expect("it is sent");
            let _ = stream.read_to_end(&mut Vec::new()).await;
            kinds.push(stream.get_ref().1.handshake_kind());
        }
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)], "{version:?}");
    }
}

#[tokio::test]
async fn only_protocols_that_are_spoken_are_chosen() {
    let upstream = Upstream::page(PAGE).await;
    let (gate, _dir) = gate(&upstream, &Authority::new(), "").await;
    for (offered, chosen) in [(&["http/1.1"][..], Some("http/1.1")), (&["h2", "http/1.1"], Some("h2")), (&[], None)] {
        let stream = Client::new(BOTH, offered).connect(at(&gate), "a.example").await.expect("a handshake");
        let connection = stream.get_ref().1;
        assert_eq!(connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()).as_deref(), chosen);
        assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    }
    for foreign in [&["ftp"][..], &["acme-tls/1"]] {
        assert!(Client::new(BOTH, foreign).connect(at(&gate), "a.example").await.is_err(), "{foreign:?}");
    }
}

/// Waits until a new handshake shows a certificate.
async fn shows(gate: &Gate, wanted: &CertificateDer<'static>) -> bool {
    let client = Client::new(BOTH, H1);
    for _ in 0..100 {
        if client.shown(at(gate), "a.example").await.as_ref() == Some(wanted) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn changed_files_are_picked_up_under_open_connections() {
    let authority = Authority::new();
    let upstream = Upstream::page(PAGE).await;
    let (gate, dir) = gate(&upstream, &authority, "").await;
    let mut open = Client::new(BOTH, H1).connect(at(&gate), "a.example").await.expect("a handshake");
    let old = open.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned();
    let mut ask = async || {
        open.write_all(b"GET /healthz HTTP/1.1\r\nhost: a.example\r\n\r\n").await.expect("the connection is open");
        let mut read = [0; 12];
        open.read_exact(&mut read).await.expect("an answer");
        let mut rest = vec![0; 65536];
        let _ = open.read(&mut rest).await;
        String::from_utf8_lossy(&read).into_owned()
    };
    assert_eq!(ask().await, "HTTP/1.1 200");

    // A key that does not fit, a file cut in two, one that is over: the old certificate stays.
    let new = authority.issue(&["a.example"]);
    let cut = crate::certificates::Issued { cert: new.cert[..200].to_owned(), key: new.key.clone() };
    let stranger = crate::certificates::Issued { cert: new.cert.clone(), key: authority.issue(&["a.example"]).key };
    for faulty in [stranger, cut, authority.issue_until(&["a.example"], 2021)] {
        faulty.write(dir.path(), "a");
        tokio::time::sleep(Duration::from_millis(1000)).await;
        assert!(Client::new(BOTH, H1).shown(at(&gate), "a.example").await.as_ref() == Some(&old));
    }
    new.write(dir.path(), "a");
    assert!(shows(&gate, &new.der()).await, "the new certificate is in force");
    assert_eq!(ask().await, "HTTP/1.1 200", "the connection of before goes on");

    // As certificate tools do it: a link that is set to another file.
    let next = authority.issue(&["a.example"]);
    next.write(dir.path(), "next");
    for ending in ["pem", "key"] {
        let link = dir.path().join(format!("link.{ending}"));
        std::os::unix::fs::symlink(format!("next.{ending}"), &link).expect("a link");
        fs::rename(link, dir.path().join(format!("a.{ending}"))).expect("it is put in place");
    }
    assert!(shows(&gate, &next.der()).await, "a link that was set anew counts");
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let upstream = Upstream::start(|got| respond("200 OK", &[("content-type", "text/plain")], got.path().as_bytes())).await;
    let (secure, _dir) = gate(&upstream, &Authority::new(), "").await;
    let port = at(&secure).port();
    for method in ["GET", "POST", "DELETE"] {
        let host = format!("A.example:{}", secure.address.port());
        let answer = secure.send(method, "/x/y?a=b&c=//d", &[("host", &host)], b"").await;
        assert_eq!(answer.status, 308, "method and body are kept");
        assert_eq!(answer.header("location"), Some(format!("https://a.example:{port}/x/y?a=b&c=//d").as_str()));
    }
    let absolute = secure.raw(b"GET http://a.example//evil.example HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n").await;
    assert_eq!(absolute.header("location"), Some(format!("https://a.example:{port}//evil.example").as_str()));
    assert!(upstream.got().is_empty(), "nothing went on");

    // Not one of ours: nobody makes the gate name another host.
    for host in ["evil.example", "a.example.evil.example", "127.0.0.1"] {
        assert_eq!(secure.get("/", &[("host", host)]).await.status, 200, "{host}");
    }
    // A challenge of the site behind.
    let challenge = secure.get("/.well-known/acme-challenge/abc", &[("host", "a.example")]).await;
    assert_eq!((challenge.status, challenge.text().as_str()), (200, "/.well-known/acme-challenge/abc"));
    assert_eq!(secure.admin("/healthz", &[]).await.status, 200);
    let over_tls = Client::new(BOTH, H1).get(at(&secure), "a.example", "/x", "").await;
    assert_eq!((over_tls.status, over_tls.text().as_str()), (200, "/x"));

    let (plain, _dir) = gate(&upstream, &Authority::new(), "redirect = false").await;
    assert_eq!(plain.get("/", &[("host", "a.example")]).await.status, 200);
    let (mapped, _dir) = gate(&upstream, &Authority::new(), "public_port = 443").await;
    let answer = mapped.get("/", &[("host", "a.example")]).await;
    assert_eq!(answer.header("location"), Some("https://a.example/"));
}

#[tokio::test]
async fn a_proxy_that_speaks_tls_in_front_is_not_redirected() {
    let upstream = Upstream::page(PAGE).await;
    let dir = tempfile::tempdir().expect("a folder");
    Authority::new().issue(&["a.example"]).write(dir.path(), "a");
    let gate = Gate::with(&upstream, |config| {
        config.tls = Some(settings(dir.path(), "cert = \"a.pem\"\nkey = \"a.key\"\n"));
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let through = gate.get("/", &[("host", "a.example"), ("x-forwarded-proto", "https")]).await;
    assert_eq!(through.status, 200);
    assert_eq!(gate.get("/", &[("host", "a.example"), ("x-forwarded-proto", "http")]).await.status, 308);
}

#[tokio::test]
async fn hsts_is_an_option_and_for_tls_only() {
    let upstream = Upstream::start(|_| respond("200 OK", &[("strict-transport-security", "max-age=5")], b"x")).await;
    let authority = Authority::new();
    let (on, _dir) = gate(&upstream, &authority, "hsts = \"max-age=31536000; includeSubDomains\"\nredirect = false").await;
    let client = Client::new(BOTH, H1);
    for path in ["/", "/_consent/", "/_consent/nothing"] {
        let answer = client.get(at(&on), "a.example", path, "").await;
        assert_eq!(answer.all("strict-transport-security"), ["max-age=31536000; includeSubDomains"], "{path}");
    }
    assert_eq!(on.get("/_consent/", &[("host", "a.example")]).await.all("strict-transport-security"), [""; 0]);
    let (off, _dir) = gate(&upstream, &authority, "").await;
    assert_eq!(client.get(at(&off), "a.example", "/", "").await.all("strict-transport-security"), ["max-age=5"]);
    assert_eq!(client.get(at(&off), "a.example", "/_consent/", "").await.all("strict-transport-security"), [""; 0]);
}

#[tokio::test]
async fn a_decision_over_https_gets_the_guarded_cookie() {
    let upstream = Upstream::page(PAGE).await;
    let (gate, _dir) = gate(&upstream, &Authority::new(), "").await;
    let client = Client::new(BOTH, H1);
    let (host, address) = ("a.example", at(&gate));
    let page = client.get(address, host, "/", "accept: text/html\r\n").await;
    assert!(page.text().contains("https://a.example/_consent/decision"), "the form goes to https: {}", page.text());
    assert_eq!(upstream.last().header("x-forwarded-proto"), Some("https"));

    let token = client.get(address, host, "/_consent/notice-token", "").await.json();
    let body = serde_json::json!({ "choice": "accept_all", "notice": token["notice"] }).to_string();
    let decide = |origin: &str| {
        format!(
            "POST /_consent/decision HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    assert_eq!(client.send(address, host, &decide("http://a.example")).await.status, 403, "another scheme, another origin");
    let decided = client.send(address, host, &decide("https://a.example")).await;
    assert_eq!(decided.status, 200, "{}", decided.text());
    let line = decided.header("set-cookie").expect("a cookie").to_owned();
    let parts: Vec<&str> = line.split(';').map(str::trim).collect();
    assert!(parts[0].starts_with("__Host-consentry="), "{line}");
    for attribute in ["HttpOnly", "SameSite=None", "Secure", "Path=/"] {
        assert!(parts.contains(&attribute), "{attribute}: {line}");
    }
    assert!(!line.contains("Domain"), "{line}");

    let decided_with = async |cookie: &str| {
        let answer = client.get(address, host, "/_consent/state", &format!("cookie: {cookie}\r\n")).await;
        answer.json()["decided"].as_bool().expect("a state")
    };
    assert!(decided_with(parts[0]).await);
    assert!(!decided_with(&parts[0].replace("__Host-consentry", "consentry")).await, "the plain name is never accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_client_trusts_the_chain() {
    let upstream = Upstream::start(|_| respond("200 OK", &[("content-type", "text/plain")], b"through")).await;
    let authority = Authority::new();
    let (gate, dir) = gate(&upstream, &authority, "").await;
    fs::write(dir.path().join("root.pem"), authority.pem()).expect("a file");
    let port = at(&gate).port();
    let (resolve, url) = (format!("a.example:{port}:127.0.0.1"), format!("https://a.example:{port}/"));
    let curl = |more: &[&str]| {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--http1.1", "--max-time", "20", "--resolve", &resolve])
            .args(more)
            .arg(&url)
            .current_dir(dir.path());
        command.output().expect("curl runs")
    };
    let trusting = tokio::task::block_in_place(|| curl(&["--cacert", "root.pem"]));
    assert_eq!(String::from_utf8_lossy(&trusting.stdout), "through", "{}", String::from_utf8_lossy(&trusting.stderr));
    let wary = tokio::task::block_in_place(|| curl(&[]));
    assert_eq!(wary.status.code(), Some(60), "an unknown authority is not trusted");
}

/// Every check of protocols, suites, forward secrecy, the certificate, headers and known attacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_finds_nothing_above_low() {
    let upstream = Upstream::page(PAGE).await;
    let authority = Authority::new();
    let (gate, dir) = gate(&upstream, &authority, "hsts = \"max-age=31536000\"").await;
    authority.issue_for_days(&["localhost"], 89).write(dir.path(), "a");
    fs::write(dir.path().join("root.pem"), authority.pem()).expect("a file");
    // The files of before are read anew first.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let url = format!("https://localhost:{}/", at(&gate).port());
    let scan = || {
        let mut command = Command::new("timeout");
        command.args(["600", "testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"]);
        command.args(["--add-ca", "root.pem", "--jsonfile", "found.json", "-p", "-s", "-f", "-P", "-S", "-h", "-U", &url]);
        command
            .current_dir(dir.path())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("testssl (Debian package testssl.sh) runs")
    };
    let output = tokio::task::block_in_place(scan);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = fs::read_to_string(dir.path().join("found.json")).unwrap_or_else(|error| panic!("{error}: {told}"));
    let found: Vec<serde_json::Value> = serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {told}"));
    let above: Vec<_> = found
        .iter()
        .filter(|finding| !["OK", "INFO", "LOW"].contains(&finding["severity"].as_str().unwrap_or_default()))
        // Its client hangs up with the end of its input; on a busy machine that is before the ticket has come, and
        // then it can say nothing about tickets.
        .filter(|finding| !(finding["id"] == "sessionresumption_ticket" && finding["severity"] == "WARN"))
        .collect();
    assert!(above.is_empty(), "{above:#?}");
    assert!(found.len() > 50 && found.iter().any(|finding| finding["id"] == "TLS1_3"), "it looked: {told}");
}

/// `consentry check` on a `[tls]` section in `dir`.
fn check(dir: &Path, text: &str) -> (i32, String) {
    fs::write(dir.join("consentry.toml"), text).expect("a file");
    let (code, out, err) = run(&["check", "--config", "consentry.toml"], dir);
    (code, out + &err)
}

#[test]
fn faults_of_certificates_name_line_file_and_mend() {
    let dir = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let [good, over] = [authority.issue(&["a.example"]), authority.issue_until(&["a.example"], 2021)];
    good.write(dir.path(), "good");
    over.write(dir.path(), "over");
    fs::write(dir.path().join("text.pem"), "nothing").expect("a file");
    let with = |cert: &str, key: &str| check(dir.path(), &format!("[tls]\ncert = \"{cert}\"\n\nkey = \"{key}\"\n"));
    for (cert, key, place, told, mend) in [
        ("none.pem", "good.key", ":2:8:", "none.pem: the file is not there", "check the path"),
        ("good.pem", "none.key", ":4:7:", "none.key: the file is not there", "check the path"),
        ("text.pem", "good.key", ":2:8:", "text.pem: there is no certificate in it", "PEM file that holds the chain"),
        ("good.pem", "text.pem", ":4:7:", "text.pem: there is no private key in it", "unencrypted"),
        (
            "good.pem",
            "over.key",
            ":4:7:",
            "over.key: this key does not belong to the first certificate",
            "the certificate was made for",
        ),
    ] {
        let (code, text) = with(cert, key);
        assert_eq!(code, 64, "{cert} {key}: {text}");
        for part in [&format!("consentry.toml{place}"), told, mend] {
            assert!(text.contains(part), "{cert} {key}, {part}: {text}");
        }
    }
    let (code, text) = with("none.pem", "none.key");
    assert!(code == 64 && text.contains("2 faults"), "every fault in one run: {text}");

    let (code, text) = with("over.pem", "over.key");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("warning: consentry.toml:2:8:") && text.contains("expired on 2021-01-01"), "{text}");
    fs::set_permissions(dir.path().join("good.key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    let (code, text) = with("good.pem", "good.key");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("every user of this machine may read the key") && text.contains("chmod o-rwx"), "{text}");
    assert!(text.contains("consentry.toml:4:7:"), "{text}");
}
