//! Tries out what was built, under an emulator of the other machine's processor. System calls go to this machine's kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Target;
use crate::apt::Apt;
use crate::command;

/// Runs the agent under the emulator: its arguments, and every recording, of which it must tell what the tests of the native
/// agent expect. It loads no programs: that takes a kernel of its own kind.
pub(super) fn try_out(agent: &Path, target: &Target) -> Result<()> {
    let emulator = find(target)?;
    let run = |arguments: &[&str]| -> Result<Output> {
        let output = Command::new(&emulator).arg(agent).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run {}", emulator.display()))?;
        ensure!(
            output.status.success(),
            "{} {} under {}: {}: {}{}",
            command::short(agent).display(),
            arguments.join(" "),
            emulator.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output)
    };
    let says = |arguments: &[&str], what: &str| -> Result<()> {
        let output = run(arguments)?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(said.contains(what), "`gracetrace {}` does not say {what:?}: {said}", arguments.join(" "));
        Ok(())
    };
    says(&["--version"], concat!("gracetrace ", env!("CARGO_PKG_VERSION")))?;
    says(&["--help"], "Usage: gracetrace")?;

    let tests = command::workspace().join("agent/tests");
    let mut recordings: Vec<PathBuf> =
        tests.join("recordings").read_dir().context("there are no recordings")?.flatten().map(|it| it.path()).collect();
    recordings.sort();
    ensure!(!recordings.is_empty(), "there are no recordings in {}", tests.display());
    for recording in &recordings {
        let path = recording.to_string_lossy();
        let name = recording.file_stem().unwrap_or_default().to_string_lossy();
        let told: Value = serde_json::from_slice(&run(&["replay", "--json", &path])?.stdout)
            .with_context(|| format!("what is told of {name} is not one termination"))?;
        let snapshot = tests.join("snapshots").join(format!("recordings__{name}.snap"));
        let snapshot = fs::read_to_string(&snapshot).with_context(|| format!("cannot read {}", snapshot.display()))?;
        let expected = content(&snapshot).with_context(|| format!("the snapshot of {name} is not JSON"))?;
        ensure!(told == expected, "{name} is not told as by the native agent, but as {told:#}");
    }
    eprintln!(
        "cross: under {} `gracetrace` tells of {} recordings what it tells natively",
        target.emulator,
        recordings.len()
    );
    Ok(())
}

/// What is in a snapshot of insta's, below its header.
fn content(snapshot: &str) -> Option<Value> {
    let (_, content) = snapshot.strip_prefix("---\n")?.split_once("\n---\n")?;
    serde_json::from_str(content).ok()
}

/// The machine's own emulator, or one of Debian's packages, unpacked and not installed.
fn find(target: &Target) -> Result<PathBuf> {
    let names = [format!("{}-static", target.emulator), target.emulator.to_owned()];
    if let Some(installed) = names.iter().find_map(|name| command::find_on_path(name)) {
        return Ok(installed);
    }
    let folder = command::workspace().join("target/cross/qemu");
    let unpacked = || names.iter().map(|name| folder.join("usr/bin").join(name)).find(|path| path.is_file());
    if let Some(unpacked) = unpacked() {
        return Ok(unpacked);
    }
    let apt = Apt::open(&command::workspace().join("target/cross/apt"), &BTreeSet::new(), None)?;
    // The static one has moved from the one to the other, and left a package without content. Of the machine's own
    // release: its versions come last.
    for package in ["qemu-user-static", "qemu-user"] {
        if let Some(version) = apt.versions(package)?.pop() {
            eprintln!("cross: loading {package} {version}");
            apt.unpack(package, &version, &folder)?;
        }
        if let Some(unpacked) = unpacked() {
            return Ok(unpacked);
        }
    }
    bail!("Debian's packages have no {}", target.emulator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_what_stands_below_its_header() {
        let snapshot = "---\nsource: x.rs\nexpression: termination\n---\n{\n  \"a\": 1.5\n}\n";
        assert_eq!(content(snapshot), Some(serde_json::json!({"a": 1.5})));
        assert_eq!(content("{\"a\": 1.5}"), None);
        assert_eq!(content("---\nsource: x.rs\n---\nno JSON"), None);
    }

    #[test]
    fn every_recording_has_a_snapshot() {
        let tests = command::workspace().join("agent/tests");
        for recording in tests.join("recordings").read_dir().unwrap().flatten() {
            let name = recording.path().file_stem().unwrap().to_string_lossy().into_owned();
            let snapshot = fs::read_to_string(tests.join(format!("snapshots/recordings__{name}.snap"))).unwrap();
            assert!(content(&snapshot).unwrap().is_object(), "{name}");
        }
    }
}
