//! The command line: one file a command, thin.

mod check;
mod demo;
mod explain;
mod init;
mod log;
mod notice;
mod serve;

use std::{ffi::OsString, io::IsTerminal as _, path::Path, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{app::load_config, config::Fault};

/// The command line or a file is wrong (`EX_USAGE` of sysexits.h): every fault is listed, no port was opened.
const EXIT_USAGE: u8 = 64;

#[derive(Parser)]
#[command(
    name = "consentry",
    version,
    about = "A consent gate in front of any website: holds tracking tags until the visitor agrees, and proves it."
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A built-in shop with tags of every vendor, the gate in front of it, and the links to open
    Demo(demo::Args),
    /// Put the gate in front of a site
    Serve(serve::Args),
    /// Write commented files to edit: consentry.toml, policies/ and templates/
    Init(init::Args),
    /// Read every file and report every fault; nothing is started
    Check(check::Args),
    /// Tell the verdict for each tag of a page, and the rule that spoke
    Explain(explain::Args),
    /// Export and read the consent log
    Log(log::LogArgs),
    /// Show what visitors were shown
    Notice(notice::Args),
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// Files are at fault.
    #[error("{}", list(.0))]
    Faults(Vec<Fault>),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// It failed while working.
    #[error(transparent)]
    Working(#[from] anyhow::Error),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            report(&failed);
            match failed {
                Failed::Faults(_) | Failed::Usage(_) => ExitCode::from(EXIT_USAGE),
                Failed::Working(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn run(line: impl IntoIterator<Item = OsString>) -> Result<(), Failed> {
    let matches = match Args::command().try_get_matches_from(line) {
        Ok(matches) => matches,
        // `--help` and `--version` come this way and are no failures.
        Err(error) if !error.use_stderr() => return error.print().map_err(|error| Failed::Working(error.into())),
        Err(error) => return Err(Failed::Usage(error.render().to_string())),
    };
    match Args::from_arg_matches(&matches).map_err(|error| Failed::Usage(error.render().to_string()))?.command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Log(args) => on_log(args.data.as_deref(), args.config.as_deref(), |data, streams| {
            Ok(log::run(&args, data, streams).map_err(anyhow::Error::from)?)
        }),
        Command::Notice(args) => {
            on_log(args.data.as_deref(), args.config.as_deref(), |data, streams| notice::run(&args, data, streams))
        }
    }
}

/// The log's commands work on a data folder, whether a gate runs on it or not.
fn on_log(
    data: Option<&Path>,
    config: Option<&Path>,
    run: impl FnOnce(&Path, &mut log::Streams<'_>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let data = match data {
        Some(data) => data.to_owned(),
        None => load_config(config).map_err(Failed::Faults)?.0.data,
    };
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    let err_is_terminal = err.is_terminal();
    run(&data, &mut log::Streams { out: &mut out, err: &mut err, err_is_terminal })
}

#[expect(clippy::print_stderr, reason = "the one place where a command tells why it failed")]
fn report(failed: &Failed) {
    match failed {
        Failed::Faults(faults) => eprintln!("{}\n{}", list(faults), count(faults.len(), "fault")),
        Failed::Usage(text) => eprintln!("{}", text.trim_end()),
        Failed::Working(error) => eprintln!("consentry: {error:#}"),
    }
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Runs a future on a runtime of its own.
fn block_on<T>(future: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failed::Working(error.into()))?;
    runtime.block_on(future)
}
