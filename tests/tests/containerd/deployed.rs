//! The agent as a pod of the node that it watches: from its image, made by the runtime as the kubelet asks for it after the
//! manifest of `deploy/overlays/containerd`, with the runtime's own seccomp profile.
//!
//! `--kubernetes` stays among its arguments, but nobody answers at the API server's address: all that it knows of pods it
//! has from the runtime.

use std::fs;
use std::io::{Read, Write};

use gracetrace_tests::cri_node::CriNode;
use gracetrace_tests::cri_node::daemon::DaemonPod;
use gracetrace_tests::cri_node::images;
use gracetrace_tests::cri_node::kubelet::Kubelet;
use gracetrace_tests::cri_node::pod::{ContainerPlan, Handler, PodPlan};
use gracetrace_tests::cri_node::seen::HookEnd;
use gracetrace_tests::{image, manifest, wait};
use serde_json::Value;

use super::report::Report;
use super::world::{self, Asked, HANDLES};

#[test]
fn exec_hooks_of_a_pod_with_a_sidecar() {
    let node = world::node();
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let mut agent = Deployed::start(&node, &kubelet);
    agent.has_what_the_manifest_gives();
    let hook = &["sh", "-c", "sleep 0.4"];
    let plan = PodPlan::new("watched", 10)
        .with(ContainerPlan::shell("proxy", HANDLES).sidecar().pre_stop_exec(hook))
        .with(ContainerPlan::shell("main", HANDLES).pre_stop_exec(hook));
    let pod = world::run(&kubelet, &agent, plan);
    let seen = kubelet.terminate(&pod, 10).expect("the pod can be terminated");
    let report = Report::new(agent.termination());
    // The root filesystems of others came along with the mount of the runtime's folder: that keeps nobody from removing them.
    kubelet.remove(&pod).expect("the pod can be removed");
    agent.stop();

    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    for name in ["proxy", "main"] {
        let container = report.container(seen.container(name));
        container.is("/hook/result", "success");
        container.is("/stop_signal/disposition", "handled");
        container.is("/exit/code", 3);
    }
    let time = |name: &str, path: &str| report.container(seen.container(name)).time(path);
    assert!(time("main", "/exit/at") < time("proxy", "/stop_signal/at"), "the sidecar was stopped too early");
    assert!(!report.has_finding("SIDECAR_EXITED_FIRST"));
}

/// It finds the kubelet's cgroup by itself, from a cgroup namespace of its own.
#[test]
fn an_http_hook() {
    let node = world::node();
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let mut agent = Deployed::start(&node, &kubelet);
    let hook = Handler::Http("/prestop?sleep=0.5".to_owned());
    let plan = PodPlan::new("server", 10).with(ContainerPlan::new("main", images::APP).pre_stop(hook));
    let pod = world::run(&kubelet, &agent, plan);
    let seen = kubelet.terminate(&pod, 10).expect("the pod can be terminated");
    let report = Report::new(agent.termination());
    agent.stop();

    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    let run = &seen.container("main").hooks[0];
    assert_eq!(run.end, HookEnd::Status(200));
    let main = report.container(seen.container("main"));
    main.is("/hook/handler", "http");
    main.is("/hook/http_status", 200);
    main.is("/hook/result", "success");
    main.is("/hook/inferred", false);
    main.is_between("/hook/start", run.call);
    main.is_between("/hook/end", run.call);
    main.is("/exit/code", libc::SIGTERM);
}

/// The agent in its pod, which is gone with the node.
struct Deployed<'a> {
    node: &'a CriNode,
    kubelet: &'a Kubelet<'a>,
    set: Value,
    pod: DaemonPod,
    /// Terminations that it has told of and that were looked at.
    told: usize,
}

impl<'a> Deployed<'a> {
    /// Starts it, and waits until it is ready and has a program at every hook of the kernel. Those at the kubelet come when
    /// that has been found.
    fn start(node: &'a CriNode, kubelet: &'a Kubelet<'a>) -> Deployed<'a> {
        let objects = manifest::build("overlays/containerd").expect("kubectl makes the manifest");
        let set = manifest::only(&objects, "DaemonSet").expect("a DaemonSet").clone();
        let container = manifest::container(&set).expect("a container");
        let image = container["image"].as_str().expect("an image");
        node.import(&image::built(), image).expect("the image can be imported");
        let ready = container["readinessProbe"]["httpGet"]["path"].as_str().expect("a probe").to_owned();
        let pod = kubelet.run_daemon(&set).expect("the pod can be made");
        let agent = Deployed { node, kubelet, set, pod, told: 0 };
        let mut last = String::new();
        let is_ready = wait::quietly(|| {
            last = agent.ask(&ready).unwrap_or_else(|error| format!("{error:#}"));
            last.starts_with("HTTP/1.1 200")
        });
        assert!(is_ready, "it is not ready: {last}\nIt says\n{}", agent.says());
        let mut missing = Vec::new();
        let all = wait::quietly(|| {
            missing = agent.missing_hooks();
            missing.is_empty()
        });
        assert!(all, "it has no {missing:?} and says\n{}", agent.says());
        agent
    }

    fn missing_hooks(&self) -> Vec<String> {
        let metrics = self.get("/metrics");
        let hooks = metrics.lines().filter_map(|line| line.strip_prefix("gracetrace_hook_attached{hook=\""));
        let hooks: Vec<&str> = hooks.collect();
        assert!(hooks.iter().any(|hook| hook.starts_with("cgroup_skb")), "{metrics}");
        hooks.iter().filter_map(|hook| Some(hook.strip_suffix("\"} 0")?.to_owned())).collect()
    }

    /// The kernel's word for it: no capability but the manifest's, no way to more, and a seccomp profile.
    fn has_what_the_manifest_gives(&self) {
        let procs = self.node.slice().join(self.pod.cgroup()).join("cgroup.procs");
        let pid = fs::read_to_string(procs).expect("its cgroup is there");
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("it has one process");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
        };
        let given = manifest::capabilities(manifest::container(&self.set).expect("a container"));
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let has = u64::from_str_radix(field(set), 16).expect("a number").count_ones();
            assert_eq!(has, u32::try_from(given.len()).expect("a few"), "{set} for {given:?}: {status}");
        }
        // proc_pid_status(5): SECCOMP_MODE_FILTER is 2.
        assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1", "2"), "{status}");
    }

    /// The next termination that has ended, as the runtime's log of it has it.
    fn termination(&mut self) -> Value {
        let mut line = None;
        wait::quietly(|| {
            line = self.pod.lines("stdout").get(self.told).cloned();
            line.is_some()
        });
        let line = line.unwrap_or_else(|| panic!("it tells of no termination in time; it says\n{}", self.says()));
        self.told += 1;
        serde_json::from_str(&line).expect("a line is a JSON object")
    }

    /// Has it leave in peace. Nothing may be left untold.
    fn stop(self) {
        let code = self.kubelet.stop_daemon(&self.pod).expect("it can be stopped");
        assert_eq!(code, 0, "it says\n{}", self.says());
        let more = &self.pod.lines("stdout")[self.told..];
        assert!(more.is_empty(), "more terminations than there were: {more:#?}");
    }

    fn ask(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = self.node.connect(self.pod.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn says(&self) -> String {
        self.pod.lines("stderr").join("\n")
    }
}

impl Asked for Deployed<'_> {
    fn get(&self, path: &str) -> String {
        self.ask(path).unwrap_or_else(|error| panic!("GET {path}: {error:#}\nIt says\n{}", self.says()))
    }
}
