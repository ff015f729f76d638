//! Where the bench works: a slice of cgroups with one pod, and the file that tells the agent of it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::program;
use crate::node::cgroup::unified_root;
use crate::node::guard::Guard;
use crate::runtime::new_id;

const POD_UID: &str = "be5c0000-0000-4000-8000-000000000001";

/// Cgroups and files. All of it is gone once this is dropped, and also when the bench is killed.
pub(super) struct Place {
    slice: PathBuf,
    dir: PathBuf,
    pod: PathBuf,
    node: PathBuf,
    // The last field: it clears away what the others name.
    _guard: Guard,
}

impl Place {
    pub(super) fn make() -> Result<Place> {
        if !rustix::process::geteuid().is_root() {
            bail!("needs root: it makes cgroups and starts the agent");
        }
        let name = format!("gracetrace-bench-{}", std::process::id());
        let slice = unified_root()?.join(format!("{name}.slice"));
        let dir = env::temp_dir().join(&name);
        let program = env::current_exe().context("cannot find the bench's own program")?;
        let guard = Guard::start(&program, &slice, &dir)?;
        let id = new_id();
        let pod = slice.join(format!("kubepods/pod{POD_UID}/{id}"));
        let node = slice.join("node");
        for path in [&dir, &pod, &node] {
            fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let place = Place { slice, dir, pod, node, _guard: guard };
        fs::write(place.pods_file(), serde_json::to_vec(&pods(&id))?).context("cannot write the pods file")?;
        program::write(&place.noop(), program::NOOP)?;
        program::write(&place.pause(), program::PAUSE)?;
        Ok(place)
    }

    /// Where the agent looks for pods.
    pub(super) fn slice(&self) -> &Path {
        &self.slice
    }

    /// A container that the agent tracks.
    pub(super) fn pod_cgroup(&self) -> &Path {
        &self.pod
    }

    /// A cgroup that is no pod's.
    pub(super) fn node_cgroup(&self) -> &Path {
        &self.node
    }

    /// A new pod's container that nobody has told the agent of.
    pub(super) fn another_pod(&self, number: u32) -> PathBuf {
        self.container(&format!("be5c0001-0000-4000-8000-{number:012x}"), &new_id())
    }

    /// The cgroup of a container of a pod.
    pub(super) fn container(&self, uid: &str, id: &str) -> PathBuf {
        self.slice.join(format!("kubepods/pod{uid}/{id}"))
    }

    pub(super) fn pods_file(&self) -> PathBuf {
        self.dir.join("pods.json")
    }

    pub(super) fn agent_log(&self) -> PathBuf {
        self.dir.join("agent.log")
    }

    /// A program that exits at once.
    pub(super) fn noop(&self) -> PathBuf {
        self.dir.join("noop")
    }

    /// A program that waits for a signal.
    pub(super) fn pause(&self) -> PathBuf {
        self.dir.join("pause-until-signal")
    }
}

/// What the kubelet would serve.
fn pods(container_id: &str) -> serde_json::Value {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [{
        "metadata": {"name": "bench", "namespace": "bench", "uid": POD_UID},
        "spec": {"containers": [{"name": "worker", "image": "bench"}], "terminationGracePeriodSeconds": 30},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "worker", "containerID": format!("containerd://{container_id}"), "state": {"running": {}},
            "ready": true, "restartCount": 0, "image": "bench", "imageID": "",
        }]},
    }]})
}
