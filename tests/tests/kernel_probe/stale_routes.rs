//! Connects to addresses that pods have left.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};

use gracetrace::model::{BootTime, Event, Kind};

use crate::container::Cgroup;
use crate::listener::{Listener, assert_refused};
use crate::watch::Watch;

/// An address of this test alone: connects of all processes of the node count, those of tests beside it too.
fn address_of_its_own() -> IpAddr {
    static NUMBER: AtomicU8 = AtomicU8::new(0);
    IpAddr::V4(Ipv4Addr::new(127, 66, NUMBER.fetch_add(1, Ordering::Relaxed), 1))
}

const GONE_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn told(watch: &mut Watch) -> Vec<(IpAddr, u64)> {
    watch.probe.refused(BootTime(1)).unwrap().events.iter().filter_map(stale).collect()
}

fn stale(event: &Event) -> Option<(IpAddr, u64)> {
    match event.kind {
        Kind::StaleConnections { address, count } => Some((address, count)),
        _ => None,
    }
}

/// A pod's network, in which these addresses are, so that nothing is in the way of others.
fn network(slice: &Cgroup) -> Listener {
    Listener::in_pod(slice)
}

#[tokio::test]
pub(crate) async fn connects_to_an_address_that_is_gone() {
    let gone = address_of_its_own();
    let slice = Cgroup::slice("stale");
    let mut watch = Watch::new();
    let net = network(&slice);
    // Nobody is tracked at all: a connect of anybody counts.
    net.refuse((gone, 80), 2);
    watch.probe.address_gone(gone).unwrap();
    watch.probe.address_gone(GONE_V6).unwrap();
    assert_eq!(told(&mut watch), [], "before it was gone");
    net.refuse((gone, 80), 3);
    net.refuse((gone, 8080), 1);
    net.refuse((Ipv4Addr::new(127, 66, 0, 2), 80), 5);
    let IpAddr::V4(v4) = gone else { unreachable!() };
    net.refuse((v4.to_ipv6_mapped(), 80), 1);
    net.refuse((GONE_V6, 80), 2);
    assert_eq!(told(&mut watch), [(gone, 5), (GONE_V6, 2)]);
    assert_eq!(told(&mut watch), []);

    net.refuse((gone, 80), 4);
    let last = watch.probe.address_taken(gone, BootTime(1)).unwrap();
    assert_eq!(stale(&last), Some((gone, 4)), "what was not told yet");
    net.refuse((gone, 80), 1);
    net.refuse((GONE_V6, 80), 1);
    assert_eq!(told(&mut watch), [(GONE_V6, 1)]);
}

#[tokio::test]
pub(crate) async fn an_address_that_a_container_has_again() {
    let gone = address_of_its_own();
    let slice = Cgroup::slice("again");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut net = network(&slice);
    let address = SocketAddr::from((gone, 80));
    watch.probe.address_gone(gone).unwrap();
    net.refuse(address, 2);
    net.tell(&format!("listen {address}"));
    // Somebody is there, before the agent has heard of the new pod.
    drop(net.connect(address));
    net.tell("close");
    net.refuse(address, 3);
    assert_eq!(told(&mut watch), [(gone, 2)]);
    assert_eq!(stale(&watch.probe.address_taken(gone, BootTime(1)).unwrap()), Some((gone, 0)));
    // The next pod with it has gone, too.
    watch.probe.address_gone(gone).unwrap();
    net.refuse(address, 1);
    assert_eq!(told(&mut watch), [(gone, 1)]);
}

#[tokio::test]
async fn a_connect_that_is_given_up() {
    let gone = address_of_its_own();
    let slice = Cgroup::slice("given-up");
    let mut watch = Watch::new();
    let mut net = network(&slice);
    let address = SocketAddr::from((gone, 80));
    // Nobody answers: its backlog is full.
    net.tell(&format!("short {address}"));
    let patience = std::time::Duration::from_millis(50);
    let held: Vec<TcpStream> =
        net.inside(|| std::iter::from_fn(|| TcpStream::connect_timeout(&address, patience).ok()).collect());
    watch.probe.address_gone(gone).unwrap();
    assert!(net.inside(|| TcpStream::connect_timeout(&address, patience)).is_err());
    drop(held);
    assert_eq!(told(&mut watch), [(gone, 1)]);
    net.tell("close");
    net.inside(|| assert_refused(address));
    assert_eq!(told(&mut watch), [(gone, 1)]);
}
