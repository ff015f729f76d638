//! `gracetrace`: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = gracetrace::cli::Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            // The chain of causes on one line; `{:?}` would add a backtrace when the environment asks for one.
            eprintln!("gracetrace: {error:#}");
            ExitCode::FAILURE
        }
    }
}
