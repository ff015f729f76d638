//! Debian 12's kubectl is 1.20, whose kustomize is of 2019: it knows two of the fields by their older names, of which
//! today's warns. It is given a copy with those.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The first with the kustomize of today (4.0).
const NEW: u32 = 21;

/// A copy of a folder; gone when dropped.
pub(super) struct Copy(PathBuf);

impl Copy {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A copy that the kubectl here can read; none when it can read the folder itself.
pub(super) fn rewrite(folder: &Path) -> Result<Option<Copy>> {
    let output = Command::new("kubectl").args(["version", "--client", "--output=json"]).output();
    let output = output.context("cannot run kubectl: apt-get install kubernetes-client")?;
    let version: Value = serde_json::from_slice(&output.stdout).context("kubectl does not tell its version")?;
    if minor(&version).is_none_or(|minor| minor >= NEW) {
        return Ok(None);
    }
    let name = format!("gracetrace-deploy-{}-{:x}", std::process::id(), fastrand::u64(..));
    let copy = Copy(std::env::temp_dir().join(name));
    copy_folder(folder, &copy.0).with_context(|| format!("cannot copy {}", folder.display()))?;
    Ok(Some(copy))
}

/// 20 of "v1.20.2".
fn minor(version: &Value) -> Option<u32> {
    version["clientVersion"]["gitVersion"].as_str()?.split('.').nth(1)?.parse().ok()
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &target)?;
        } else if entry.file_name() == "kustomization.yaml" {
            let kustomization = serde_saphyr::from_str(&fs::read_to_string(&path)?)?;
            // JSON is YAML.
            fs::write(target, older(kustomization).to_string())?;
        } else {
            fs::copy(path, target)?;
        }
    }
    Ok(())
}

/// `resources` that are folders were `bases`, `patches` that are merged were `patchesStrategicMerge`.
fn older(mut kustomization: Value) -> Value {
    let mut take = |name: &str| match kustomization[name].take() {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    let (files, folders): (Vec<Value>, Vec<Value>) =
        take("resources").into_iter().partition(|path| path.as_str().is_some_and(|path| path.ends_with(".yaml")));
    let patches: Vec<Value> = take("patches").into_iter().map(|mut patch| patch["path"].take()).collect();
    let mut fields = kustomization.as_object().cloned().unwrap_or_default();
    fields.retain(|_, value| !value.is_null());
    for (name, list) in [("resources", files), ("bases", folders), ("patchesStrategicMerge", patches)] {
        if !list.is_empty() {
            fields.insert(name.to_owned(), json!(list));
        }
    }
    fields.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let version = |text: &str| minor(&json!({"clientVersion": {"gitVersion": text}}));
        assert_eq!(version("v1.20.2"), Some(20));
        assert_eq!(version("v1.32.4-dispatcher"), Some(32));
        assert_eq!(version("what"), None);
    }

    #[test]
    fn fields_get_their_older_names() {
        let today = json!({
            "kind": "Kustomization", "resources": ["../../base", "x.yaml"], "patches": [{"path": "patch.yaml"}],
        });
        let older = older(today);
        let expected = json!({
            "kind": "Kustomization", "resources": ["x.yaml"], "bases": ["../../base"],
            "patchesStrategicMerge": ["patch.yaml"],
        });
        assert_eq!(older, expected);
    }
}
