//! A server for tests of connections: of each kind that there is, and closing in each way that there is. It counts what it
//! takes, so that the agent's counts have something to be held against.
//!
//! A client sends one byte, its [`Order`], and gets one back. The server goes on after the first stop signal, so that there
//! is a termination to connect in, and leaves on the last one with everything that is open.

mod counts;
mod signals;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_linger;

pub use counts::Counts;
use counts::Shared;
use signals::Signals;

/// What the server answers first.
pub const ANSWER: u8 = b'.';

/// Who serves a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// The process that accepts, one after another; it keeps what is to be held.
    Single,
    /// A thread each.
    Threaded,
    /// A process each.
    Forking,
    /// One of some processes, each of which accepts.
    Preforked,
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The connection is closed when the client has closed its side.
    Hold = b'h' as isize,
    /// The server closes at once.
    Close = b'c' as isize,
    /// The server resets it.
    Reset = b'r' as isize,
    /// The server closes when more data has come, without reading it.
    LeaveUnread = b'u' as isize,
    /// The server keeps its side when the client has closed its own.
    Linger = b'l' as isize,
    /// The server tells its counts.
    Tell = b't' as isize,
}

impl Order {
    const ALL: [Order; 6] = [Order::Hold, Order::Close, Order::Reset, Order::LeaveUnread, Order::Linger, Order::Tell];

    /// As it is sent.
    pub fn byte(self) -> u8 {
        self as u8
    }
}

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    #[arg(long, value_enum)]
    style: Style,
    /// 0 for any; it tells which.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How many may wait to be accepted.
    #[arg(long, default_value_t = 1024)]
    backlog: i32,
    /// Accepts nobody before the first stop signal.
    #[arg(long)]
    lazy: bool,
    /// Leaves on this stop signal.
    #[arg(long, default_value_t = 2)]
    leave_on: u32,
}

/// How many processes share the work.
const CHILDREN: usize = 4;

/// Serves until it is told to leave.
pub fn run(args: &ServerArgs) -> Result<()> {
    // Before it listens: whoever can connect may also send signals.
    let signals = Signals::take()?;
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, args.port)).context("cannot listen")?;
    listener.set_nonblocking(true)?;
    rustix::net::listen(&listener, args.backlog)?;
    let counts = Shared::new()?;
    println!("port={}", listener.local_addr()?.port());
    let mut server = Server { style: args.style, counts: &counts, held: Vec::new() };
    let mut stops = 0;
    let mut listens = !args.lazy;
    if args.style == Style::Preforked {
        server.prefork(&listener)?;
        listens = false;
    }
    while stops < args.leave_on {
        let ready = wait(listens.then(|| listener.as_fd()), signals.as_fd())?;
        if ready.signal {
            stops += signals.read()?;
            listens |= args.style != Style::Preforked;
        }
        if ready.connection {
            server.accept(&listener)?;
        }
    }
    println!("{}", serde_json::to_string(&counts.read())?);
    std::process::exit(0)
}

struct Ready {
    connection: bool,
    signal: bool,
}

fn wait(listener: Option<BorrowedFd<'_>>, signals: BorrowedFd<'_>) -> Result<Ready> {
    let mut fds = vec![PollFd::from_borrowed_fd(signals, PollFlags::IN)];
    fds.extend(listener.map(|listener| PollFd::from_borrowed_fd(listener, PollFlags::IN)));
    poll(&mut fds, None)?;
    let ready = |number: usize| fds.get(number).is_some_and(|fd| !fd.revents().is_empty());
    Ok(Ready { signal: ready(0), connection: ready(1) })
}

struct Server<'a> {
    style: Style,
    counts: &'a Shared,
    held: Vec<TcpStream>,
}

impl Server<'_> {
    /// Takes everybody who waits.
    fn accept(&mut self, listener: &TcpListener) -> Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.take(stream)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The client has given up meanwhile.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error).context("cannot accept"),
            }
        }
    }

    fn take(&mut self, stream: TcpStream) -> Result<()> {
        self.counts.accepted();
        stream.set_nonblocking(false)?;
        let counts = self.counts.clone();
        match self.style {
            Style::Single => match begin(&stream, &counts) {
                Ok(Some(Order::Hold | Order::Linger)) => self.held.push(stream),
                Ok(Some(order)) => finish(stream, order, &counts),
                Ok(None) | Err(_) => counts.ended(),
            },
            Style::Threaded | Style::Preforked => {
                thread::spawn(move || converse(stream, &counts));
            }
            Style::Forking => {
                if fork()? {
                    converse(stream, &counts);
                    std::process::exit(0);
                }
            }
        }
        Ok(())
    }

    fn prefork(&mut self, listener: &TcpListener) -> Result<()> {
        for _ in 0..CHILDREN {
            if fork()? {
                loop {
                    poll(&mut [PollFd::new(listener, PollFlags::IN)], None)?;
                    match listener.accept() {
                        Ok((stream, _)) => self.take(stream)?,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error).context("cannot accept"),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether this is the child.
fn fork() -> Result<bool> {
    // SAFETY: the process that forks has one thread, so that the child has all that it needs.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()).context("cannot fork"),
        pid => Ok(pid == 0),
    }
}

fn converse(stream: TcpStream, counts: &Shared) {
    match begin(&stream, counts) {
        Ok(Some(order)) => finish(stream, order, counts),
        Ok(None) | Err(_) => counts.ended(),
    }
}

/// Takes an order and answers.
fn begin(mut stream: &TcpStream, counts: &Shared) -> io::Result<Option<Order>> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    stream.write_all(&[ANSWER])?;
    let order = Order::ALL.into_iter().find(|order| order.byte() == byte[0]);
    if order == Some(Order::Tell) {
        // Not one of those that are counted.
        counts.told();
        stream.write_all(serde_json::to_string(&counts.read())?.as_bytes())?;
    }
    Ok(order)
}

/// Ends it as it was ordered. What a client does to it is none of the server's errors.
fn finish(mut stream: TcpStream, order: Order, counts: &Shared) {
    let mut more = [0; 64];
    match order {
        Order::Close | Order::Tell => {}
        Order::Hold => while matches!(stream.read(&mut more), Ok(1..)) {},
        Order::Reset => {
            let _ = set_socket_linger(&stream, Some(std::time::Duration::ZERO));
        }
        Order::LeaveUnread => {
            let _ = poll(&mut [PollFd::new(&stream, PollFlags::IN)], None);
        }
        Order::Linger => {
            while matches!(stream.read(&mut more), Ok(1..)) {}
            counts.half_closed();
            loop {
                thread::park();
            }
        }
    }
    drop(stream);
    if order != Order::Tell {
        counts.ended();
    }
}

/// Where a server listens, from what it wrote.
pub fn port(output: &str) -> Option<u16> {
    output.lines().find_map(|line| line.strip_prefix("port=")?.parse().ok())
}

/// An address to connect to, whatever its family.
pub fn at(address: impl Into<std::net::IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}
