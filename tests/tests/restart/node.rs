//! A node with a place for the agent's state, and containers on it: real processes in real cgroups.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gracetrace_tests::agent::Piped;
use gracetrace_tests::clock::BootTime;
use gracetrace_tests::kubelet::pods_file::PodsFile;
use gracetrace_tests::node::slice::Slice;
use gracetrace_tests::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A node of a test's own.
pub(crate) struct Node {
    slice: Slice,
    dir: tempfile::TempDir,
    pods: PodsFile,
}

impl Node {
    /// Makes it; `name` need only be unique here.
    pub(crate) fn new(name: &str) -> Node {
        let dir = tempfile::tempdir().expect("a folder");
        let pods = PodsFile::create(&dir.path().join("pods.json")).expect("a pods file");
        let slice = Slice::new(&format!("restart-{name}"));
        // There before the agent: below it, the kernel side sees cgroups as they are made.
        slice.cgroup("kubepods");
        Node { slice, dir, pods }
    }

    /// Starts an agent that knows the node's pods.
    pub(crate) fn agent(&self) -> Piped {
        self.start(&["--pods", self.pods.path().to_str().expect("UTF-8")])
    }

    /// Starts one that knows only what it has on disk.
    pub(crate) fn agent_without_pods(&self) -> Piped {
        self.start(&[])
    }

    fn start(&self, arguments: &[&str]) -> Piped {
        let (state, record) = (self.state(), self.recording());
        let own = ["--state-dir", state.to_str().expect("UTF-8"), "--record", record.to_str().expect("UTF-8")];
        Piped::start(self.slice.path(), &[&own, arguments].concat())
    }

    /// The directory of the agent's state.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The file in it.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.state().join("state.jsonl")
    }

    /// The recording of the last agent.
    pub(crate) fn recording(&self) -> PathBuf {
        self.dir.path().join("run.gz")
    }

    /// Where the cgroup tree is watched.
    pub(crate) fn cgroup_root(&self) -> &Path {
        self.slice.path()
    }

    /// Waits until what is on disk has all of this in it.
    pub(crate) fn wait_for_state(&self, parts: &[&str]) {
        let file = self.state_file();
        wait::until(&format!("state with {parts:?}"), || {
            fs::read_to_string(&file).is_ok_and(|text| parts.iter().all(|part| text.contains(part)))
        });
    }

    /// Runs a container in a pod of its own. Its hook is `sleep` for so many seconds.
    pub(crate) fn run(&self, number: u32, hook: Option<&str>) -> Container<'_> {
        let uid = format!("5e57a47e-0000-4000-8000-{number:012}");
        let id = format!("{number:064}");
        let cgroup = self.slice.cgroup(&format!("kubepods/pod{uid}/{id}"));
        let mut container = Container { node: self, uid, id, cgroup, hook: hook.map(str::to_owned), init: None };
        container.tell(false);
        let mut init = container.enter(&["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"]);
        let mut line = String::new();
        BufReader::new(init.stdout.take().expect("it is piped")).read_line(&mut line).expect("the init speaks");
        container.init = Some(init);
        container
    }
}

/// A container. What runs in it ends with the node's slice.
pub(crate) struct Container<'a> {
    node: &'a Node,
    pub(crate) uid: String,
    id: String,
    cgroup: PathBuf,
    hook: Option<String>,
    init: Option<Child>,
}

impl Container<'_> {
    /// The pod's deletion is asked for.
    pub(crate) fn delete(&self) {
        self.tell(true);
    }

    /// The kubelet's hook.
    pub(crate) fn start_hook(&self) -> Child {
        self.enter(&["sleep", self.hook.as_deref().expect("it has a hook")])
    }

    /// The stop signal.
    pub(crate) fn stop(&self) -> BootTime {
        let at = BootTime::now();
        let init = self.init.as_ref().expect("it runs");
        let pid = i32::try_from(init.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, Signal::TERM).expect("it runs");
        at
    }

    /// Nothing in it goes on. Signals are sent and wait.
    pub(crate) fn freeze(&self) {
        fs::write(self.cgroup.join("cgroup.freeze"), "1").expect("it can be frozen");
        let events = self.cgroup.join("cgroup.events");
        wait::until("all is frozen", || fs::read_to_string(&events).is_ok_and(|text| text.contains("frozen 1")));
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        fs::write(self.cgroup.join("cgroup.freeze"), "0").expect("it can be thawed");
    }

    /// Stops it, waits for its end and takes its cgroup away, as the runtime does.
    pub(crate) fn end(&mut self) {
        self.stop();
        self.gone();
    }

    /// Waits for the end of what runs in it, and takes its cgroup away.
    pub(crate) fn gone(&mut self) {
        let mut init = self.init.take().expect("it runs");
        assert!(init.wait().expect("it ends").success());
        assert!(wait::quietly(|| fs::remove_dir(&self.cgroup).is_ok()), "the container's cgroup can be removed");
        let _ = fs::remove_dir(self.cgroup.parent().expect("the pod's"));
    }

    /// Starts a program that is in the cgroup before it runs, with its parent outside.
    fn enter(&self, command: &[&str]) -> Child {
        let procs = self.cgroup.join("cgroup.procs");
        let mut program = Command::new(command[0]);
        program.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        // SAFETY: between fork and exec it only opens and writes a file, which is safe in a process with other threads.
        unsafe { program.pre_exec(move || fs::File::options().write(true).open(&procs)?.write_all(b"0")) };
        program.spawn().expect("it starts")
    }

    /// What the pods file says of it.
    fn tell(&self, deleted: bool) {
        let mut metadata = json!({"name": self.name(), "namespace": "default", "uid": self.uid});
        if deleted {
            let grace = 30;
            let at = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + grace).expect("a time");
            metadata["deletionTimestamp"] = at.to_string().into();
            metadata["deletionGracePeriodSeconds"] = grace.into();
        }
        let mut container = json!({"name": "app", "image": "registry.example/app:1"});
        if let Some(hook) = &self.hook {
            container["lifecycle"] = json!({"preStop": {"exec": {"command": ["sleep", hook]}}});
        }
        let status = json!({"name": "app", "containerID": format!("containerd://{}", self.id)});
        let pod = json!({
            "metadata": metadata,
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 30},
            "status": {"phase": "Running", "containerStatuses": [status]},
        });
        self.node.pods.put_json(&self.uid, pod).expect("the pods file can be written");
    }

    /// The pod's name.
    pub(crate) fn name(&self) -> String {
        format!("pod-{}", self.id.trim_start_matches('0'))
    }

    /// Waits until the agent shows its termination, as `check` wants it.
    pub(crate) fn seen(&self, agent: &Piped, check: impl Fn(&Value) -> bool) -> Value {
        wait::value(&format!("a termination of {}", self.uid), || {
            let answer = agent.get("/api/v1/terminations");
            let list: Vec<Value> = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
            list.into_iter().find(|it| it["uid"] == *self.uid && check(it))
        })
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.cgroup.join("cgroup.freeze"), "0");
        if let Some(init) = &mut self.init {
            let _ = init.kill();
            let _ = init.wait();
        }
    }
}
