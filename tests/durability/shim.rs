//! `shim.c`, compiled and put under a process: one flush or write of the consent log fails, or the clock is turned.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use consentry::vocab::Hash;

const SOURCE: &str = include_str!("shim.c");

/// Which call fails and how: the variables of `shim.c`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// `flush` or `write`.
    pub(crate) call: &'static str,
    /// An errno by its name, or `short…`.
    pub(crate) kind: &'static str,
    /// Counted from 1.
    pub(crate) nth: usize,
}

/// A command that starts what is appended to it, on that data folder, with that fault. Calls count once `armed`
/// is there; without it from the start.
pub(crate) fn failing(fault: Fault, dir: &Path, armed: Option<&Path>) -> Command {
    let mut env = under(dir);
    env.env("SHIM_CALL", fault.call).env("SHIM_FAULT", fault.kind).env("SHIM_NTH", fault.nth.to_string());
    if let Some(armed) = armed {
        env.env("SHIM_ARMED", armed);
    }
    env
}

/// Likewise with a clock that is as many seconds off as stand in a file.
pub(crate) fn turned(clock: &Path, dir: &Path) -> Command {
    let mut env = under(dir);
    env.env("SHIM_CLOCK", clock);
    env
}

fn under(dir: &Path) -> Command {
    let mut env = Command::new("env");
    // Files are known by their whole names; the folder itself may not be there yet.
    let parent = dir.parent().and_then(|parent| parent.canonicalize().ok()).expect("the folder lies in another");
    env.env("LD_PRELOAD", library()).env("SHIM_DIR", parent.join(dir.file_name().expect("a folder with a name")));
    env
}

/// Compiled once for each text of it.
fn library() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("shim-{}.so", Hash::of(SOURCE.as_bytes()).short()));
    if library.exists() {
        return library;
    }
    let (source, beside) = (folder.join(format!("{}.c", std::process::id())), folder.join(format!("{}.so", std::process::id())));
    fs::create_dir_all(folder).and_then(|()| fs::write(&source, SOURCE)).expect("the target folder is ours");
    let mut cc = Command::new("cc");
    let compiled = cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&beside).arg(&source).arg("-ldl").output();
    let compiled = compiled.expect("a C compiler, which the build needs as well");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    // Another test may have been as fast: the same library.
    fs::rename(&beside, &library).and_then(|()| fs::remove_file(&source)).expect("the target folder is ours");
    library
}
