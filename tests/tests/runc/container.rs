//! One container of one pod, and what containerd and its shim do with runc.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gracetrace_tests::clock::BootTime;
use gracetrace_tests::wait;
use jiff::{SignedDuration, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, waitpid};
use serde_json::json;

use super::bundle;
use super::node::Node;

/// An init that leaves when it is told to.
pub(crate) const HANDLES: &[&str] = &["sh", "-c", "trap 'exit 3' TERM; touch /ready; while :; do sleep 0.05; done"];
/// An init without a handler.
pub(crate) const IGNORES: &[&str] = &["sh", "-c", "touch /ready; exec sleep 1000"];
/// Their grace period.
const GRACE_SECONDS: i64 = 2;
/// How long anything may take that is to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What shall run.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) init: &'static [&'static str],
    pub(crate) hook: Option<&'static [&'static str]>,
    /// Without a pid namespace of its own.
    pub(crate) host_pids: bool,
}

/// Killed, reaped and deleted when dropped.
pub(crate) struct Container<'a> {
    node: &'a Node,
    id: String,
    uid: String,
    hook: Option<&'static [&'static str]>,
    /// `None` if it was not created.
    init: Option<Pid>,
    /// Until it is reaped.
    running_hook: Cell<Option<Pid>>,
}

/// A call of runc.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) from: BootTime,
    pub(crate) to: BootTime,
    /// Its exit code, which is that of the command for an exec that is waited for.
    pub(crate) code: Option<i32>,
}

/// The end of a process, as its parent saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) at: BootTime,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
}

impl<'a> Container<'a> {
    /// `runc create`: its first process is `runc init`, which waits.
    pub(crate) fn create(node: &'a Node, plan: Plan) -> Container<'a> {
        let (container, created) = Container::try_create(node, plan);
        assert_eq!(created.code, Some(0), "runc create: {}", container.said());
        container
    }

    /// `runc create`, which may fail, as it does when there is no such program.
    pub(crate) fn try_create(node: &'a Node, plan: Plan) -> (Container<'a>, Call) {
        become_subreaper();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let uid = format!("4c5d0e00-0000-4000-8000-{number:012x}");
        let id = format!("{number:0>64x}");
        let bundle = node.dir.path().join(&id);
        bundle::make(&bundle, &format!("/kubepods/besteffort/pod{uid}/{id}"), plan.init, plan.host_pids);
        let mut container = Container { node, id, uid, hook: plan.hook, init: None, running_hook: Cell::new(None) };
        container.tell_kubelet(None);
        let pid_file = container.path_text("pid");
        let created = container.runc(&["create", "--bundle", &container.path_text("."), "--pid-file", &pid_file], &[]);
        container.init = (created.code == Some(0)).then(|| read_pid(&pid_file));
        (container, created)
    }

    /// `runc start`, until the init has done what it does at first.
    pub(crate) fn start(&self) {
        let started = self.runc(&["start"], &[]);
        assert_eq!(started.code, Some(0), "runc start: {}", self.said());
        self.wait_for_file("ready");
    }

    /// Waits until something in the container has made a file at its root.
    pub(crate) fn wait_for_file(&self, name: &str) {
        let file = self.path("rootfs").join(name);
        wait::until(name, || file.exists());
    }

    /// Somebody deletes the pod.
    pub(crate) fn delete_pod(&self) {
        self.tell_kubelet(Some(Timestamp::now()));
    }

    /// `runc exec` as somebody who waits for it, with the exit code of the command.
    pub(crate) fn exec(&self, command: &[&str]) -> Call {
        self.runc(&["exec"], command)
    }

    /// The preStop hook, as containerd does ExecSync: detached, its parent the shim.
    pub(crate) fn start_hook(&self) -> Call {
        let (process, pid_file) = (self.path_text("process.json"), self.path_text("hook-pid"));
        let spec = bundle::process(self.hook.expect("a hook")).to_string();
        fs::write(&process, spec).expect("files can be written");
        let call = self.runc(&["exec", "--detach", "--process", &process, "--pid-file", &pid_file], &[]);
        self.running_hook.set((call.code == Some(0)).then(|| read_pid(&pid_file)));
        call
    }

    /// The end of the hook; `None` if it could not be started.
    pub(crate) fn wait_for_hook(&self) -> Option<Ended> {
        let hook = self.running_hook.take()?;
        Some(reap(hook, PATIENCE).expect("the hook ends"))
    }

    /// `runc kill`.
    pub(crate) fn kill(&self, signal: &str) -> Call {
        let call = self.runc(&["kill"], &[signal]);
        assert_eq!(call.code, Some(0), "runc kill: {}", self.said());
        call
    }

    /// The end of the init, if it comes within its grace period.
    pub(crate) fn wait_for_grace(&self) -> Option<Ended> {
        reap(self.init?, Duration::from_secs(GRACE_SECONDS.unsigned_abs()))
    }

    /// The end of the init.
    pub(crate) fn wait(&self) -> Ended {
        self.init.and_then(|init| reap(init, PATIENCE)).expect("the init ends")
    }

    /// `runc delete`.
    pub(crate) fn delete(self) {
        let deleted = self.runc(&["delete"], &[]);
        assert_eq!(deleted.code, Some(0), "runc delete: {}", self.said());
    }

    pub(crate) fn uid(&self) -> String {
        self.uid.clone()
    }

    /// Runs it to its end.
    fn runc(&self, arguments: &[&str], rest: &[&str]) -> Call {
        let (command, options) = arguments.split_first().expect("a command");
        let log = fs::File::options().create(true).append(true).open(self.path("log")).expect("a log can be written");
        let mut runc = self.node.runc();
        runc.arg(command).args(options).arg(&self.id).args(rest).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let from = BootTime::now();
        let status = runc.status().expect("unshare is there");
        Call { from, to: BootTime::now(), code: status.code() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.node.dir.path().join(&self.id).join(name)
    }

    fn path_text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path of letters").to_owned()
    }

    /// What runc had to say.
    fn said(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// What the kubelet serves about the pod.
    fn tell_kubelet(&self, deleted: Option<Timestamp>) {
        let mut metadata = json!({"name": format!("pod-{}", self.uid), "namespace": "test", "uid": self.uid});
        if let Some(at) = deleted {
            let until = at.checked_add(SignedDuration::from_secs(GRACE_SECONDS)).expect("it is not the end of time");
            let until = Timestamp::from_second(until.as_second()).expect("it is a time");
            metadata["deletionTimestamp"] = until.to_string().into();
            metadata["deletionGracePeriodSeconds"] = GRACE_SECONDS.into();
        }
        let mut app = json!({"name": "app", "image": "test"});
        if let Some(command) = self.hook {
            app["lifecycle"] = json!({"preStop": {"exec": {"command": command}}});
        }
        let status = json!({"name": "app", "containerID": format!("containerd://{}", self.id), "image": "test"});
        let pod = json!({
            "metadata": metadata,
            "spec": {"containers": [app], "terminationGracePeriodSeconds": GRACE_SECONDS},
            "status": {"phase": "Running", "qosClass": "BestEffort", "containerStatuses": [status]},
        });
        self.node.pods.put_json(&self.uid, pod).expect("the file of pods can be written");
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.runc(&["delete", "--force"], &[]);
        // The init of a pid namespace is not gone before all others are: zap_pid_ns_processes(), kernel/pid_namespace.c.
        if let Some(hook) = self.running_hook.take() {
            let _ = reap(hook, PATIENCE);
        }
        if let Some(init) = self.init {
            // Reaped already, if the test came that far.
            let _ = reap(init, PATIENCE);
        }
    }
}

/// Of all containers of this program.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// What runc leaves behind becomes a child of this process, as it would of the shim.
fn become_subreaper() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: takes no pointers.
        let done = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        assert_eq!(done, 0, "a process may become a subreaper");
    });
}

fn read_pid(file: &str) -> Pid {
    let text = fs::read_to_string(file).expect("runc has written it");
    text.trim().parse().ok().and_then(Pid::from_raw).expect("a process id")
}

/// Waits for the end of a child; `None` when it does not come in time, or was taken before.
fn reap(pid: Pid, within: Duration) -> Option<Ended> {
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let timeout = Timespec { tv_sec: within.as_secs().try_into().ok()?, tv_nsec: within.subsec_nanos().into() };
    let ended = || poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout));
    if rustix::io::retry_on_intr(ended).ok()? == 0 {
        return None;
    }
    let at = BootTime::now();
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).ok()??;
    Some(Ended { at, code: status.exit_status(), signal: status.terminating_signal() })
}

/// The number of SIGKILL, as the status of a process has it.
pub(crate) const SIGKILL: i32 = Signal::KILL.as_raw();
