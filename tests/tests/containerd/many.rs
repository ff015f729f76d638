//! A node with many containers: what it costs an agent to come to it.

use std::time::Instant;

use gracetrace_tests::clock::BootTime;
use gracetrace_tests::cri_node::images;
use gracetrace_tests::cri_node::pod::{ContainerPlan, PodPlan};

use super::report::Report;
use super::world::{self, HANDLES};

const PODS: usize = 10;
const CONTAINERS: usize = 30;
/// What the agent may take at most; DESIGN has no number, a node has better uses for more.
const MOST_RESIDENT_BYTES: f64 = 100e6;

#[test]
fn three_hundred_containers() {
    let node = world::node();
    let kubelet = node.kubelet().expect("a kubelet can be started");
    let begin = Instant::now();
    // Created and not started: to the list it is all the same, and to two cores it is not.
    let plan = |pod: usize| {
        let plan = PodPlan::new(&format!("many-{pod}"), 30);
        let containers = (0..CONTAINERS).map(|number| ContainerPlan::new(&format!("c{number}"), images::APP));
        containers.fold(plan, |plan, container| plan.with(container.pre_stop_exec(&["sleep", "1"])))
    };
    let create = |pod| kubelet.create(plan(pod)).expect("a pod can be created");
    let pods: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PODS).map(|pod| scope.spawn(move || create(pod))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let last = ContainerPlan::shell("main", HANDLES).pre_stop_exec(&["sleep", "0.2"]);
    let last = kubelet.create(PodPlan::new("one-more", 10).with(last)).expect("a pod can be made");
    kubelet.start_containers(&last).expect("its container can be started");
    let count: usize = pods.iter().map(|pod| pod.containers.len()).sum();
    println!("{count} containers in {PODS} pods were made in {:.1} s", begin.elapsed().as_secs_f64());

    let (begin, since) = (Instant::now(), BootTime::now());
    let mut agent = world::agent(&node);
    let ready = begin.elapsed();
    world::wait_until_known(&agent, since);
    let metric = |name: &str| world::metric(&agent, name).unwrap_or_else(|| panic!("no metric {name}"));
    let (cpu, resident) = (metric("process_cpu_seconds_total"), metric("process_resident_memory_bytes"));
    println!(
        "agent with {count} containers listed: ready after {:.2} s, {cpu:.2} s of CPU, {:.1} MB resident",
        ready.as_secs_f64(),
        resident / 1e6
    );
    assert!(resident < MOST_RESIDENT_BYTES);

    let seen = kubelet.terminate(&last, 10).expect("the pod can be terminated");
    let report = Report::new(agent.termination());
    agent.stop();
    report.agrees(&last, &seen);
}
