//! Hooks, and what must not be taken for one.

use gracetrace_tests::clock::BootTime;

use super::bundle::SCRIPT_PATH;
use super::container::{Call, Ended, HANDLES, Plan};
use super::node::Node;
use super::report::Report;

#[test]
fn a_hook_between_probes_and_commands_by_hand() {
    let node = Node::new("hook");
    let agent = node.start_agent();
    let container = node.run(Plan { init: HANDLES, hook: Some(&["sleep", "1"]), host_pids: false });
    let probe = || assert_eq!(container.exec(&["test", "-e", "/ready"]).code, Some(0));
    probe();
    assert_eq!(container.exec(&["sh", "-c", "cat /missing; exit 5"]).code, Some(5));
    assert_eq!(container.exec(&["/nowhere/to/be/found"]).code, Some(255), "runc's own code for that");
    container.delete_pod();
    let call = container.start_hook();
    probe();
    assert_eq!(container.exec(&["sleep", "0.1"]).code, Some(0), "nearly the hook's command");
    let hook = container.wait_for_hook().expect("the hook ran");
    let kill = container.kill("TERM");
    let ended = container.wait();
    container.delete();

    let report = Report::only(agent);
    report.is("/outcome", "graceful");
    report.is("/reason", "deletion");
    report.had_hook(call, 1.0, hook);
    report.is("/containers/0/hook/result", "success");
    report.is("/containers/0/hook/processes", 1);
    report.is_between("/start", call.from, hook.at);
    report.was_stopped_by(kill, "handled");
    report.ended_after(kill, ended);
    report.is("/containers/0/exit/code", 3);
    assert!(!report.has_finding("PRESTOP_FAILED"));
}

#[test]
fn a_hook_of_several_programs() {
    let (report, call, hook) = stop_after_hook("applets", &["sh", "-c", "sleep 0.2; sleep 0.3; true"]);
    report.had_hook(call, 0.5, hook.expect("it ran"));
    report.is("/containers/0/hook/result", "success");
    // The shell and both sleeps; `true` is one of its own commands.
    report.is("/containers/0/hook/processes", 3);
}

#[test]
fn a_hook_that_is_a_script() {
    let (report, call, hook) = stop_after_hook("script", &[SCRIPT_PATH, "0.3"]);
    report.had_hook(call, 0.5, hook.expect("it ran"));
    report.is("/containers/0/hook/result", "success");
}

#[test]
fn a_hook_that_is_a_script_without_its_path() {
    let (report, call, hook) = stop_after_hook("script-name", &["drain.sh", "0.1"]);
    report.had_hook(call, 0.3, hook.expect("it ran"));
    report.is("/containers/0/hook/result", "success");
}

#[test]
fn a_hook_that_fails() {
    let (report, call, hook) = stop_after_hook("fails", &["sh", "-c", "sleep 0.1; exit 7"]);
    report.had_hook(call, 0.1, hook.expect("it ran"));
    report.is("/containers/0/hook/result", "failed");
    report.is("/containers/0/hook/exit_code", 7);
    assert!(report.has_finding("PRESTOP_FAILED"));
}

#[test]
fn a_hook_without_its_program() {
    let (report, call, hook) = stop_after_hook("missing", &["/bin/drain"]);
    assert!(hook.is_none(), "runc can't start it");
    report.is("/containers/0/hook/result", "failed");
    report.is_between("/containers/0/hook/start", call.from, call.to);
    assert!(report.has_finding("PRESTOP_FAILED"));
}

#[test]
fn a_hook_that_outlives_the_grace_period() {
    let node = Node::new("hangs");
    let agent = node.start_agent();
    let container = node.run(Plan {
        init: HANDLES,
        hook: Some(&["sh", "-c", "touch /in-hook; exec sleep 1000"]),
        host_pids: false,
    });
    container.delete_pod();
    let call = container.start_hook();
    // runc does not wait for execve(2) to be through.
    container.wait_for_file("in-hook");
    let running = BootTime::now();
    // The kubelet would wait for the grace period; to the agent a stop signal during the hook says as much.
    let kill = container.kill("TERM");
    // It dies with the init, which is not gone before it.
    let hook = container.wait_for_hook().expect("the hook ran");
    let ended = container.wait();
    container.delete();

    let report = Report::only(agent);
    report.is("/containers/0/hook/result", "timeout");
    report.is_between("/containers/0/hook/start", call.from, running);
    report.is_between("/containers/0/hook/end", kill.from, hook.at);
    report.was_stopped_by(kill, "handled");
    report.ended_after(kill, ended);
    assert!(report.has_finding("PRESTOP_TIMEOUT"));
}

/// Deletes a pod whose init leaves when told to.
fn stop_after_hook(name: &str, hook: &'static [&'static str]) -> (Report, Call, Option<Ended>) {
    let node = Node::new(name);
    let agent = node.start_agent();
    let container = node.run(Plan { init: HANDLES, hook: Some(hook), host_pids: false });
    container.delete_pod();
    let call = container.start_hook();
    let hook = container.wait_for_hook();
    let kill = container.kill("TERM");
    let ended = container.wait();
    container.delete();
    let report = Report::only(agent);
    report.is("/outcome", "graceful");
    report.was_stopped_by(kill, "handled");
    report.ended_after(kill, ended);
    (report, call, hook)
}
