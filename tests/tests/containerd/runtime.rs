//! A runtime that is away, comes late or hangs, and where the agent runs.

use gracetrace_tests::agent::{Piped, built};
use gracetrace_tests::clock::BootTime;
use gracetrace_tests::cri_node::pod::{ContainerPlan, PodPlan};
use gracetrace_tests::cri_node::seen::Call;
use gracetrace_tests::wait;

use super::report::Report;
use super::world::{self, HANDLES};

const HOOK: &[&str] = &["sh", "-c", "touch /in-hook; sleep 1"];

fn plan(name: &str) -> PodPlan {
    PodPlan::new(name, 10).with(ContainerPlan::shell("main", HANDLES).pre_stop_exec(HOOK))
}

/// The kubelet begins again with the hook when the runtime is back. It stays one termination.
#[test]
fn a_runtime_that_is_killed_during_a_hook() {
    let node = world::node();
    let mut agent = world::agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let pod = world::run(&kubelet, &agent, plan("killed-in-hook"));
    let seen = world::terminate_pod_while(&kubelet, &pod, || {
        wait::until("the hook runs", || {
            kubelet.probe(&pod.containers[0], &["test", "-e", "/in-hook"]).expect("probes can be run") == 0
        });
        node.kill_runtime().expect("it ran");
        node.start_runtime().expect("it starts again");
    });
    let report = Report::new(agent.termination());
    kubelet.remove(&pod).expect("the pod can be removed");
    agent.stop();

    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    let main = seen.container("main");
    assert_eq!((main.hooks.len(), main.stops.len()), (2, 2), "{main:#?}");
    let part = report.container(main);
    part.is("/hook/result", "success");
    part.is_between("/stop_signal/at", main.stops[1]);
}

/// The stop signal is out. The kubelet asks again, and the runtime may send it again.
#[test]
fn a_runtime_that_is_killed_during_a_stop() {
    let node = world::node();
    let mut agent = world::agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let drains = "trap 'touch /draining; sleep 1.5; exit 4' TERM; touch /ready; while :; do sleep 0.05; done";
    let plan = PodPlan::new("killed-in-stop", 10).with(ContainerPlan::shell("main", drains));
    let pod = world::run(&kubelet, &agent, plan);
    let seen = world::terminate_pod_while(&kubelet, &pod, || {
        wait::until("the container drains", || {
            kubelet.probe(&pod.containers[0], &["test", "-e", "/draining"]).expect("probes can be run") == 0
        });
        node.kill_runtime().expect("it ran");
        node.start_runtime().expect("it starts again");
    });
    let report = Report::new(agent.termination());
    agent.stop();

    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    let main = seen.container("main");
    assert_eq!(main.stops.len(), 2, "{main:#?}");
    let part = report.container(main);
    part.is_between("/stop_signal/at", main.stops[0]);
    part.is("/exit/code", 4);
}

#[test]
fn a_runtime_that_is_restarted_before_a_termination() {
    let node = world::node();
    let mut agent = world::agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let pod = world::run(&kubelet, &agent, plan("restarted"));
    node.kill_runtime().expect("it ran");
    node.start_runtime().expect("it starts again");
    let other = world::run(&kubelet, &agent, plan("after-restart"));
    for pod in [pod, other] {
        let seen = kubelet.terminate(&pod, 10).expect("the pod can be terminated");
        let report = Report::new(agent.termination());
        report.agrees(&pod, &seen);
        report.is("/outcome", "graceful");
        report.container(seen.container("main")).is("/hook/result", "success");
    }
    agent.stop();
}

#[test]
fn a_runtime_that_comes_later_than_the_agent() {
    let node = world::node_without_runtime();
    let mut agent = world::agent(&node);
    let errors = || world::metric(&agent, "gracetrace_identity_source_errors_total{source=\"cri\"}");
    wait::until("the agent tells that there is no runtime", || errors().is_some_and(|errors| errors > 0.0));
    node.start_runtime().expect("it starts");
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let pod = world::run(&kubelet, &agent, plan("early-agent"));
    let seen = kubelet.terminate(&pod, 10).expect("the pod can be terminated");
    let report = Report::new(agent.termination());
    agent.stop();
    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
}

/// Nothing waits for it: what the kernel tells is reported at once, with what was known of the pod.
#[test]
fn a_runtime_that_hangs() {
    let node = world::node();
    let mut agent = world::agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let pod = world::run(&kubelet, &agent, plan("hang"));
    node.freeze_runtime().expect("it runs");
    let from = BootTime::now();
    node.runc_kill(&pod.containers[0].id, "TERM").expect("the container can be stopped");
    let report = Report::new(agent.termination());
    let call = Call { from, to: BootTime::now() };
    node.thaw_runtime().expect("it is there");

    assert!(call.seconds() < 5.0, "told after {} s", call.seconds());
    report.is("/pod", "hang");
    report.is("/grace_period_seconds", 10);
    report.is("/outcome", "graceful");
    let seen = kubelet.wait_for_end(&pod).expect("it has ended");
    let main = report.container(seen.container("main"));
    main.is("/exit/code", 3);
    main.is_between("/stop_signal/at", call);
    main.is_between("/exit/at", call);
    agent.stop();
}

/// As a DaemonSet's pod has it: the mounts and the cgroup namespace are the node's.
#[test]
fn an_agent_in_the_namespaces_of_the_node() {
    let node = world::node();
    let mut command = node.visit("agent", &built());
    command.args(["run", "--listen", "127.0.0.1:0", "--cri"]).arg(node.socket());
    let mut agent = Piped::spawn(command);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let pod = world::run(&kubelet, &agent, plan("inside"));
    let seen = kubelet.terminate(&pod, 10).expect("the pod can be terminated");
    let report = Report::new(agent.termination());
    agent.stop();
    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    report.container(seen.container("main")).is("/hook/result", "success");
}
