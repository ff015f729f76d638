//! The manifests in `deploy/`, as `kubectl kustomize` builds them.

mod pod;
mod old_kubectl;

pub use pod::{TOKEN, Volume, environment, volumes, write_token};

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The objects that a folder below `deploy/` stands for, such as `overlays/containerd`.
///
/// # Errors
/// When there is no kubectl, or it does not take the folder, with what it says.
pub fn build(folder: &str) -> Result<Vec<Value>> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let rewritten = old_kubectl::rewrite(&deploy)?;
    let path: PathBuf = rewritten.as_ref().map_or(deploy.as_path(), |copy| copy.path()).join(folder);
    let output = Command::new("kubectl").arg("kustomize").arg(&path).output();
    let output = output.context("cannot run kubectl: apt-get install kubernetes-client")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("kubectl kustomize deploy/{folder}: {}", errors.trim());
    }
    // What it warns of today it refuses tomorrow.
    ensure!(!errors.contains("Warning"), "kubectl kustomize deploy/{folder}: {}", errors.trim());
    let text = String::from_utf8(output.stdout).context("kubectl does not write UTF-8")?;
    serde_saphyr::from_multiple(&text).with_context(|| format!("cannot read what kubectl makes of deploy/{folder}"))
}

/// The only object of a kind.
///
/// # Errors
/// When there is none, or more than one.
pub fn only<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    let found: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
    match found[..] {
        [one] => Ok(one),
        _ => bail!("{} objects of the kind {kind}", found.len()),
    }
}

/// The only container of a DaemonSet's pods.
///
/// # Errors
/// When there is none, or more than one.
pub fn container(daemon_set: &Value) -> Result<&Value> {
    let containers = daemon_set["spec"]["template"]["spec"]["containers"].as_array().map(Vec::as_slice);
    match containers.unwrap_or_default() {
        [one] => Ok(one),
        more => bail!("{} containers", more.len()),
    }
}

/// The capabilities that a container is given, without the prefix `CAP_`.
pub fn capabilities(container: &Value) -> Vec<String> {
    let added = container["securityContext"]["capabilities"]["add"].as_array();
    added.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
