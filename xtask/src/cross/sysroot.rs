//! Rust's standard library for another kind of machine.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Target;
use crate::apt::Apt;
use crate::{command, setup};

/// Debian's compiler.
const OF_DEBIAN: &str = "/usr/bin/rustc";

/// A rustc that has the target's standard library.
#[derive(Debug)]
pub(super) struct Compiler {
    pub(super) rustc: PathBuf,
    /// Where the library is, if not where the compiler looks by itself.
    pub(super) sysroot: Option<PathBuf>,
}

impl Compiler {
    /// The toolchain's own library if it has it, else that of Debian.
    pub(super) fn find(target: &Target) -> Result<Compiler> {
        let own = command::find_on_path("rustc").context("there is no rustc")?;
        if library(&own, target).is_some_and(|folder| folder.is_dir()) {
            eprintln!("cross: the toolchain has a standard library for {}", target.name);
            return Ok(Compiler { rustc: own, sysroot: None });
        }
        Compiler::of_debian(target).with_context(|| {
            format!("no standard library for {0}; where rustup is used: rustup target add {0}", target.name)
        })
    }

    /// Debian's rustc with the library of its own version.
    fn of_debian(target: &Target) -> Result<Compiler> {
        setup::debian_compiler(Path::new(OF_DEBIAN))?;
        let rustc = PathBuf::from(OF_DEBIAN);
        let (package, version) = owner(&rustc)?;
        let system = library(&rustc, target).context("the system's rustc does not name its folder")?;
        if system.is_dir() {
            return Ok(Compiler { rustc, sysroot: None });
        }
        let system = system.ancestors().nth(4).context("the system's rustc has no folder")?.to_owned();
        let sysroot = command::workspace().join("target/cross/sysroot");
        let stamp = sysroot.join("version");
        if fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == version) {
            return Ok(Compiler { rustc, sysroot: Some(sysroot) });
        }
        let apt = Apt::open(&command::workspace().join("target/cross/apt"), &BTreeSet::new(), Some(target.debian))?;
        let name = format!("{}-dev:{}", package.replace("rustc", "libstd-rust"), target.debian);
        let versions = apt.versions(&name)?;
        let built = versions.iter().find(|built| same_source(built, &version)).with_context(|| {
            format!(
                "Debian has no {name} of the version of {package}, {version}, but {}: apt-get install {package}",
                if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
            )
        })?;
        eprintln!("cross: loading {name} {built}");
        let unpacked = sysroot.with_extension("unpacked");
        apt.unpack(&name, built, &unpacked)?;
        // Build scripts and derive macros run here: the system's own libraries are beside it.
        let rustlib = sysroot.join("lib/rustlib");
        fs::create_dir_all(&rustlib)?;
        let _ = fs::remove_dir_all(rustlib.join(target.name));
        let loaded = unpacked.join("usr/lib/rustlib").join(target.name);
        ensure!(loaded.is_dir(), "{name} {built} has no library for {}", target.name);
        fs::rename(loaded, rustlib.join(target.name)).context("cannot take the library out of its package")?;
        for entry in system.join("lib/rustlib").read_dir()?.flatten() {
            let link = rustlib.join(entry.file_name());
            if !link.exists() {
                symlink(entry.path(), &link).with_context(|| format!("cannot make {}", link.display()))?;
            }
        }
        fs::remove_dir_all(&unpacked)?;
        fs::write(&stamp, version)?;
        Ok(Compiler { rustc, sysroot: Some(sysroot) })
    }
}

/// Where a rustc looks for a target's standard library.
fn library(rustc: &Path, target: &Target) -> Option<PathBuf> {
    let mut rustc = Command::new(rustc);
    rustc.args(["--print", "target-libdir", "--target", target.name]).current_dir(command::workspace());
    let output = rustc.output().ok()?;
    output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// The package that a program belongs to, and its version.
fn owner(program: &Path) -> Result<(String, String)> {
    let output = Command::new("dpkg-query").arg("-S").arg(program).output().context("cannot run dpkg-query")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let package = text.split(':').next().filter(|name| !name.is_empty());
    let package = package.with_context(|| format!("{} is of no Debian package", program.display()))?.to_owned();
    let mut show = Command::new("dpkg-query");
    let output = show.args(["-W", "-f", "${Version}", &package]).output()?;
    Ok((package, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Whether two versions are of the same sources: one kind of machine may have been built once more, with `+b1` at the end
/// (deb-version(7) and the binary-only uploads of Debian's developer's reference).
fn same_source(one: &str, other: &str) -> bool {
    let source = |version: &str| match version.rsplit_once("+b") {
        Some((source, build)) if !build.is_empty() && build.bytes().all(|it| it.is_ascii_digit()) => source.to_owned(),
        _ => version.to_owned(),
    };
    source(one) == source(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_of_the_same_sources() {
        assert!(same_source("1.96.0+dfsg1-1~deb12u2", "1.96.0+dfsg1-1~deb12u2"));
        assert!(same_source("1.96.0+dfsg1-1~deb13u1+b1", "1.96.0+dfsg1-1~deb13u1"));
        assert!(!same_source("1.96.0+dfsg1-1~deb12u2", "1.96.0+dfsg1-1~deb12u1"));
        assert!(!same_source("1.0+build", "1.0"));
        assert!(!same_source("1.0+b", "1.0"));
    }
}
