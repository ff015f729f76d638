//! The process that plays the clients of a pod.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, stdin};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use super::{Answer, Connection, End, Request};
use crate::clock::BootTime;
use crate::node;
use crate::parts::report;
use crate::workload::PORT;

/// How long a server may take to begin to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// From one refused attempt to the next.
const RETRY: Duration = Duration::from_millis(20);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct ClientsArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    bridge_pid: u32,
    #[arg(long)]
    server: Ipv4Addr,
}

/// Does what it is asked on its input, until that ends.
pub fn run(args: &ClientsArgs) -> Result<()> {
    node::play_outside(&args.cgroup, args.bridge_pid, serve(args.server))
}

async fn serve(server: Ipv4Addr) -> Result<()> {
    let mut requests = BufReader::new(stdin()).lines();
    let mut held: JoinSet<Connection> = JoinSet::new();
    let mut orders = Vec::new();
    let mut connections = Vec::new();
    while let Some(line) = requests.next_line().await? {
        match serde_json::from_str(&line)? {
            Request::Hold(count) => {
                for _ in 0..count {
                    let connected = insist(server, &mut connections).await?;
                    let (order, ordered) = mpsc::channel(1);
                    orders.push(order);
                    held.spawn(hold(connected, ordered));
                }
            }
            Request::Arrive { count, every_ms } => {
                let mut ticks = interval(Duration::from_millis(every_ms));
                for _ in 0..count {
                    ticks.tick().await;
                    connections.push(visit(server).await?);
                }
            }
            Request::Abort => say(&orders, "abort\n").await?,
            Request::Hog => say(&orders, "hog\n").await?,
            Request::Finish => {
                while let Some(connection) = timeout(PATIENCE, held.join_next()).await.context("the server stays")? {
                    connections.push(connection?);
                }
                return report(&Answer::Connections(connections));
            }
        }
        report(&Answer::Done)?;
    }
    Ok(())
}

/// Says something on the first connection that is held.
async fn say(orders: &[mpsc::Sender<&'static str>], what: &'static str) -> Result<()> {
    let order = orders.first().context("no connection to say it on")?;
    order.send(what).await.context("the connection is gone")
}

/// A connection that the server has answered on: it is established and accepted on both sides.
struct Connected {
    at: BootTime,
    client: SocketAddr,
    lines: Lines<BufReader<OwnedReadHalf>>,
    output: OwnedWriteHalf,
}

impl Connected {
    fn ended(&self, end: End) -> Connection {
        Connection { at: self.at, client: Some(self.client), end }
    }
}

/// Connects and has the server answer; what failed is an attempt that can be told of.
async fn connect(server: Ipv4Addr) -> Result<Result<Connected, Connection>> {
    let connected = timeout(PATIENCE, TcpStream::connect((server, PORT))).await;
    let at = BootTime::now();
    let stream = match connected.with_context(|| format!("{server}:{PORT} does not answer"))? {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Ok(Err(Connection { at, client: None, end: End::Refused }));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot connect to {server}:{PORT}")),
    };
    stream.set_nodelay(true)?;
    let client = stream.local_addr()?;
    let (input, output) = stream.into_split();
    let mut connected = Connected { at, client, lines: BufReader::new(input).lines(), output };
    let answer = match connected.output.write_all(b"ping\n").await {
        Ok(()) => timeout(PATIENCE, connected.lines.next_line()).await.context("the server does not answer")?,
        Err(error) => Err(error),
    };
    match answer {
        Ok(Some(line)) if line == "pong" => Ok(Ok(connected)),
        Ok(Some(line)) if line == "bye" => Ok(Err(connected.ended(End::Bye))),
        Ok(None) | Err(_) => Ok(Err(connected.ended(End::Reset))),
        Ok(Some(line)) => bail!("the server answers {line:?}"),
    }
}

/// Connects, again and again while the server does not listen. Tells of the attempts that failed.
async fn insist(server: Ipv4Addr, failed: &mut Vec<Connection>) -> Result<Connected> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connect(server).await? {
            Ok(connected) => return Ok(connected),
            Err(attempt) => failed.push(attempt),
        }
        ensure!(Instant::now() < deadline, "nobody listens on {server}:{PORT}");
        sleep(RETRY).await;
    }
}

/// Keeps a connection in use until the server ends it.
async fn hold(mut connected: Connected, mut orders: mpsc::Receiver<&'static str>) -> Connection {
    let mut pings = interval(Duration::from_millis(500));
    loop {
        let sent = tokio::select! {
            line = connected.lines.next_line() => match line.as_ref().map(Option::as_deref) {
                Ok(Some("bye")) => return connected.ended(End::Bye),
                Ok(Some(_)) => Ok(()),
                Ok(None) | Err(_) => return connected.ended(End::Cut),
            },
            _ = pings.tick() => connected.output.write_all(b"ping\n").await,
            Some(order) = orders.recv() => connected.output.write_all(order.as_bytes()).await,
        };
        // What the server said last is still to be read.
        if sent.is_err() {
            pings.reset_after(PATIENCE);
        }
    }
}

/// A short connection: a question, an answer, the end.
async fn visit(server: Ipv4Addr) -> Result<Connection> {
    let mut connected = match connect(server).await? {
        Ok(connected) => connected,
        Err(attempt) => return Ok(attempt),
    };
    // A server that has said farewell may be gone.
    let _ = connected.output.shutdown().await;
    match connected.lines.next_line().await {
        Ok(None) => Ok(connected.ended(End::Closed)),
        Ok(Some(line)) if line == "bye" => Ok(connected.ended(End::Bye)),
        other => bail!("a connection that was done gets {other:?}"),
    }
}
