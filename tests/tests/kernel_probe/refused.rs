//! Connections that are refused, and whose they are: SYNs that are answered with a reset because nobody listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use gracetrace::model::{BootTime, Counters, Kind};
use gracetrace_tests::node::clients;

use crate::container::Cgroup;
use crate::listener::{Listener, assert_refused};
use crate::watch::Watch;

const V4: IpAddr = IpAddr::V4(clients::POD);
const V6: IpAddr = IpAddr::V6(clients::POD_V6);

/// Refused after it listened, and before.
fn refused(counters: &Counters) -> (u64, u64) {
    (counters.refused, counters.startup_refused)
}

async fn before_and_after(listen: &str, clients: IpAddr) {
    let slice = Cgroup::slice("refused");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    pod.refuse((clients, 8080), 3);
    // Nobody can say yet whose these are.
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, 0));
    pod.tell(listen);
    let counters = watch.snapshot(&slice).await;
    assert_eq!(refused(&counters), (0, 3));
    assert_eq!(counters.last_refused, None);

    drop(pod.connect((clients, 8080)));
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, 3));
    let before = now();
    pod.tell("close");
    pod.refuse((clients, 8080), 5);
    let counters = watch.snapshot(&slice).await;
    assert_eq!(refused(&counters), (5, 3));
    assert!(counters.last_refused.is_some_and(|at| at > before && at < now()), "{counters:?}");

    // It listens again: what was refused while it did not stays, and it is not a start.
    pod.tell(listen);
    drop(pod.connect((clients, 8080)));
    assert_eq!(refused(&watch.snapshot(&slice).await), (5, 3));
    pod.tell("close");
    pod.refuse((clients, 8080), 1);
    assert_eq!(refused(&watch.snapshot(&slice).await), (6, 3));
    assert_eq!(watch.losses().drops.iter().sum::<u64>(), 0);
}

#[tokio::test]
pub(crate) async fn v4() {
    before_and_after("listen 10.99.0.1:8080", V4).await;
}

#[tokio::test]
async fn v6() {
    before_and_after("listen [::]:8080", V6).await;
}

#[tokio::test]
async fn v4_at_a_listener_of_both() {
    before_and_after("dual 8080", V4).await;
}

#[tokio::test]
async fn v6_at_a_listener_of_both() {
    before_and_after("dual 8080", V6).await;
}

#[tokio::test]
async fn a_port_of_the_kernels_choice() {
    let slice = Cgroup::slice("chosen");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    let port = pod.tell("listen 10.99.0.1:0");
    pod.tell("close");
    pod.refuse((V4, port), 2);
    assert_eq!(refused(&watch.snapshot(&slice).await), (2, 0));
}

#[tokio::test]
pub(crate) async fn the_last_of_several_listeners_counts() {
    let slice = Cgroup::slice("shared");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    pod.refuse((V4, 8080), 4);
    for _ in 0..3 {
        pod.tell("shared 10.99.0.1:8080");
    }
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, 4), "once, not by listener");
    pod.tell("close");
    pod.tell("close");
    // One of them is left.
    drop(pod.connect((V4, 8080)));
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, 4));
    pod.tell("close");
    pod.refuse((V4, 8080), 2);
    assert_eq!(refused(&watch.snapshot(&slice).await), (2, 4));
}

#[tokio::test]
pub(crate) async fn refused_where_it_listens_is_nobodys() {
    let slice = Cgroup::slice("elsewhere");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    pod.tell("listen 10.99.0.1:8080");
    let elsewhere = (Ipv4Addr::new(10, 99, 0, 2), 8080);
    pod.refuse(elsewhere, 3);
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, 0));
    // Connections come and go, the listener stays.
    for _ in 0..3 {
        drop(pod.connect((V4, 8080)));
    }
    pod.refuse(elsewhere, 3);
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, 0));
}

/// A SYN may find nobody, and be told of when somebody has begun to listen.
#[tokio::test]
async fn what_is_refused_as_it_begins_was_before() {
    const STARTS: u16 = 200;
    let slice = Cgroup::slice("begins");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    let mut refused_clients = 0;
    for port in 8_000..8_000 + STARTS {
        let clients = [(); 4].map(|()| pod.refused_until_it_listens((V4, port)));
        pod.tell(&format!("listen 0.0.0.0:{port}"));
        refused_clients += clients.into_iter().map(|client| client.join().unwrap()).sum::<u64>();
    }
    assert!(refused_clients >= 4 * u64::from(STARTS), "{refused_clients}");
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, refused_clients));
}

#[tokio::test]
async fn within_the_pod_nobody_is_a_client() {
    let slice = Cgroup::slice("own");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), Ipv4Addr::new(10, 99, 0, 2).into()];
    own.into_iter().for_each(|address| pod.refuse((address, 8080), 2));
    pod.tell("dual 8080");
    pod.tell("close");
    own.into_iter().for_each(|address| pod.refuse((address, 8080), 2));
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, 0));
    pod.refuse((V4, 8080), 1);
    assert_eq!(refused(&watch.snapshot(&slice).await), (1, 0));
}

#[tokio::test]
async fn a_full_listener_refuses_nobody() {
    let slice = Cgroup::slice("full");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    for (on_overflow, port) in [("0", 8080_u16), ("1", 8081)] {
        pod.set("tcp_abort_on_overflow", on_overflow);
        pod.tell(&format!("short 10.99.0.1:{port}"));
        let address = SocketAddr::from((V4, port));
        // Some find room; then SYNs are dropped, or the last ACK is answered with a reset.
        let held: Vec<TcpStream> = pod.inside(|| {
            let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100));
            (0..8).filter_map(|_| connect().ok()).collect()
        });
        assert!(held.len() < 8 || on_overflow == "1", "it has room for all");
        let counters = watch.snapshot(&slice).await;
        assert_eq!(refused(&counters), (0, 0), "tcp_abort_on_overflow = {on_overflow}");
    }
}

#[tokio::test]
async fn each_pod_has_its_own_ports() {
    let slice = Cgroup::slice("pods");
    let (a, b) = (slice.child("a"), slice.child("b"));
    let mut watch = Watch::new();
    watch.track(&a);
    watch.track(&b);
    let (mut pod_a, mut pod_b) = (Listener::in_pod(&a), Listener::in_pod(&b));
    pod_a.refuse((V4, 8080), 2);
    pod_b.refuse((V4, 8080), 3);
    pod_a.tell("listen 0.0.0.0:8080");
    pod_a.tell("close");
    pod_a.refuse((V4, 8080), 4);
    assert_eq!(refused(&watch.snapshot(&a).await), (4, 2));
    assert_eq!(refused(&watch.snapshot(&b).await), (0, 0));
    pod_b.tell("listen 0.0.0.0:8080");
    assert_eq!(refused(&watch.snapshot(&b).await), (0, 3));
    assert_eq!(refused(&watch.snapshot(&a).await), (4, 2));
}

#[tokio::test]
async fn a_container_takes_over_from_one_that_is_gone() {
    let slice = Cgroup::slice("next");
    let (first, second) = (slice.child("first"), slice.child("second"));
    let mut watch = Watch::new();
    let id = watch.track(&first);
    watch.track(&second);
    let mut one = Listener::in_pod(&first);
    one.tell("listen 0.0.0.0:8080");
    // Its own process ends, its pod does not.
    let mut two = one.beside(&second);
    drop(one);
    two.refuse((V4, 8080), 2);
    assert_eq!(refused(&watch.snapshot(&first).await), (2, 0), "as long as its state is there");
    watch.probe.untrack(id).unwrap();
    two.refuse((V4, 8080), 3);
    two.tell("listen 0.0.0.0:8080");
    assert_eq!(refused(&watch.snapshot(&second).await), (0, 3));
    two.tell("close");
    two.refuse((V4, 8080), 1);
    assert_eq!(refused(&watch.snapshot(&second).await), (1, 3));
}

#[tokio::test]
async fn on_the_host_only_ports_that_had_a_container() {
    let slice = Cgroup::slice("host");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut host = Listener::on_host(&slice);
    // Somebody's connect to nowhere, which is nobody's: no container waits for it.
    let port = host.tell("listen 127.0.0.1:0");
    host.tell("close");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_refused(address);
    assert_eq!(refused(&watch.snapshot(&slice).await), (1, 0), "a container has listened there");
    let id = slice.id();
    watch.probe.untrack(id).unwrap();
    assert_refused(address);
    watch.track(&slice);
    host.tell(&format!("listen {address}"));
    assert_eq!(refused(&watch.snapshot(&slice).await), (0, 0));
}

#[tokio::test]
async fn a_scan_of_one_pod_takes_nothing_from_others() {
    let slice = Cgroup::slice("scan");
    let (scanned, other) = (slice.child("scanned"), slice.child("other"));
    let mut watch = Watch::new();
    watch.track(&scanned);
    watch.track(&other);
    let (mut pod, mut quiet) = (Listener::in_pod(&scanned), Listener::in_pod(&other));
    quiet.refuse((V4, 9090), 2);
    pod.refuse((V4, 8080), 2);
    pod.tell("listen 0.0.0.0:7070");
    pod.inside(|| (10_000..20_000).for_each(|port| assert_refused((V4, port).into())));
    // What waited before the scan still does, and what is left out is counted, each and every one.
    pod.tell("listen 0.0.0.0:8080");
    assert_eq!(refused(&watch.snapshot(&scanned).await), (0, 2));
    let left_out = watch.probe.refused(now()).unwrap().left_out;
    // 256 slots, of which one was taken.
    assert_eq!(left_out, 10_000 - 255);
    quiet.tell("listen 0.0.0.0:9090");
    assert_eq!(refused(&watch.snapshot(&other).await), (0, 2));
    pod.tell("close");
    pod.refuse((V4, 7070), 3);
    assert_eq!(refused(&watch.snapshot(&scanned).await), (3, 2), "the scan has pushed out no owner");
    assert_eq!(watch.losses().drops.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn the_agent_hears_of_counts_without_a_record() {
    let slice = Cgroup::slice("counted");
    let mut watch = Watch::new();
    let id = watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    pod.tell("listen 10.99.0.1:8080");
    assert!(watch.probe.refused(now()).unwrap().events.is_empty());
    pod.tell("close");
    pod.refuse((V4, 8080), 7);
    let at = now();
    let told = watch.probe.refused(at).unwrap().events;
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((event.at, event.cgroup, &event.kind, event.counters.refused), (at, id, &Kind::Counted, 7));
    assert!(watch.probe.refused(now()).unwrap().events.is_empty(), "told once");
}

#[tokio::test]
pub(crate) async fn probes_of_the_kubelet_are_no_clients() {
    let slice = Cgroup::slice("probes");
    let (container, kubelet_cgroup) = (slice.child("container"), slice.child("kubelet"));
    let mut watch = Watch::new();
    watch.track(&container);
    watch.probe.attach_to_kubelet(Ok(&[kubelet_cgroup.path().to_owned()]));
    let mut pod = Listener::in_pod(&container);
    let mut kubelet = pod.beside(&kubelet_cgroup);
    let mut probe = |address: &str| assert_eq!(kubelet.tell(&format!("connect {address}:8080")), 0);
    for address in ["10.99.0.1", "[fd99::1]"] {
        probe(address);
        pod.refuse((V4, 8080), 2);
        probe(address);
    }
    pod.tell("dual 8080");
    assert_eq!(refused(&watch.snapshot(&container).await), (0, 4));
    pod.tell("close");
    probe("10.99.0.1");
    assert_eq!(watch.snapshot(&container).await.last_refused, None);
    pod.refuse((V4, 8080), 2);
    let before = now();
    probe("10.99.0.1");
    probe("[fd99::1]");
    let counters = watch.snapshot(&container).await;
    assert_eq!(refused(&counters), (2, 4));
    assert!(counters.last_refused.is_some_and(|at| at < before), "{counters:?}");
}

#[tokio::test]
async fn many_at_once_are_counted_to_the_last() {
    let slice = Cgroup::slice("many");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    let clients = |pod: &Listener| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| pod.refuse((V4, 8080), 500));
            }
        });
    };
    clients(&pod);
    pod.tell("listen 0.0.0.0:8080");
    pod.tell("close");
    clients(&pod);
    assert_eq!(refused(&watch.snapshot(&slice).await), (4_000, 4_000));
}

#[tokio::test]
async fn ports_of_containers_that_are_gone_are_taken_out() {
    let slice = Cgroup::slice("sweep");
    let mut watch = Watch::new();
    let id = watch.track(&slice);
    let mut pod = Listener::in_pod(&slice);
    for port in 8000..8010 {
        pod.tell(&format!("listen 10.99.0.1:{port}"));
    }
    let used =
        |watch: &Watch, map: &str| watch.probe.map_usage().into_iter().find(|usage| usage.map == map).unwrap().used;
    pod.refuse((V4, 9000), 1);
    assert_eq!((used(&watch, "PORTS"), used(&watch, "WAITING")), (10, 1));
    watch.probe.sweep_ports(now()).unwrap();
    assert_eq!((used(&watch, "PORTS"), used(&watch, "WAITING")), (10, 1), "nothing is old");
    watch.probe.untrack(id).unwrap();
    pod.refuse((V4, 9001), 1);
    watch.probe.sweep_ports(BootTime(now().0 + 301_000_000_000)).unwrap();
    assert_eq!((used(&watch, "PORTS"), used(&watch, "WAITING")), (0, 0));
    assert_eq!(watch.probe.refused(now()).unwrap().left_out, 2, "they have waited in vain");
}

fn now() -> BootTime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    BootTime(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}
