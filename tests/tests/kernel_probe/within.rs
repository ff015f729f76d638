//! Connections that are no client's: within a pod, and the kubelet's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gracetrace::model::{Counters, Kind};

use crate::container::Cgroup;
use crate::steps::Steps;
use crate::watch::Watch;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Inbound, outbound, of the pod itself, of the kubelet.
fn totals(counters: &Counters) -> [u64; 4] {
    [counters.inbound_total, counters.outbound_total, counters.internal, counters.kubelet]
}

#[tokio::test]
pub(crate) async fn a_pods_own_loopback_device() {
    let pod = Cgroup::slice("loopback");
    let mut watch = Watch::new();
    let id = watch.track(&pod);
    let mut process = Steps::start(&pod);
    process.step("network alone");
    for (count, ip) in [(1, IpAddr::from(V4)), (2, Ipv4Addr::new(127, 3, 2, 1).into()), (3, Ipv6Addr::LOCALHOST.into())]
    {
        let address = process.listen(ip);
        let ((client, _), (server, _)) = (process.connect(address), process.accept());
        let counters = watch.snapshot(&pod).await;
        assert_eq!(totals(&counters), [0, 0, count, 0], "{ip}");
        assert_eq!((counters.inbound_open, counters.outbound_open, counters.last_inbound), (0, 0, None));
        process.step(&format!("reset {client}"));
        process.step(&format!("close {server}"));
    }
    // A listener on all addresses takes them mapped.
    let port = process.listen(Ipv6Addr::UNSPECIFIED).port();
    process.connect((V4, port).into());
    // And nothing listens here.
    process.step("unlisten");
    assert_eq!(process.step(&format!("connect {}", SocketAddr::from((V4, port)))), "connection refused");
    watch.probe.watch_connections(id).unwrap();
    process.step("close 0");
    let counters = watch.snapshot(&pod).await;
    assert_eq!(totals(&counters), [0, 0, 4, 0]);
    // Only a call that fails is told: a sidecar may stand for others.
    assert_eq!((counters.aborted, counters.outbound_failed, counters.lost), (0, 1, 0));
    assert!(watch.changes().is_empty());
}

#[tokio::test]
pub(crate) async fn a_pods_own_address_and_anothers() {
    let (node, one, other) = (Cgroup::slice("node"), Cgroup::slice("one"), Cgroup::slice("other"));
    let mut watch = Watch::new();
    watch.track(&one);
    watch.track(&other);
    let mut bridge = Steps::start(&node);
    bridge.step("network bridge");
    let mut pods = [Steps::start(&one), Steps::start(&other)];
    let addresses = [Ipv4Addr::new(10, 88, 1, 1), Ipv4Addr::new(10, 88, 1, 2)];
    for (number, (pod, address)) in pods.iter_mut().zip(addresses).enumerate() {
        pod.step(&format!("network pod {} {number} {address}", bridge.pid()));
    }
    let address = pods[0].listen(addresses[0]);
    pods[0].connect(address);
    pods[0].accept();
    assert_eq!(totals(&watch.snapshot(&one).await), [0, 0, 1, 0]);
    let (_, own) = pods[1].connect(address);
    assert_eq!(pods[0].accept().1, own);
    bridge.connect(address);
    pods[0].accept();
    assert_eq!(totals(&watch.snapshot(&one).await), [2, 0, 1, 0]);
    assert_eq!(totals(&watch.snapshot(&other).await), [0, 1, 0, 0]);
}

async fn the_kubelet_is_no_client(listen: IpAddr, reach: IpAddr) {
    let (kubelet_cgroup, pod, outside) = (Cgroup::slice("kubelet"), Cgroup::slice("probed"), Cgroup::slice("stranger"));
    let mut watch = Watch::new();
    watch.track(&pod);
    watch.probe.attach_to_kubelet(Ok(&[kubelet_cgroup.path().to_owned()]));
    let (mut kubelet, mut server) = (Steps::start(&kubelet_cgroup), Steps::start(&pod));
    let address = SocketAddr::new(reach, server.listen(listen).port());
    for count in 1..=50 {
        kubelet.connect(address);
        let (accepted, _) = server.accept();
        if count % 2 == 0 {
            server.step(&format!("close {accepted}"));
        }
    }
    let mut stranger = Steps::start(&outside);
    stranger.connect(address);
    server.accept();
    let counters = watch.snapshot(&pod).await;
    assert_eq!(totals(&counters), [1, 0, 0, 50]);
    assert_eq!((counters.inbound_open, counters.aborted, counters.lost), (1, 0, 0));

    // It is not followed any more.
    watch.probe.attach_to_kubelet(Err("it is gone"));
    kubelet.connect(address);
    server.accept();
    assert_eq!(totals(&watch.snapshot(&pod).await), [2, 0, 0, 50]);
}

#[tokio::test]
pub(crate) async fn the_kubelet_is_no_client_v4() {
    the_kubelet_is_no_client(V4.into(), V4.into()).await;
}

#[tokio::test]
async fn the_kubelet_is_no_client_v6() {
    the_kubelet_is_no_client(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()).await;
}

#[tokio::test]
async fn the_kubelet_is_no_client_v4_mapped() {
    the_kubelet_is_no_client(Ipv6Addr::UNSPECIFIED.into(), V4.into()).await;
}

#[tokio::test]
async fn the_kubelets_cgroup_is_no_container() {
    let (kubelet, pod) = (Cgroup::slice("kubelet"), Cgroup::slice("pod"));
    let mut watch = Watch::new();
    watch.track(&pod);
    watch.probe.attach_to_kubelet(Ok(&[kubelet.path().to_owned()]));
    // What it does, and what is made below it, is nobody's.
    kubelet.run(&["true"]);
    let below = kubelet.child("below");
    below.run(&["true"]);
    let mut init = kubelet.start_init("echo ready; while :; do sleep 0.05; done", true);
    init.signal(libc::SIGTERM);
    init.signal(libc::SIGKILL);
    init.wait();
    let mut process = Steps::start(&kubelet);
    let address = process.listen(V4);
    process.connect(address);
    process.accept();
    watch.snapshot(&pod).await;
    let own = [kubelet.id(), below.id()];
    let told: Vec<_> = watch.events.iter().filter(|event| own.contains(&event.cgroup)).collect();
    assert!(told.is_empty(), "{told:?}");

    // A pods' cgroup that is the kubelet's too stays a pods'.
    watch.probe.attach_to_kubelet(Ok(&[pod.path().to_owned()]));
    watch.snapshot(&pod).await;
    watch.probe.attach_to_kubelet(Err("it is gone"));
    watch.snapshot(&pod).await;
    assert!(watch.of(pod.id()).any(|event| matches!(event.kind, Kind::Exit(_))));
}
