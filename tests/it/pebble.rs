//! Pebble, the test authority of the ACME working group's people, with its DNS server, on ports of their
//! own; and a server in front of it that adds renewal information (RFC 9773), which Debian's 2.4 lacks.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring},
};

use crate::certificates::{Authority, BOTH, Client, Issued};

/// A port that nobody has: below those that the system gives to sockets that ask for any.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let mine = u16::try_from(std::process::id() % 100).expect("below a hundred") * 100;
    loop {
        let port = 20_000 + mine + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() && std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running authority.
pub(crate) struct Pebble {
    pub(crate) address: SocketAddr,
    /// The folder with its root, `root.pem`, and its log.
    pub(crate) dir: tempfile::TempDir,
    /// What its own server shows: for a server in front of it.
    own: Issued,
    running: Vec<Child>,
}

impl Pebble {
    /// It comes to `http` and `tls` on this machine for its challenges, whatever the name. Certificates hold
    /// `validity_s` seconds.
    pub(crate) async fn start(http: u16, tls: u16, validity_s: u64) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let authority = Authority::new();
        let own = authority.issue(&["127.0.0.1"]);
        own.write(dir.path(), "pebble");
        fs::write(dir.path().join("root.pem"), authority.pem()).expect("a file");
        let [listen, management, dns, dns_management] = [(); 4].map(|()| free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{listen}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": "pebble.pem",
            "privateKey": "pebble.key",
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": validity_s,
        }});
        fs::write(dir.path().join("pebble.json"), config.to_string()).expect("a file");
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let start = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).current_dir(dir.path()).env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
            command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log.try_clone().expect("a file"));
            command.spawn().unwrap_or_else(|error| panic!("{program} (Debian package pebble): {error}"))
        };
        let (dns, dns_management) = (format!("127.0.0.1:{dns}"), format!("127.0.0.1:{dns_management}"));
        let mut names = vec!["-dns01", &dns, "-management", &dns_management, "-http01", "", "-https01", "", "-tlsalpn01", ""];
        names.extend(["-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]);
        let running = vec![
            start("pebble-challtestsrv", &names),
            start("pebble", &["-config", "pebble.json", "-strict", "-dnsserver", &dns]),
        ];
        let address = SocketAddr::from(([127, 0, 0, 1], listen));
        let pebble = Self { address, dir, own, running };
        for _ in 0..200 {
            if TcpStream::connect(address).await.is_ok() {
                return pebble;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("pebble does not listen: {}", pebble.log());
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// How many orders it took: those with a nonce that it refused are sent again.
    pub(crate) fn orders(&self) -> usize {
        self.log().matches(" orders in the db").count()
    }

    /// How many accounts it made.
    pub(crate) fn accounts(&self) -> usize {
        self.log().matches(" accounts in memory").count()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Renewal information before a Pebble: the first certificate that is asked for should have been renewed
/// already, every other in a year.
pub(crate) struct Informed {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    /// Certificates asked for, in their order.
    asked: Vec<String>,
    /// What new orders said they replace.
    replaced: Vec<String>,
}

impl Informed {
    pub(crate) async fn before(pebble: &Pebble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (behind, told) = (pebble.address, Arc::new(Mutex::new(Told::default())));
        let acceptor = acceptor(&pebble.own);
        let kept = Arc::clone(&told);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    let request = read_message(&mut stream).await;
                    let answer = inform(&request, address, behind, &kept).await;
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, told }
    }

    /// Certificates asked for, and what new orders said they replace.
    pub(crate) fn told(&self) -> (Vec<String>, Vec<String>) {
        let told = self.told.lock().expect("no panic holds it");
        (told.asked.clone(), told.replaced.clone())
    }
}

fn acceptor(own: &Issued) -> TlsAcceptor {
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let config = config.expect("good versions").with_no_client_auth().with_single_cert(vec![own.der()], key);
    TlsAcceptor::from(Arc::new(config.expect("a good pair")))
}

/// The answer to one request: renewal information here, everything else from the authority behind.
async fn inform(request: &[u8], here: SocketAddr, behind: SocketAddr, told: &Mutex<Told>) -> Vec<u8> {
    let text = String::from_utf8_lossy(request).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    if let Some(certificate) = path.strip_prefix("/renewal/") {
        let mut told = told.lock().expect("no panic holds it");
        let first = told.asked.first().is_none_or(|first| first == certificate);
        told.asked.push(certificate.to_owned());
        let (start, end) = match first {
            true => ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"),
            false => ("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z"),
        };
        let body = serde_json::json!({ "suggestedWindow": { "start": start, "end": end } }).to_string();
        return answer("200 OK\r\nretry-after: 60", &body);
    }
    let client = Client::new(BOTH, &[]);
    let mut stream = client.connect(behind, "127.0.0.1").await.expect("the authority is there");
    // The authority makes its addresses from the Host header, which stays.
    let closing = text.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    stream.write_all(closing.as_bytes()).await.expect("it is sent");
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got).await;
    let got = String::from_utf8_lossy(&got).into_owned();
    let (head, body) = got.split_once("\r\n\r\n").expect("an answer");
    if path == "/dir" {
        let mut directory: serde_json::Value = serde_json::from_str(body).expect("a directory");
        directory["renewalInfo"] = format!("https://{here}/renewal").into();
        return answer("200 OK", &directory.to_string());
    }
    // Whoever takes an order that replaces a certificate says so again (RFC 9773, 5).
    if let (true, Some(replaces)) = (path == "/order-plz" && head.contains(" 201 "), replaces(&text)) {
        told.lock().expect("no panic holds it").replaced.push(replaces.clone());
        let mut order: serde_json::Value = serde_json::from_str(body).expect("an order");
        order["replaces"] = replaces.into();
        let kept: String = head
            .split("\r\n")
            .skip(1)
            .filter(|line| !line.to_lowercase().starts_with("content-length"))
            .fold(String::new(), |kept, line| format!("{kept}\r\n{line}"));
        return answer(&format!("201 Created{kept}"), &order.to_string());
    }
    got.into_bytes()
}

/// `replaces` of a new order: the payload of a JSON web signature.
fn replaces(request: &str) -> Option<String> {
    let (_, body) = request.split_once("\r\n\r\n")?;
    let signed: serde_json::Value = serde_json::from_str(body).ok()?;
    let payload = BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str()?).ok()?;
    let payload: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    payload["replaces"].as_str().map(str::to_owned)
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

async fn read_message(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next()?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return bytes;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return bytes,
        }
    }
}
