//! More connections than the agent has room for: what it does not know it says.

use gracetrace_tests::server::at;
use gracetrace_tests::wait;

use crate::clients::{assert_cut, hold};
use crate::world::{PORT, World};

#[test]
fn a_full_map_is_told() {
    let mut world = World::without_agent();
    world.start_agent(&["--max-connections", "64"]);
    let (pod, other) = (world.pod(), world.pod());
    let (server, other_server) =
        (world.serve(&pod, &["--style", "threaded"]), world.serve(&other, &["--style", "threaded"]));
    let held = world.outside(|| hold(at(pod.address(false), PORT), 200));
    world.stop(&server);
    world.end(server);
    assert_cut(held);
    let termination = world.termination();
    assert_eq!(termination["outcome"], "incomplete", "{termination:#}");
    assert_eq!(termination["complete"], false);
    let lost = |line: &str| {
        line.strip_prefix("gracetrace_records_dropped_total{hook=\"inet_sock_set_state\"} ")?.parse::<f64>().ok()
    };
    // The agent looks for it now and then.
    let mut sum = || world.agent().get("/metrics").lines().find_map(lost).unwrap_or(0.0);
    wait::until("the loss is told", || sum() >= 136.0);

    // And there is room again.
    let held = world.outside(|| hold(at(other.address(false), PORT), 50));
    world.stop(&other_server);
    world.end(other_server);
    assert_cut(held);
    let termination = world.termination();
    assert_eq!(termination["complete"], true, "{termination:#}");
    assert_eq!(termination["containers"][0]["connections"]["zombie"]["inbound"], 50, "{termination:#}");
    world.stop_agent();
}
