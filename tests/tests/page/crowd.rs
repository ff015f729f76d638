//! An agent and pods that a test makes up: as many as it likes, and called whatever it likes. Their processes are real.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gracetrace_tests::agent::Piped;
use gracetrace_tests::node::slice::Slice;
use gracetrace_tests::wait;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

/// An agent that watches a slice of its own.
pub(crate) struct Crowd {
    pub(crate) agent: Piped,
    _files: tempfile::TempDir,
    slice: Slice,
    hooks: Vec<Vec<String>>,
    made: u32,
}

/// So many pods run at a time.
const BATCH: usize = 100;

/// What a pod is called.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) container: &'a str,
    pub(crate) workload: &'a str,
    /// What its preStop hook runs, if it has one.
    pub(crate) hook: &'a [&'a str],
}

impl Crowd {
    /// Starts one that knows these pods by name. Others can come, too.
    pub(crate) fn start(name: &str, pods: &[Names<'_>]) -> Crowd {
        let slice = Slice::new(name);
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("pods.json");
        let items: Vec<Value> = (0..).zip(pods).map(|(number, names)| pod(number, *names)).collect();
        fs::write(&file, json!({ "kind": "PodList", "apiVersion": "v1", "items": items }).to_string()).unwrap();
        let agent = Piped::start(slice.path(), &["--pods", file.to_str().unwrap()]);
        let words = |names: &Names<'_>| names.hook.iter().map(|&word| word.to_owned()).collect();
        Crowd { agent, _files: files, slice, hooks: pods.iter().map(words).collect(), made: 0 }
    }

    /// Has so many more pods begin and end: those with names first. Gives what the agent tells of them.
    pub(crate) fn terminate(&mut self, count: u32) -> Vec<Value> {
        (0..count).step_by(BATCH).flat_map(|done| self.terminate_batch((count - done).min(BATCH as u32))).collect()
    }

    fn terminate_batch(&mut self, count: u32) -> Vec<Value> {
        let pods: Vec<Pod> = (self.made..self.made + count).map(|number| self.run(number)).collect();
        self.made += count;
        // A container of a real pod lives for longer than the agent takes to see that it is there.
        wait::until("the agent watches all of them", || {
            let known = super::demo::list(self.agent.address(), "/api/v1/pods?limit=1000");
            let watched = |pod: &Pod| {
                let known = known.iter().find(|known| known["uid"] == pod.uid.as_str());
                known.is_some_and(|known| known["containers"][0]["cgroup"].is_u64())
            };
            pods.iter().all(watched)
        });
        for pod in &pods {
            if let Some(mut hook) = pod.start_hook() {
                hook.wait().unwrap();
            }
        }
        pods.into_iter().for_each(Pod::end);
        (0..count).map(|_| self.agent.termination()).collect()
    }

    fn run(&self, number: u32) -> Pod {
        let cgroup = self.slice.cgroup(&format!("kubepods/pod{}/{}", uid(number), id(number)));
        let hook = self.hooks.get(usize::try_from(number).unwrap()).cloned().unwrap_or_default();
        Pod { uid: uid(number), init: run_in(&cgroup, &["sleep", "1000"]), hook, cgroup }
    }
}

/// A pod with one container.
struct Pod {
    uid: String,
    init: Child,
    hook: Vec<String>,
    cgroup: PathBuf,
}

impl Pod {
    fn start_hook(&self) -> Option<Child> {
        (!self.hook.is_empty()).then(|| run_in(&self.cgroup, &self.hook))
    }

    fn end(mut self) {
        kill_process(rustix::process::Pid::from_child(&self.init), Signal::TERM).unwrap();
        self.init.wait().unwrap();
        fs::remove_dir(&self.cgroup).unwrap();
        fs::remove_dir(self.cgroup.parent().unwrap()).unwrap();
    }
}

fn uid(number: u32) -> String {
    format!("c0ffee00-0000-4000-8000-{number:012}")
}

fn id(number: u32) -> String {
    format!("{number:064x}")
}

/// As the kubelet serves it.
fn pod(number: u32, names: Names<'_>) -> Value {
    let mut container = json!({"name": names.container, "image": names.container});
    if !names.hook.is_empty() {
        container["lifecycle"] = json!({"preStop": {"exec": {"command": names.hook}}});
    }
    json!({
        "metadata": {
            "name": names.pod, "namespace": names.namespace, "uid": uid(number),
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": names.workload,
                "uid": "00000000-0000-4000-8000-000000000000", "controller": true,
            }],
        },
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": 30, "nodeName": names.workload,
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [{
                "name": names.container, "containerID": format!("containerd://{}", id(number)), "image": names.container,
                "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-20T22:59:46Z"}},
            }],
        },
    })
}

/// Starts a program that is in the cgroup before it runs, with its parent outside. It runs when this returns.
fn run_in(cgroup: &Path, command: &[impl AsRef<OsStr>]) -> Child {
    let procs = cgroup.join("cgroup.procs");
    let mut program = Command::new(&command[0]);
    program.args(&command[1..]).stdin(Stdio::null());
    // SAFETY: between fork and exec it only opens and writes a file, which is safe in a process with other threads.
    unsafe {
        program.pre_exec(move || {
            fs::File::options().write(true).open(&procs).and_then(|mut file| std::io::Write::write_all(&mut file, b"0"))
        })
    };
    program.spawn().unwrap()
}
