//! What runs the gate: the units, as systemd reads them; the image, built and run; and that a service
//! manager's wishes are met.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Upstream, run};

/// What an attacker who owns the gate could do to the machine, by `systemd-analyze security`: from 0
/// (nothing) to 100 (anything). An nginx as Debian ships it has 96.
const EXPOSURE_MAX: u32 = 15;

const PAGE: &str = "<!doctype html><title>x</title><script src=\"https://connect.facebook.net/en_US/fbevents.js\"></script><p>x";

fn ops(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/ops").join(name)).expect("the file")
}

/// A program of the system, run to its end. Its output, both streams.
fn system(program: &str, args: &[&str], dir: &Path) -> (bool, String) {
    let output = Command::new(program).args(args).current_dir(dir).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed (tests/run installs it): {error}"));
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&told).into_owned())
}

/// A process of ours, ended by its id when the test ends.
struct Process(Child);

impl Process {
    fn signal(&self, name: &str) {
        system("kill", &[name, &self.0.id().to_string()], Path::new("/"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// Asks for something, as soon as somebody listens there.
async fn ask(address: SocketAddr, request: &str) -> String {
    let began = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) if began.elapsed() < Duration::from_secs(60) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("it listens: {error}"),
        }
    };
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.example\r\naccept: text/html\r\nconnection: close\r\n\r\n")
}

#[test]
fn init_writes_what_runs_the_gate() {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(run(&["init", "gate"], dir.path()).0, 0);
    for name in ["consentry.service", "consentry.socket", "Containerfile"] {
        assert_eq!(fs::read_to_string(dir.path().join("gate/ops").join(name)).expect("written"), ops(name), "{name}");
    }
}

/// The units in a folder, with the binary of this build.
fn units(dir: &Path) -> PathBuf {
    let service = ops("consentry.service").replace("/usr/local/bin/consentry", env!("CARGO_BIN_EXE_consentry"));
    assert!(service.contains(env!("CARGO_BIN_EXE_consentry")));
    fs::write(dir.join("consentry.service"), service).expect("written");
    fs::write(dir.join("consentry.socket"), ops("consentry.socket")).expect("written");
    dir.join("consentry.service")
}

#[test]
fn systemd_finds_no_fault_in_the_units_and_they_are_hardened() {
    let dir = tempfile::tempdir().expect("a folder");
    let service = units(dir.path()).display().to_string();
    let socket = dir.path().join("consentry.socket").display().to_string();
    let (good, told) = system("systemd-analyze", &["verify", &service, &socket], dir.path());
    assert!(good && told.trim().is_empty(), "{told}");
    // The control: a fault is found.
    let wrong = fs::read_to_string(&service).expect("the unit").replace("ProtectHome=yes", "ProtectHouse=yes");
    fs::write(&service, wrong).expect("written");
    assert!(system("systemd-analyze", &["verify", &service], dir.path()).1.contains("ProtectHouse"));

    units(dir.path());
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (good, told) = system("systemd-analyze", &["security", "--offline=true", "--no-pager", &threshold, &service], dir.path());
    assert!(good && told.contains("Overall exposure level"), "{told}");
}

/// The system calls that the unit allows: its filter lines, read from the first to the last.
fn allowed() -> BTreeSet<String> {
    let (good, sets) = system("systemd-analyze", &["syscall-filter", "--no-pager"], Path::new("/"));
    assert!(good, "{sets}");
    let expand = |set: &str| {
        let (mut found, mut open) = (BTreeSet::new(), vec![set.to_owned()]);
        while let Some(set) = open.pop() {
            let members = sets.lines().skip_while(|line| *line != set).skip(1).take_while(|line| line.starts_with(' '));
            for member in members.map(str::trim).filter(|member| !member.starts_with('#')) {
                match member.starts_with('@') {
                    true => open.push(member.to_owned()),
                    false => found.extend([member.to_owned()]),
                }
            }
        }
        assert!(!found.is_empty(), "{set} is a set");
        found
    };
    let unit = ops("consentry.service");
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (out, sets) = line.strip_prefix('~').map_or((false, line), |sets| (true, sets));
        for set in sets.split(' ').map(expand) {
            allowed = if out { &allowed - &set } else { &allowed | &set };
        }
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_makes_no_system_call_that_its_unit_forbids() {
    let (upstream, dir) = (Upstream::page(PAGE).await, tempfile::tempdir().expect("a folder"));
    let (listen, admin, trace) = (free(), free(), dir.path().join("trace"));
    let url = format!("http://localhost:{}", upstream.address.port());
    fs::write(dir.path().join("consentry.toml"), "[access]\nlog = \"access.log\"\n").expect("a file");
    let gate = Command::new("strace")
        .args(["-f", "-qq", "-o", trace.to_str().expect("a path"), env!("CARGO_BIN_EXE_consentry"), "serve"])
        .args(["--upstream", &url, "--listen", &listen.to_string(), "--admin", &admin.to_string()])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace is needed (tests/run installs it)");
    let mut gate = Process(gate);
    assert!(ask(listen, &get("/")).await.contains("accept_all"));
    let token = ask(listen, &get("/_consent/notice-token")).await;
    let token = token.split("\"notice\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token").to_owned();
    let body = format!("{{\"choice\":\"accept_all\",\"notice\":\"{token}\"}}");
    let decision = format!(
        "POST /_consent/decision HTTP/1.1\r\nhost: a.example\r\norigin: http://a.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    assert!(ask(listen, &decision).await.starts_with("HTTP/1.1 200 "));
    let ready = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    assert!(ask(admin, &ready).await.starts_with("HTTP/1.1 200 "));
    // strace passes it on to what it traces.
    let traced = fs::read_to_string(&trace).expect("a trace");
    let pid = traced.split(' ').next().expect("the first line begins with the process").to_owned();
    system("kill", &["-TERM", &pid], dir.path());
    assert!(gate.0.wait().expect("it ends").success());

    let mut allowed = allowed();
    assert!(allowed.contains("fsync") && !allowed.contains("mount") && !allowed.contains("fchown"), "{allowed:?}");
    // As root SQLite gives its files their owner; the unit's user is not root.
    allowed.insert("fchown".to_owned());
    let trace = fs::read_to_string(&trace).expect("a trace");
    let calls = trace.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('(')).map(|(call, _)| call);
    let calls: BTreeSet<&str> = calls.filter(|call| call.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).collect();
    assert!(["execve", "fsync", "accept4", "sendto"].iter().filter(|call| calls.contains(*call)).count() >= 3, "{calls:?}");
    let forbidden: Vec<&&str> = calls.iter().filter(|call| !allowed.contains(**call)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    assert!(!trace.contains("PROT_WRITE|PROT_EXEC") && !trace.contains("PROT_READ|PROT_WRITE|PROT_EXEC"));
    let families: BTreeSet<&str> = trace.split("socket(").skip(1).filter_map(|rest| rest.split([',', ')']).next()).collect();
    let unit = ops("consentry.service");
    let open = unit.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).expect("the line");
    assert!(families.iter().all(|family| open.split(' ').any(|one| one == *family)), "{families:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_gets_its_word_and_a_hangup_ends_nothing() {
    let (upstream, dir) = (Upstream::page(PAGE).await, tempfile::tempdir().expect("a folder"));
    let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a bound");
    let (listen, admin) = (free(), free());
    // The number of the process is known to a shell before the gate takes its place.
    let gate = Command::new("sh")
        .args(["-c", "export WATCHDOG_PID=$$; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_consentry")])
        .args(["serve", "--upstream", &format!("http://{}", upstream.address)])
        .args(["--listen", &listen.to_string(), "--admin", &admin.to_string()])
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .env("WATCHDOG_USEC", "400000")
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut gate = Process(gate);
    let word = || {
        let mut bytes = [0; 512];
        let read = socket.recv(&mut bytes).expect("a word in time");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    let fed = |times: usize| (0..50).filter(|_| word().contains("WATCHDOG=1")).take(times).count();
    assert_eq!(fed(3), 3);
    assert!(ask(listen, &get("/")).await.contains("accept_all"));
    gate.signal("-HUP");
    assert_eq!(fed(3), 3);
    assert!(ask(listen, &get("/")).await.contains("accept_all"));
    gate.signal("-TERM");
    assert!(gate.0.wait().expect("it ends").success());
}

/// The commands that the Containerfile itself tells, indented below a line that begins so.
fn told(after: &str) -> Vec<String> {
    let file = ops("Containerfile");
    let lines = file.lines().map(|line| line.trim_start_matches('#'));
    let below = lines.skip_while(|line| !line.starts_with(after)).skip_while(|line| !line.starts_with("     "));
    below.take_while(|line| line.starts_with("     ")).map(|line| line.trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_is_built_as_its_file_says_and_serves_a_page() {
    let (upstream, dir) = (Upstream::page(PAGE).await, tempfile::tempdir().expect("a folder"));
    fs::write(dir.path().join("Containerfile"), ops("Containerfile")).expect("written");
    let (root, run_root) = (dir.path().join("storage"), dir.path().join("run"));
    let (root, run_root) = (root.display().to_string(), run_root.display().to_string());
    let buildah = |args: &[&str]| {
        let (good, told) = system(
            "buildah",
            &[&["--storage-driver", "vfs", "--root", &root, "--runroot", &run_root], args].concat(),
            dir.path(),
        );
        assert!(good, "buildah {args:?}: {told}");
        told
    };
    let commands = told(" From a binary");
    let (build, lay_out) = commands.split_last().expect("commands");
    let bin = Path::new(env!("CARGO_BIN_EXE_consentry")).parent().expect("a folder");
    for command in lay_out {
        let command = format!("PATH={}:$PATH; {command}", bin.display());
        assert!(system("sh", &["-ec", &command], dir.path()).0, "{command}");
    }
    let build: Vec<&str> = build.strip_prefix("podman build ").expect("the last command").split(' ').collect();
    buildah(&[&["build", "--isolation", "chroot"], build.as_slice()].concat());
    let container = buildah(&["from", "localhost/consentry"]);
    let container = container.trim();
    let inside =
        |command: &[&str]| buildah(&[&["run", "--isolation", "chroot", "--network", "host", container, "--"], command].concat());
    assert!(inside(&["/bin/consentry", "check"]).contains("no faults"));

    let image = PathBuf::from(buildah(&["mount", container]).trim());
    let mut files = Vec::new();
    let mut open = vec![image.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            match path.is_dir() && !path.is_symlink() {
                true => open.push(path),
                false => files.push(path.strip_prefix(&image).expect("inside").display().to_string()),
            }
        }
    }
    let libraries = files.iter().filter(|file| file.starts_with("lib")).count();
    assert!(files.contains(&"bin/consentry".to_owned()) && libraries >= 3, "{files:?}");
    let others: Vec<&String> = files
        .iter()
        .filter(|file| {
            !["bin/consentry", "lib", "etc/", "data/", "dev/", "proc/", "sys/", "run/"]
                .iter()
                .any(|known| file.starts_with(known))
        })
        .collect();
    assert!(others.is_empty(), "nothing else is in it: {others:?}");

    // As its user, in its root and with its own command line.
    let (listen, admin) = (free(), free());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    let gate = Command::new("chroot")
        .args(["--userspec=65532:65532", image.to_str().expect("a path"), "/bin/consentry", "serve", "--data", "/data"])
        .args(["--upstream", &format!("http://{}", upstream.address)])
        .args(["--listen", &listen.to_string(), "--admin", &admin.to_string()])
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.path().join("told")).expect("a file"))
        .spawn()
        .expect("chroot is there");
    let mut gate = Process(gate);
    assert!(ask(listen, &get("/")).await.contains("accept_all"));
    assert!(image.join("data/consent-log.db").exists());
    gate.signal("-TERM");
    let ended = gate.0.wait().expect("it ends");
    assert!(ended.success(), "{ended:?}: {}", fs::read_to_string(dir.path().join("told")).unwrap_or_default());
    buildah(&["rm", "--all"]);
    buildah(&["rmi", "--all"]);
}
