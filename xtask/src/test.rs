//! `xtask test`: every test of the workspace, and one line with the sum at the end.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::build::{self, AGENT, Kind};
use crate::{command, image, setup};

/// Runs `cargo test` with the given arguments. Tests that need the agent find it by `GRACETRACE_BIN`,
/// those that need its image by `GRACETRACE_IMAGE`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::ebpf_toolchain()?;
    setup::programs_for_tests()?;
    let agent = build::programs(Kind::Debug, &[AGENT])?.remove(0);
    let app = build::app_for_images()?;
    let image = if wants_image(arguments) { Some(image::default_file()) } else { None };
    if image.is_some() {
        image::run(None, None)?;
    }
    if !command::is_root() {
        eprintln!("note: not root; the tests that load probes and make cgroups and namespaces need it");
    }
    let mut cargo = command::cargo("test");
    if !arguments.iter().any(|argument| names_package(argument)) {
        // Cargo takes it over any package that is named.
        cargo.arg("--workspace");
    }
    cargo.arg("--no-fail-fast").args(arguments).env("GRACETRACE_BIN", &agent).env("GRACETRACE_APP", &app);
    if let Some(image) = image {
        cargo.env("GRACETRACE_IMAGE", image);
    }
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

/// Test programs that run the agent from its image.
const FROM_IMAGE: [&str; 2] = ["runc", "containerd"];

/// Whether any of those is among the tests. It takes minutes to build, so that others go without.
fn wants_image(arguments: &[String]) -> bool {
    let is_package = |name: &str| arguments.iter().any(|argument| argument.trim_start_matches("-p") == name);
    let packages = !arguments.iter().any(|argument| names_package(argument)) || is_package("gracetrace-tests");
    let mut names = arguments.windows(2).filter(|pair| pair[0] == "--test").map(|pair| pair[1].as_str()).peekable();
    packages && (names.peek().is_none() || names.any(|name| FROM_IMAGE.contains(&name)))
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
    fn the_image_is_for_those_who_use_it() {
        let wants = |arguments: &str| wants_image(&arguments.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for arguments in
            ["", "-p gracetrace-tests", "-p gracetrace-tests --test containerd", "--test identity --test runc"]
        {
            assert!(wants(arguments), "{arguments}");
        }
        for arguments in ["-p gracetrace", "-p gracetrace-tests --test identity", "-p xtask tidy", "--package=xtask"] {
            assert!(!wants(arguments), "{arguments}");
        }
    }

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
