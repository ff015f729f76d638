//! A container that listens as it is told to, in a network namespace of its own, and clients in there.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use gracetrace_tests::node::clients;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::container::Cgroup;

/// A process in a cgroup. Killed when dropped, and its network namespace goes with it.
pub(crate) struct Listener {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    network: File,
}

impl Listener {
    /// In a network namespace of its own, which its clients are in, too.
    pub(crate) fn in_pod(cgroup: &Cgroup) -> Listener {
        let mut command = cgroup.command(env!("CARGO_BIN_EXE_gracetrace-listener"));
        // SAFETY: the closure makes one system call and nothing else.
        unsafe {
            command.pre_exec(|| match libc::unshare(libc::CLONE_NEWNET) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        let listener = Listener::start(command);
        listener.inside(|| clients::make_addresses().unwrap());
        listener
    }

    /// Another container in the same pod.
    pub(crate) fn beside(&self, cgroup: &Cgroup) -> Listener {
        let mut command = cgroup.command(env!("CARGO_BIN_EXE_gracetrace-listener"));
        let network = self.network.try_clone().unwrap();
        // SAFETY: the closure makes one system call and nothing else, with a descriptor that it holds.
        unsafe {
            command.pre_exec(move || {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).map_err(io::Error::from)
            });
        }
        Listener::start(command)
    }

    /// In the network of whoever calls.
    pub(crate) fn on_host(cgroup: &Cgroup) -> Listener {
        Listener::start(cgroup.command(env!("CARGO_BIN_EXE_gracetrace-listener")))
    }

    fn start(mut command: std::process::Command) -> Listener {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let network = File::open(format!("/proc/{}/ns/net", child.id())).unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Listener { child, input, output: BufReader::new(output), network }
    }

    /// Tells it a word and waits until it has done so. Returns the port.
    pub(crate) fn tell(&mut self, word: &str) -> u16 {
        writeln!(self.input, "{word}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("{word}: it has failed"))
    }

    /// Does something in its network namespace, in a thread of its own.
    pub(crate) fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }

    /// Connects so many times to a place where nobody listens, and is refused each time.
    pub(crate) fn refuse(&self, address: impl Into<SocketAddr>, times: usize) {
        let address = address.into();
        self.inside(|| {
            for _ in 0..times {
                assert_refused(address);
            }
        });
    }

    /// Connects until somebody listens there. Has been refused at least once when this returns; gives how often in the end.
    pub(crate) fn refused_until_it_listens(&self, address: impl Into<SocketAddr>) -> JoinHandle<u64> {
        let (address, network) = (address.into(), self.network.try_clone().unwrap());
        let (tell, told) = mpsc::channel();
        let client = std::thread::spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let mut refused = 0;
            while let Err(error) = TcpStream::connect(address) {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
                refused += 1;
                let _ = tell.send(());
            }
            refused
        });
        told.recv().unwrap();
        client
    }

    /// Connects.
    pub(crate) fn connect(&self, address: impl Into<SocketAddr>) -> TcpStream {
        let address = address.into();
        self.inside(|| TcpStream::connect(address).unwrap())
    }

    /// Sets a limit of its network namespace.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.inside(|| fs::write(format!("/proc/sys/net/ipv4/{name}"), value).unwrap());
    }
}

/// Connects to a place where nobody listens.
pub(crate) fn assert_refused(address: SocketAddr) {
    let error = TcpStream::connect(address).expect_err("somebody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
