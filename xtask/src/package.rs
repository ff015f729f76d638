//! `xtask package`: a tree of what a package of gracetrace installs below its prefix: the program as one static file, its
//! completions and its manual pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::{self, AGENT, Kind};
use crate::{command, setup};

/// Shells, and where each looks for completions.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/gracetrace"),
    ("zsh", "share/zsh/site-functions/_gracetrace"),
    ("fish", "share/fish/vendor_completions.d/gracetrace.fish"),
];

/// Makes it in place of what is there.
pub(crate) fn run(out: Option<PathBuf>) -> Result<()> {
    let out = out.unwrap_or_else(|| command::workspace().join("target/package"));
    setup::ebpf_toolchain()?;
    let program = build::programs(Kind::Static, &[AGENT])?.remove(0);
    let installed = out.join("bin/gracetrace");
    make_folder_of(&installed)?;
    fs::copy(&program, &installed).with_context(|| format!("cannot write {}", installed.display()))?;
    // The program itself knows them, so they cannot be those of another version.
    for (shell, path) in SHELLS {
        let path = out.join(path);
        make_folder_of(&path)?;
        let text = output(Command::new(&program).args(["completions", shell]))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    output(Command::new(&program).arg("man").arg(out.join("share/man/man1")))?;
    println!("{}", command::short(&out).display());
    Ok(())
}

fn make_folder_of(file: &Path) -> Result<()> {
    let folder = file.parent().context("it is in no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}
