//! Connections, and whose they are.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};

use crate::container::Cgroup;
use crate::part::Part;
use crate::watch::Watch;

/// A process in a cgroup that listens, takes connections, sends one byte on each and holds them.
struct Server {
    part: Part,
    address: SocketAddr,
}

impl Server {
    fn start(cgroup: &Cgroup, address: SocketAddr) -> Server {
        let mut part = Part::start(cgroup, "serve", address);
        let port = part.said("port=");
        Server { part, address: SocketAddr::new(address.ip(), port.parse().unwrap()) }
    }

    /// Connects and waits until the connection was taken.
    fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    }

    fn end(self) {
        drop(self.part);
    }
}

async fn accepted_sockets_belong_to_the_listeners_cgroup(address: SocketAddr) {
    let slice = Cgroup::slice("sockets");
    let (a, b) = (slice.child("a"), slice.child("b"));
    let mut watch = Watch::new();
    watch.track(&a);
    watch.track(&b);
    let server = Server::start(&a, address);
    // This process is in neither of them.
    let clients: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    let counters = watch.snapshot(&a).await;
    assert_eq!((counters.inbound_open, counters.inbound_total), (5, 5));
    assert_eq!((counters.outbound_open, counters.outbound_total), (0, 0));
    assert!(counters.last_inbound.is_some());
    assert_eq!(counters.late, 0);
    let counters = watch.snapshot(&b).await;
    assert_eq!((counters.inbound_total, counters.outbound_total), (0, 0));

    // The server does not close: CLOSE_WAIT is still open for it.
    drop(clients);
    let counters = watch.snapshot(&a).await;
    assert_eq!((counters.inbound_open, counters.inbound_total), (5, 5));
    server.end();
    let counters = watch.counters_until("none left", &a, |counters| counters.inbound_open == 0).await;
    assert_eq!((counters.inbound_total, counters.outbound_open), (5, 0));
    assert_eq!(watch.losses().drops.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn accepted_sockets_v4() {
    accepted_sockets_belong_to_the_listeners_cgroup((Ipv4Addr::LOCALHOST, 0).into()).await;
}

#[tokio::test]
async fn accepted_sockets_v6() {
    accepted_sockets_belong_to_the_listeners_cgroup((Ipv6Addr::LOCALHOST, 0).into()).await;
}

#[tokio::test]
async fn outbound_connections_belong_to_the_client() {
    let slice = Cgroup::slice("outbound");
    let mut watch = Watch::new();
    watch.track(&slice);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = Part::start(&slice, "connect", listener.local_addr().unwrap());
    let accepted: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
    client.said("connected");
    let counters = watch.snapshot(&slice).await;
    assert_eq!((counters.outbound_open, counters.outbound_total, counters.inbound_total), (3, 3, 0));
    drop(client);
    let counters = watch.counters_until("none left", &slice, |counters| counters.outbound_open == 0).await;
    assert_eq!(counters.outbound_total, 3);
    drop(accepted);
}

#[tokio::test]
pub(crate) async fn connections_after_the_stop_signal_are_late() {
    let slice = Cgroup::slice("late");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut init = slice.start_init("trap '' TERM; echo ready; while :; do sleep 0.05; done", true);
    let server = Server::start(&slice, (Ipv4Addr::LOCALHOST, 0).into());
    let early = server.connect();
    init.signal(libc::SIGTERM);
    let (stopped, _) = watch.signal_sent(init.pid, 15).await;
    assert_eq!((stopped.counters.inbound_open, stopped.counters.late), (1, 0));
    let late = [server.connect(), server.connect()];
    let counters = watch.snapshot(&slice).await;
    assert_eq!((counters.inbound_open, counters.late), (3, 2));
    assert!(counters.last_inbound > Some(stopped.at));

    // The sockets are still open when the init's exit is told.
    init.signal(libc::SIGKILL);
    init.wait();
    let (exited, exit) = watch.exit(init.pid).await;
    assert!(exit.init);
    assert_eq!(exited.counters.inbound_open, 3);
    drop((early, late));
}

#[tokio::test]
async fn a_reset_connection_is_taken_off() {
    let slice = Cgroup::slice("reset");
    let mut watch = Watch::new();
    watch.track(&slice);
    let server = Server::start(&slice, (Ipv4Addr::LOCALHOST, 0).into());
    let mut client = server.connect();
    client.write_all(b"never read").unwrap();
    assert_eq!(watch.snapshot(&slice).await.inbound_open, 1);
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value is a linger, of its size.
    let result = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
    // SAFETY: the file descriptor is this one's own.
    unsafe { libc::close(client.into_raw_fd()) };
    let counters = watch.counters_until("none left", &slice, |counters| counters.inbound_open == 0).await;
    assert_eq!(counters.inbound_total, 1);
}

#[tokio::test]
pub(crate) async fn sockets_that_outlive_their_container_leave_nothing() {
    let slice = Cgroup::slice("outlive");
    let (a, b) = (slice.child("a"), slice.child("b"));
    let mut watch = Watch::new();
    let id = watch.track(&a);
    watch.track(&b);
    let server = Server::start(&a, (Ipv4Addr::LOCALHOST, 0).into());
    let client = server.connect();
    assert_eq!(watch.snapshot(&a).await.inbound_open, 1);
    watch.probe.untrack(id).unwrap();
    drop(client);
    server.end();
    // Tracked anew, it starts from nothing, and the old connection's end does not count against it.
    watch.track(&a);
    let counters = watch.snapshot(&a).await;
    assert_eq!((counters.inbound_open, counters.inbound_total), (0, 0));
}
