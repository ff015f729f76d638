//! Two pods that have the same address, one after the other.

use std::net::UdpSocket;

use gracetrace_tests::server::{Order, at};

use crate::clients::{assert_cut, hold, visit, wait_for};
use crate::told::Told;
use crate::world::{PORT, World, in_network_of};

#[test]
fn each_has_its_own() {
    let mut world = World::new();
    let mut last = None;
    for round in 1..=3 {
        let pod = match &last {
            None => world.pod(),
            Some(last) => world.pod_with_address_of(last),
        };
        if let Some(last) = last.take() {
            world.remove(last);
        }
        // The bridge learns where the address is now.
        in_network_of(pod.sandbox.pid, || {
            let socket = UdpSocket::bind((pod.address, 0)).unwrap();
            socket.send_to(b"here", ("10.88.0.1", 9)).unwrap();
        });
        let server = world.serve(&pod, &["--style", "threaded"]);
        let address = at(pod.address(false), PORT);
        let early = world.outside(|| hold(address, round));
        world.stop(&server);
        world.outside(|| (0..50 * round).for_each(|_| visit(address, Order::Close)));
        let over = 50 * round as u64;
        let asked = world.outside(|| wait_for(address, "all are over", |counts| counts.ended == over));
        world.end(server);
        assert_cut(early);

        let termination = world.termination();
        assert_eq!(termination["uid"], pod.uid.as_str());
        let (round, opened) = (round as u64, over + asked);
        let expected = Told { at_start: round, opened, zombies: round, late: opened, ..Told::default() };
        expected.assert_of(&termination);
        last = Some(pod);
    }
    world.stop_agent();
}
