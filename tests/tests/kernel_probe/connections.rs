//! How connections begin and end, and what is counted of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use gracetrace::model::Counters;

use crate::container::Cgroup;
use crate::steps::Steps;
use crate::watch::Watch;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What a test says of a container: open, total, aborted, failed.
fn counts(counters: &Counters) -> [u64; 6] {
    [
        counters.inbound_open,
        counters.outbound_open,
        counters.inbound_total,
        counters.outbound_total,
        counters.aborted,
        counters.outbound_failed,
    ]
}

/// A pod's process that listens at `listen` and that clients reach at `reach`. Ends connections in every way, many times.
async fn every_end(listen: IpAddr, reach: IpAddr) {
    const TIMES: u64 = 200;
    let (pod, outside) = (Cgroup::slice("ends"), Cgroup::slice("clients"));
    let mut watch = Watch::new();
    watch.track(&pod);
    let (mut server, mut client) = (Steps::start(&pod), Steps::start(&outside));
    let address = SocketAddr::new(reach, server.listen(listen).port());
    for _ in 0..TIMES {
        let mut pair = || {
            let (at_client, own) = client.connect(address);
            let (at_server, peer) = server.accept();
            assert_eq!(SocketAddr::new(own.ip().to_canonical(), own.port()), peer);
            (at_client, at_server)
        };
        let pairs: [_; 6] = std::array::from_fn(|_| pair());
        // The client first, and the server after it.
        client.step(&format!("close {}", pairs[0].0));
        server.step(&format!("receive-end {}", pairs[0].1));
        server.step(&format!("close {}", pairs[0].1));
        // The server first.
        server.step(&format!("close {}", pairs[1].1));
        client.step(&format!("receive-end {}", pairs[1].0));
        client.step(&format!("close {}", pairs[1].0));
        // The client says that it has said all, and is answered still.
        client.step(&format!("shutdown {}", pairs[2].0));
        server.step(&format!("receive-end {}", pairs[2].1));
        server.step(&format!("send {} 10", pairs[2].1));
        client.step(&format!("receive {} 10", pairs[2].0));
        server.step(&format!("close {}", pairs[2].1));
        client.step(&format!("close {}", pairs[2].0));
        // The server does not read what it was sent: that is a reset.
        client.step(&format!("send {} 10", pairs[3].0));
        server.step(&format!("peek {}", pairs[3].1));
        server.step(&format!("close {}", pairs[3].1));
        client.step(&format!("close {}", pairs[3].0));
        // A reset by the server, and one by the client.
        server.step(&format!("reset {}", pairs[4].1));
        client.step(&format!("close {}", pairs[4].0));
        client.step(&format!("reset {}", pairs[5].0));
        server.step(&format!("close {}", pairs[5].1));
    }
    let counters = watch.snapshot(&pod).await;
    assert_eq!(counts(&counters), [0, 0, 6 * TIMES, 0, 3 * TIMES, 0]);
    assert_eq!((counters.internal, counters.kubelet, counters.late, counters.lost), (0, 0, 0, 0));
    assert!(watch.changes().is_empty(), "nothing is told of a container that runs");
}

#[tokio::test]
pub(crate) async fn every_end_v4() {
    every_end(V4.into(), V4.into()).await;
}

#[tokio::test]
pub(crate) async fn every_end_v6() {
    every_end(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()).await;
}

#[tokio::test]
async fn every_end_v4_mapped() {
    every_end(Ipv6Addr::UNSPECIFIED.into(), V4.into()).await;
}

#[tokio::test]
async fn a_half_closed_connection_is_open() {
    let pod = Cgroup::slice("half");
    let mut watch = Watch::new();
    watch.track(&pod);
    let mut server = Steps::start(&pod);
    let address = server.listen(V4);
    let client = TcpStream::connect(address).unwrap();
    let (index, _) = server.accept();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    server.step(&format!("receive-end {index}"));
    assert_eq!(counts(&watch.snapshot(&pod).await), [1, 0, 1, 0, 0, 0]);
    server.step(&format!("shutdown {index}"));
    assert_eq!(counts(&watch.snapshot(&pod).await), [0, 0, 1, 0, 0, 0]);
}

#[tokio::test]
pub(crate) async fn a_process_for_each_connection() {
    let pod = Cgroup::slice("fork");
    let mut watch = Watch::new();
    watch.track(&pod);
    let mut server = Steps::start(&pod);
    let address = server.listen(V4);
    for total in 1..=20 {
        let client = TcpStream::connect(address).unwrap();
        let (index, _) = server.accept();
        server.step("fork");
        server.step(&format!("close {index}"));
        // The child has it still.
        assert_eq!(counts(&watch.snapshot(&pod).await), [1, 0, total, 0, 0, 0]);
        server.step("end-child");
        drop(client);
        assert_eq!(counts(&watch.snapshot(&pod).await), [0, 0, total, 0, 0, 0]);
    }
}

#[tokio::test]
pub(crate) async fn outbound_connections_that_fail() {
    let pod = Cgroup::slice("failed");
    let mut watch = Watch::new();
    watch.track(&pod);
    // An address that no other test uses: one of them may get the port as soon as it is free.
    let listener = TcpListener::bind((Ipv4Addr::new(127, 3, 2, 2), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = Steps::start(&pod);
    client.connect(address);
    drop(listener);
    for _ in 0..3 {
        assert_eq!(client.step(&format!("connect {address}")), "connection refused");
    }
    // The listener took its connection along.
    let wanted = [0, 0, 0, 1, 1, 3];
    let counters = watch.counters_until("failed", &pod, |counters| counts(counters) == wanted).await;
    assert_eq!(counters.lost, 0);
}
