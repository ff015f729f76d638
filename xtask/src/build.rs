//! `xtask build`: the agent, for trying out, for release, or as one static file.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{command, setup};

/// The agent's package and program.
pub(crate) const AGENT: Program = Program { package: "gracetrace", name: "gracetrace" };
/// The demo's driver.
pub(crate) const DEMO: Program = Program { package: "gracetrace-tests", name: "gracetrace-demo" };
/// The bench.
pub(crate) const BENCH: Program = Program { package: "gracetrace-tests", name: "gracetrace-bench" };
/// The suite of `vm-test`.
pub(crate) const VM_SUITE: Program = Program { package: "gracetrace-tests", name: "gracetrace-vm-suite" };

/// What the images of the tests run.
const APP: Program = Program { package: "gracetrace-tests", name: "gracetrace-app" };

/// A program of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Program {
    package: &'static str,
    name: &'static str,
}

/// What kind of build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Quick to compile, with debug assertions.
    Debug,
    /// As it is shipped.
    Release,
    /// The same, with no shared library.
    Static,
}

/// Builds the agent and says where it is.
pub(crate) fn run(kind: Kind) -> Result<()> {
    setup::ebpf_toolchain()?;
    let built = programs(kind, &[AGENT])?;
    let agent = &built[0];
    if kind == Kind::Static {
        check_static(agent)?;
    }
    println!("{}", command::short(agent).display());
    Ok(())
}

/// Builds programs and returns their paths, in the same order. Cargo shows its progress.
pub(crate) fn programs(kind: Kind, programs: &[Program]) -> Result<Vec<PathBuf>> {
    let mut cargo = command::cargo("build");
    if kind != Kind::Debug {
        cargo.arg("--release");
    }
    if kind == Kind::Static {
        // With an explicit target the flags are not for build scripts and derive macros, which cannot be static.
        cargo
            .args(["--target", &host()?, "--target-dir", "target/static"])
            .env("CARGO_ENCODED_RUSTFLAGS", static_flags())
            // Symbols are a fifth of the file, and nothing on a node reads them.
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    }
    build(cargo, programs)
}

/// Runs a `cargo build` that is prepared but for what to build.
pub(crate) fn build(mut cargo: Command, programs: &[Program]) -> Result<Vec<PathBuf>> {
    for program in programs {
        cargo.args(["--package", program.package, "--bin", program.name]);
    }
    cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build failed ({})", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let find = |program: &Program| {
        executable(&messages, program.name).with_context(|| format!("cargo built no program {}", program.name))
    };
    programs.iter().map(find).collect()
}

/// Builds a program of tests as `xtask test` does, and says where it is and where it expects another program.
pub(crate) fn test(name: &str, other: &str) -> Result<[PathBuf; 2]> {
    let mut cargo = command::cargo("test");
    cargo.args(["--workspace", "--no-run", "--test", name, "--message-format=json-render-diagnostics"]);
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo test failed ({})", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let find = |name: &str| executable(&messages, name).with_context(|| format!("cargo built no program {name}"));
    Ok([find(name)?, find(other)?])
}

/// Builds the program that the tests' images have, and says where it is. Only the program itself is compiled for static
/// linking, so that all it depends on is shared with the other builds.
pub(crate) fn app_for_images() -> Result<PathBuf> {
    let mut cargo = command::cargo("rustc");
    cargo
        .args(["--package", APP.package, "--bin", APP.name, "--message-format=json-render-diagnostics"])
        .args(["--", "-Ctarget-feature=+crt-static"]);
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo rustc failed ({})", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = executable(&messages, APP.name).with_context(|| format!("cargo built no program {}", APP.name))?;
    check_static(&built)?;
    // The next build that is not static takes its place.
    let own = command::workspace().join("target").join(APP.name);
    fs::copy(&built, &own).with_context(|| format!("cannot copy {} to {}", built.display(), own.display()))?;
    Ok(own)
}

/// Flags of rustc for a file that needs no other and names no folder of this machine, so that it is the same wherever it
/// is built. Separated as cargo wants it, since folders may have blanks.
pub(crate) fn static_flags() -> OsString {
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or(home);
    let folders = [(Some(command::workspace().to_owned()), "/gracetrace"), (cargo, "/cargo")];
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    for (folder, name) in folders.iter().filter_map(|(folder, name)| Some((folder.as_ref()?, name))) {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    flags
}

/// Path of a program in cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    })
}

/// The machine's target, as rustc names it.
fn host() -> Result<String> {
    let output =
        Command::new("rustc").arg("-vV").current_dir(command::workspace()).output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc does not name its host")
}

/// A static program asks for no dynamic loader.
pub(crate) fn check_static(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    match asks_for_loader(&bytes) {
        Some(false) => Ok(()),
        Some(true) => bail!("{} is not static: it asks for a dynamic loader", program.display()),
        None => bail!("{} is not a 64-bit ELF file", program.display()),
    }
}

/// Whether a 64-bit ELF file has a program header of type PT_INTERP (elf(5)). `None` when it is no such file.
fn asks_for_loader(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    if !elf.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let bytes = |at: usize, length: usize| elf.get(at..at.checked_add(length)?);
    let offset = usize::try_from(u64::from_ne_bytes(bytes(32, 8)?.try_into().ok()?)).ok()?;
    let size = usize::from(u16::from_ne_bytes(bytes(54, 2)?.try_into().ok()?));
    let count = usize::from(u16::from_ne_bytes(bytes(56, 2)?.try_into().ok()?));
    for index in 0..count {
        let kind = u32::from_ne_bytes(bytes(offset.checked_add(index * size)?, 4)?.try_into().ok()?);
        if kind == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"gracetrace"},"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"gracetrace"},"executable":"/a b/gracetrace"}"#,
        );
        assert_eq!(executable(messages, "gracetrace"), Some(PathBuf::from("/a b/gracetrace")));
        assert_eq!(executable(messages, "other"), None);
    }

    #[test]
    fn a_dynamic_program_is_told_from_others() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(asks_for_loader(&own), Some(true));
        assert_eq!(asks_for_loader(b"#!/bin/sh\n"), None);
        assert_eq!(asks_for_loader(b"\x7fELF\x02"), None);
        let mut none = own[..64].to_vec();
        none[56..58].copy_from_slice(&[0, 0]);
        assert_eq!(asks_for_loader(&none), Some(false));
    }
}
