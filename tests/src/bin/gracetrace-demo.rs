//! Pods of real processes being terminated, and the agent's account of it beside their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    gracetrace_tests::demo::main()
}
