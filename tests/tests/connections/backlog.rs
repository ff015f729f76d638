//! More clients than a server takes: those who are in its queue are connected, the others are not yet.

use std::fs;
use std::thread;

use gracetrace_tests::node::network;
use gracetrace_tests::server::{Order, at};
use gracetrace_tests::wait;

use crate::clients::visit;
use crate::told::{Told, connections};
use crate::world::{PORT, World};

const CLIENTS: u64 = 12;
const BACKLOG: u64 = 2;

#[test]
fn a_full_queue() {
    let mut world = World::new();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", "threaded", "--lazy", "--backlog", &BACKLOG.to_string()]);
    let address = at(pod.address(false), PORT);
    let (bridge, init) = (world.node.bridge_pid(), server.container.pid);
    let world = &mut world;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || {
                network::enter_network_of(bridge).unwrap();
                // Their SYNs are sent again after 1 s, 3 s …, as long as they are not taken.
                visit(address, Order::Close);
            });
        }
        // One more than the backlog says (`sk_acceptq_is_full`, include/net/sock.h).
        wait::until("the queue is full", || established(init) == BACKLOG + 1);
        world.stop(&server);
    });
    let counts = world.end(server);
    assert_eq!(counts.accepted, CLIENTS);

    let termination = world.termination();
    let late = CLIENTS - BACKLOG - 1;
    let expected = Told { at_start: BACKLOG + 1, opened: late, late, ..Told::default() };
    expected.assert_of(&termination);
    assert!(connections(&termination)["traffic_tail_seconds"].as_f64().unwrap() > 0.5, "{termination:#}");
    world.stop_agent();
}

/// Connections to the server that the kernel has established in the network namespace of a process.
fn established(pid: u32) -> u64 {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp6")).unwrap();
    let mine = |line: &&str| line.contains(&format!(":{PORT:04X} ")) && line.split_whitespace().nth(3) == Some("01");
    table.lines().filter(mine).count() as u64
}
