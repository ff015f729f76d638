//! What gracetrace costs. Run it as `cargo xtask bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gracetrace_tests::bench::main()
}
