//! The node's namespaces: mounts, network and cgroups. The pid namespace is the host's, as on a node that is the host.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, stdin};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space, move_into_thread_name_spaces,
    unshare_unsafe,
};

use crate::node;

/// What the holder says when it has them.
const READY: &str = "ready";

/// Namespaces, for as long as this is there. They live on in the processes that are in them.
pub struct Spaces {
    holder: Child,
}

impl Spaces {
    /// Makes them; a cgroup becomes the root of the hierarchy in them.
    pub(super) fn make(program: &str, slice: &Path) -> Result<Spaces> {
        let mut command = Command::new(program);
        command.arg("hold").arg(slice).stdin(Stdio::piped()).stdout(Stdio::piped());
        let holder = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let mut spaces = Spaces { holder };
        let mut line = String::new();
        let output = spaces.holder.stdout.take().context("the holder of namespaces has no output")?;
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == READY, "namespaces cannot be made; why is above");
        Ok(spaces)
    }

    /// A command in them, in a cgroup that is named by its path on the host.
    pub(super) fn enter(&self, node: &str, cgroup: &Path, program: &Path) -> Command {
        self.command("enter", node, cgroup, program)
    }

    /// The same, but in the network of the calling process.
    pub(super) fn visit(&self, node: &str, cgroup: &Path, program: &Path) -> Command {
        self.command("visit", node, cgroup, program)
    }

    /// The same, but in nothing of them: in the cgroup alone.
    pub(super) fn join(&self, node: &str, cgroup: &Path, program: &Path) -> Command {
        self.command("join", node, cgroup, program)
    }

    /// A connection from their network.
    pub(super) fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        let network = File::open(format!("/proc/{}/ns/net", self.holder.id())).context("the holder is gone")?;
        let connect = || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter the node's network")?;
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))
        };
        // A thread of its own: it never comes back from there.
        let thread = thread::scope(|scope| scope.spawn(connect).join());
        thread.map_err(|_| anyhow!("connecting panicked"))?
    }

    fn command(&self, part: &str, node: &str, cgroup: &Path, program: &Path) -> Command {
        let mut command = Command::new(node);
        command.arg(part).arg(self.holder.id().to_string()).arg(cgroup).arg(program);
        command
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // It reports on standard error, which is ours.
        let _ = self.holder.wait();
    }
}

/// The holder: moves into a cgroup, makes the namespaces, and waits for the end of its input.
pub fn hold(slice: &Path) -> Result<()> {
    node::enter(slice).with_context(|| format!("cannot move to {}", slice.display()))?;
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWCGROUP;
    // SAFETY: none of these touches memory or file descriptors; only FILES and the like are delicate.
    unsafe { unshare_unsafe(flags) }.context("cannot make namespaces")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).context("cannot make / private")?;
    // sysfs shows the network of the one who mounts it. cgroup2 is one hierarchy for all; the namespace is its root here.
    for (kind, at) in [("sysfs", "/sys"), ("cgroup2", "/sys/fs/cgroup"), ("tmpfs", "/run")] {
        mount(kind, at, kind, MountFlags::empty(), None).with_context(|| format!("cannot mount {kind} on {at}"))?;
    }
    node::network::raise_loopback()?;
    // runc switches controllers on at the root of the hierarchy, which must have no processes then.
    let own = Path::new("/sys/fs/cgroup/holder");
    fs::create_dir(own).and_then(|()| node::enter(own)).context("cannot make a cgroup for the holder")?;
    println!("{READY}");
    std::io::copy(&mut stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Becomes a program in the namespaces of another process.
pub fn enter(arguments: &[String]) -> Result<()> {
    let all = ThreadNameSpaceType::MOUNT | ThreadNameSpaceType::CONTROL_GROUP | ThreadNameSpaceType::NETWORK;
    become_program(all, arguments)
}

/// The same without its network.
pub fn visit(arguments: &[String]) -> Result<()> {
    become_program(ThreadNameSpaceType::MOUNT | ThreadNameSpaceType::CONTROL_GROUP, arguments)
}

/// Becomes a program where it is, but for its cgroup, with which it ends.
pub fn join(arguments: &[String]) -> Result<()> {
    become_program(ThreadNameSpaceType::empty(), arguments)
}

fn become_program(spaces: ThreadNameSpaceType, arguments: &[String]) -> Result<()> {
    let [holder, cgroup, program, rest @ ..] = arguments else { bail!("usage: PID CGROUP PROGRAM ARGUMENTS…") };
    let cgroup = Path::new(cgroup);
    node::enter(cgroup).with_context(|| format!("cannot move to {}", cgroup.display()))?;
    if !spaces.is_empty() {
        let pid = holder.parse().ok().and_then(Pid::from_raw).context("no process id")?;
        let holder = pidfd_open(pid, PidfdFlags::empty()).context("the holder of the namespaces is gone")?;
        move_into_thread_name_spaces(holder.as_fd(), spaces).context("cannot enter the node's namespaces")?;
    }
    Err(Command::new(program).args(rest).exec()).with_context(|| format!("cannot execute {program}"))
}
