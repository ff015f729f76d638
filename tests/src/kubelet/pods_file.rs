//! The pods file: a PodList as the kubelet serves it at /pods, replaced as a whole by rename.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::pod::Pod;

/// The file and what is in it.
#[derive(Debug)]
pub struct PodsFile {
    path: PathBuf,
    pods: Mutex<BTreeMap<String, Value>>,
}

impl PodsFile {
    /// Makes a file without pods.
    pub fn create(path: &Path) -> Result<PodsFile> {
        let file = PodsFile { path: path.to_path_buf(), pods: Mutex::default() };
        file.change(|_| {})?;
        Ok(file)
    }

    /// Adds a pod, or replaces what is said about it.
    pub fn put(&self, pod: &Pod) -> Result<()> {
        self.put_json(&pod.uid, pod.to_json())
    }

    /// The same for one that is no [`Pod`].
    pub fn put_json(&self, uid: &str, pod: Value) -> Result<()> {
        self.change(|pods| {
            pods.insert(uid.to_owned(), pod);
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a pod out.
    pub fn remove(&self, pod: &Pod) -> Result<()> {
        self.change(|pods| {
            pods.remove(&pod.uid);
        })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Value>)) -> Result<()> {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut pods);
        let items: Vec<&Value> = pods.values().collect();
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
        let next = self.path.with_extension("next");
        fs::write(&next, serde_json::to_vec(&list)?).with_context(|| format!("cannot write {}", next.display()))?;
        fs::rename(&next, &self.path).with_context(|| format!("cannot replace {}", self.path.display()))
    }
}
