//! What the init does with the stop signal.

use super::container::{HANDLES, IGNORES, Plan, SIGKILL};
use super::node::Node;
use super::report::Report;

#[test]
fn an_init_that_handles_it() {
    let node = Node::new("handles");
    let agent = node.start_agent();
    let container = node.run(Plan { init: HANDLES, hook: None, host_pids: false });
    container.delete_pod();
    let kill = container.kill("TERM");
    let ended = container.wait();
    container.delete();

    let report = Report::only(agent);
    report.is("/outcome", "graceful");
    report.is("/containers/0/hook", None::<bool>);
    report.is("/containers/0/killed_at", None::<bool>);
    report.was_stopped_by(kill, "handled");
    report.ended_after(kill, ended);
    report.is_between("/start", kill.from, kill.to);
}

#[test]
fn an_init_without_a_handler() {
    let node = Node::new("ignores");
    let agent = node.start_agent();
    let container = node.run(Plan { init: IGNORES, hook: None, host_pids: false });
    container.delete_pod();
    let term = container.kill("TERM");
    assert!(container.wait_for_grace().is_none(), "it goes on");
    let kill = container.kill("KILL");
    let ended = container.wait();
    assert_eq!(ended.signal, Some(SIGKILL));
    container.delete();

    let report = Report::only(agent);
    report.is("/outcome", "forced");
    report.was_stopped_by(term, "ignored");
    report.is_between("/containers/0/killed_at", kill.from, kill.to);
    report.ended_after(kill, ended);
    assert!(report.has_finding("STOP_SIGNAL_IGNORED"));
}

#[test]
fn an_init_among_the_host_s_processes() {
    let node = Node::new("host-pids");
    let agent = node.start_agent();
    let container = node.run(Plan { init: IGNORES, hook: Some(&["sleep", "0.2"]), host_pids: true });
    assert_eq!(container.exec(&["true"]).code, Some(0));
    container.delete_pod();
    let call = container.start_hook();
    let hook = container.wait_for_hook().expect("the hook ran");
    let kill = container.kill("TERM");
    let ended = container.wait();
    container.delete();

    let report = Report::only(agent);
    report.is("/outcome", "graceful");
    report.had_hook(call, 0.2, hook);
    // Not the first of a namespace, so the signal's default action is for it too.
    report.was_stopped_by(kill, "default");
    report.ended_after(kill, ended);
    report.is("/containers/0/exit/signal", "SIGTERM");
}
