//! Pods of several containers.

use gracetrace_tests::cri_node::images;
use gracetrace_tests::cri_node::pod::{ContainerPlan, PodPlan};

use super::world::{HANDLES, Told, terminate};

/// Leaves half a second after it was told to.
const DRAINS: &str = "trap 'sleep 0.5; exit 4' TERM; touch /ready; while :; do sleep 0.05; done";

#[test]
fn all_hooks_at_once() {
    let plan = PodPlan::new("two", 10)
        .with(ContainerPlan::shell("web", HANDLES).pre_stop_exec(&["sh", "-c", "sleep 1"]))
        .with(ContainerPlan::shell("log", HANDLES).pre_stop_exec(&["sh", "-c", "sleep 0.3; exit 9"]))
        .with(ContainerPlan::new("app", images::APP));
    let Told { pod, seen, report } = terminate(plan);
    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    for (name, result, code) in [("web", Some("success"), 3), ("log", Some("failed"), 3), ("app", None, libc::SIGTERM)]
    {
        let container = report.container(seen.container(name));
        if let Some(result) = result {
            container.is("/hook/result", result);
        }
        container.is("/exit/code", code);
    }
}

#[test]
fn sidecars_in_their_order() {
    let hook = &["sh", "-c", "sleep 0.2"];
    let plan = PodPlan::new("sidecars", 10)
        .with(ContainerPlan::shell("mesh", HANDLES).sidecar().pre_stop_exec(hook))
        .with(ContainerPlan::shell("proxy", HANDLES).sidecar().pre_stop_exec(hook))
        .with(ContainerPlan::shell("main", DRAINS).pre_stop_exec(hook));
    let Told { pod, seen, report } = terminate(plan);
    report.agrees(&pod, &seen);
    report.is("/outcome", "graceful");
    let time = |name: &str, path: &str| report.container(seen.container(name)).time(path);
    for (first, next) in [("main", "proxy"), ("proxy", "mesh")] {
        assert!(time(first, "/exit/at") < time(next, "/stop_signal/at"), "{next} was stopped before {first} had ended");
        // Hooks do not wait for their turn.
        assert!(time(next, "/hook/end") < time("main", "/exit/at"), "the hook of {next} was not at once");
    }
    assert!(!report.has_finding("SIDECAR_EXITED_FIRST"));
}
