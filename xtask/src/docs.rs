//! `xtask docs`: writes what is generated from the agent's own tables: `docs/metrics.md`, and the API's `openapi.json`.

use anyhow::Result;

use crate::{command, setup};

/// Has the tests that compare them with the code write them. Those tests are in the agent, and the agent is not
/// linked into this task: building it needs the eBPF toolchain, which this task is what sets up.
pub(crate) fn run() -> Result<()> {
    setup::ebpf_toolchain()?;
    let mut cargo = command::cargo("test");
    cargo
        .args(["--quiet", "--package", "gracetrace", "--lib", "--", "metrics::reference::", "http::api::openapi::"])
        .env("GRACETRACE_WRITE_DOCS", "1");
    command::run_quietly(&mut cargo)?;
    eprintln!("docs/metrics.md and agent/src/http/openapi.json are up to date");
    Ok(())
}
