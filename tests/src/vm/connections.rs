//! The tests of connections on this kernel: real clients and servers, and an agent for each test.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::report::Report;

/// Where they are, if the machine has them.
pub(super) const TESTS: &str = "/bin/connections";
/// Those that are too much for an emulated processor.
const SKIPPED: &[&str] = &["load::"];

/// Runs them, two at a time, and tells of each.
pub(super) async fn run(agent: &Path, report: &mut Report) -> Result<()> {
    let mut command = Command::new(TESTS);
    command.args(["--test-threads", "2"]).env("GRACETRACE_BIN", agent);
    command.args(SKIPPED.iter().flat_map(|skipped| ["--skip", *skipped]));
    let mut tests = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().context("cannot start the tests")?;
    let mut lines = BufReader::new(tests.stdout.take().context("no output")?).lines();
    let mut told = 0;
    while let Some(line) = lines.next_line().await? {
        // On the console, where it says why one has failed.
        println!("{line}");
        if let Some((name, good)) = outcome(&line) {
            told += 1;
            let faults = if good { Vec::new() } else { vec!["the test has failed; the console says why".to_owned()] };
            let about = name.replace("::", ": ").replace('_', " ");
            report.case(&format!("connections::{name}"), &about, &faults)?;
        }
    }
    let status = tests.wait().await?;
    ensure!(told > 0, "there was no test of connections: {status}");
    Ok(())
}

/// What a line of the test runner says of a test.
fn outcome(line: &str) -> Option<(&str, bool)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match outcome {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read() {
        assert_eq!(outcome("test backlog::a_full_queue ... ok"), Some(("backlog::a_full_queue", true)));
        assert_eq!(outcome("test ends::closed ... FAILED"), Some(("ends::closed", false)));
        assert_eq!(outcome("test result: ok. 2 passed; 0 failed"), None);
        assert_eq!(outcome("running 2 tests"), None);
    }
}
