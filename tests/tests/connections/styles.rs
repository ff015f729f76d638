//! Thousands of connections, with servers of every kind, over IPv4 and IPv6.

use gracetrace_tests::server::{Order, at};

use crate::clients::{assert_cut, hold, storm, wait_for};
use crate::told::{Told, connections};
use crate::world::{PORT, World};

const THREADS: usize = 4;
const EACH: usize = 250;
/// Longer than all of it takes on a processor that is emulated: a signal that nothing follows for so long was no stop.
const GRACE_SECONDS: u32 = 600;

fn every_connection_is_counted(style: &str, v6: bool) {
    let mut world = World::with_pods();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", style]);
    world.put_pod(&pod, &server, GRACE_SECONDS);
    let address = at(pod.address(v6), PORT);
    let bridge = world.node.bridge_pid();

    // Before the stop signal: none of these is late.
    let early = world.outside(|| hold(address, 10));
    storm(bridge, address, Order::Close, THREADS, 25);
    world.stop(&server);
    storm(bridge, address, Order::Hold, THREADS, EACH);
    storm(bridge, address, Order::Close, THREADS, EACH);
    let late = world.outside(|| hold(address, 5));
    let all = (10 + THREADS * 25 + 2 * THREADS * EACH + 5) as u64;
    let asked = world.outside(|| wait_for(address, "all are over", |counts| counts.ended == all - 15));
    let counts = world.end(server);
    assert_eq!(counts.accepted, all, "what the server counts");
    assert_cut(early);
    assert_cut(late);

    let termination = world.termination();
    assert_eq!(termination["uid"], pod.uid.as_str());
    assert_eq!(termination["grace_period_seconds"], GRACE_SECONDS, "{termination:#}");
    let opened = (2 * THREADS * EACH + 5) as u64 + asked;
    let expected = Told { at_start: 10, opened, zombies: 15, late: opened, ..Told::default() };
    expected.assert_of(&termination);
    assert!(connections(&termination)["traffic_tail_seconds"].as_f64().unwrap() > 0.0, "{termination:#}");
    world.stop_agent();
}

#[test]
fn threads_v4() {
    every_connection_is_counted("threaded", false);
}

#[test]
fn threads_v6() {
    every_connection_is_counted("threaded", true);
}

#[test]
fn a_process_each_v4() {
    every_connection_is_counted("forking", false);
}

#[test]
fn a_process_each_v6() {
    every_connection_is_counted("forking", true);
}

#[test]
fn processes_made_before_v4() {
    every_connection_is_counted("preforked", false);
}

#[test]
fn processes_made_before_v6() {
    every_connection_is_counted("preforked", true);
}
