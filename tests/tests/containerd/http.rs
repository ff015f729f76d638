//! HTTP hooks: requests of the kubelet's process, seen at its cgroup.

use gracetrace_tests::cri_node::images;
use gracetrace_tests::cri_node::kubelet::RunningPod;
use gracetrace_tests::cri_node::pod::{ContainerPlan, Handler, PodPlan};
use gracetrace_tests::cri_node::seen::{HookEnd, PodSeen};

use super::report::Report;
use super::world;

#[test]
fn a_request_that_is_answered() {
    let (pod, seen, report) = terminate("http-ok", server("/prestop?sleep=0.5"));
    has_http_hook(&pod, &seen, &report, 200);
    let main = report.container(seen.container("main"));
    main.is("/hook/result", "success");
    assert!((0.5..1.0).contains(&main.seconds("/hook/duration_seconds")));
}

#[test]
fn a_request_that_is_refused_by_status() {
    let (pod, seen, report) = terminate("http-500", server("/prestop?sleep=0.2&code=500"));
    has_http_hook(&pod, &seen, &report, 500);
    report.container(seen.container("main")).is("/hook/result", "failed");
    assert!(report.has_finding("PRESTOP_FAILED"));
}

/// The kubelet keeps the connection of the postStart hook: the preStop hook's makes no new one.
#[test]
fn a_request_on_an_old_connection() {
    let server = server("/prestop?sleep=0.3").post_start(Handler::Http("/poststart".to_owned()));
    let (pod, seen, report) = terminate("http-reused", server);
    has_http_hook(&pod, &seen, &report, 200);
    report.container(seen.container("main")).is("/hook/result", "success");
}

fn server(hook: &str) -> ContainerPlan {
    ContainerPlan::new("main", images::APP).pre_stop(Handler::Http(hook.to_owned()))
}

fn terminate(name: &str, container: ContainerPlan) -> (RunningPod, PodSeen, Report) {
    let node = world::node();
    let kubelet_cgroup = node.kubelet_cgroup().display().to_string();
    let mut agent = world::agent_with(&node, &["--kubelet-cgroup", &kubelet_cgroup]);
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let pod = world::run(&kubelet, &agent, PodPlan::new(name, 10).with(container));
    let seen = kubelet.terminate(&pod, 10).expect("the pod can be terminated");
    let report = Report::new(agent.termination());
    agent.stop();
    (pod, seen, report)
}

fn has_http_hook(pod: &RunningPod, seen: &PodSeen, report: &Report, status: u16) {
    report.agrees(pod, seen);
    report.is("/outcome", "graceful");
    let run = &seen.container("main").hooks[0];
    assert_eq!(run.end, HookEnd::Status(status));
    let main = report.container(seen.container("main"));
    main.is("/hook/handler", "http");
    main.is("/hook/http_status", status);
    main.is("/hook/inferred", false);
    main.is_between("/hook/start", run.call);
    main.is_between("/hook/end", run.call);
    main.is("/exit/code", libc::SIGTERM);
}
