//! What Prometheus makes of the agent's metrics: it takes every format and all rules, each alert fires when it should and
//! only then, and what rules and dashboards compute from a real agent is what really happened. Needs promtool and prometheus.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod formats;
mod rules;
mod dashboard;
mod counting;
mod live;

use std::path::{Path, PathBuf};
use std::process::Command;

use gracetrace_tests::cri_node::packages;

/// The folder `deploy/`.
fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// A program of Debian's package.
fn program(name: &str) -> Command {
    Command::new(packages::find(name, "prometheus").unwrap())
}

/// The YAML files of a folder.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no YAML in {}", folder.display());
    files
}
