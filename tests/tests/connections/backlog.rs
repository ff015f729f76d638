//! More clients than a server takes: those who are in its queue are connected, the others are not yet.

use std::fs;
use std::thread;

use gracetrace_tests::node::network;
use gracetrace_tests::server::{Order, at};
use gracetrace_tests::wait;

use crate::clients::visit;
use crate::told::{Told, connections};
use crate::world::{PORT, World};

const BACKLOG: u64 = 2;
/// One more than the backlog says (`sk_acceptq_is_full`, include/net/sock.h).
const IN_QUEUE: u64 = BACKLOG + 1;
const LATE: u64 = 9;

#[test]
fn a_full_queue() {
    let mut world = World::new();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", "threaded", "--lazy", "--backlog", &BACKLOG.to_string()]);
    let address = at(pod.address(false), PORT);
    let (bridge, init) = (world.node.bridge_pid(), server.container.pid);
    let world = &mut world;
    thread::scope(|scope| {
        let client = || {
            scope.spawn(move || {
                network::enter_network_of(bridge).unwrap();
                visit(address, Order::Close);
            });
        };
        // One by one: the kernel looks whether there is room and takes it later, without a lock, so that of two
        // who come at once both may get the last place.
        for nth in 1..=IN_QUEUE {
            client();
            wait::until("there is one more in the queue", || established(init) == nth);
        }
        // Their SYNs are sent again after 1 s, 3 s …, as long as they are not taken.
        (0..LATE).for_each(|_| client());
        wait::until("the others found the queue full", || overflows(init) >= LATE);
        world.stop(&server);
    });
    let counts = world.end(server);
    assert_eq!(counts.accepted, IN_QUEUE + LATE);

    let termination = world.termination();
    let expected = Told { at_start: IN_QUEUE, opened: LATE, late: LATE, ..Told::default() };
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

/// How often a listener in the network namespace of a process had no room for a client.
fn overflows(pid: u32) -> u64 {
    let table = fs::read_to_string(format!("/proc/{pid}/net/netstat")).unwrap();
    // A line of names and one of numbers for each protocol.
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
    let (_, number) = names.zip(numbers).find(|(name, _)| *name == "ListenOverflows").unwrap();
    number.parse().unwrap()
}
