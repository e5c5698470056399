//! The rows of the table.

use std::{path::Path, sync::Arc, thread, time::Duration};

use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};

use crate::{
    Effort,
    load::{self, NAVIGATION},
    peer::{self, Peer, Peers, free_port},
    site::Site,
};

/// Work that is measured by processor time.
struct Row {
    name: &'static str,
    peers: &'static [&'static str],
    /// The one that the ratios are of.
    base: &'static str,
    path: &'static str,
    clients: usize,
    /// Requests in a round of a quick run.
    count: u64,
    /// What the gate's ratio is to be at most.
    aim: f64,
}

const PASSING: &[&str] = &["nginx", "nginx-tuned", "haproxy", "Caddyfile", "consentry"];
const PAGES: &[&str] = &["nginx-sub", "nginx-sub-tuned", "nginx-tuned", "consentry"];

const ROWS: [Row; 6] = [
    Row {
        name: "pass 1 kB, 64 clients",
        peers: PASSING,
        base: "nginx-tuned",
        path: "/1k.bin",
        clients: 64,
        count: 10000,
        aim: 1.0,
    },
    Row {
        name: "pass 1 kB, 256 clients",
        peers: PASSING,
        base: "nginx-tuned",
        path: "/1k.bin",
        clients: 256,
        count: 10000,
        aim: 1.0,
    },
    Row {
        name: "pass 1 MB, 64 clients",
        peers: PASSING,
        base: "nginx-tuned",
        path: "/1m.bin",
        clients: 64,
        count: 300,
        aim: 1.0,
    },
    Row {
        name: "pass 1 MB, 256 clients",
        peers: PASSING,
        base: "nginx-tuned",
        path: "/1m.bin",
        clients: 256,
        count: 300,
        aim: 1.0,
    },
    Row {
        name: "page, first sight",
        peers: PAGES,
        base: "nginx-sub-tuned",
        path: "/unique/page.html",
        clients: 64,
        count: 600,
        aim: 2.0,
    },
    Row { name: "page, again", peers: PAGES, base: "nginx-sub-tuned", path: "/page.html", clients: 64, count: 600, aim: 0.6 },
];

/// Measures every row that is wanted, and prints it.
pub(crate) fn run(site: &Site, effort: Effort, wanted: &dyn Fn(&str) -> bool) {
    let (folder, origin) = (site.folder.path(), site.origin.port);
    let names = ["nginx", "nginx-tuned", "nginx-sub", "nginx-sub-tuned", "haproxy", "Caddyfile", "consentry"];
    let peers = Peers::start(&names, folder, origin);
    for row in ROWS.iter().filter(|row| wanted(row.name)) {
        row.compare_bodies(site, &peers);
        row.measure(&peers, effort);
    }
    if wanted("p99") {
        p99(&peers, effort, folder);
    }
    drop(peers);
    if wanted("idle") {
        idle(site, effort);
    }
    if wanted("TLS") {
        tls(site, effort);
    }
    if wanted("slow readers") {
        slow_readers(site, effort);
    }
}

impl Row {
    /// What passes is the origin's bytes; what is gated holds the tags and has the banner.
    fn compare_bodies(&self, site: &Site, peers: &Peers) {
        let plain = load::body(site.origin.port, self.path);
        for name in self.peers {
            let got = load::body(peers.get(name).port, self.path);
            let has = |text: &str| got.windows(text.len()).any(|window| window == text.as_bytes());
            let page = self.path.ends_with(".html");
            match *name {
                "consentry" if page => {
                    assert!(got.len() > plain.len() && has("data-gate-") && has("/_consent/"), "{}: not gated", self.name);
                    assert!(!has(" async src=\"https://www.googletagmanager.com"), "{}: a tag is live", self.name);
                }
                "nginx-sub" | "nginx-sub-tuned" => {
                    assert!(
                        has("about:blank#") && has("/banner.js") && !has("https://www.facebook.com"),
                        "{}: {name}",
                        self.name
                    );
                }
                // Another body each time.
                _ if self.path.starts_with("/unique") => assert_eq!(got.len(), plain.len(), "{}: {name}", self.name),
                _ => assert!(got == plain, "{}: {name} changes the body", self.name),
            }
        }
    }

    fn measure(&self, peers: &Peers, effort: Effort) {
        let peers: Vec<&Peer> = self.peers.iter().map(|name| peers.get(name)).collect();
        let headers: &[&str] = if self.path.ends_with(".html") { &NAVIGATION } else { &[] };
        let count = self.count * effort.factor;
        let work = |peer: &Peer| {
            load::requests(&format!("http://127.0.0.1:{}{}", peer.port, self.path), self.clients, count, headers);
            count
        };
        let costs = costs_us(&peers, effort, &work);
        print_row(self.name, &costs, self.base, Some(self.aim));
    }
}

/// Microseconds of processor time a request, by proxy: medians over rounds in which they take turns.
fn costs_us(peers: &[&Peer], effort: Effort, work: &dyn Fn(&Peer) -> u64) -> Vec<(&'static str, f64)> {
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for round in 0..=effort.rounds {
        for (costs, peer) in costs.iter_mut().zip(peers) {
            let before = peer.cpu_s();
            let answered = work(peer);
            // The first round warms up.
            if round > 0 {
                costs.push((peer.cpu_s() - before) * 1e6 / answered.max(1) as f64);
            }
        }
    }
    peers.iter().zip(costs).map(|(peer, costs)| (peer.name, median(costs))).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_row(name: &str, costs: &[(&'static str, f64)], base: &str, aim: Option<f64>) {
    let of = costs.iter().find(|(name, _)| *name == base).map_or(f64::NAN, |(_, cost)| *cost);
    println!("\n{name}  (us of processor time a request; ratio to {base})");
    for (name, cost) in costs {
        let name = if *name == "Caddyfile" { "caddy" } else { name };
        let aim = aim.filter(|_| name.starts_with("consentry")).map(|aim| format!("  aim: at most {aim:.1}")).unwrap_or_default();
        println!("  {name:<18}{cost:>10.1}{:>8.2}{aim}", cost / of);
    }
}

/// Latency at a rate that all of them bear.
fn p99(peers: &Peers, effort: Effort, folder: &Path) {
    const RATE: usize = 400;
    let names = ["nginx-tuned", "nginx-sub-tuned", "consentry"];
    for (what, path) in [("again", "/page.html"), ("first sight", "/unique/page.html")] {
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
        for _ in 0..effort.rounds {
            for (times, name) in times.iter_mut().zip(names) {
                let url = format!("http://127.0.0.1:{}{path}", peers.get(name).port);
                times.push(load::p99_us(&url, RATE, effort.span * 2, folder));
            }
        }
        let times: Vec<f64> = times.into_iter().map(median).collect();
        println!("\np99 at {RATE}/s, page, {what}  (us; ratio to nginx-tuned)");
        for (name, time) in names.iter().zip(&times) {
            let aim = if *name == "consentry" { "  aim: at most 1.3" } else { "" };
            println!("  {name:<18}{time:>10.0}{:>8.2}{aim}", time / times[0]);
        }
    }
}

/// Memory of a connection that stands still after one request.
fn idle(site: &Site, effort: Effort) {
    println!("\nidle keep-alive connection, {} of them  (kB of the proxy's memory each; Pss)", effort.idle);
    for name in ["nginx-tuned", "haproxy", "consentry"] {
        let peers = Peers::start(&[name], site.folder.path(), site.origin.port);
        let peer = peers.get(name);
        let each = memory_each(peer, effort.idle, &mut || load::idle(peer.port, "/1k.bin", 1_000));
        let aim = if name == "consentry" { "  aim: at most 6" } else { "" };
        println!("  {name:<18}{each:>10.1}{aim}");
    }
}

fn memory_each<C>(peer: &Peer, count: usize, open: &mut dyn FnMut() -> C) -> f64 {
    let warm: Vec<C> = (0..20).map(|_| open()).collect();
    let before = peer.pss_kb();
    let kept: Vec<C> = (0..count).map(|_| open()).collect();
    let after = peer.pss_kb();
    drop((warm, kept));
    (after.saturating_sub(before)) as f64 / count as f64
}

/// A handshake with its request, and memory of a connection over TLS.
fn tls(site: &Site, effort: Effort) {
    let (folder, origin) = (site.folder.path(), site.origin.port);
    let (nginx_port, gate_port) = (free_port(), free_port());
    let nginx = peer::one("nginx-tuned", folder, origin, nginx_port).expect("it starts");
    let gate = match peer::one("consentry-tls", folder, origin, gate_port) {
        Ok(gate) => gate,
        Err(why) => {
            println!("\nTLS: left out, this gate does not start with [tls]:\n  {}", why.replace('\n', "\n  "));
            return;
        }
    };
    let port = |peer: &Peer| if peer.name == "consentry-tls" { gate_port } else { nginx_port };
    let work = |peer: &Peer| load::connections(&format!("https://127.0.0.1:{}/1k.bin", port(peer)), 64, effort.span);
    let costs = costs_us(&[&nginx, &gate], effort, &work);
    print_row("TLS 1.3, new connection and request", &costs, "nginx-tuned", Some(0.5));
    let config = client_config(&site.certificate);
    println!("\nidle keep-alive connection over TLS, {} of them  (kB of the proxy's memory each; Pss)", effort.idle);
    for peer in [&nginx, &gate] {
        let each = memory_each(peer, effort.idle, &mut || tls_idle(port(peer), &config));
        let aim = if peer.name == "consentry-tls" { "  aim: at most 20" } else { "" };
        println!("  {:<18}{each:>10.1}{aim}", peer.name);
    }
}

fn client_config(certificate: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.to_vec())).expect("our certificate");
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn tls_idle(port: u16, config: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, std::net::TcpStream> {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).expect("a connection"), stream);
    load::exchange(&mut tls, "/1k.bin", 1_000);
    tls
}

/// Memory while many visitors ask for a large page and read nothing.
fn slow_readers(site: &Site, effort: Effort) {
    println!("\n{} readers of a 10 MB page who read nothing, after 8 s  (MB of the proxy's memory; Pss)", effort.idle);
    for name in ["nginx-tuned", "consentry"] {
        let peers = Peers::start(&[name], site.folder.path(), site.origin.port);
        let peer = peers.get(name);
        let before = peer.pss_kb();
        let readers: Vec<_> = (0..effort.idle).map(|_| load::slow(peer.port, "/big.html")).collect();
        let mut most = 0;
        for _ in 0..16 {
            thread::sleep(Duration::from_millis(500));
            most = most.max(peer.pss_kb());
        }
        drop(readers);
        thread::sleep(Duration::from_secs(2));
        let (grown, left) = (most.saturating_sub(before) as f64 / 1e3, peer.pss_kb().saturating_sub(before) as f64 / 1e3);
        println!("  {name:<18}{grown:>10.1}   {left:.1} two seconds after they left");
    }
}
