//! A server outside of a pod that the pod's application calls, and to which only the pod's sidecar opens the way, as a VPN
//! or a tunnel does: it listens for calls while the sidecar holds a connection to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy, sink, stdin};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::node::{self, Node, network};
use crate::parts::{Helper, report};

/// What the sidecar says when it leaves, and what it is told when the way is open.
const CLOSE: &str = "close";
const OPEN: &[u8; 5] = b"open\n";

/// Where a pod's server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// For calls.
    pub service: SocketAddr,
    /// For the sidecar.
    pub tunnel: SocketAddr,
}

/// What the server saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Whether the sidecar was gone without a word.
    pub cut: bool,
    /// Calls that it took.
    pub calls: u64,
}

/// A running server.
pub struct Server {
    helper: Helper,
    /// Where it is.
    pub at: Upstream,
}

impl Server {
    /// Starts it on the node's side of the bridge.
    pub async fn start(node: &Node) -> Result<Server> {
        let mut command = node.command("upstream", "upstream");
        command.arg("--cgroup").arg(node.clients_cgroup()).args(["--bridge-pid", &node.bridge_pid().to_string()]);
        let mut helper = Helper::start(command, "the upstream")?;
        let at = helper.next().await?;
        Ok(Server { helper, at })
    }

    /// Ends it, once the sidecar has ended.
    pub async fn finish(mut self) -> Result<Served> {
        let served = self.helper.next().await?;
        self.helper.close_input();
        self.helper.wait().await?;
        Ok(served)
    }
}

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct UpstreamArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    bridge_pid: u32,
}

/// Serves one sidecar, until its input ends.
pub fn run(args: &UpstreamArgs) -> Result<()> {
    node::play_outside(&args.cgroup, args.bridge_pid, serve())
}

async fn serve() -> Result<()> {
    let tunnel = TcpListener::bind((network::BRIDGE, 0)).await.context("cannot listen for the sidecar")?;
    // The port is taken, and refuses whoever comes: nobody listens yet.
    let service = TcpSocket::new_v4()?;
    service.bind((network::BRIDGE, 0).into()).context("no port for calls")?;
    report(&Upstream { service: service.local_addr()?, tunnel: tunnel.local_addr()? })?;
    let mut input = stdin();
    let (stream, _) = tokio::select! {
        accepted = tunnel.accept() => accepted?,
        _ = input.read_u8() => bail!("no sidecar came"),
    };
    let service = service.listen(128)?;
    let (said, mut answers) = stream.into_split();
    let mut said = BufReader::new(said).lines();
    answers.write_all(OPEN).await?;
    let mut calls = 0;
    let end = loop {
        tokio::select! {
            end = said.next_line() => break end,
            accepted = service.accept() => {
                calls += 1;
                // A caller that breaks off is none of the server's errors.
                tokio::spawn(answer(accepted?.0));
            }
            _ = input.read_u8() => bail!("the sidecar stays"),
        }
    };
    drop((service, answers));
    let cut = !matches!(end, Ok(Some(line)) if line == CLOSE);
    report(&Served { cut, calls })?;
    // The pod may see its last connections end.
    let _ = input.read_u8().await;
    Ok(())
}

async fn answer(mut stream: TcpStream) -> Result<()> {
    let mut question = [0; 5];
    stream.read_exact(&mut question).await?;
    stream.write_all(b"pong\n").await?;
    copy(&mut stream, &mut sink()).await?;
    Ok(())
}

/// The sidecar's side: opens the way.
pub(crate) async fn dig(server: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server).await.context("cannot reach the upstream")?;
    let mut answer = [0; OPEN.len()];
    stream.read_exact(&mut answer).await?;
    ensure!(&answer == OPEN, "the upstream answers {answer:?}");
    Ok(stream)
}

/// Closes it in order.
pub(crate) async fn close(mut stream: TcpStream) -> Result<()> {
    stream.write_all(format!("{CLOSE}\n").as_bytes()).await?;
    stream.shutdown().await?;
    copy(&mut stream, &mut sink()).await?;
    Ok(())
}
