//! The node: a slice of the cgroup tree, a network of its own, and a promise that both go away.

pub mod cgroup;
pub mod slice;
pub mod guard;
pub mod network;
pub mod clients;

use std::future::Future;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io};

use anyhow::{Context, Result, bail};

use crate::parts::{Helper, Report};
use guard::Guard;

/// Names under which the demo's binary is executed. A process's `comm` is the name it was executed by, and the agent
/// knows a sandbox by `pause`.
const PROGRAMS: [&str; 9] =
    ["containerd-shim", "runc", "pause", "app", "clients", "upstream", "kubelet", "bridge", "guard"];

/// A node. Everything made on it is gone once it is dropped, and also when this process is killed.
pub struct Node {
    name: String,
    slice: PathBuf,
    dir: PathBuf,
    // Held for as long as the network is needed.
    _bridge: Helper,
    bridge_pid: u32,
    addresses: AtomicU32,
    controllers: &'static [&'static str],
    // The last field: it must outlive the bridge, which is ended by it.
    _guard: Guard,
}

impl Node {
    /// Makes the slice, the working directory and the bridge. This very program plays the node's parts.
    pub async fn start() -> Result<Node> {
        Node::start_with(&env::current_exe().context("cannot find the demo's own program")?).await
    }

    /// The same with the demo's program to play them.
    pub async fn start_with(program: &Path) -> Result<Node> {
        if !rustix::process::geteuid().is_root() {
            bail!("needs root: pods are real cgroups and namespaces");
        }
        let root = cgroup::unified_root()?;
        let tag: String = std::iter::repeat_with(fastrand::lowercase).take(6).collect();
        let name = format!("gracetrace-demo-{}-{tag}", std::process::id());
        let slice = root.join(format!("{name}.slice"));
        let dir = env::temp_dir().join(&name);

        // The guard comes first: from here on nothing is left behind.
        let bin = dir.join("bin");
        let guard = Guard::start(program, &slice, &dir)?;
        fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
        for name in PROGRAMS {
            symlink(program, bin.join(name)).with_context(|| format!("cannot link {name} in {}", bin.display()))?;
        }
        for part in ["runtime", "clients", "kubelet", "agent", "kubepods/burstable", "kubepods/besteffort"] {
            let path = slice.join(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        }

        let mut command = tokio::process::Command::new(bin.join("bridge"));
        command.args(["play", "bridge", "--cgroup"]).arg(slice.join("clients"));
        let mut bridge = Helper::start(command, "bridge")?;
        let bridge_pid = bridge.expect(|report| match report {
            Report::Running { pid } => Some(pid),
            _ => None,
        });
        let bridge_pid = bridge_pid.await.context("cannot make the network of the demo")?;
        Ok(Node {
            name,
            slice,
            dir,
            _bridge: bridge,
            bridge_pid,
            addresses: AtomicU32::new(0),
            controllers: &[],
            _guard: guard,
        })
    }

    /// Gives the pods cgroup controllers, such as `memory`. The hierarchy must have them: a kernel has each either there
    /// or in a v1 hierarchy.
    pub fn enable_controllers(&mut self, controllers: &'static [&'static str]) -> Result<()> {
        self.controllers = controllers;
        for part in ["", "kubepods", "kubepods/burstable", "kubepods/besteffort"] {
            self.delegate(&self.slice.join(part))?;
        }
        Ok(())
    }

    /// Lets the cgroups below one have the controllers that pods have here.
    pub fn delegate(&self, cgroup: &Path) -> Result<()> {
        if self.controllers.is_empty() { Ok(()) } else { cgroup::delegate(cgroup, self.controllers) }
    }

    /// Unique on this machine; part of the name of everything it makes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its part of the cgroup tree.
    pub fn slice(&self) -> &Path {
        &self.slice
    }

    /// Where the container runtime's processes live.
    pub fn runtime_cgroup(&self) -> PathBuf {
        self.slice.join("runtime")
    }

    /// Where clients live: on the node, outside all pods.
    pub fn clients_cgroup(&self) -> PathBuf {
        self.slice.join("clients")
    }

    /// Where the kubelet's own process lives.
    pub fn kubelet_cgroup(&self) -> PathBuf {
        self.slice.join("kubelet")
    }

    /// For files; removed at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The demo's own program by another name.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    /// A command that plays a part under a name.
    pub fn command(&self, name: &str, part: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.program(name));
        command.args(["play", part]);
        command
    }

    /// The process that holds the network namespace of the bridge.
    pub fn bridge_pid(&self) -> u32 {
        self.bridge_pid
    }

    /// The next free address of the pod network. They begin again after 60,000 pods.
    pub fn next_address(&self) -> (u32, Ipv4Addr) {
        let number = self.addresses.fetch_add(1, Ordering::Relaxed);
        let [high, low] = [number / 250 % 240 + 1, number % 250 + 1].map(|part| u8::try_from(part).unwrap_or(1));
        (number, Ipv4Addr::new(10, 88, high, low))
    }
}

/// Plays a part on the node's side of the bridge, in a cgroup of the node.
pub(crate) fn play_outside(cgroup: &Path, bridge_pid: u32, part: impl Future<Output = Result<()>>) -> Result<()> {
    enter(cgroup)?;
    network::enter_network_of(bridge_pid)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(part);
    // Standard input is read by a thread that may still wait for it.
    runtime.shutdown_background();
    result
}

/// Moves the calling process into a cgroup.
pub(crate) fn enter(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}
