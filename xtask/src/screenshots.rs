//! `xtask screenshots`: pictures of the page, in Chromium, with the demo behind it.

use std::path::PathBuf;

use anyhow::Result;

use crate::build::{self, AGENT, Kind};
use crate::{command, setup};

/// Has the test that looks at every view keep what it sees.
pub(crate) fn run(folder: Option<PathBuf>) -> Result<()> {
    setup::ebpf_toolchain()?;
    setup::programs_for_tests()?;
    let folder = folder.unwrap_or_else(|| command::workspace().join("target/screenshots"));
    let folder = std::path::absolute(folder)?;
    let agent = build::programs(Kind::Debug, &[AGENT])?.remove(0);
    let mut cargo = command::cargo("test");
    cargo
        .args(["--quiet", "--package", "gracetrace-tests", "--test", "page", "screenshots::"])
        .env("GRACETRACE_BIN", agent)
        .env("GRACETRACE_SCREENSHOTS", &folder);
    command::run_quietly(&mut cargo)?;
    eprintln!("the pictures are in {}", command::short(&folder).display());
    Ok(())
}
