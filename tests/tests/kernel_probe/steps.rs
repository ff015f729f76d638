//! A process that makes and ends connections step by step: `gracetrace-part steps`.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::container::Cgroup;

/// Such a process in a cgroup. Killed when dropped.
pub(crate) struct Steps {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Connections it has made or accepted.
    streams: usize,
}

impl Steps {
    pub(crate) fn start(cgroup: &Cgroup) -> Steps {
        let mut command = cgroup.command(env!("CARGO_BIN_EXE_gracetrace-part"));
        let mut child = command.arg("steps").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Steps { child, input, output, streams: 0 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Does a step and returns what it says of it.
    pub(crate) fn step(&mut self, step: &str) -> String {
        writeln!(self.input, "{step}").unwrap();
        let mut answer = String::new();
        assert!(self.output.read_line(&mut answer).unwrap() > 0, "it has ended at {step:?}");
        answer.trim_end().to_owned()
    }

    /// Listens there and returns the address.
    pub(crate) fn listen(&mut self, ip: impl Into<IpAddr>) -> SocketAddr {
        let ip = ip.into();
        let port = self.step(&format!("listen {}", SocketAddr::new(ip, 0)));
        SocketAddr::new(ip, port.parse().unwrap())
    }

    /// Takes the next connection; its number and its client.
    pub(crate) fn accept(&mut self) -> (usize, SocketAddr) {
        let peer: SocketAddr = self.step("accept").parse().unwrap();
        self.streams += 1;
        (self.streams - 1, SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }

    /// Connects; the connection's number and its own address.
    pub(crate) fn connect(&mut self, address: SocketAddr) -> (usize, SocketAddr) {
        let own = self.step(&format!("connect {address}")).parse().unwrap();
        self.streams += 1;
        (self.streams - 1, own)
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
