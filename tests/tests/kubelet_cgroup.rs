//! How the agent finds the kubelet's cgroup, and stays on it. Each test has a pid namespace of its own, so that no other
//! kubelet is in sight, and needs root.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use gracetrace::identity::cgroupfs::CgroupRoot;
use gracetrace_tests::agent::built;
use gracetrace_tests::wait;
use tempfile::TempDir;

const POD: &str = "kubepods/pod8c577ce9-7ba8-49d7-bb86-02e0dd29498b";
/// Longer than the agent takes to look again.
const PATIENCE: Duration = Duration::from_secs(40);

/// A cgroup of this test's own and an agent that looks around from inside of it. All is gone when dropped.
struct Place {
    slice: PathBuf,
    folder: TempDir,
    /// The first process of the namespace: with it go all others.
    shell: Option<Child>,
    log: Option<Receiver<String>>,
}

impl Place {
    fn new(name: &str) -> Place {
        let root = CgroupRoot::find(None).expect("a cgroup v2 hierarchy");
        let slice = root.dir().join(format!("gracetrace-{name}-{}.slice", std::process::id()));
        fs::create_dir(&slice).expect("root may make cgroups");
        let folder = tempfile::tempdir().expect("a folder");
        symlink("/bin/sleep", folder.path().join("kubelet")).expect("a link");
        symlink("/bin/sleep", folder.path().join("k3s-server")).expect("a link");
        Place { slice, folder, shell: None, log: None }
    }

    fn cgroup(&self, path: &str) -> PathBuf {
        let dir = self.slice.join(path);
        fs::create_dir_all(&dir).expect("a cgroup");
        dir
    }

    /// Shell that starts a process of that name in a cgroup, and waits until it has it.
    fn process(&self, name: &str, cgroup: &Path) -> String {
        let program = self.folder.path().join(name);
        let start = format!("sh -c 'echo 0 > {}/cgroup.procs; exec {} 1000' &\n", cgroup.display(), program.display());
        start + &format!("until grep -qx {name} /proc/$!/comm; do :; done\n")
    }

    /// Runs the script, and then the agent, in namespaces of their own.
    fn start(&mut self, namespaces: &[&str], script: &str, arguments: &[&str]) {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).args(namespaces).args(["sh", "-c"]);
        command.arg(format!("{script}\n\"$0\" \"$@\" & wait $!")).arg(built());
        command.args(["run", "--listen", "127.0.0.1:0", "--cgroup-root"]).arg(&self.slice).args(arguments);
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut shell = command.spawn().expect("unshare starts");
        let log = BufReader::new(shell.stderr.take().expect("it is piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            log.lines().map_while(Result::ok).take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        (self.shell, self.log) = (Some(shell), Some(lines));
    }

    /// What the agent says next of httpGet hooks.
    fn says(&self) -> String {
        let log = self.log.as_ref().expect("it was started");
        let mut said = Vec::new();
        loop {
            match log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains("httpGet hooks") => return line,
                Ok(line) => said.push(line),
                Err(error) => panic!("{error}; it only said {said:#?}"),
            }
        }
    }

    fn assert_says(&self, level: &str, parts: &[&str]) {
        let said = self.says();
        for part in [&[level], parts].concat() {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }

    fn assert_sees(&self, dir: &Path) {
        self.assert_says(" INFO ", &[&format!("seen on the kubelet's cgroup {}", dir.display())]);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(shell) = &mut self.shell {
            let _ = shell.kill();
            let _ = shell.wait();
        }
        wait::quietly(|| remove(&self.slice));
    }
}

/// Whether the cgroup and all below it are gone now. Processes that are being killed keep theirs a while.
fn remove(dir: &Path) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    fs::remove_dir(dir).is_ok() || !dir.exists()
}

#[test]
fn by_its_process() {
    let mut place = Place::new("process");
    let (kubelet, other) = (place.cgroup("kubelet.service"), place.cgroup("k3s.service"));
    let script = place.process("kubelet", &kubelet) + &place.process("k3s-server", &other);
    place.start(&[], &script, &[]);
    place.assert_sees(&kubelet);
}

#[test]
fn inside_another_program() {
    let mut place = Place::new("inside");
    let cgroup = place.cgroup("k3s.service");
    let script = place.process("k3s-server", &cgroup);
    place.start(&[], &script, &[]);
    place.assert_sees(&cgroup);
}

#[test]
fn from_a_cgroup_namespace() {
    let mut place = Place::new("namespace");
    let (kubelet, agent) = (place.cgroup("system.slice/kubelet.service"), place.cgroup("pod/agent"));
    let script = format!(
        "{}echo 0 > {}/cgroup.procs; exec unshare --cgroup sh -c 'cat /proc/self/cgroup >&2; \"$0\" \"$@\" & wait $!' \"$0\" \"$@\"",
        place.process("kubelet", &kubelet),
        agent.display()
    );
    place.start(&[], &script, &[]);
    place.assert_sees(&kubelet);
}

#[test]
fn not_in_the_root_with_pods_or_in_a_pod() {
    let mut place = Place::new("root");
    let root = CgroupRoot::find(None).expect("a cgroup v2 hierarchy");
    let script = place.process("kubelet", root.dir());
    place.start(&[], &script, &[]);
    place.assert_says(" WARN ", &["inferred", "is in the root cgroup", "--kubelet-cgroup"]);

    let mut place = Place::new("pods");
    place.cgroup("all/kubepods");
    let script = place.process("kubelet", &place.cgroup("all"));
    place.start(&[], &script, &[]);
    place.assert_says(" WARN ", &["inferred", "/all has the pods in it", "--kubelet-cgroup"]);

    let mut place = Place::new("pod");
    let container = place.cgroup(&format!("{POD}/{}", "a".repeat(64)));
    let script = place.process("kubelet", &container);
    place.start(&[], &script, &[]);
    place.assert_says(" INFO ", &["inferred", "no process named kubelet"]);
}

#[test]
fn it_comes_later_and_comes_again() {
    let mut place = Place::new("again");
    place.start(&[], "", &[]);
    place.assert_says(" INFO ", &["inferred", "no process named kubelet", "--kubelet-cgroup"]);
    let pid = place.shell.as_ref().expect("it was started").id();
    for _ in 0..2 {
        let kubelet = place.cgroup("kubelet.service");
        // Into the pid namespace of the agent, but not out of this process's care.
        let program = place.folder.path().join("kubelet");
        let mut process = Command::new("nsenter")
            .args([&format!("--pid=/proc/{pid}/ns/pid_for_children"), "--", "sh", "-c"])
            .arg(format!("echo 0 > {}/cgroup.procs; exec {} 1000", kubelet.display(), program.display()))
            .stdin(Stdio::null())
            .spawn()
            .expect("nsenter starts");
        place.assert_sees(&kubelet);
        let procs = fs::read_to_string(kubelet.join("cgroup.procs")).expect("its processes");
        let inside = procs.lines().next().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(inside.expect("one"), rustix::process::Signal::KILL).expect("it runs");
        process.wait().expect("it ends");
        wait::until("its cgroup is gone", || remove(&kubelet));
        place.assert_says(" INFO ", &["inferred", "no process named kubelet"]);
    }
}

#[test]
fn the_one_that_was_named() {
    let mut place = Place::new("named");
    let dir = place.slice.join("node-agent");
    let script = place.process("kubelet", &place.cgroup("kubelet.service"));
    place.start(&[], &script, &["--kubelet-cgroup", &dir.display().to_string()]);
    place.assert_says(
        " WARN ",
        &["inferred", &format!("cannot use {} as the kubelet's cgroup: No such file", dir.display())],
    );
    fs::create_dir(&dir).expect("a cgroup");
    place.assert_sees(&dir);
}

#[test]
fn what_is_no_cgroup_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(built())
        .args(["run", "--listen", "127.0.0.1:0", "--kubelet-cgroup"])
        .arg(folder.path())
        .output()
        .expect("the agent starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("as the kubelet's cgroup: it is not a cgroup v2 directory"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
