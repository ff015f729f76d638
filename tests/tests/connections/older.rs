//! Connections that are older than the agent.

use gracetrace_tests::server::{Order, at};

use crate::clients::{assert_cut, hold, order, visit, wait_for};
use crate::told::Told;
use crate::world::{PORT, World};

#[test]
fn what_was_open_before_is_counted() {
    let mut world = World::without_agent();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", "forking"]);
    let (v4, v6) = (at(pod.address(false), PORT), at(pod.address(true), PORT));
    let mut held = world.outside(|| {
        let half = order(v4, Order::Linger);
        half.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for(v4, "one is half closed", |counts| counts.half_closed == 1);
        let mut held = hold(v4, 200);
        held.extend(hold(v6, 99));
        held.push(half);
        held
    });
    world.start_agent(&[]);
    // Some of them end under its eyes, and new ones come.
    world.outside(|| {
        held.drain(..100).for_each(drop);
        wait_for(v4, "100 are over", |counts| counts.ended == 100);
        held.extend(hold(v6, 20));
        visit(v4, Order::Close);
    });
    world.stop(&server);
    let late = world.outside(|| hold(v4, 7));
    world.end(server);
    assert_cut(held);
    assert_cut(late);

    let termination = world.termination();
    let expected = Told { at_start: 220, opened: 7, zombies: 227, late: 7, ..Told::default() };
    expected.assert_of(&termination);
    world.stop_agent();
}
