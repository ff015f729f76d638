//! The tests of connections, for guests: the program that `xtask test` runs on this machine's kernel, with what it needs to
//! be started.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::initramfs::Initramfs;
use crate::{build, command};

/// Where a guest's suite looks for them.
const PLACE: &str = "bin/connections";

/// The program and its files.
#[derive(Debug)]
pub(super) struct Tests {
    program: PathBuf,
    /// Where it expects the program that plays the node's parts, as the suite does too.
    parts: PathBuf,
    libraries: BTreeSet<PathBuf>,
}

impl Tests {
    /// Builds them.
    pub(super) fn build(cache: &Path) -> Result<Tests> {
        let [built, parts] = build::test("connections", "gracetrace-demo")?;
        let program = cache.join("connections");
        // Most of it is for debuggers.
        let stripped = Command::new("strip").arg("-o").arg(&program).arg(&built).status();
        let stripped = stripped.context("cannot run strip, of Debian's package binutils")?;
        ensure!(stripped.success(), "strip cannot read {}", command::short(&built).display());
        let libraries = libraries(&program)?;
        Ok(Tests { program, parts, libraries })
    }

    /// Adds them to a guest's file system.
    pub(super) fn add(&self, archive: &mut Initramfs) -> Result<()> {
        archive.file(PLACE, &self.program)?;
        let mut folders = BTreeSet::new();
        for path in self.libraries.iter().chain([&self.parts]) {
            folders.extend(path.ancestors().skip(1).filter_map(inside).map(str::to_owned));
        }
        // Each after the one that it is in.
        for folder in folders.iter().filter(|folder| !folder.is_empty()) {
            archive.folder(folder)?;
        }
        for library in &self.libraries {
            // What is a link here is a file there.
            archive.file(inside(library).context("the name of a library is not text")?, library)?;
        }
        archive.link(inside(&self.parts).context("the name of a folder is not text")?, "/init")
    }
}

/// A path of this machine as an archive has it.
fn inside(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix('/')
}

/// The shared libraries that a program asks for, and their loader (ldd(1)).
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd, of Debian's package libc-bin")?;
    ensure!(output.status.success(), "ldd cannot read {}", command::short(program).display());
    let libraries = parse(&String::from_utf8_lossy(&output.stdout));
    ensure!(libraries.iter().all(|path| fs::exists(path).unwrap_or(false)), "a library of {libraries:?} is not there");
    Ok(libraries)
}

fn parse(said: &str) -> BTreeSet<PathBuf> {
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_says() {
        let said =
            "\tlinux-vdso.so.1 (0x00007fb6)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007fb0)\n\t/lib64/ld.so.2 (0x7f)\n";
        assert_eq!(parse(said), ["/lib/x/libc.so.6", "/lib64/ld.so.2"].map(PathBuf::from).into());
    }
}
