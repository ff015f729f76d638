//! The process that plays the clients of a pod.

use std::io;
use std::net::Ipv4Addr;
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
use crate::node::{self, network};
use crate::parts::report;
use crate::workload::PORT;

/// How long a server may take to begin to listen.
const PATIENCE: Duration = Duration::from_secs(10);

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
    node::enter(&args.cgroup)?;
    network::enter_network_of(args.bridge_pid)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(args.server));
    // Standard input is read by a thread that may still wait for it.
    runtime.shutdown_background();
    result
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
                    let connected = connect(server, PATIENCE).await?;
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
    established: BootTime,
    lines: Lines<BufReader<OwnedReadHalf>>,
    output: OwnedWriteHalf,
}

async fn connect(server: Ipv4Addr, patience: Duration) -> Result<Connected> {
    let deadline = Instant::now() + patience;
    let stream = loop {
        match TcpStream::connect((server, PORT)).await {
            Ok(stream) => break stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < deadline => {
                sleep(Duration::from_millis(5)).await;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot connect to {server}:{PORT}")),
        }
    };
    let established = BootTime::now();
    stream.set_nodelay(true)?;
    let (input, output) = stream.into_split();
    let mut connected = Connected { established, lines: BufReader::new(input).lines(), output };
    connected.output.write_all(b"ping\n").await?;
    let answer = connected.lines.next_line().await?;
    ensure!(answer.as_deref() == Some("pong"), "the server answers {answer:?}");
    Ok(connected)
}

/// Keeps a connection in use until the server ends it.
async fn hold(mut connected: Connected, mut orders: mpsc::Receiver<&'static str>) -> Connection {
    let established = connected.established;
    let mut pings = interval(Duration::from_millis(500));
    loop {
        let sent = tokio::select! {
            line = connected.lines.next_line() => match line.as_ref().map(Option::as_deref) {
                Ok(Some("bye")) => return Connection { established, end: End::Bye },
                Ok(Some(_)) => Ok(()),
                Ok(None) | Err(_) => return Connection { established, end: End::Cut },
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
    let Connected { established, mut lines, mut output } = connect(server, Duration::ZERO).await?;
    output.shutdown().await?;
    match lines.next_line().await {
        Ok(None) => Ok(Connection { established, end: End::Closed }),
        other => bail!("a connection that was done gets {other:?}"),
    }
}
