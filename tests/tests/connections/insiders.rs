//! Connections that are no client's: a sidecar's hop over loopback, and the kubelet's probes.

use std::net::{Ipv4Addr, Ipv6Addr};

use gracetrace_tests::kubelet::probe::Probe;
use gracetrace_tests::server::{Order, at};

use crate::clients::{assert_cut, hold, storm, visit, wait_for};
use crate::told::{Told, connections, count};
use crate::world::{PORT, World, in_network_of};

#[test]
fn a_hop_within_the_pod() {
    let mut world = World::new();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", "threaded"]);
    let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), pod.address(false), pod.address(true)];
    world.stop(&server);
    // From a process that is in no container of the pod, as a sidecar is in another.
    let held = in_network_of(pod.sandbox.pid, || {
        let visit = |address| (0..25).for_each(|_| visit(at(address, PORT), Order::Close));
        own.into_iter().for_each(visit);
        hold(at(own[0], PORT), 3)
    });
    // And clients, of whom it tells.
    let address = at(pod.address(false), PORT);
    let clients = world.outside(|| hold(address, 2));
    storm(world.node.bridge_pid(), address, Order::Close, 2, 20);
    let asked = world.outside(|| wait_for(address, "all are over", |counts| counts.ended == 140));
    world.end(server);
    assert_cut(held);
    assert_cut(clients);

    let termination = world.termination();
    let opened = 42 + asked;
    let expected = Told { opened, zombies: 2, late: opened, ..Told::default() };
    expected.assert_of(&termination);
    assert_eq!(count(&termination, "internal"), 103, "{termination:#}");
    world.stop_agent();
}

#[test]
fn the_kubelets_probes() {
    let mut world = World::new();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", "threaded"]);
    world.stop(&server);
    let address = at(pod.address(false), PORT);
    let client = world.outside(|| hold(address, 1));
    let probe = world.tokio.block_on(async { Probe::start(&world.node, pod.address) }).unwrap();
    // At a quarter of a second. Who asks for it within the pod is no client.
    let inside = at(Ipv4Addr::LOCALHOST, PORT);
    in_network_of(pod.sandbox.pid, || wait_for(inside, "four probes", |counts| counts.accepted >= 5));
    let probed = world.tokio.block_on(probe.finish()).unwrap();
    assert!(probed.connected > 0 && probed.refused == 0, "{probed:?}");
    world.end(server);
    assert_cut(client);

    let termination = world.termination();
    let expected = Told { opened: 1, zombies: 1, late: 1, ..Told::default() };
    expected.assert_of(&termination);
    assert_eq!(count(&termination, "kubelet"), probed.connected, "{termination:#}");
    let tail = connections(&termination)["traffic_tail_seconds"].as_f64().unwrap();
    assert!(tail < 0.7, "the traffic ended with the client, not with the probes: {tail}");
    world.stop_agent();
}

#[test]
fn the_same_from_elsewhere_is_a_client() {
    let mut world = World::new();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", "threaded"]);
    world.stop(&server);
    let clients = world.node.clients_cgroup();
    let probe = world.tokio.block_on(async { Probe::start_from(&world.node, &clients, pod.address) }).unwrap();
    let inside = at(Ipv4Addr::LOCALHOST, PORT);
    in_network_of(pod.sandbox.pid, || wait_for(inside, "two of them", |counts| counts.accepted >= 2));
    let probed = world.tokio.block_on(probe.finish()).unwrap();
    let over = probed.connected;
    in_network_of(pod.sandbox.pid, || wait_for(inside, "all are over", |counts| counts.ended == over));
    world.end(server);

    let termination = world.termination();
    let opened = probed.connected;
    Told { opened, late: opened, ..Told::default() }.assert_of(&termination);
    world.stop_agent();
}
