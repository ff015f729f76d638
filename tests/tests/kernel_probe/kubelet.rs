//! A process that sends what the kubelet sends, from a cgroup of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use gracetrace::model::Flow;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_tcp_nodelay;

use crate::container::{Cgroup, PATIENCE};

/// The headers of Kubernetes 1.36, but for the method's line and the host.
pub(crate) const LIFECYCLE: &str =
    "User-Agent: kube-lifecycle/1.36\r\nAccept: */*\r\nX-Hook: bye\r\nAccept-Encoding: gzip\r\n\r\n";
pub(crate) const PROBE: &str = "User-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n";

/// A connection of a process in the kubelet's cgroup, and the container's end of it, which the test holds. The process
/// is killed when dropped.
pub(crate) struct Kubelet {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    server: TcpStream,
    pub(crate) flow: Flow,
}

impl Kubelet {
    /// Connects to a port of this process's own at that address.
    pub(crate) fn connect(cgroup: &Cgroup, address: SocketAddr) -> Kubelet {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let mut command = cgroup.command(env!("CARGO_BIN_EXE_gracetrace-part"));
        command.args(["pipe", &address.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (server, client) = listener.accept().unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        set_tcp_nodelay(&server, true).unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Kubelet { child, to, from, server, flow: Flow { client: plain(client), server: plain(address) } }
    }

    /// Sends these bytes in one segment, and waits until they have arrived.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).unwrap();
        let mut arrived = vec![0; bytes.len()];
        self.server.read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, bytes);
    }

    /// Sends a request as the kubelet (`NewRequestForHTTPGetAction` in pkg/probe/http/request.go) and Go's client do.
    pub(crate) fn get(&mut self, path: &str, headers: &str) {
        let host = self.flow.server;
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}").as_bytes());
    }

    /// Answers, and waits until the answer has arrived.
    pub(crate) fn answer(&mut self, bytes: &[u8]) {
        self.server.write_all(bytes).unwrap();
        self.receive(bytes);
    }

    /// Waits until these bytes have arrived at the kubelet's end.
    fn receive(&mut self, bytes: &[u8]) {
        let (mut arrived, mut length) = (vec![0; bytes.len()], 0);
        while length < bytes.len() {
            let patience = Timespec::try_from(PATIENCE).unwrap();
            let mut from = [PollFd::new(&self.from, PollFlags::IN)];
            assert_eq!(poll(&mut from, Some(&patience)).unwrap(), 1, "only {length} bytes have arrived");
            match self.from.read(&mut arrived[length..]).unwrap() {
                0 => panic!("it has ended after {length} bytes"),
                more => length += more,
            }
        }
        assert!(arrived == bytes, "other bytes have arrived");
    }

    /// Sends a lot, and waits until all of it has arrived.
    pub(crate) fn send_bulk(&mut self, bytes: &[u8]) {
        let (to, server) = (&mut self.to, &mut self.server);
        std::thread::scope(|scope| {
            scope.spawn(|| to.write_all(bytes).unwrap());
            let mut arrived = vec![0; bytes.len()];
            server.read_exact(&mut arrived).unwrap();
            assert!(arrived == bytes, "other bytes have arrived");
        });
    }

    /// Answers with a lot, and waits until all of it has arrived.
    pub(crate) fn answer_bulk(&mut self, bytes: &[u8]) {
        let mut server = self.server.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || server.write_all(bytes).unwrap());
            self.receive(bytes);
        });
    }
}

fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
