//! Changes of connections that are told one by one.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use gracetrace::clock;
use gracetrace::model::{BootTime, ConnectionChange, Direction};
use gracetrace::probe::Options;

use crate::container::Cgroup;
use crate::steps::Steps;
use crate::watch::Watch;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;
const STOPPABLE: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";

#[tokio::test]
pub(crate) async fn a_container_that_the_agent_watches() {
    let (pod, outside) = (Cgroup::slice("watched"), Cgroup::slice("clients"));
    let mut watch = Watch::new();
    let id = watch.track(&pod);
    let (mut inside, mut client) = (Steps::start(&pod), Steps::start(&outside));
    let (address, elsewhere) = (inside.listen(Ipv6Addr::UNSPECIFIED), client.listen(Ipv6Addr::LOCALHOST));
    let address = SocketAddr::from((V4, address.port()));
    let before = clock::boot_now();
    let (_, old) = client.connect(address);
    inside.accept();
    let after = clock::boot_now();
    client.step("send 0 70");
    inside.step("receive 0 70");
    inside.step("send 0 30");
    client.step("receive 0 30");
    watch.snapshot(&pod).await;
    assert!(watch.changes().is_empty());

    watch.probe.watch_connections(id).unwrap();
    // Told again what it is, it stays watched.
    watch.track(&pod);
    let (_, new) = client.connect(address);
    inside.accept();
    let (out, _) = inside.connect(elsewhere);
    client.accept();
    assert_eq!(inside.step("connect [::1]:1"), "connection refused");
    client.step("close 0");
    inside.step("receive-end 0");
    inside.step("close 0");
    client.step("reset 1");
    inside.step(&format!("send {out} 9"));
    client.step("receive 2 9");
    // An answer, which acknowledges it.
    client.step("send 2 4");
    inside.step(&format!("receive {out} 4"));
    inside.step(&format!("close {out}"));
    watch.snapshot(&pod).await;

    let told: Vec<_> = watch.changes().into_iter().map(|(event, it)| (event.cgroup, it)).collect();
    assert!(told.iter().all(|(cgroup, it)| *cgroup == id && !it.late));
    let [opened, out_opened, failed, old_closed, new_closed, out_closed] = told[..] else { panic!("{told:?}") };
    let closed = |aborted| ConnectionChange::Closed { aborted };
    assert_eq!(
        (opened.1.change, opened.1.direction, opened.1.peer),
        (ConnectionChange::Opened, Direction::Inbound, new)
    );
    assert_eq!(opened.1.local_port, address.port());
    assert_eq!((out_opened.1.direction, out_opened.1.peer), (Direction::Outbound, elsewhere));
    assert_eq!((failed.1.change, failed.1.direction), (ConnectionChange::Failed, Direction::Outbound));
    assert_eq!((failed.1.peer, failed.1.opened), ("[::1]:1".parse().unwrap(), None));
    assert_eq!((old_closed.1.change, old_closed.1.peer), (closed(false), old));
    assert_eq!((old_closed.1.received, old_closed.1.sent), (70, 30));
    assert!(old_closed.1.opened.is_some_and(|at| before < at && at < after));
    assert_eq!((new_closed.1.change, new_closed.1.peer), (closed(true), new));
    assert_eq!(new_closed.1.opened, opened.1.opened);
    assert_eq!((out_closed.1.change, out_closed.1.peer), (closed(false), elsewhere));
    assert_eq!((out_closed.1.received, out_closed.1.sent), (4, 9));
    let counts: Vec<_> = watch.changes().iter().map(|(event, _)| event.counters.inbound_open).collect();
    assert_eq!(counts, [2, 2, 2, 1, 0, 0], "each record has the counts after it");
}

#[tokio::test]
pub(crate) async fn the_kernel_sees_by_itself_when_one_ends() {
    let pod = Cgroup::slice("ending");
    let mut watch = Watch::new();
    watch.track(&pod);
    let mut init = pod.start_init(STOPPABLE, false);
    // Known, the init is, by its exec.
    watch.exec(init.pid).await;
    let mut server = Steps::start(&pod);
    let address = server.listen(V4);
    let connect = |server: &mut Steps| {
        let client = TcpStream::connect(address).unwrap();
        server.accept();
        client
    };
    let cut = connect(&mut server);
    drop(connect(&mut server));
    server.step("close 1");
    init.signal(libc::SIGTERM);
    let (stopped, _) = watch.signal_sent(init.pid, 15).await;
    assert!(watch.changes().is_empty(), "before the signal nothing is told");
    let late = connect(&mut server);
    init.signal(libc::SIGKILL);
    init.wait();
    let (exited, _) = watch.exit(init.pid).await;
    drop(server);
    watch.snapshot(&pod).await;
    let told = watch.changes();
    let peers = |change: fn(&ConnectionChange) -> bool| -> BTreeSet<SocketAddr> {
        told.iter().filter(|(_, it)| change(&it.change)).map(|(_, it)| it.peer).collect()
    };
    let [cut, late] = [&cut, &late].map(|client| client.local_addr().unwrap());
    assert_eq!(peers(|change| *change == ConnectionChange::Opened), [late].into());
    assert_eq!(peers(|change| matches!(change, ConnectionChange::Closed { .. })), [cut, late].into());
    for (event, it) in told {
        assert_eq!(it.late, it.peer == late);
        let bound = if it.change == ConnectionChange::Opened { stopped.at } else { exited.at };
        assert!(event.at > bound);
    }
}

#[tokio::test]
async fn an_init_that_leaves_by_itself() {
    let pod = Cgroup::slice("leaves");
    let mut watch = Watch::new();
    watch.track(&pod);
    let mut server = Steps::start(&pod);
    let address = server.listen(V4);
    let client = TcpStream::connect(address).unwrap();
    server.accept();
    let done = pod.run(&["true"]);
    // The first that enters is taken for the init, and that was the server.
    watch.exit(done.pid).await;
    assert!(watch.changes().is_empty());
    drop(server);
    watch.snapshot(&pod).await;
    let [(_, closed)] = watch.changes()[..] else { panic!("{:?}", watch.changes()) };
    assert_eq!(closed.peer, client.local_addr().unwrap());
}

#[tokio::test]
async fn more_than_may_be_told() {
    const FULL_PACE: u32 = 5;
    let pod = Cgroup::slice("cap");
    let mut watch = Watch::with(&Options { connection_records: FULL_PACE, ..Options::default() });
    let id = watch.track(&pod);
    watch.probe.watch_connections(id).unwrap();
    let mut server = Steps::start(&pod);
    let address = server.listen(V4);
    let mut clients = Vec::new();
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        clients.push(TcpStream::connect(address).unwrap());
        server.accept();
    }
    let counters = watch.snapshot(&pod).await;
    assert_eq!(counters.inbound_open, clients.len() as u64, "the counts are of all");
    assert_eq!(counters.lost, 0);
    let at: Vec<BootTime> = watch.changes().iter().map(|(event, _)| event.at).collect();
    assert!(at.len() > FULL_PACE as usize && at.len() <= FULL_PACE as usize + 6, "{} of {}", at.len(), clients.len());
    for pair in at[FULL_PACE as usize - 1..].windows(2) {
        assert!(pair[1].since(pair[0]) >= Duration::from_millis(100));
    }
}
