//! `xtask docs`: writes what is generated from the agent's own tables, `docs/metrics.md`.

use anyhow::Result;

use crate::{command, setup};

/// Has the test that compares the page with the registry write it. That test is in the agent, and the agent is not
/// linked into this task: building it needs the eBPF toolchain, which this task is what sets up.
pub(crate) fn run() -> Result<()> {
    setup::ebpf_toolchain()?;
    let mut cargo = command::cargo("test");
    cargo
        .args(["--quiet", "--package", "gracetrace", "--lib", "metrics::reference::"])
        .env("GRACETRACE_WRITE_DOCS", "1");
    command::run_quietly(&mut cargo)?;
    eprintln!("docs/metrics.md is up to date");
    Ok(())
}
