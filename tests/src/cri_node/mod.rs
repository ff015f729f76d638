//! A real node: containerd, runc and CNI plugins from the distribution's packages, in namespaces of its own, and a driver
//! that makes the calls of the CRI that the kubelet makes, as the kubelet makes them, with its own clock in its hand.
//!
//! Unlike [`node`](crate::node), [`runtime`](crate::runtime) and [`kubelet`](crate::kubelet), which play all parts by
//! themselves, nothing of the runtime is played here. Nodes know nothing of each other: each has its own cgroup, cgroup
//! namespace, mounts, network, daemon and files, and all of it is gone once it is dropped, or its owner has died.

pub mod pod;
pub mod daemon;
pub mod kubelet;
pub mod seen;
pub mod http_hook;
pub mod containerd;
pub mod runc;
pub mod images;
pub mod spaces;
pub mod packages;
mod client;
mod config;
mod termination;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use crate::node::cgroup;
use crate::node::guard::Guard;
use containerd::Containerd;
use kubelet::Kubelet;
use spaces::Spaces;

/// The programs of this workspace that take part.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// `gracetrace-node`: holds namespaces, enters them, calls runc, and sends HTTP hooks.
    pub node: &'static str,
    /// `gracetrace-demo`, which has the guard.
    pub guard: &'static str,
}

/// A node. Everything made on it is gone once it is dropped, and also when this process is killed.
pub struct CriNode {
    slice: PathBuf,
    dir: PathBuf,
    programs: Programs,
    // `None` while it is away.
    containerd: Mutex<Option<Containerd>>,
    spaces: Spaces,
    // The last field: what it clears away is in use until then.
    _guard: Guard,
}

/// Of all nodes of this program.
static NUMBER: AtomicU32 = AtomicU32::new(1);

impl CriNode {
    /// Makes it, with containerd running and images in it.
    pub fn start(programs: Programs) -> Result<CriNode> {
        let node = CriNode::without_runtime(programs)?;
        node.start_runtime()?;
        Ok(node)
    }

    /// Makes it with nothing running.
    pub fn without_runtime(programs: Programs) -> Result<CriNode> {
        ensure!(rustix::process::geteuid().is_root(), "needs root: containers are real");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gracetrace-node-{}-{number}", std::process::id());
        let slice = cgroup::unified_root()?.join(format!("{name}.slice"));
        let dir = std::env::temp_dir().join(name);
        // The guard comes first: from here on nothing is left behind.
        let guard = Guard::start(Path::new(programs.guard), &slice, &dir)?;
        for below in ["runtime", "kubelet", "agent", "kubepods/burstable", "kubepods/besteffort"] {
            let path = slice.join(below);
            fs::create_dir_all(&path).with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        }
        for below in ["bin", "cni", "logs"] {
            let path = dir.join(below);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        for name in ["runc", "kubelet"] {
            symlink(programs.node, dir.join("bin").join(name)).with_context(|| format!("cannot link {name}"))?;
        }
        config::write(&dir)?;
        let spaces = Spaces::make(programs.node, &slice)?;
        Ok(CriNode { slice, dir, programs, containerd: Mutex::new(None), spaces, _guard: guard })
    }

    /// Starts containerd, which finds what it left when it ran before.
    pub fn start_runtime(&self) -> Result<()> {
        let daemon = Containerd::start(self)?;
        images::import(self)?;
        *self.runtime() = Some(daemon);
        Ok(())
    }

    /// Kills containerd. Its shims and the containers go on.
    pub fn kill_runtime(&self) -> Result<()> {
        self.runtime().take().context("containerd does not run")?.kill()
    }

    /// Has containerd stop in its tracks, as a runtime that hangs does: its socket takes calls and answers none.
    pub fn freeze_runtime(&self) -> Result<()> {
        self.runtime().as_ref().context("containerd does not run")?.freeze()
    }

    /// Has it go on.
    pub fn thaw_runtime(&self) -> Result<()> {
        self.runtime().as_ref().context("containerd does not run")?.thaw()
    }

    /// Sends a signal to a container's init with the real runc, as the shim does, without containerd.
    pub fn runc_kill(&self, container: &str, signal: &str) -> Result<()> {
        let root = "/run/containerd/runc/k8s.io";
        let mut command = self.enter("runtime", &packages::find("runc", "runc")?);
        command.args(["--root", root, "kill", container, signal]);
        let output = command.output().context("cannot run runc")?;
        ensure!(output.status.success(), "runc kill: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// A kubelet.
    pub fn kubelet(&self) -> Result<Kubelet<'_>> {
        Kubelet::new(self)
    }

    /// Its part of the cgroup tree, which is all of it for those on the node.
    pub fn slice(&self) -> &Path {
        &self.slice
    }

    /// The cgroup of the kubelet.
    pub fn kubelet_cgroup(&self) -> PathBuf {
        self.slice.join("kubelet")
    }

    /// The socket of the runtime.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("state/containerd.sock")
    }

    /// Where the node has a folder that manifests name by its usual path.
    pub fn host_path(&self, usual: &str) -> PathBuf {
        match usual {
            // Mounted there in the namespaces of the node.
            "/sys/fs/cgroup" => PathBuf::from(usual),
            // containerd's state, with its socket in it as packages have it.
            "/run/containerd" => self.dir.join("state"),
            other => self.dir.join("host").join(other.trim_start_matches('/')),
        }
    }

    /// Imports a tarball of images, and waits for the one of that name.
    pub fn import(&self, tarball: &Path, name: &str) -> Result<()> {
        images::import_file(self, tarball)?;
        images::wait_for(self, &[name])
    }

    /// Connects from the node's network, as the kubelet does for its probes.
    pub fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        self.spaces.connect(address)
    }

    /// For files; removed at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A program that is run on the node: in its namespaces, and in a cgroup of it.
    pub fn enter(&self, cgroup: &str, program: &Path) -> std::process::Command {
        self.spaces.enter(self.programs.node, &self.slice.join(cgroup), program)
    }

    /// The same in the network of the calling process, from which an agent can be asked.
    pub fn visit(&self, cgroup: &str, program: &Path) -> std::process::Command {
        self.spaces.visit(self.programs.node, &self.slice.join(cgroup), program)
    }

    /// The same in the namespaces of the calling process: all that it has of the node is that it ends with it.
    pub fn join(&self, cgroup: &str, program: &Path) -> std::process::Command {
        self.spaces.join(self.programs.node, &self.slice.join(cgroup), program)
    }

    fn runtime(&self) -> std::sync::MutexGuard<'_, Option<Containerd>> {
        self.containerd.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for CriNode {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of containerd's log:\n{}", containerd::last_lines(&self.dir));
        }
    }
}
