//! Finds a rustc that can build `core` for a BPF target.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// The oldest release that compiles the programs: the `rust-version` of the workspace.
const OLDEST: (u32, u32) = (1, 95);

/// A rustc with the sources of `core`, and the cargo to drive it with.
#[derive(Debug, Clone)]
pub(crate) struct Compiler {
    /// Path of the compiler itself, never of rustup's proxy.
    pub(crate) rustc: PathBuf,
    /// Path of a cargo; the one of its toolchain, else the one that runs this task.
    pub(crate) cargo: PathBuf,
    /// Its version, such as `1.96.0`.
    pub(crate) release: String,
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
}

/// Looks at the system's compiler, then at what rustup has, then at what PATH has.
pub(crate) fn find() -> Result<Option<Compiler>> {
    let own_cargo = command::cargo_path();
    let mut candidates = vec![(PathBuf::from("/usr/bin/rustc"), own_cargo.clone())];
    for toolchain in rustup_toolchains() {
        candidates.push((toolchain.join("bin/rustc"), toolchain.join("bin/cargo")));
    }
    if let Some(rustc) = command::find_on_path("rustc") {
        candidates.push((rustc, own_cargo));
    }
    for (rustc, cargo) in candidates {
        if let Some(compiler) = usable(&rustc, &cargo)? {
            return Ok(Some(compiler));
        }
    }
    Ok(None)
}

/// rustup's toolchains, stable before nightly: what the rest of the workspace is built with is the least surprise.
fn rustup_toolchains() -> Vec<PathBuf> {
    let Some(home) = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")))
    else {
        return Vec::new();
    };
    let Ok(entries) = home.join("toolchains").read_dir() else { return Vec::new() };
    let mut toolchains: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    toolchains.sort_by_key(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        (!name.starts_with("stable"), !name.starts_with("nightly"), name)
    });
    toolchains
}

fn usable(rustc: &Path, cargo: &Path) -> Result<Option<Compiler>> {
    if !rustc.is_file() || !cargo.is_file() {
        return Ok(None);
    }
    let output = Command::new(rustc).arg("-vV").output().with_context(|| format!("cannot run {}", rustc.display()))?;
    let Some((release, llvm)) = parse_version(&String::from_utf8_lossy(&output.stdout)) else { return Ok(None) };
    let output = Command::new(rustc).args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let has_core = sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file();
    // rustup's proxy runs whatever is the default; the toolchain's own binary stays the same one.
    let own = sysroot.join("bin/rustc");
    let rustc = if own.is_file() { own } else { rustc.to_path_buf() };
    Ok((has_core && is_new_enough(&release)).then(|| Compiler { rustc, cargo: cargo.to_path_buf(), release, llvm }))
}

/// Release and LLVM's major version from `rustc -vV`.
fn parse_version(text: &str) -> Option<(String, u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let llvm = field("LLVM version")?.split('.').next()?.parse().ok()?;
    Some((field("release")?.to_owned(), llvm))
}

/// Major and minor version of a release, or of a Debian package's version.
fn release_number(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether a release is new enough for the programs.
pub(super) fn is_new_enough(release: &str) -> bool {
    release_number(release).is_some_and(|number| number >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_rustc() {
        let text = "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(parse_version(text), Some(("1.96.0".to_owned(), 22)));
        assert_eq!(parse_version("release: 1.96.0\n"), None);
    }

    #[test]
    fn releases_and_package_versions_are_compared_by_number() {
        assert!(is_new_enough("1.96.0+dfsg1-1~deb12u2"));
        assert!(is_new_enough("1.100.0-nightly"));
        assert!(!is_new_enough("1.85.0+dfsg3-1~deb12u3"));
        assert!(!is_new_enough("garbage"));
    }
}
