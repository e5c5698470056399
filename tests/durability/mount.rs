//! Disks of the tests' own: small ones, and images of a disk that are copied as a power cut leaves them. Only root
//! may mount, or who may say `sudo` without a password.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Mounted while it lives.
pub(crate) struct Mount(PathBuf);

/// Whether disks can be mounted here. Where they cannot, what was to be tested is said to be untested; on CI, where
/// root runs, that is a failure.
#[expect(clippy::print_stderr, reason = "nobody is to believe that this was tested")]
pub(crate) fn possible(untested: &str) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    match Mount::memory(folder.path(), 1 << 20) {
        Ok(_) => true,
        Err(why) => {
            assert!(env::var_os("CI").is_none(), "nothing can be mounted ({why}), so that this cannot be tested: {untested}");
            eprintln!("\nNOT TESTED, since nothing can be mounted here ({why}): {untested}. Run tests/run as root.\n");
            false
        }
    }
}

/// An image of an ext4 file system of so many MiB. Its journal is written when something is flushed and else not
/// for a long time, as its data is: what nobody flushed is in memory only.
pub(crate) fn image(file: &Path, mebibytes: u64) {
    std::fs::File::create(file).and_then(|image| image.set_len(mebibytes << 20)).expect("an image");
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(file)).expect("mkfs.ext4 is installed: see tests/run");
}

impl Mount {
    /// A disk in memory.
    pub(crate) fn memory(at: &Path, bytes: u64) -> Result<Self, String> {
        Self::new(&["-t", "tmpfs", "-o", &format!("size={bytes},mode=777")], Path::new("none"), at)
    }

    /// The file system in an image; after a cut, recovered by its journal.
    pub(crate) fn image(file: &Path, at: &Path) -> Result<Self, String> {
        Self::new(&["-t", "ext4", "-o", "loop,commit=300"], file, at)
    }

    /// From now on nothing can be written.
    pub(crate) fn read_only(&self) -> Result<(), String> {
        run(as_root("mount").args(["-o", "remount,ro"]).arg(&self.0))
    }

    fn new(how: &[&str], what: &Path, at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        run(as_root("mount").args(how).arg(what).arg(at))?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Busy (a process that is just going): let go as soon as it is not.
        let gone = run(as_root("umount").arg(&self.0)).or_else(|_| run(as_root("umount").arg("--lazy").arg(&self.0)));
        if let Err(why) = gone
            && !std::thread::panicking()
        {
            panic!("{} stays mounted: {why}", self.0.display());
        }
    }
}

fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
