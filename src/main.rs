//! One match of commands and the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    consentry::cli::main()
}
