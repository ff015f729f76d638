//! A pod in the node's own network: whoever comes over loopback may be any process of the node.

use std::net::{Ipv4Addr, Ipv6Addr};

use gracetrace_tests::server::{Order, at};

use crate::clients::{assert_cut, hold, visit, wait_for};
use crate::told::Told;
use crate::world::World;

#[test]
fn loopback_is_a_client() {
    let mut world = World::new();
    let pod = world.pod();
    let server = world.serve_in(&pod, std::process::id(), &["--style", "threaded"]);
    let (v4, v6) = (at(Ipv4Addr::LOCALHOST, server.port), at(Ipv6Addr::LOCALHOST, server.port));
    let early = hold(v6, 3);
    world.stop(&server);
    (0..100).for_each(|_| visit(v4, Order::Close));
    (0..100).for_each(|_| visit(v6, Order::Close));
    let late = hold(v4, 2);
    let asked = wait_for(v4, "all are over", |counts| counts.ended == 200);
    world.end(server);
    assert_cut(early);
    assert_cut(late);

    let termination = world.termination();
    let opened = 202 + asked;
    let expected = Told { at_start: 3, opened, zombies: 5, late: opened, ..Told::default() };
    expected.assert_of(&termination);
    world.stop_agent();
}
