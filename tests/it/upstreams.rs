//! Several servers behind one site: who gets a request, who is left out, and what is sent once more.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use consentry::site::UpstreamState;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use crate::harness::{Gate, Upstream};

/// What a server does with a request.
#[derive(Clone)]
enum Does {
    /// Answers with its name, and keeps the connection.
    Answers,
    /// Reads the request and closes.
    Closes,
    /// Answers once it is told to.
    Waits(Arc<Notify>),
    /// Begins an answer and closes.
    Begins,
}

/// A server that can be killed, and come back at the same address.
struct Server {
    address: SocketAddr,
    got: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Server {
    async fn start(name: &'static str, does: Does) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), name, does).await
    }

    async fn at(address: SocketAddr, name: &'static str, does: Does) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (got, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (count, opened) = (Arc::clone(&got), Arc::clone(&connections));
        let running = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream, name, does.clone(), Arc::clone(&count)));
            }
        });
        Self { address, got, connections, running }
    }

    fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().expect("an address is a URL")
    }

    fn got(&self) -> usize {
        self.got.load(Ordering::SeqCst)
    }

    /// Listener and connections are gone.
    async fn kill(&mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }
}

async fn serve(mut stream: TcpStream, name: &'static str, does: Does, got: Arc<AtomicUsize>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut chunk).await {
                Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
                _ => return,
            }
        }
        bytes.clear();
        got.fetch_add(1, Ordering::SeqCst);
        match &does {
            Does::Answers => {}
            Does::Closes => return,
            Does::Waits(told) => told.notified().await,
            Does::Begins => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await;
                return;
            }
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A gate before these servers. One is left out for a second at first.
async fn gate(urls: &[url::Url]) -> Gate {
    let any = Upstream::page("").await;
    Gate::with(&any, |config| {
        config.sites[0].upstreams = urls.to_vec();
        config.limits.upstream_out_s = 1;
        config.limits.upstream_first_byte_s = 10;
    })
    .await
}

/// An address where nobody listens.
fn nobody() -> url::Url {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    format!("http://127.0.0.1:{port}").parse().expect("an address is a URL")
}

async fn state(gate: &Gate, want: impl Fn(&[UpstreamState]) -> bool) -> Vec<UpstreamState> {
    for _ in 0..100 {
        let state = gate.upstreams();
        if want(&state) {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:#?}", gate.upstreams());
}

#[tokio::test]
async fn idle_servers_take_turns_and_a_busy_one_gets_less() {
    let told = Arc::new(Notify::new());
    let (a, b) = (Server::start("a", Does::Answers).await, Server::start("b", Does::Answers).await);
    let turns = gate(&[a.url(), b.url()]).await;
    for _ in 0..10 {
        assert_eq!(turns.get("/x", &[]).await.status, 200);
    }
    assert_eq!((a.got(), b.got()), (5, 5));
    assert_eq!((a.connections.load(Ordering::SeqCst), b.connections.load(Ordering::SeqCst)), (1, 1), "each has its pool");

    let slow = Server::start("slow", Does::Waits(Arc::clone(&told))).await;
    let gate = Arc::new(gate(&[slow.url(), b.url()]).await);
    let ask = |gate: Arc<Gate>| tokio::spawn(async move { gate.get("/x", &[]).await.text() });
    let mut waiting = Vec::new();
    while slow.got() == 0 {
        // One after the other: those under way together would count.
        let asked = ask(Arc::clone(&gate));
        while slow.got() == 0 && !asked.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        waiting.push(asked);
    }
    state(&gate, |state| state[0].busy == 1 && state[1].busy == 0).await;
    for _ in 0..6 {
        assert_eq!(gate.get("/x", &[]).await.text(), "b");
    }
    assert_eq!(slow.got(), 1, "it has one under way, the other none");
    let busy = state(&gate, |state| state[0].busy == 1 && state[1].busy == 0).await;
    assert_eq!((busy[0].failures, busy[1].failures), (0, 0));
    told.notify_one();
    for answer in waiting {
        assert!(matches!(answer.await.expect("an answer").as_str(), "slow" | "b"));
    }
    state(&gate, |state| state[0].busy == 0).await;
}

#[tokio::test]
async fn a_killed_server_costs_nobody_an_answer_and_comes_back() {
    let (mut a, b) = (Server::start("a", Does::Answers).await, Server::start("b", Does::Answers).await);
    let gate = gate(&[a.url(), b.url()]).await;
    for _ in 0..4 {
        assert_eq!(gate.get("/x", &[]).await.status, 200);
    }
    a.kill().await;
    for _ in 0..20 {
        let answer = gate.get("/x", &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "b"));
    }
    let out = gate.upstreams();
    assert!(out[0].out_for.is_some() && out[0].failures >= 3, "{out:#?}");
    assert_eq!((out[1].out_for, out[1].failures_total, out[1].retries_total), (None, 0, 0), "{out:#?}");
    // Three put it out, each of them answered by the other; so is every trial. An idle connection that
    // was found closed is sent once more and is no failure.
    assert!(out[0].retries_total <= out[0].failures_total + 1, "{out:#?}");
    assert!((3..=5).contains(&out[0].failures_total), "one left out is not asked: {out:#?}");

    let a = Server::at(a.address, "a again", Does::Answers).await;
    let mut back = false;
    for _ in 0..200 {
        let answer = gate.get("/x", &[]).await;
        assert_eq!(answer.status, 200);
        if answer.text() == "a again" {
            back = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(back, "{:#?}", gate.upstreams());
    let state = gate.upstreams();
    assert_eq!((state[0].out_for, state[0].failures), (None, 0), "{state:#?}");
    assert!(a.got() >= 1);
}

#[tokio::test]
async fn what_is_sent_once_more_and_what_never() {
    let (closes, b) = (Server::start("closes", Does::Closes).await, Server::start("b", Does::Answers).await);
    let gate = gate(&[closes.url(), b.url()]).await;
    // By turns: of any two requests one would go to the server that closes.
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(gate.send("POST", "/x", &[], b"once").await.status);
    }
    statuses.sort_unstable();
    assert_eq!((statuses.as_slice(), closes.got(), b.got()), (&[200, 502][..], 1, 1), "a POST is never sent twice");
    for _ in 0..2 {
        assert_eq!(gate.get("/x", &[]).await.text(), "b");
    }
    assert_eq!((closes.got(), b.got()), (2, 3), "a GET is, to the other one");
    for method in ["PUT", "DELETE", "PATCH"] {
        let (before, mut statuses) = (closes.got() + b.got(), Vec::new());
        for _ in 0..2 {
            statuses.push(gate.send(method, "/x", &[], b"").await.status);
        }
        assert!(closes.got() + b.got() == before + 2, "{method}: {statuses:?}");
    }
    assert_eq!(gate.upstreams()[0].retries_total, 1);
}

#[tokio::test]
async fn a_request_that_was_never_sent_goes_to_the_other_whatever_it_is() {
    let b = Server::start("b", Does::Answers).await;
    let gate = gate(&[nobody(), b.url()]).await;
    for _ in 0..4 {
        let answer = gate.send("POST", "/x", &[], b"once").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "b"));
    }
    assert_eq!(b.got(), 4);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let (begins, b) = (Server::start("begins", Does::Begins).await, Server::start("b", Does::Answers).await);
    let gate = gate(&[begins.url(), b.url()]).await;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(gate.get("/x", &[]).await.status);
    }
    statuses.sort_unstable();
    assert_eq!((statuses.as_slice(), begins.got(), b.got()), (&[200, 502][..], 1, 1));
}

#[tokio::test]
async fn where_all_are_out_they_are_asked_all_the_same() {
    let mut a = Server::start("a", Does::Answers).await;
    let gate = gate(&[a.url(), nobody()]).await;
    a.kill().await;
    for _ in 0..8 {
        let answer = gate.get("/x", &[]).await;
        assert_eq!(answer.status, 502);
    }
    let out = gate.upstreams();
    assert!(out.iter().all(|state| state.out_for.is_some()), "{out:#?}");
    let _a = Server::at(a.address, "a", Does::Answers).await;
    let mut answered = 0;
    for _ in 0..4 {
        answered += usize::from(gate.get("/x", &[]).await.status == 200);
    }
    assert!(answered >= 3, "no time out is waited for: {answered} of 4, {:#?}", gate.upstreams());
}

#[tokio::test]
async fn a_server_alone_is_never_left_out() {
    let mut a = Server::start("a", Does::Answers).await;
    let gate = gate(&[a.url()]).await;
    a.kill().await;
    for _ in 0..6 {
        assert_eq!(gate.get("/x", &[]).await.status, 502);
    }
    assert_eq!((gate.upstreams()[0].failures, gate.upstreams()[0].out_for), (6, None));
    let _a = Server::at(a.address, "a", Does::Answers).await;
    assert_eq!(gate.get("/x", &[]).await.status, 200);
    assert_eq!(gate.upstreams()[0].failures, 0);
}

#[tokio::test]
async fn an_upload_that_the_visitor_breaks_off_is_no_failure_of_the_server() {
    let told = Arc::new(Notify::new());
    let a = Server::start("a", Does::Waits(told)).await;
    let gate = gate(&[a.url(), nobody()]).await;
    for _ in 0..6 {
        let mut stream = TcpStream::connect(gate.address).await.expect("the gate listens");
        let head = format!("POST /x HTTP/1.1\r\nhost: {}\r\ncontent-length: 100\r\n\r\nhalf", gate.address);
        stream.write_all(head.as_bytes()).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let state = state(&gate, |state| state[0].busy == 0).await;
    assert_eq!((state[0].failures_total, state[0].out_for), (0, None), "{state:#?}");
}
