//! Containers that end without the kubelet: nobody asks for hooks or signals then.

use gracetrace_tests::cri_node::images;
use gracetrace_tests::cri_node::pod::{ContainerPlan, PodPlan};
use gracetrace_tests::cri_node::seen::HookEnd;

use super::report::Report;
use super::world;

#[test]
fn a_crash() {
    let node = world::node();
    let mut agent = world::agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let container = ContainerPlan::new("main", images::APP).pre_stop_exec(&["sleep", "1"]);
    let pod = world::run(&kubelet, &agent, PodPlan::new("crash", 5).with(container));
    assert_eq!(kubelet.get(&pod, "/up").expect("it is asked").end, HookEnd::Status(200));
    assert!(matches!(kubelet.get(&pod, "/crash").expect("it is asked").end, HookEnd::Refused(_)));
    let seen = kubelet.wait_for_end(&pod).expect("it has ended");
    let report = Report::new(agent.termination());
    agent.stop();

    report.is("/pod", "crash");
    report.is("/outcome", "crashed");
    let main = report.container(seen.container("main"));
    // An abort in pid 1 of a pid namespace ends as a fault: the signal itself is for others.
    assert_eq!(seen.container("main").exit_code, 128 + libc::SIGSEGV);
    main.is("/exit/signal", "SIGSEGV");
    main.is("/hook", None::<bool>);
    main.is("/stop_signal", None::<bool>);
}

#[test]
fn work_that_is_done() {
    let node = world::node();
    let mut agent = world::agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let container = ContainerPlan::shell("main", "while ! test -e /done; do sleep 0.05; done").pre_stop_exec(&["true"]);
    let pod = world::run(&kubelet, &agent, PodPlan::new("job", 5).with(container));
    assert_eq!(kubelet.probe(&pod.containers[0], &["touch", "/done"]).expect("a command can be run"), 0);
    let seen = kubelet.wait_for_end(&pod).expect("it has ended");
    let report = Report::new(agent.termination());
    agent.stop();

    report.is("/pod", "job");
    report.is("/outcome", "completed");
    let main = report.container(seen.container("main"));
    main.is("/exit/code", 0);
    main.is("/hook", None::<bool>);
    main.is("/stop_signal", None::<bool>);
}
