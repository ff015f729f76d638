//! A ring buffer that is too small: what is lost is counted, by hook and by container.

use std::net::Ipv4Addr;

use gracetrace::model::Kind;
use gracetrace::probe::{HOOKS, Hook, Options};

use crate::container::Cgroup;
use crate::part;
use crate::watch::Watch;

#[tokio::test]
pub(crate) async fn what_does_not_fit_is_counted() {
    let slice = Cgroup::slice("tiny");
    let (lossy, quiet) = (slice.child("lossy"), slice.child("quiet"));
    let mut watch = Watch::with(&Options { ring_bytes: 1, ..Options::default() });
    let id = watch.track(&lossy);
    watch.track(&quiet);
    assert_eq!(watch.losses().drops, [0; HOOKS]);
    // Nobody reads meanwhile: one page holds a handful of these.
    const RUNS: u64 = 30;
    for _ in 0..RUNS {
        lossy.run(&["true"]);
    }
    let losses = watch.losses();
    let execs = losses.drops[Hook::SchedProcessExec as usize];
    let exits = losses.drops[Hook::SchedProcessExit as usize];
    assert!(execs > 0 && exits > 0, "{losses:?}");
    let [event] = losses.events.as_slice() else { panic!("{losses:?}") };
    assert_eq!((event.cgroup, &event.kind), (id, &Kind::Lost));
    // Other tests may make a root of pods meanwhile, which is told wherever it is.
    let elsewhere = losses.drops[Hook::CgroupMkdir as usize];
    assert_eq!(event.counters.lost + elsewhere, losses.drops.iter().sum::<u64>());
    assert!(watch.losses().events.is_empty(), "told once");

    // What was received and what was lost is all that there was.
    let mut received = watch.receive().await.received;
    let counters = watch.snapshot(&lossy).await;
    for hook in [Hook::SchedProcessExec, Hook::SchedProcessExit] {
        received[hook as usize] += losses.drops[hook as usize];
        assert_eq!(received[hook as usize], RUNS, "{}", hook.name());
    }
    assert_eq!(counters.lost, event.counters.lost, "every later record carries it");
    assert_eq!(watch.snapshot(&quiet).await.lost, 0);
}

#[tokio::test]
pub(crate) async fn connections_without_room_are_counted() {
    let slice = Cgroup::slice("room");
    let mut watch = Watch::with(&Options { max_connections: 1, ..Options::default() });
    let id = watch.track(&slice);
    part::run(&slice, "both", (Ipv4Addr::LOCALHOST, 0).into());
    let losses = watch.losses();
    let lost = losses.drops[Hook::InetSockSetState as usize];
    // Each connection has two ends here. The kernel keeps a few entries more than it was asked for.
    assert!((1..8).contains(&lost), "{losses:?}");
    assert_eq!(losses.events.iter().map(|event| event.cgroup).collect::<Vec<_>>(), [id]);
    let counters = watch.counters_until("none left", &slice, |now| now.inbound_open + now.outbound_open == 0).await;
    assert_eq!((counters.inbound_total, counters.outbound_total, counters.lost), (4, 4, lost));
}
