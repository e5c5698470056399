//! A proxy: its process on one core, its configuration, and what it has spent.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The core of load and origin.
pub(crate) const LOAD_CORE: usize = 0;

/// The core of what is measured.
const PROXY_CORE: usize = 1;

/// A running server.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    process: Child,
}

/// A port nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Whether a program is there.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").arg("-c").arg(format!("command -v {program}")).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

impl Peer {
    /// Starts a server of `conf/NAME.…` and waits until it listens on the port called `port`. In the command `{conf}` is
    /// the file.
    pub(crate) fn start(name: &'static str, core: usize, folder: &Path, numbers: &[(&str, u16)], command: &[&str]) -> Self {
        Self::try_start(name, core, folder, numbers, command).unwrap_or_else(|why| panic!("{name} does not start: {why}"))
    }

    /// The same, or what it said instead.
    pub(crate) fn try_start(
        name: &'static str,
        core: usize,
        folder: &Path,
        numbers: &[(&str, u16)],
        command: &[&str],
    ) -> Result<Self, String> {
        let template = template(name);
        let file = folder.join(template.file_name().expect("a file"));
        let mut text = fs::read_to_string(&template).expect("the configurations are in the repository");
        text = text.replace("{dir}", &folder.display().to_string());
        for (key, number) in numbers {
            text = text.replace(&format!("{{{key}}}"), &number.to_string());
        }
        fs::write(&file, text).expect("a file");
        let errors = folder.join(format!("{name}.stderr"));
        let line: Vec<String> = command.iter().map(|word| word.replace("{conf}", &file.display().to_string())).collect();
        // As many files as we may have; GOMAXPROCS speaks to Caddy alone.
        let process = Command::new("sh")
            .args(["-c", "ulimit -n $(ulimit -Hn); core=$1; shift; exec taskset -c $core \"$@\"", "sh", &core.to_string()])
            .args(line)
            .env("GOMAXPROCS", "1")
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&errors).expect("a file"))
            .spawn()
            .map_err(|error| error.to_string())?;
        let port = numbers.iter().find(|(key, _)| *key == "port").expect("it listens").1;
        let mut peer = Self { name, port, process };
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = peer.process.try_wait().ok().flatten().is_some();
            if ended || Instant::now() > until {
                return Err(fs::read_to_string(&errors).unwrap_or_default().trim().to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }

    /// User and system time of the process and its children, in seconds.
    pub(crate) fn cpu_s(&self) -> f64 {
        // Linux counts in hundredths here, whatever its own clock.
        self.tree().iter().filter_map(|&pid| stat(pid)).map(|stat| stat.ticks as f64 / 100.0).sum()
    }

    /// Memory of the process and its children that is theirs alone, or their share of it, in kB.
    pub(crate) fn pss_kb(&self) -> u64 {
        let of = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.tree().into_iter().filter_map(of).sum()
    }

    fn tree(&self) -> Vec<u32> {
        let mut tree = vec![self.process.id()];
        let all: Vec<(u32, u32)> = fs::read_dir("/proc")
            .expect("a Linux")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, stat(pid)?.parent)))
            .collect();
        let mut at = 0;
        while at < tree.len() {
            let above = tree[at];
            tree.extend(all.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| pid));
            at += 1;
        }
        tree
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Asked, not killed: a master takes its workers with it.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        for _ in 0..100 {
            if self.process.try_wait().ok().flatten().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// proc(5), `/proc/PID/stat`: the name may contain anything, so fields are counted behind its last parenthesis.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks: number(11)? + number(12)? })
}

fn template(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/peers/conf");
    let mut files = fs::read_dir(folder).expect("the configurations are in the repository").flatten().map(|entry| entry.path());
    files.find(|path| path.file_stem().is_some_and(|stem| stem == name)).unwrap_or_else(|| panic!("no configuration of {name}"))
}

/// The proxies that are compared, started.
pub(crate) struct Peers(Vec<Peer>);

impl Peers {
    /// Starts every one of `names` before the origin on `origin`. `tls` is where those that speak TLS do.
    pub(crate) fn start(names: &[&'static str], folder: &Path, origin: u16) -> Self {
        Self(names.iter().map(|name| one(name, folder, origin, free_port()).expect("it starts")).collect())
    }

    pub(crate) fn get(&self, name: &str) -> &Peer {
        self.0.iter().find(|peer| peer.name == name).expect("it was started")
    }
}

/// One proxy of that name.
pub(crate) fn one(name: &'static str, folder: &Path, origin: u16, tls: u16) -> Result<Peer, String> {
    let numbers = [("port", free_port()), ("admin", free_port()), ("origin", origin), ("tls", tls)];
    let command: &[&str] = match name {
        "haproxy" => &["haproxy", "-db", "-q", "-f", "{conf}"],
        "Caddyfile" => &["caddy", "run", "--adapter", "caddyfile", "--config", "{conf}"],
        "consentry" | "consentry-tls" => &[env!("CARGO_BIN_EXE_consentry"), "serve", "--config", "{conf}"],
        _ => &["nginx", "-c", "{conf}"],
    };
    Peer::try_start(name, PROXY_CORE, folder, &numbers, command).map_err(|why| format!("{name}: {why}"))
}
