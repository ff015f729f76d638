//! The file that tells the agent's build script which tools to use.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

use crate::command;

/// What to build the eBPF programs with.
#[derive(Debug)]
pub(super) struct Toolchain {
    pub(super) rustc: PathBuf,
    pub(super) cargo: PathBuf,
    pub(super) linker: PathBuf,
}

impl Toolchain {
    /// Writes the file that `agent/build.rs` reads: lines of `name=path`, and of `stamp.name` for the next run of this task.
    pub(super) fn record(&self) -> Result<()> {
        let mut text = String::new();
        for (name, path) in [("rustc", &self.rustc), ("cargo", &self.cargo), ("linker", &self.linker)] {
            let stamp = stamp(path).with_context(|| format!("{} is gone again", path.display()))?;
            text += &format!("{name}={}\nstamp.{name}={stamp}\n", path.display());
        }
        let file = file();
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Whether the tools that were found before are still there and still the same files.
    pub(super) fn recorded_is_current() -> bool {
        fs::read_to_string(file()).is_ok_and(|text| is_current(&text))
    }
}

fn is_current(text: &str) -> bool {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    ["rustc", "cargo", "linker"].into_iter().all(|name| {
        let Some(path) = field(name) else { return false };
        stamp(Path::new(path)).is_some_and(|stamp| field(&format!("stamp.{name}")) == Some(&stamp))
    })
}

/// Size and time of change: tells an upgraded tool from the one that was tried.
fn stamp(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{}@{}", metadata.len(), changed.as_secs()))
}

fn file() -> PathBuf {
    command::workspace().join("target/ebpf-toolchain.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_or_missing_tools_are_noticed() {
        let own = std::env::current_exe().unwrap();
        let path = own.display();
        let stamp = stamp(&own).unwrap();
        let text: String =
            ["rustc", "cargo", "linker"].map(|name| format!("{name}={path}\nstamp.{name}={stamp}\n")).concat();
        assert!(is_current(&text));
        assert!(!is_current(&text.replace(&stamp, "1@1")));
        assert!(!is_current(&text.replace(&path.to_string(), "/nowhere")));
        assert!(!is_current(""));
    }
}
