//! The agent in its container.

use std::fs;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use gracetrace_tests::{manifest, wait};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use super::bundle::{self, Change, Folders};
use crate::node::Node;

/// How long it may take to tell of a termination.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the manifest has it listen.
const PORT: u16 = 9464;

/// Killed and deleted when dropped.
pub(crate) struct Deployed<'a> {
    node: &'a Node,
    id: String,
    /// `runc run`, which lives as long as the container.
    runc: Child,
    lines: Receiver<String>,
    log: PathBuf,
}

impl<'a> Deployed<'a> {
    /// Starts it and waits until it is ready; or gives what it says when it does not start.
    pub(crate) fn start(node: &'a Node, overlay: &str, change: Change) -> Result<Deployed<'a>, String> {
        let id = format!("{:f>64}", node.dir.path().read_dir().expect("a folder").count());
        let bundle = node.dir.path().join(&id);
        fs::create_dir(&bundle).expect("a folder can be made");
        let folder = |name: &str| {
            let folder = node.dir.path().join(name);
            fs::create_dir_all(&folder).expect("a folder can be made");
            folder
        };
        let (state, runtime, token) = (folder("gracetrace-state"), folder("runtime"), folder("token"));
        manifest::write_token(&token).expect("files can be written");
        let folders: Folders<'_> = [
            ("/sys/fs/cgroup", "/sys/fs/cgroup".as_ref()),
            ("/var/lib/gracetrace", state.as_path()),
            // There is no runtime: its socket would be in here.
            ("/run/containerd", runtime.as_path()),
            ("/run/crio", runtime.as_path()),
            (manifest::TOKEN, token.as_path()),
        ]
        .into();
        let cgroup = format!("/kubepods/burstable/pod4c5d0e00-0000-4000-9000-000000000000/{id}");
        bundle::make(&bundle, overlay, &cgroup, &folders, change);
        let log = bundle.join("log");
        let mut runc = node.runc();
        runc.args(["run", "--pid-file"]).arg(bundle.join("pid")).arg("--bundle").arg(&bundle).arg(&id);
        runc.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).expect("a log can be made"));
        let mut runc = runc.spawn().expect("unshare is there");
        let output = runc.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines.map_while(Result::ok).take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let mut agent = Deployed { node, id, runc, lines, log };
        let ended = wait::value("the agent is ready, or ends", || {
            if agent.runc.try_wait().expect("a child").is_some() {
                return Some(true);
            }
            agent.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")).then_some(false)
        });
        if ended { Err(agent.says()) } else { Ok(agent) }
    }

    /// The whole answer to a GET request, asked from inside its network namespace; none while nobody listens.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let network = File::open(format!("/proc/{}/ns/net", self.pid()?.as_raw_nonzero())).ok()?;
        let ask = || {
            // A thread of its own: it never comes back from there.
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), Some(LinkNameSpaceType::Network)).ok()?;
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).ok()?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        };
        thread::scope(|scope| scope.spawn(ask).join().expect("asking does not panic"))
    }

    /// The hooks of the kernel that it has no program at.
    pub(crate) fn missing_hooks(&self) -> Vec<String> {
        let metrics = self.get("/metrics").expect("it answers");
        let hooks = metrics.lines().filter_map(|line| line.strip_prefix("gracetrace_hook_attached{hook=\""));
        let hooks: Vec<&str> = hooks.collect();
        assert!(!hooks.is_empty(), "{metrics}");
        hooks.iter().filter_map(|hook| Some(hook.strip_suffix("\"} 0")?.to_owned())).collect()
    }

    /// Waits until it has a program at every hook. Those at the kubelet come when that has been found.
    pub(crate) fn has_every_hook(&self) {
        let mut missing = Vec::new();
        let all = wait::quietly(|| {
            missing = self.missing_hooks();
            missing.is_empty()
        });
        assert!(all, "it has no {missing:?} and says\n{}", self.says());
    }

    /// The next termination that has ended.
    pub(crate) fn termination(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("it tells of no termination in time; it says:\n{}", self.says()));
        serde_json::from_str(&line).expect("a line is a JSON object")
    }

    /// Its process, as the host sees it; none before it is there.
    pub(crate) fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.node.dir.path().join(&self.id).join("pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Has it leave in peace.
    pub(crate) fn stop(mut self) {
        kill_process(self.pid().expect("it runs"), Signal::TERM).expect("it runs");
        assert!(self.runc.wait().expect("it ends").success(), "it says:\n{}", self.says());
    }

    /// What it has written to its log.
    pub(crate) fn says(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Deployed<'_> {
    fn drop(&mut self) {
        // After a peaceful end there is nothing left, and nothing is done.
        let mut delete = self.node.runc();
        delete.args(["delete", "--force", &self.id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = delete.status();
        let _ = self.runc.kill();
        let _ = self.runc.wait();
    }
}
