//! Connections that are older than the probe.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use gracetrace::model::{CgroupKind, ConnectionChange, Counters, Direction, Pid};
use rustix::net::sockopt::set_socket_linger;

use crate::container::Cgroup;
use crate::steps::Steps;
use crate::watch::Watch;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Open and established, both ways.
fn counts(counters: &Counters) -> [u64; 4] {
    [counters.inbound_open, counters.outbound_open, counters.inbound_total, counters.outbound_total]
}

#[tokio::test]
pub(crate) async fn both_ways_and_shared_between_processes() {
    let (pod, outside) = (Cgroup::slice("older"), Cgroup::slice("clients"));
    let (mut inside, mut client) = (Steps::start(&pod), Steps::start(&outside));
    let address = SocketAddr::from((V4, inside.listen(Ipv6Addr::UNSPECIFIED).port()));
    let elsewhere = client.listen(Ipv6Addr::LOCALHOST);
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(client.connect(address).1);
        inside.accept();
    }
    for _ in 0..2 {
        inside.connect(elsewhere);
        client.accept();
    }
    // Half-closed counts, closed does not; and a second process has all of them too.
    client.step("shutdown 0");
    client.connect(address);
    inside.accept();
    inside.step("shutdown 5");
    inside.step("fork");
    let mut watch = Watch::new();
    let id = pod.id();
    // With its init, or the next process that enters would be taken for that.
    watch.probe.track(id, id, CgroupKind::Container, Some(Pid(inside.pid()))).unwrap();
    assert_eq!(counts(&watch.snapshot(&pod).await), [0, 0, 0, 0]);
    assert_eq!(watch.seed(), 5);
    assert_eq!(counts(&watch.snapshot(&pod).await), [3, 2, 0, 0]);
    assert_eq!(watch.seed(), 0, "each counts once");
    assert_eq!(counts(&watch.snapshot(&pod).await), [3, 2, 0, 0]);

    client.connect(address);
    inside.accept();
    assert_eq!(watch.seed(), 0, "that one was seen");
    watch.probe.watch_connections(id).unwrap();
    inside.step("close 1");
    assert_eq!(counts(&watch.snapshot(&pod).await), [4, 2, 1, 0], "the other process has it still");
    inside.step("end-child");
    assert_eq!(counts(&watch.snapshot(&pod).await), [3, 2, 1, 0]);
    let [(_, closed)] = watch.changes()[..] else { panic!("{:?}", watch.changes()) };
    assert_eq!((closed.change, closed.direction), (ConnectionChange::Closed { aborted: false }, Direction::Inbound));
    assert_eq!((closed.peer, closed.opened), (peers[1], None));
    drop(inside);
    let counters = watch.counters_until("none left", &pod, |it| it.inbound_open + it.outbound_open == 0).await;
    assert_eq!(counters.lost, 0);
}

#[tokio::test]
async fn what_no_process_has_accepted_is_not_found() {
    let pod = Cgroup::slice("queue");
    let mut server = Steps::start(&pod);
    let address = server.listen(V4);
    let [first, second] = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    let mut watch = Watch::new();
    watch.track(&pod);
    assert_eq!(watch.seed(), 0);
    server.accept();
    assert_eq!(watch.seed(), 1);
    assert_eq!(counts(&watch.snapshot(&pod).await), [1, 0, 0, 0]);
    // The one in the queue ends uncounted.
    drop(second);
    drop(server);
    let counters = watch.counters_until("none left", &pod, |counters| counters.inbound_open == 0).await;
    assert_eq!((counts(&counters), counters.aborted), ([0; 4], 0));
    drop(first);
}

#[tokio::test]
async fn the_kubelets_and_the_pods_own_are_not_counted() {
    let (kubelet_cgroup, pod, alone) = (Cgroup::slice("kubelet"), Cgroup::slice("pod"), Cgroup::slice("alone"));
    let (mut kubelet, mut server, mut own) = (Steps::start(&kubelet_cgroup), Steps::start(&pod), Steps::start(&alone));
    let address = server.listen(V4);
    kubelet.connect(address);
    server.accept();
    let client = TcpStream::connect(address).unwrap();
    server.accept();
    own.step("network alone");
    let within = own.listen(V4);
    own.connect(within);
    own.accept();
    let mut watch = Watch::new();
    watch.track(&pod);
    watch.track(&alone);
    watch.probe.attach_to_kubelet(Ok(&[kubelet_cgroup.path().to_owned()]));
    assert_eq!(watch.seed(), 1);
    assert_eq!(counts(&watch.snapshot(&pod).await), [1, 0, 0, 0]);
    assert_eq!(counts(&watch.snapshot(&alone).await), [0; 4]);
    drop(client);
}

/// Without a listener nothing tells which way a connection went.
#[tokio::test]
async fn a_server_that_does_not_listen_any_more() {
    let pod = Cgroup::slice("drains");
    let mut server = Steps::start(&pod);
    let address = server.listen(V4);
    let client = TcpStream::connect(address).unwrap();
    server.accept();
    server.step("unlisten");
    let mut watch = Watch::new();
    watch.track(&pod);
    assert_eq!(watch.seed(), 1);
    assert_eq!(counts(&watch.snapshot(&pod).await), [0, 1, 0, 0]);
    drop(client);
}

/// However a search and the end of a connection overlap, it is taken off.
#[tokio::test]
pub(crate) async fn connections_that_end_during_the_search() {
    const CLIENTS: usize = 400;
    let pod = Cgroup::slice("race");
    let mut server = Steps::start(&pod);
    let address = server.listen(V4);
    for round in 0..5 {
        let connect = |_| {
            let client = TcpStream::connect(address).unwrap();
            server.accept();
            set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            client
        };
        let mut clients: Vec<TcpStream> = (0..CLIENTS).map(connect).collect();
        let mut watch = Watch::new();
        watch.track(&pod);
        // A reset takes them off, whatever the server does.
        let left = clients.split_off(CLIENTS - 10);
        let ending = std::thread::spawn(move || drop(clients));
        watch.seed();
        ending.join().unwrap();
        watch.seed();
        // The kernel may leave the rest of the resets to a thread of its own.
        let what = format!("the rest of round {round}");
        watch.counters_until(&what, &pod, |counters| counts(counters) == [10, 0, 0, 0]).await;
        drop(left);
        let counters = watch.counters_until(&what, &pod, |counters| counts(counters) == [0; 4]).await;
        assert_eq!(counters.lost, 0);
    }
}
