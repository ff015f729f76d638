//! `xtask dashboards`: writes the Grafana dashboards in `deploy/dashboards`. They are checked in; tidy compares.

mod overview;
mod workload;
mod agents;
mod evictions;
mod outcome;
mod variables;
mod promql;
mod model;
mod render;

use std::fs;

use anyhow::{Context, Result};

use self::model::Dashboard;
use crate::command;

/// Where they are, from the workspace's folder. The kustomization there is written by hand.
const FOLDER: &str = "deploy/dashboards";

/// All of them, in the order in which their links are shown.
fn all() -> [Dashboard; 4] {
    [overview::dashboard(), workload::dashboard(), agents::dashboard(), evictions::dashboard()]
}

/// Their files, from the workspace's folder, and what is in them.
pub(crate) fn files() -> Result<Vec<(String, String)>> {
    all().iter().map(|dashboard| Ok((format!("{FOLDER}/{}.json", dashboard.uid), render::text(dashboard)?))).collect()
}

/// Writes them.
pub(crate) fn run() -> Result<()> {
    let folder = command::workspace().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {FOLDER}"))?;
    for (path, text) in files()? {
        fs::write(command::workspace().join(&path), text).with_context(|| format!("cannot write {path}"))?;
        eprintln!("{path}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
