//! Programs of the distribution.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where packages of CNI plugins put them: Debian's, and those of the CNI project.
const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// Looks a program up as a shell would.
pub fn find(program: &str, package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where Debian has programs for root, which not every root has in its PATH.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    let mut found = folders.map(|folder| folder.join(program)).filter(|path| path.is_file());
    found.next().with_context(|| format!("no {program} here: apt-get install {package}"))
}

/// The folder of the CNI plugins.
pub(super) fn cni_plugins() -> Result<PathBuf> {
    let found = CNI_FOLDERS.iter().map(PathBuf::from).find(|folder| folder.join("bridge").is_file());
    found.context("no CNI plugins here: apt-get install containernetworking-plugins")
}

/// A program that runs where there is nothing else. One that needs a dynamic loader does not.
pub fn read_static(path: &Path, way_out: &str) -> Result<Vec<u8>> {
    let program = fs::read(path).with_context(|| format!("cannot read {}: {way_out}", path.display()))?;
    match asks_for_loader(&program) {
        Some(false) => Ok(program),
        Some(true) => bail!("{} is not static: {way_out}", path.display()),
        None => bail!("{} is not a 64-bit ELF file: {way_out}", path.display()),
    }
}

/// Whether a program has a header of the type `PT_INTERP` (elf(5), 64 bits). `None` when it is no such file.
fn asks_for_loader(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: usize = 3;
    if !elf.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let number = |at: usize, length: usize| {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        if number(table.checked_add(index * size)?, 4)? == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_told_from_others() {
        let own = fs::read(env::current_exe().unwrap()).unwrap();
        assert_eq!(asks_for_loader(&own), Some(true));
        assert_eq!(asks_for_loader(b"#!/bin/sh\n"), None);
        assert_eq!(asks_for_loader(b"\x7fELF\x02"), None);
    }
}
