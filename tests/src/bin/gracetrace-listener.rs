//! A process that listens as it is told to, for tests that need one in a cgroup and a network namespace of its own.
//!
//! A line of its input is `listen ADDRESS`, `shared ADDRESS` (with `SO_REUSEPORT`), `short ADDRESS` (room for one connection
//! that waits), `dual PORT` (IPv6 that takes IPv4 as well), `accept` (at the last one) or `close` (the oldest one). Each is
//! answered with a line: the port. `connect ADDRESS` is answered with 1 or 0.

use std::collections::VecDeque;
use std::io::{self, BufRead, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketType, accept, bind, getsockname, listen, socket};

fn main() -> Result<()> {
    let mut listeners: VecDeque<OwnedFd> = VecDeque::new();
    let mut accepted = Vec::new();
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let socket = match word {
            "listen" => Some(open(rest.parse()?, false, 128)?),
            "shared" => Some(open(rest.parse()?, true, 128)?),
            "short" => Some(open(rest.parse()?, false, 0)?),
            "dual" => Some(open((Ipv6Addr::UNSPECIFIED, rest.parse()?).into(), false, 128)?),
            "connect" => {
                let connected = TcpStream::connect(rest.parse::<SocketAddr>()?).is_ok();
                writeln!(output, "{}", u16::from(connected))?;
                output.flush()?;
                continue;
            }
            "accept" => {
                accepted.push(accept(listeners.back().context("there is no listener")?)?);
                None
            }
            "close" => {
                drop(listeners.pop_front().context("there is no listener")?);
                None
            }
            other => bail!("no word {other}"),
        };
        let port = match &socket {
            Some(socket) => SocketAddr::try_from(getsockname(socket)?)?.port(),
            None => 0,
        };
        listeners.extend(socket);
        writeln!(output, "{port}")?;
        output.flush()?;
    }
    Ok(())
}

fn open(address: SocketAddr, shared: bool, backlog: i32) -> Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    set_socket_reuseaddr(&socket, true)?;
    if shared {
        set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    bind(&socket, &address).with_context(|| format!("cannot bind to {address}"))?;
    listen(&socket, backlog)?;
    Ok(socket)
}
