//! The first and only program of a virtual machine that tries gracetrace on another kernel. Run it as `cargo xtask vm-test`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gracetrace_tests::vm::main()
}
