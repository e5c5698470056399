//! Upstreams that misbehave: each time the visitor gets a right answer, or one that is visibly cut;
//! never a hang, never a page that is cut and looks whole, and never another request's answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::harness::{Gate, Upstream};

/// What an upstream does with a connection once it has read a request's head.
#[derive(Clone)]
enum Step {
    Send(Vec<u8>),
    /// So many times.
    Repeat(usize, Vec<u8>),
    /// Byte by byte, so many milliseconds apart.
    Drip(u64, Vec<u8>),
    /// Milliseconds.
    Wait(u64),
    /// Ends the connection by a reset.
    Reset,
    /// Reads the next request.
    Next,
}

/// What has to come of it.
#[derive(Clone, Debug)]
enum Want {
    /// A page of the gate's own with this status.
    Status(u16),
    /// An answer that shows that it is not whole.
    Cut,
    /// A whole answer with this status and body.
    Whole(u16, Vec<u8>),
}

struct Case {
    name: &'static str,
    method: &'static str,
    steps: Vec<Step>,
    want: Want,
}

use Step::{Drip, Next, Repeat, Reset, Send, Wait};
use Want::{Cut, Status, Whole};

const PAGE: &str = "<!doctype html><title>x</title><p>a page of some length, so that there is something to cut off</p>";

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// An answer's head of `kind` with these lines.
fn head(kind: &str, lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{lines}\r\n")
}

fn case(name: &'static str, steps: Vec<Step>, want: Want) -> Case {
    Case { name, method: "GET", steps, want }
}

/// Answers whose head is no answer.
fn heads() -> Vec<Case> {
    let bad = |name, head: &str| case(name, vec![Send(bytes(head))], Status(502));
    let framed = |name, lines: &str| bad(name, &(head("text/html", lines) + PAGE));
    vec![
        case("closes without a word", vec![], Status(502)),
        case("resets without a word", vec![Reset], Status(502)),
        bad("closes within the head", "HTTP/1.1 200 OK\r\nContent-Ty"),
        case("resets within the head", vec![Send(bytes("HTTP/1.1 200 OK\r\nContent-Ty")), Wait(20), Reset], Status(502)),
        bad("no HTTP at all", "NONSENSE\r\n\r\n"),
        bad("HTTP/0.9", PAGE),
        bad("another version", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        bad("a status that is no number", "HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n"),
        bad("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
        bad("a line without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n"),
        bad("NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
        bad("a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        bad("more lines than the bound", &format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(400))),
        case(
            "an endless head",
            vec![Send(bytes("HTTP/1.1 200 OK\r\n")), Repeat(40_000, bytes("X: yyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"))],
            Status(502),
        ),
        case("a head that drips", vec![Drip(100, bytes(&head("text/plain", "Content-Length: 0\r\n")))], Status(504)),
        case("silence", vec![Wait(8_000)], Status(504)),
        case(
            "a storm of interim answers",
            vec![Repeat(100_000, bytes("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"))],
            Status(502),
        ),
        case(
            "too many interim answers, then silence",
            vec![Repeat(60, bytes("HTTP/1.1 102 Processing\r\n\r\n")), Wait(8_000)],
            Status(502),
        ),
        framed("a length that is no number", "Content-Length: abc\r\n"),
        framed("a negative length", "Content-Length: -1\r\n"),
        framed("a length with a sign", "Content-Length: +5\r\n"),
        framed("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        framed("the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        framed("a list of lengths", "Content-Length: 5, 5\r\n"),
        framed("a length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        framed("another transfer coding", "Transfer-Encoding: gzip, chunked\r\n"),
        framed("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        framed("chunked and then another", "Transfer-Encoding: chunked, identity\r\n"),
        bad("chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        bad(
            "another protocol that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
    ]
}

/// Answers whose body is not what their head says, of this kind.
fn bodies(kind: &'static str) -> Vec<Case> {
    let chunked = |body: String| vec![Send(bytes(&head(kind, "Transfer-Encoding: chunked\r\n"))), Wait(20), Send(bytes(&body))];
    let chunk = format!("{:x}\r\n{PAGE}\r\n", PAGE.len());
    let half = &PAGE[..50];
    let short = |end: Vec<Step>| [vec![Send(bytes(&(head(kind, "Content-Length: 500\r\n") + half)))], end].concat();
    vec![
        case("a length that is too long, then the end", short(vec![]), Cut),
        case("a length that is too long, then a reset", short(vec![Wait(50), Reset]), Cut),
        case("a length that is too long, then silence", short(vec![Wait(8_000)]), Cut),
        case("a chunk size that is none", chunked(format!("{chunk}zz\r\n{chunk}0\r\n\r\n")), Cut),
        case("a chunk size above everything", chunked(format!("{chunk}ffffffffffffffff1\r\n{chunk}0\r\n\r\n")), Cut),
        case("a chunk shorter than its size", chunked(format!("{chunk}ff\r\nabc\r\n0\r\n\r\n")), Cut),
        case("a chunk longer than its size", chunked(format!("{chunk}1\r\nabc\r\n0\r\n\r\n")), Cut),
        case("no last chunk", chunked(chunk.clone()), Cut),
        case("half a last chunk", chunked(format!("{chunk}0\r\n")), Cut),
        case("chunks, then a reset", [chunked(chunk.clone()), vec![Wait(50), Reset]].concat(), Cut),
        case("chunks, then silence", [chunked(chunk.clone()), vec![Wait(8_000)]].concat(), Cut),
        case("a chunk extension without end", chunked(format!("{chunk}1;{}\r\na\r\n0\r\n\r\n", "x".repeat(100_000))), Cut),
        case("trailers without end", chunked(format!("{chunk}0\r\n{}\r\n", "X: y\r\n".repeat(20_000))), Cut),
        case("until it closes, then a reset", vec![Send(bytes(&(head(kind, "") + half))), Wait(100), Reset], Cut),
    ]
}

/// Odd, and right all the same.
fn odd() -> Vec<Case> {
    let plain = |name, steps: Vec<Step>| case(name, steps, Whole(200, bytes("hello")));
    let answer = head("text/plain", "Content-Length: 5\r\n") + "hello";
    let second = head("text/plain", "Content-Length: 6\r\n") + "second";
    let empty = |name, method, first: &str, status| Case {
        name,
        method,
        steps: vec![
            Send(bytes(&format!("HTTP/1.1 {first}\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nsecond"))),
            Next,
        ],
        want: Whole(status, Vec::new()),
    };
    vec![
        plain("byte by byte", vec![Drip(5, bytes(&answer)), Next]),
        plain(
            "interim answers first",
            vec![Repeat(3, bytes("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")), Send(bytes(&answer)), Next],
        ),
        plain("HTTP/1.0 until it closes", vec![Send(bytes("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"))]),
        plain("HTTP/1.1 until it closes", vec![Send(bytes(&(head("text/plain", "") + "hello")))]),
        plain("line ends without CR", vec![Send(bytes(&answer.replace("\r\n", "\n"))), Next]),
        plain(
            "more than its length",
            vec![Send(bytes(&format!("{answer}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"))), Next],
        ),
        plain("a second answer at once", vec![Send(bytes(&(answer.clone() + &second))), Next]),
        plain("a second answer a little later", vec![Send(bytes(&answer)), Wait(50), Send(bytes(&second)), Next]),
        plain(
            "bytes behind the last chunk",
            vec![
                Send(bytes(&(head("text/plain", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n" + &second))),
                Next,
            ],
        ),
        empty("a body behind 204", "GET", "204 No Content", 204),
        Case { want: Status(502), ..empty("a 304 that nobody asked for, and a body", "GET", "304 Not Modified", 304) },
        empty("a body in answer to HEAD", "HEAD", "200 OK", 200),
    ]
}

/// Coded bodies that break off although the head's length is right, or that grow beyond measure.
fn coded() -> Vec<Case> {
    use std::io::Write as _;
    let page = PAGE.repeat(200).into_bytes();
    let gzip = {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(&page).expect("memory takes it");
        out.finish().expect("memory takes it")
    };
    let mut brotli = Vec::new();
    brotli::BrotliCompress(&mut &page[..], &mut brotli, &brotli::enc::BrotliEncoderParams::default()).expect("memory takes it");
    let zstd = zstd::encode_all(&page[..], 3).expect("memory takes it");
    let all = [("gzip cut short", "gzip", gzip), ("brotli cut short", "br", brotli), ("zstd cut short", "zstd", zstd)];
    let cut = all.into_iter().map(|(name, coding, whole)| {
        let half = &whole[..whole.len() * 2 / 3];
        let head = head("text/html", &format!("Content-Encoding: {coding}\r\nContent-Length: {}\r\n", half.len()));
        case(name, vec![Send([head.as_bytes(), half].concat())], Cut)
    });
    let zeros = vec![0; 64 << 20];
    let mut brotli = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
    brotli::BrotliCompress(&mut &zeros[..], &mut brotli, &params).expect("memory takes it");
    let zstd = zstd::encode_all(&zeros[..], 3).expect("memory takes it");
    let bombs = [("a bomb in brotli", "br", brotli), ("a bomb in zstd", "zstd", zstd)];
    let bombs = bombs.into_iter().map(|(name, coding, bomb)| {
        let head = head("text/html", &format!("Content-Encoding: {coding}\r\nContent-Length: {}\r\n", bomb.len()));
        case(name, vec![Send([head.as_bytes(), &bomb].concat()), Next], Cut)
    });
    cut.chain(bombs).collect()
}

/// An upstream that does `/N` as case N says, and anything else well.
async fn upstream(cases: &Arc<Vec<Case>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let cases = Arc::clone(cases);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&cases)));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, cases: Arc<Vec<Case>>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1)?;
        let Some(case) = path[1..].parse::<usize>().ok().and_then(|number| cases.get(number)) else {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{path}", path.len());
            stream.write_all(answer.as_bytes()).await.ok()?;
            continue;
        };
        for step in case.steps.clone() {
            match step {
                Send(bytes) => stream.write_all(&bytes).await.ok()?,
                Repeat(times, bytes) => {
                    for _ in 0..times {
                        stream.write_all(&bytes).await.ok()?;
                    }
                }
                Drip(ms, bytes) => {
                    for byte in bytes {
                        stream.write_all(&[byte]).await.ok()?;
                        sleep(Duration::from_millis(ms)).await;
                    }
                }
                Wait(ms) => sleep(Duration::from_millis(ms)).await,
                Reset => {
                    stream.set_zero_linger().ok()?;
                    return None;
                }
                Next => {}
            }
        }
        if !matches!(case.steps.last(), Some(Next)) {
            return None;
        }
    }
}

/// All that comes back on one connection.
async fn ask(gate: &Gate, method: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(gate.address).await.expect("the gate listens");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/html,*/*\r\nAccept-Encoding: gzip, br, zstd\r\nConnection: close\r\n\r\n",
        gate.address
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut all = Vec::new();
    timeout(Duration::from_secs(15), stream.read_to_end(&mut all)).await.unwrap_or_else(|_| panic!("{path} hangs")).ok();
    all
}

struct Back {
    status: u16,
    body: Vec<u8>,
    whole: bool,
}

/// Reads an answer as a browser would; `None` where there is not even a head.
fn read(bytes: &[u8], method: &str) -> Option<Back> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let rest = &bytes[end + 4..];
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Some(Back { status, body: rest.to_vec(), whole: true });
    }
    if line("transfer-encoding:").is_some() {
        let (body, whole) = crate::harness::dechunk(rest);
        return Some(Back { status, body, whole });
    }
    // Neither a length nor chunks: nobody would see a cut. The gate never answers so.
    let length: usize = line("content-length:").unwrap_or_else(|| panic!("no framing: {head}")).parse().ok()?;
    Some(Back { status, body: rest.to_vec(), whole: rest.len() == length })
}

fn wrong(case: &Case, bytes: &[u8]) -> Option<String> {
    let back = read(bytes, case.method);
    let told =
        || format!("== {}: want {:?}, got {}", case.name, case.want, String::from_utf8_lossy(&bytes[..bytes.len().min(600)]));
    let right = match (&case.want, back) {
        (Status(status), Some(back)) => {
            back.status == *status && back.whole && String::from_utf8_lossy(&back.body).contains("<html")
        }
        // An end before any answer is seen by everybody.
        (Cut, None) => true,
        (Cut, Some(back)) => !back.whole || back.status == 502,
        (Whole(status, body), Some(back)) => back.status == *status && back.whole && back.body == *body,
        (_, None) => false,
    };
    (!right).then(told)
}

async fn run(cases: Vec<Case>) {
    let cases = Arc::new(cases);
    let address = upstream(&cases).await;
    let any = Upstream::page("x").await;
    let gate = Gate::with(&any, |config| {
        config.sites[0].upstreams = vec![format!("http://{address}").parse().expect("a URL")];
        config.limits.upstream_first_byte_s = 2;
        config.limits.upstream_body_idle_s = 2;
    })
    .await;
    let gate = Arc::new(gate);
    let mut faults = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let bytes = ask(&gate, case.method, &format!("/{number}")).await;
        faults.extend(wrong(case, &bytes));
        // Whatever it left behind, the next visitors get their own answers. What comes unasked after their
        // request was sent no proxy can tell from the answer to it; so what is left behind gets time to arrive.
        sleep(Duration::from_millis(150)).await;
        for next in [format!("/a{number}"), format!("/b{number}")] {
            let bytes = ask(&gate, "GET", &next).await;
            let after = Case { name: case.name, method: "GET", steps: Vec::new(), want: Whole(200, next.into_bytes()) };
            faults.extend(wrong(&after, &bytes).map(|told| format!("the answer after {told}")));
        }
    }
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_as_such() {
    run(heads()).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_visibly_cut() {
    run(bodies("application/octet-stream")).await;
}

#[tokio::test]
async fn a_page_that_breaks_off_is_visibly_cut() {
    run(bodies("text/html; charset=utf-8")).await;
}

#[tokio::test]
async fn a_coded_page_that_breaks_off_is_visibly_cut() {
    run(coded()).await;
}

#[tokio::test]
async fn what_is_odd_and_right_passes_and_leaves_nothing_behind() {
    run(odd()).await;
}

/// Response queue poisoning: an answer that came before the request was read through leaves a
/// connection on which nobody knows what is whose.
#[tokio::test]
async fn a_connection_with_an_unread_request_on_it_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            number += 1;
            tokio::spawn(async move {
                let mut piece = vec![0; 64 << 10];
                // Answers whatever comes, as often as something comes.
                while let Ok(1..) = stream.read(&mut piece).await {
                    let body = format!("connection {number}");
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            });
        }
    });
    let any = Upstream::page("x").await;
    let gate =
        Gate::with(&any, |config| config.sites[0].upstreams = vec![format!("http://{address}").parse().expect("a URL")]).await;
    let mut upload = TcpStream::connect(gate.address).await.expect("the gate listens");
    let head = format!("POST /up HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\n\r\n", gate.address);
    upload.write_all(head.as_bytes()).await.expect("sent");
    upload.write_all(&[b'x'; 1_000]).await.expect("sent");
    sleep(Duration::from_millis(300)).await;
    for _ in 0..5 {
        let answer = gate.get("/", &[]).await;
        assert_ne!(answer.text(), "connection 1", "the upload's connection");
    }
}
