//! An agent that comes to a node with containers in every state.

use super::container::{Container, HANDLES, Plan};
use super::node::Node;
use super::report::Report;

#[test]
fn containers_that_ran_already_or_were_only_created() {
    let node = Node::new("late");
    let plan = Plan { init: HANDLES, hook: Some(&["sleep", "0.2"]), host_pids: false };
    let running = node.run(plan);
    assert_eq!(running.exec(&["true"]).code, Some(0));
    // Its first process is `runc init`, and stays the init when it becomes the container's program.
    let created = Container::create(&node, plan);
    // And this one never becomes a program.
    let never = Container::create(&node, plan);
    let mut agent = node.start_agent();
    created.start();
    drop(never);
    for container in [running, created] {
        let uid = container.uid();
        container.delete_pod();
        let call = container.start_hook();
        let hook = container.wait_for_hook().expect("the hook ran");
        let kill = container.kill("TERM");
        let ended = container.wait();
        container.delete();

        let report = Report::new(agent.termination());
        report.is("/uid", uid);
        report.is("/outcome", "graceful");
        report.had_hook(call, 0.2, hook);
        report.was_stopped_by(kill, "handled");
        report.ended_after(kill, ended);
    }
    agent.stop();
}

#[test]
fn containers_that_never_start_are_no_terminations() {
    let node = Node::new("unborn");
    let plan = Plan { init: HANDLES, hook: Some(&["sleep", "0.2"]), host_pids: false };
    let mut agent = node.start_agent();
    for _ in 0..5 {
        drop(Container::create(&node, plan));
        drop(Container::create(&node, Plan { host_pids: true, ..plan }));
    }
    let (missing, created) = Container::try_create(&node, Plan { init: &["/bin/missing"], ..plan });
    assert_eq!(created.code, Some(1), "runc's own code for that");
    drop(missing);
    // What is told of this one would come after what is told of them.
    let last = node.run(plan);
    last.kill("TERM");
    last.wait();
    let uid = last.uid();
    last.delete();
    let report = Report::new(agent.termination());
    report.is("/uid", uid);
    agent.stop();
}
