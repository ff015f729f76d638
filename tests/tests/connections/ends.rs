//! Every way in which a connection ends: which of them are aborted, cut, or neither.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};

use gracetrace_tests::server::{Counts, Order, at};

use crate::clients::{assert_cut, order, reset, storm, visit, wait_for};
use crate::told::{Told, count};
use crate::world::{PORT, World};

/// How many of each kind.
const EACH: usize = 50;

#[test]
fn resets_are_aborted_and_half_closed_ones_are_open() {
    let mut world = World::new();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", "threaded"]);
    let bridge = world.node.bridge_pid();
    let mut total = Told::default();
    let mut kept = Vec::new();
    world.stop(&server);
    for address in [at(pod.address(false), PORT), at(pod.address(true), PORT)] {
        // The server resets; the server closes with data that it has not read; the client resets.
        storm(bridge, address, Order::Reset, 2, EACH);
        storm(bridge, address, Order::LeaveUnread, 2, EACH);
        world.outside(|| (0..EACH).for_each(|_| reset(order(address, Order::Hold))));
        total.aborted += 5 * EACH as u64;
        // Neither: either side closes first.
        storm(bridge, address, Order::Close, 2, EACH);
        storm(bridge, address, Order::Hold, 2, EACH);
        // The client has closed its side and the server has not, and the other way round: still open for the server.
        let half = world.outside(|| {
            let half: Vec<TcpStream> = (0..EACH).map(|_| order(address, Order::Linger)).collect();
            half.iter().for_each(|stream| stream.shutdown(Shutdown::Write).unwrap());
            half
        });
        total.zombies += EACH as u64;
        let (ended, half_closed) = (total.aborted + 4 * total.zombies, total.zombies);
        let all_is_seen = |counts: &Counts| counts.ended == ended && counts.half_closed == half_closed;
        total.opened += world.outside(|| wait_for(address, "all ends are seen", all_is_seen));
        kept.extend(half);
    }
    total.opened += total.aborted + 5 * total.zombies;
    total.late = total.opened;
    let counts = world.end(server);
    assert_eq!(counts.ended + counts.half_closed, counts.accepted, "the server has seen each end");
    assert_cut(kept);

    let termination = world.termination();
    total.assert_of(&termination);
    world.stop_agent();
}

#[test]
fn a_port_that_is_closed() {
    let mut world = World::new();
    let pod = world.pod();
    let refused = |address| {
        let error = TcpStream::connect(address).map(drop).map_err(|error| error.kind());
        assert_eq!(error, Err(ErrorKind::ConnectionRefused));
    };
    let (v4, v6) = (at(pod.address(false), PORT), at(pod.address(true), PORT));
    // The first container listens, and goes; nobody listens then. Then it comes again.
    let server = world.serve(&pod, &["--style", "threaded", "--leave-on", "1"]);
    let held = world.outside(|| {
        (0..20).for_each(|_| visit(v4, Order::Close));
        order(v6, Order::Hold)
    });
    world.outside(|| refused(at(pod.address(false), PORT + 1)));
    world.end(server);
    assert_cut(vec![held]);
    let termination = world.termination();
    let told = Told::of(&termination);
    assert_eq!((told.at_start, told.zombies, told.opened, told.late), (1, 1, 0, 0), "{termination:#}");
    assert_eq!(count(&termination, "refused"), 0, "it never listened on the other port: {termination:#}");
    world.stop_agent();
}
