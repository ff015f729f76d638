//! A node, a kubelet and an agent.

use gracetrace_tests::agent::{Piped, built};
use gracetrace_tests::clock::BootTime;
use gracetrace_tests::cri_node::kubelet::{Kubelet, RunningPod};
use gracetrace_tests::cri_node::pod::PodPlan;
use gracetrace_tests::cri_node::seen::PodSeen;
use gracetrace_tests::cri_node::{CriNode, Programs};
use gracetrace_tests::wait;

use super::report::Report;

const PROGRAMS: Programs =
    Programs { node: env!("CARGO_BIN_EXE_gracetrace-node"), guard: env!("CARGO_BIN_EXE_gracetrace-demo") };
/// An init that leaves when it is told to.
pub(crate) const HANDLES: &str = "trap 'exit 3' TERM; touch /ready; while :; do sleep 0.05; done";

/// A node with containerd.
pub(crate) fn node() -> CriNode {
    CriNode::start(PROGRAMS).expect("a node can be made")
}

/// A node where it has yet to be started.
pub(crate) fn node_without_runtime() -> CriNode {
    CriNode::without_runtime(PROGRAMS).expect("a node can be made")
}

/// An agent that knows the socket alone.
pub(crate) fn agent(node: &CriNode) -> Piped {
    agent_with(node, &[])
}

/// An agent that is told more.
pub(crate) fn agent_with(node: &CriNode, more: &[&str]) -> Piped {
    let mut command = node.join("agent", &built());
    command.args(["run", "--listen", "127.0.0.1:0", "--cgroup-root"]).arg(node.slice());
    command.arg("--cri").arg(node.socket()).args(more);
    Piped::spawn(command)
}

/// An agent, wherever it runs, that can be asked.
pub(crate) trait Asked {
    /// The whole answer to a GET request.
    fn get(&self, path: &str) -> String;
}

impl Asked for Piped {
    fn get(&self, path: &str) -> String {
        Piped::get(self, path)
    }
}

/// What happened to a pod, and what the agent says.
pub(crate) struct Told {
    pub(crate) pod: RunningPod,
    pub(crate) seen: PodSeen,
    pub(crate) report: Report,
}

/// Runs and terminates a pod with the grace period of its spec.
pub(crate) fn terminate(plan: PodPlan) -> Told {
    terminate_while(plan, |_, _| {})
}

/// The same, and does something once the termination has begun.
pub(crate) fn terminate_while(plan: PodPlan, during: impl FnOnce(&Kubelet<'_>, &RunningPod)) -> Told {
    let node = node();
    let mut agent = agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let pod = run(&kubelet, &agent, plan);
    let seen = terminate_pod_while(&kubelet, &pod, || during(&kubelet, &pod));
    let report = Report::new(agent.termination());
    kubelet.remove(&pod).expect("the pod can be removed");
    agent.stop();
    Told { pod, seen, report }
}

/// Terminates a pod that runs, and does something meanwhile.
pub(crate) fn terminate_pod_while(kubelet: &Kubelet<'_>, pod: &RunningPod, during: impl FnOnce()) -> PodSeen {
    std::thread::scope(|scope| {
        let termination = scope.spawn(|| kubelet.terminate(pod, pod.plan.grace));
        during();
        termination.join().expect("no panic").expect("the pod can be terminated")
    })
}

/// Runs a pod until its containers have started and the agent has looked at them.
pub(crate) fn run(kubelet: &Kubelet<'_>, agent: &impl Asked, plan: PodPlan) -> RunningPod {
    let pod = kubelet.create(plan).expect("the pod can be made");
    // From here on the runtime's list has all that is to be known.
    let since = BootTime::now();
    kubelet.start_containers(&pod).expect("its containers can be started");
    wait_until_known(agent, since);
    for container in &pod.containers {
        if container.plan.command.iter().any(|word| word.contains("touch /ready")) {
            wait::until("the container is ready", || {
                kubelet.probe(container, &["test", "-e", "/ready"]).expect("probes can be run") == 0
            });
        }
    }
    pod
}

/// Waits until the agent has had an answer from the runtime since a moment.
pub(crate) fn wait_until_known(agent: &impl Asked, since: BootTime) {
    let mut last = age(agent);
    wait::until("the agent has asked the runtime", || {
        // The metric moves with the agent's tick: only in that moment it says when the answer came.
        let next = age(agent);
        let moved = std::mem::replace(&mut last, next) != next;
        let elapsed = (BootTime::now().0 - since.0) as f64 / 1e9;
        moved && next.is_some_and(|age| age < elapsed)
    });
}

/// Seconds since the runtime last answered.
fn age(agent: &impl Asked) -> Option<f64> {
    metric(agent, "gracetrace_identity_source_age_seconds{source=\"cri\"}")
}

/// The value of a series.
pub(crate) fn metric(agent: &impl Asked, series: &str) -> Option<f64> {
    let answer = agent.get("/metrics");
    let line = answer.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}
