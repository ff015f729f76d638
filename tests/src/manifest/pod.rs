//! What the kubelet reads off a manifest for a container, whatever runtime then makes it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::container;

/// Where the kubelet puts what pods need for the API server.
pub const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A folder of the node in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume<'a> {
    /// Where it is on the node.
    pub host: &'a str,
    /// Whether the kubelet makes it where there is none: `DirectoryOrCreate`.
    pub create: bool,
    /// Where it is in the container.
    pub path: &'a str,
    /// Whether the container may only read it.
    pub read_only: bool,
}

/// The folders of the node that a DaemonSet's container has.
///
/// # Errors
/// When the container has a volume of another kind.
pub fn volumes(daemon_set: &Value) -> Result<Vec<Volume<'_>>> {
    let all = &daemon_set["spec"]["template"]["spec"]["volumes"];
    list(&container(daemon_set)?["volumeMounts"]).map(|mount| volume(all, mount)).collect()
}

fn volume<'a>(all: &'a Value, mount: &'a Value) -> Result<Volume<'a>> {
    let name = &mount["name"];
    let volume = list(all).find(|volume| volume["name"] == *name).with_context(|| format!("no volume {name}"))?;
    let host = volume["hostPath"]["path"].as_str().with_context(|| format!("{name} is no folder of the host"))?;
    let create = volume["hostPath"]["type"] == "DirectoryOrCreate";
    let path = mount["mountPath"].as_str().with_context(|| format!("{name} is mounted nowhere"))?;
    Ok(Volume { host, create, path, read_only: mount["readOnly"] == true })
}

/// The environment of a DaemonSet's container on a node of that name, and what the kubelet adds for the API server, which
/// is at an address where nobody answers.
///
/// # Errors
/// When a variable comes from where nothing is known here.
pub fn environment(daemon_set: &Value, node: &str) -> Result<Vec<(String, String)>> {
    let mut environment = Vec::new();
    for variable in list(&container(daemon_set)?["env"]) {
        let name = variable["name"].as_str().context("a variable without a name")?;
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("spec.nodeName") => node,
            Some(other) => bail!("nobody here knows {other} for {name}"),
            None => variable["value"].as_str().with_context(|| format!("{name} has no value"))?,
        };
        environment.push((name.to_owned(), value.to_owned()));
    }
    let added = [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", "1")];
    environment.extend(added.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(environment)
}

/// Writes what the kubelet gives a pod for the API server: a token, and the authority that vouches for the server.
///
/// # Errors
/// When a file cannot be written.
pub fn write_token(folder: &Path) -> Result<()> {
    let authority = rcgen::generate_simple_self_signed(["kubernetes".to_owned()])?;
    let files =
        [("token", "none".to_owned()), ("namespace", "gracetrace".to_owned()), ("ca.crt", authority.cert.pem())];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
