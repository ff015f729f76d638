//! The agent as a program to be called.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where it is: `GRACETRACE_BIN`, else what cargo has built beside the calling test.
///
/// # Panics
/// When it is not there; the message says what to run.
pub fn built() -> PathBuf {
    let beside = || {
        let test = env::current_exe().unwrap_or_default();
        test.parent().and_then(Path::parent).map(|profile| profile.join("gracetrace")).unwrap_or_default()
    };
    let agent = env::var_os("GRACETRACE_BIN").map_or_else(beside, PathBuf::from);
    assert!(agent.is_file(), "no agent at {}: run `cargo build`, or set GRACETRACE_BIN to one", agent.display());
    agent
}

/// What a program prints that must succeed.
///
/// # Panics
/// When it does not, with what it says.
pub fn output(command: &mut Command) -> String {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot start {command:?}: {error}"),
    };
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
