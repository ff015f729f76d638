//! `xtask tidy`: the rules of the tree that neither rustc nor clippy can check.

mod arrows;
mod metrics;
mod rust;
mod source;
mod tree;
mod generated;

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::source::Source;
use crate::{command, dashboards, rules};

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 for the whole file.
    line: usize,
    reason: String,
}

/// Checks every file that git knows or would add. Prints `file:line: reason` for each finding.
pub(crate) fn run() -> Result<()> {
    let mut findings = Vec::new();
    let paths = files()?;
    let mut files = Vec::new();
    for path in &paths {
        // Deleted but not committed, or not text: nothing to read.
        let Ok(text) = fs::read_to_string(command::workspace().join(path)) else { continue };
        findings.extend(check(path, &text));
        files.push((path.clone(), text));
    }
    findings.extend(metrics::check(&files));
    findings.extend(tree::missing(&paths));
    findings.extend(generated::check(&dashboards::files()?, "cargo xtask dashboards"));
    let read = |path: &str| fs::read_to_string(command::workspace().join(path)).ok();
    let rules = rules::check(&paths, read).into_iter();
    findings.extend(rules.map(|(path, reason)| Finding { path, line: 0, reason }));
    findings.sort();
    for Finding { path, line, reason } in &findings {
        eprintln!("{path}:{line}: {reason}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings in {} files", findings.len(), files.len());
    }
    eprintln!("tidy: {} files are in order", files.len());
    Ok(())
}

/// Every rule on one file.
fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = tree::check(path, text);
    if path.ends_with(".rs") {
        let source = Source::new(path, text);
        findings.extend(rust::check(&source));
        findings.extend(arrows::check(&source));
    }
    findings
}

fn files() -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(command::workspace())
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let list = String::from_utf8_lossy(&output.stdout);
    Ok(list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}
