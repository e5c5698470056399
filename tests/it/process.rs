//! The binary as a process: TLS to the upstream, the demo, signals.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener as StdListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// A process of ours, ended by its id when the test ends.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// Starts the binary and waits until `ready` takes connections.
pub(crate) async fn start(args: &[&str], dir: &Path, roots: Option<&Path>, ready: SocketAddr) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consentry"));
    command.args(args).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(roots) = roots {
        command.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
    }
    let process = Process(command.spawn().expect("the binary starts"));
    let began = Instant::now();
    while TcpStream::connect(ready).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "it listens in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process
}

pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let ask = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/html\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// An upstream that speaks TLS under `localhost`, and its certificate as a file of trusted roots.
async fn tls_upstream(dir: &Path) -> (SocketAddr, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let roots = dir.join("roots.pem");
    std::fs::File::create(&roots).and_then(|mut file| file.write_all(made.cert.pem().as_bytes())).expect("a file");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("defaults")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key fits");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or("none").to_owned();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
                let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("none").to_owned();
                let body = format!("<p>name {name} host {host}");
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nset-cookie: s=1; Secure; Domain=localhost\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, roots)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_upstream_is_verified_and_asked_under_its_own_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let (upstream, roots) = tls_upstream(dir.path()).await;
    let by_name = format!("https://localhost:{}", upstream.port());
    let by_address = format!("https://127.0.0.1:{}", upstream.port());
    for (url, roots, trusted) in
        [(&by_name, Some(roots.as_path()), true), (&by_name, None, false), (&by_address, Some(roots.as_path()), false)]
    {
        let (listen, admin) = (free(), free());
        let data = dir.path().join(format!("data-{}", listen.port()));
        let args = [
            "serve",
            "--upstream",
            url,
            "--listen",
            &listen.to_string(),
            "--admin",
            &admin.to_string(),
            "--data",
            &data.display().to_string(),
        ];
        let _gate = start(&args, dir.path(), roots, listen).await;
        let answer = get(listen, &listen.to_string(), "/").await;
        if trusted {
            assert!(answer.contains(&format!("name localhost host localhost:{}", upstream.port())), "{answer}");
            assert!(answer.contains("set-cookie: s=1\r\n"), "a cookie fit for plain http: {answer}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 502 "), "a certificate that does not fit is no upstream: {answer}");
        }
        assert!(get(admin, "localhost", "/healthz").await.starts_with("HTTP/1.1 200 "));
        let ready = get(admin, "localhost", "/readyz").await;
        assert!(ready.starts_with(if trusted { "HTTP/1.1 200 " } else { "HTTP/1.1 503 " }), "{ready}");
        assert!(get(admin, "rebound.example", "/readyz").await.starts_with("HTTP/1.1 403 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_may_have_an_authority_of_its_own_and_sighup_reads_it_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (upstream, _) = tls_upstream(dir.path()).await;
    let (listen, admin) = (free(), free());
    let (l, a) = (listen.to_string(), admin.to_string());
    let config = |ca: &str| {
        let text = format!("[[site]]\nhosts = [\"a.example\"]\nupstream = \"https://localhost:{}\"\n{ca}", upstream.port());
        std::fs::write(dir.path().join("consentry.toml"), text).expect("a file");
    };
    config("");
    let gate = start(&["serve", "--listen", &l, "--admin", &a], dir.path(), None, listen).await;
    assert!(get(listen, "a.example", "/").await.starts_with("HTTP/1.1 502 "));
    config("upstream_ca = \"roots.pem\"\n");
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &gate.0.id().to_string()]).status();
        assert!(sent.expect("a signal").success());
    };
    signal("-HUP");
    let began = Instant::now();
    while !get(listen, "a.example", "/").await.contains("name localhost") {
        assert!(began.elapsed() < Duration::from_secs(20), "the authority is taken up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(get(listen, "b.example", "/").await.starts_with("HTTP/1.1 421 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let (listen, admin) = (free(), free());
    let (l, a) = (listen.to_string(), admin.to_string());
    let mut gate = start(&["serve", "--upstream", &url, "--listen", &l, "--admin", &a], dir.path(), None, listen).await;
    let mut stream = TcpStream::connect(listen).await.expect("it listens");
    stream.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    let _under_way = silent.accept().await.expect("the request comes through");
    let id = gate.0.id().to_string();
    let signal = || Command::new("kill").args(["-TERM", &id]).status().expect("a signal").success();
    assert!(signal());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(gate.0.try_wait().expect("a process").is_none(), "it waits for the request under way");
    assert!(signal());
    let began = Instant::now();
    let status = loop {
        if let Some(status) = gate.0.try_wait().expect("a process") {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "the drain is 20 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_runs_the_whole_way_on_this_machine() {
    let dir = tempfile::tempdir().expect("a folder");
    let (listen, admin, live) = (free(), free(), free());
    let (l, a, v) = (listen.to_string(), admin.to_string(), live.to_string());
    let args = ["demo", "--listen", &l, "--admin", &a, "--live", &v, "--data", "data"];
    let _demo = start(&args, dir.path(), None, listen).await;
    for page in ["/", "/product", "/cart", "/newsletter", "/video", "/thank-you"] {
        let shop = get(listen, &l, page).await;
        assert!(shop.starts_with("HTTP/1.1 200 ") && shop.contains("accept_all"), "{page}: {shop}");
        assert!(shop.contains("data-gate-"), "{page} carries tags, and they are held");
        assert!(!shop.contains("src=\"https://") && !shop.contains("src='https://"), "{page} loads from off this machine");
    }
    assert!(get(live, &v, "/").await.contains("<title>"));
    let script = get(live, &format!("connect.facebook.net.localhost:{}", live.port()), "/en_US/fbevents.js").await;
    assert!(script.contains("text/javascript") && !script.contains("https://www.facebook.com"), "{script}");
}
