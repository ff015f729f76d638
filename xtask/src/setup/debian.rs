//! Installs packages on Debian, and only what is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::rustc::is_new_enough;
use crate::command;

/// Packages of a rustc and of the sources that belong to it. Their versions must be equal.
const RUSTC_PACKAGES: [(&str, &str); 2] = [("rustc-web", "rust-web-src"), ("rustc", "rust-src")];

/// Whether packages can be installed here: Debian or a relative, as root.
pub(super) fn can_install() -> bool {
    Path::new("/etc/debian_version").exists() && command::find_on_path("apt-get").is_some() && command::is_root()
}

/// Installs a rustc with its sources.
pub(super) fn install_rustc() -> Result<()> {
    let found = match rustc_packages()? {
        Some(found) => Some(found),
        None => {
            update_lists()?;
            rustc_packages()?
        }
    };
    let Some((rustc, sources, version)) = found else {
        bail!(
            "the package lists have no rustc with sources that is new enough (rustc-web and rust-web-src).\n{}",
            super::how_to_install()
        );
    };
    install(&[&format!("{rustc}={version}"), &format!("{sources}={version}")])
}

/// Installs LLVM's development files and the C++ library to link with.
pub(super) fn install_llvm(version: u32) -> Result<()> {
    let package = format!("llvm-{version}-dev");
    if candidate(&package)?.is_none() {
        update_lists()?;
    }
    install(&[&package, "g++"])
}

/// Installs the packages of those programs, or files with their full path, that are missing.
pub(super) fn install_missing(programs: &[(&str, &str)]) -> Result<()> {
    let is_there = |name: &str| match name.starts_with('/') {
        true => Path::new(name).exists(),
        false => command::find_on_path(name).is_some(),
    };
    let missing: Vec<&str> = programs.iter().filter(|(name, _)| !is_there(name)).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { install_packages(&missing) }
}

/// Installs packages. Services that they bring are not started: tests start what they need, in namespaces of their own.
pub(super) fn install_packages(packages: &[&str]) -> Result<()> {
    let policy = NoServices::begin()?;
    let installed = install(packages);
    drop(policy);
    installed
}

/// While it is there, packages start no services: invoke-rc.d(8) and deb-systemd-invoke(1) ask this program, and 101 is
/// "not allowed". A policy that the machine has stays as it is.
struct NoServices {
    own: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Result<NoServices> {
        let own = !Path::new(POLICY).exists();
        if own {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(POLICY, mode).with_context(|| format!("cannot make {POLICY} executable"))?;
        }
        Ok(NoServices { own })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.own
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("setup: cannot remove {POLICY}, remove it by hand: {error}");
        }
    }
}

/// The first pair of packages with one version that is new enough.
fn rustc_packages() -> Result<Option<(&'static str, &'static str, String)>> {
    for (rustc, sources) in RUSTC_PACKAGES {
        if let (Some(version), Some(other)) = (candidate(rustc)?, candidate(sources)?)
            && version == other
            && is_new_enough(&version)
        {
            return Ok(Some((rustc, sources, version)));
        }
    }
    Ok(None)
}

/// The version of a package that would be installed.
fn candidate(package: &str) -> Result<Option<String>> {
    let output = Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").output();
    let output = output.context("cannot run apt-cache")?;
    Ok(parse_candidate(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_candidate(text: &str) -> Option<String> {
    let version = text.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn update_lists() -> Result<()> {
    eprintln!("setup: updating the package lists (apt-get update)");
    command::run_quietly(Command::new("apt-get").args(["update", "-q"]))
}

/// Installs packages.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    eprintln!("setup: installing Debian packages: {} (apt-get install)", packages.join(" "));
    let apt = |packages: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-q", "-y", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive");
        command::run_quietly(&mut apt)
    };
    // Old lists name versions that the mirror no longer has.
    apt(packages).or_else(|_| {
        update_lists()?;
        apt(packages)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidate_is_read_from_apt() {
        let text = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(parse_candidate(text), Some("1.96.0+dfsg1-1~deb12u2".to_owned()));
        assert_eq!(parse_candidate("x:\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
    }
}
