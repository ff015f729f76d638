//! schemathesis, which tests an API against its OpenAPI document: a Python program, in an environment of its own.

use std::process::Command;

use anyhow::{Context, Result};

use super::debian;
use crate::command;

const VERSION: &str = "4.32.5";
const DIR: &str = "target/tools/schemathesis";

/// Installs it where it is missing and can be had. A test that misses it says so itself.
pub(super) fn install() -> Result<()> {
    let dir = command::workspace().join(DIR);
    if dir.join("bin/schemathesis").exists() {
        return Ok(());
    }
    // Debian has the module that makes environments in a package of its own.
    let has_venv =
        || command::find_on_path("python3").is_some() && runs(Command::new("python3").args(["-c", "import ensurepip"]));
    if !has_venv() {
        debian::install_packages(&["python3-venv"])?;
    }
    eprintln!("setup: installing schemathesis {VERSION} in {DIR} (pip install)");
    command::run_quietly(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    let mut pip = Command::new(dir.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", &format!("schemathesis=={VERSION}")]);
    command::run_quietly(&mut pip).context("cannot install schemathesis")
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
