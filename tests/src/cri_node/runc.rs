//! What containerd calls as `runc`: the real one, after a look at what it is to create.
//!
//! Where the controllers of resources are left to cgroup v1, as on a host in hybrid mode, cgroup v2 has none of them, and
//! runc 1.1 fails on `cpu.weight`, which the CRI always sets. What the tests look at needs no limits: they are taken out.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::packages;

/// Controllers that may be missing.
const LIMITS: [&str; 5] = ["cpu", "memory", "pids", "blockIO", "hugepageLimits"];

/// Becomes the real one.
pub fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "create")
        && let Some(at) = arguments.iter().position(|argument| argument == "--bundle")
        && let Some(bundle) = arguments.get(at + 1)
    {
        remove_limits(&Path::new(bundle).join("config.json"))?;
    }
    let runc = packages::find("runc", "runc")?;
    Err(Command::new(&runc).args(arguments).exec()).with_context(|| format!("cannot execute {}", runc.display()))
}

fn remove_limits(path: &Path) -> Result<()> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let text = serde_json::to_vec(&without_limits(config))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn without_limits(mut config: Value) -> Value {
    if let Some(resources) = config.pointer_mut("/linux/resources").and_then(Value::as_object_mut) {
        for controller in LIMITS {
            resources.remove(controller);
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_but_limits_stays() {
        let config = json!({"linux": {"resources": {"cpu": {"shares": 2}, "devices": [{"allow": false}]}}, "root": 1});
        assert_eq!(without_limits(config), json!({"linux": {"resources": {"devices": [{"allow": false}]}}, "root": 1}));
        assert_eq!(without_limits(json!({"linux": {}})), json!({"linux": {}}));
    }
}
