//! Exec hooks, and what must not be taken for one.

use gracetrace_tests::cri_node::pod::{ContainerPlan, Handler, PodPlan};
use gracetrace_tests::cri_node::seen::HookEnd;
use gracetrace_tests::wait;

use super::report::Report;
use super::world::{self, HANDLES, Told, terminate, terminate_while};

#[test]
fn a_hook_with_probes_around_it() {
    let hook = &["sh", "-c", "touch /in-hook; sleep 1.5"];
    let plan = PodPlan::new("probes", 10).with(ContainerPlan::shell("main", HANDLES).pre_stop_exec(hook));
    let Told { pod, seen, report } = terminate_while(plan, |kubelet, pod| {
        let probe = |command: &[&str]| kubelet.probe(&pod.containers[0], command).expect("probes can be run");
        wait::until("the hook runs", || probe(&["test", "-e", "/in-hook"]) == 0);
        assert_eq!(probe(&["cat", "/ready"]), 0);
        assert_eq!(probe(&["sh", "-c", "sleep 0.1; exit 5"]), 5);
    });
    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    let main = report.container(seen.container("main"));
    main.is("/hook/result", "success");
    // The shell and the sleep; `touch` is one of its own commands.
    main.is("/hook/processes", 2);
    main.is("/stop_signal/name", "SIGTERM");
    main.is("/stop_signal/disposition", "handled");
    main.is("/exit/code", 3);
    assert!(main.seconds("/hook/duration_seconds") >= 1.5);
    assert!(!report.has_finding("PRESTOP_FAILED"));
}

/// It is the hook that a stop signal follows.
#[test]
fn a_probe_with_the_command_of_the_hook() {
    let command = &["sleep", "0.6"];
    let node = world::node();
    let mut agent = world::agent(&node);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let main = ContainerPlan::shell("main", HANDLES).pre_stop_exec(command);
    let pod = world::run(&kubelet, &agent, PodPlan::new("same-command", 10).with(main));
    let probe = || assert_eq!(kubelet.probe(&pod.containers[0], command).expect("probes can be run"), 0);
    probe();
    probe();
    let seen = kubelet.terminate(&pod, 10).expect("the pod can be terminated");
    let report = Report::new(agent.termination());
    agent.stop();
    report.agrees(&pod, &seen);
    report.container(seen.container("main")).is("/hook/result", "success");
}

/// Readiness probes go on during a hook, and the container's end is theirs. To the kernel both are the same; the first is
/// the hook.
#[test]
fn a_probe_with_the_command_of_the_hook_during_the_hook() {
    let command = &["sh", "-c", "touch /in-hook; sleep 0.8"];
    let plan = PodPlan::new("same-at-once", 10).with(ContainerPlan::shell("main", HANDLES).pre_stop_exec(command));
    let Told { pod, seen, report } = terminate_while(plan, |kubelet, pod| {
        let probe = |command: &[&str]| kubelet.probe(&pod.containers[0], command);
        wait::until("the hook runs", || probe(&["test", "-e", "/in-hook"]).expect("probes can be run") == 0);
        // Its container ends under it, or the runtime has no such container any more.
        let _ = probe(command);
    });
    report.agrees(&pod, &seen);
    report.container(seen.container("main")).is("/hook/result", "success");
}

#[test]
fn a_hook_without_its_program() {
    let plan =
        PodPlan::new("missing", 5).with(ContainerPlan::shell("main", HANDLES).pre_stop_exec(&["/bin/drain", "now"]));
    let Told { pod, seen, report } = terminate(plan);
    report.is("/pod", pod.plan.name.as_str());
    report.is("/outcome", "graceful");
    let run = &seen.container("main").hooks[0];
    assert!(matches!(&run.end, HookEnd::Refused(why) if why.contains("no such file")), "{run:?}");
    let main = report.container(seen.container("main"));
    main.is("/hook/result", "failed");
    main.is_between("/hook/start", run.call);
    assert!(report.has_finding("PRESTOP_FAILED"));
}

#[test]
fn a_hook_that_fails() {
    let hook = &["sh", "-c", "sleep 0.1; exit 7"];
    let Told { pod, seen, report } =
        terminate(PodPlan::new("fails", 5).with(ContainerPlan::shell("main", HANDLES).pre_stop_exec(hook)));
    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    let main = report.container(seen.container("main"));
    main.is("/hook/result", "failed");
    main.is("/hook/exit_code", 7);
    assert!(report.has_finding("PRESTOP_FAILED"));
}

#[test]
fn a_hook_that_outlives_the_grace_period() {
    let Told { pod, seen, report } = terminate(
        PodPlan::new("hangs", 2).with(ContainerPlan::shell("main", HANDLES).pre_stop_exec(&["sleep", "1000"])),
    );
    report.agrees(&pod, &seen);
    let main = seen.container("main");
    assert_eq!((main.stop_timeout, &main.hooks[0].end), (2, &HookEnd::Exit(137)));
    let main = report.container(main);
    main.is("/hook/result", "timeout");
    main.is("/exit/code", 3);
    assert!(report.has_finding("PRESTOP_TIMEOUT"));
}

/// There is nothing to be seen of it: the kubelet waits.
#[test]
fn a_hook_that_sleeps() {
    let Told { pod, seen, report } =
        terminate(PodPlan::new("sleeps", 5).with(ContainerPlan::shell("main", HANDLES).pre_stop(Handler::Sleep(1))));
    report.is("/pod", pod.plan.name.as_str());
    report.is("/outcome", "graceful");
    let main = report.container(seen.container("main"));
    main.is("/hook/handler", "sleep");
    main.is("/hook/inferred", true);
    main.is_between("/hook/end", seen.container("main").stops[0]);
}
