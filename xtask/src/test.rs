//! `xtask test`: every test of the workspace, and one line with the sum at the end.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::build::{self, AGENT, Kind};
use crate::{command, setup};

/// Runs `cargo test` with the given arguments. Tests that need the agent find it by `GRACETRACE_BIN`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::ebpf_toolchain()?;
    setup::programs_for_tests()?;
    let agent = build::programs(Kind::Debug, &[AGENT])?.remove(0);
    let app = build::app_for_images()?;
    if !command::is_root() {
        eprintln!("note: not root; the tests that load probes and make cgroups and namespaces need it");
    }
    let mut cargo = command::cargo("test");
    if !arguments.iter().any(|argument| names_package(argument)) {
        // Cargo takes it over any package that is named.
        cargo.arg("--workspace");
    }
    cargo.arg("--no-fail-fast").args(arguments).env("GRACETRACE_BIN", &agent).env("GRACETRACE_APP", &app);
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    let mut sum = Sum::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        sum.add(&String::from_utf8_lossy(&line));
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
    let status = child.wait()?;
    writeln!(out, "\n{} passed, {} failed", sum.passed, sum.failed)?;
    match status.success() {
        true => Ok(()),
        false if sum.failed == 0 => bail!("cargo test failed before every test had run ({status})"),
        false => bail!("{} tests failed", sum.failed),
    }
}

fn names_package(argument: &str) -> bool {
    argument.starts_with("-p") || argument.starts_with("--package")
}

/// What the test programs report, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
}

impl Sum {
    /// Takes in a line such as `test result: ok. 4 passed; 0 failed; …`; others do not count.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| {
            let before = &result[..result.find(what)?];
            before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
        };
        self.passed += count(" passed").unwrap_or(0);
        self.failed += count(" failed").unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 26 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        sum.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        sum.add("test x ... ok: 7 passed");
        sum.add("test result: ");
        assert_eq!(sum, Sum { passed: 29, failed: 2 });
    }
}
