//! A process that makes and ends connections as it is told: a line for each step, and a line back.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, bail};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Signal};

use crate::node::network;

/// What a process has.
#[derive(Default)]
struct Process {
    listener: Option<TcpListener>,
    /// In the order in which they were made; `None` when closed.
    streams: Vec<Option<TcpStream>>,
    child: Option<Pid>,
}

/// Takes steps from the standard input until it ends.
pub fn run() -> Result<()> {
    let mut process = Process::default();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = process.take(&words).with_context(|| line.clone())?;
        println!("{answer}");
    }
    Ok(())
}

impl Process {
    fn take(&mut self, step: &[&str]) -> Result<String> {
        match step {
            // A network namespace of its own; one with a bridge; one that is joined to the bridge of another process.
            ["network", "alone"] => network::leave_network().and_then(|()| network::raise_loopback())?,
            ["network", "bridge"] => network::make_bridge()?,
            ["network", "pod", bridge, number, address] => {
                network::join_bridge(bridge.parse()?, number.parse()?, address.parse()?)?;
            }
            ["listen", address] => {
                let listener = TcpListener::bind(address.parse::<SocketAddr>()?)?;
                let port = listener.local_addr()?.port();
                self.listener = Some(listener);
                return Ok(port.to_string());
            }
            ["unlisten"] => self.listener = None,
            ["accept"] => {
                let (stream, peer) = self.listener.as_ref().context("it does not listen")?.accept()?;
                self.streams.push(Some(stream));
                return Ok(peer.to_string());
            }
            ["connect", address] => match TcpStream::connect(address.parse::<SocketAddr>()?) {
                Ok(stream) => {
                    let local = stream.local_addr()?;
                    self.streams.push(Some(stream));
                    return Ok(local.to_string());
                }
                Err(error) => return Ok(error.kind().to_string()),
            },
            ["send", index, length] => self.stream(index)?.write_all(&vec![b'x'; length.parse()?])?,
            ["receive", index, length] => self.stream(index)?.read_exact(&mut vec![0; length.parse()?])?,
            // Waits for bytes and leaves them.
            ["peek", index] => drop(self.stream(index)?.peek(&mut [0])?),
            ["receive-end", index] => drop(self.stream(index)?.read_to_end(&mut Vec::new())?),
            ["shutdown", index] => self.stream(index)?.shutdown(std::net::Shutdown::Write)?,
            ["close", index] => drop(self.streams[index.parse::<usize>()?].take()),
            ["reset", index] => {
                set_socket_linger(self.stream(index)?, Some(std::time::Duration::ZERO))?;
                self.streams[index.parse::<usize>()?] = None;
            }
            // A child that has all of it too, and does nothing.
            ["fork"] => self.child = Some(fork()?),
            ["end-child"] => {
                let child = self.child.take().context("no child")?;
                rustix::process::kill_process(child, Signal::KILL)?;
                rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())?;
            }
            _ => bail!("no such step"),
        }
        Ok("done".to_owned())
    }

    fn stream(&mut self, index: &str) -> Result<&mut TcpStream> {
        self.streams.get_mut(index.parse::<usize>()?).and_then(Option::as_mut).context("no such stream")
    }
}

fn fork() -> Result<Pid> {
    // SAFETY: this process has one thread, and the child only waits to be killed.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: no memory is involved.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            loop {
                // SAFETY: no memory is involved.
                unsafe { libc::pause() };
            }
        }
        child => Pid::from_raw(child).filter(|_| child > 0).context("cannot fork"),
    }
}
