//! What the init does with the stop signal.

use gracetrace_tests::cri_node::images;
use gracetrace_tests::cri_node::pod::{ContainerPlan, PodPlan};
use gracetrace_tests::cri_node::seen::HookEnd;

use super::report::Report;
use super::world::{self, HANDLES, Told, terminate};

#[test]
fn an_init_that_handles_it() {
    let Told { pod, seen, report } = terminate(PodPlan::new("handles", 5).with(ContainerPlan::shell("main", HANDLES)));
    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    let main = report.container(seen.container("main"));
    main.is("/stop_signal/name", "SIGTERM");
    main.is("/stop_signal/disposition", "handled");
    main.is("/exit/code", 3);
    main.is("/killed_at", None::<bool>);
}

#[test]
fn an_init_that_ignores_it() {
    let container = ContainerPlan::new("main", images::BUSYBOX).command(&["sleep", "1000"]);
    let Told { pod, seen, report } = terminate(PodPlan::new("ignores", 2).with(container));
    report.agrees(&pod, &seen);
    report.is("/outcome", "forced");
    let main = report.container(seen.container("main"));
    main.is("/stop_signal/disposition", "ignored");
    main.is("/exit/signal", "SIGKILL");
    main.is_between("/killed_at", seen.container("main").stops[0]);
    let grace = main.seconds("/stop_to_exit_seconds");
    assert!((2.0..3.0).contains(&grace), "{grace} s from stop signal to exit");
    assert!(report.has_finding("STOP_SIGNAL_IGNORED"));
    assert!(report.has_finding("GRACE_EXHAUSTED"));
}

#[test]
fn a_stop_signal_of_the_image() {
    let plan = PodPlan::new("quits", 5)
        .with(ContainerPlan::new("quits", images::APP_QUITS))
        .with(ContainerPlan::new("terminates", images::BUSYBOX).command(&["sh", "-c", HANDLES]));
    let Told { pod, seen, report } = terminate(plan);
    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    for (name, signal, code) in [("quits", "SIGQUIT", libc::SIGQUIT), ("terminates", "SIGTERM", 3)] {
        let container = report.container(seen.container(name));
        container.is("/stop_signal/name", signal);
        container.is("/stop_signal/disposition", "handled");
        container.is("/exit/code", code);
    }
}

/// `kubectl delete --force`: the kubelet grants the hook one second and the stop signal two.
#[test]
fn a_pod_that_is_deleted_with_force() {
    let container = ContainerPlan::new("main", images::BUSYBOX)
        .command(&["sleep", "1000"])
        .pre_stop_exec(&["sh", "-c", "sleep 30"]);
    let node = world::node();
    let mut agent = world::agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let pod = world::run(&kubelet, &agent, PodPlan::new("forced", 30).with(container));
    let seen = kubelet.terminate(&pod, 1).expect("the pod can be terminated");
    let report = Report::new(agent.termination());
    agent.stop();

    report.agrees(&pod, &seen);
    report.is("/outcome", "forced");
    let main = seen.container("main");
    assert_eq!((main.stop_timeout, &main.hooks[0].end), (2, &HookEnd::Exit(137)));
    let main = report.container(main);
    main.is("/hook/result", "timeout");
    main.is("/exit/signal", "SIGKILL");
    let (hook, stop) = (main.time("/hook/start"), main.time("/stop_signal/at"));
    let granted = (stop.0 - hook.0) as f64 / 1e9;
    assert!((0.8..1.5).contains(&granted), "{granted} s from hook to stop signal");
}
