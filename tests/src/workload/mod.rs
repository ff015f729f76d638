//! The application in a container: a TCP server that answers, and leaves when told to, well or badly.
//!
//! A line `ping` is answered by `pong`; `abort` ends the process as a failed assertion would; `hog` has it use memory until
//! it is stopped. A server that leaves says
//! `bye` on every connection and waits for its clients, so that a client can tell a farewell from a cut.

mod calls;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::clock::BootTime;
use crate::{memory, upstream};

pub use calls::Calls;

/// The port it listens on.
pub const PORT: u16 = 8080;

/// What it does on SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnTerm {
    /// Handles it: goes on serving for a while, says farewell, exits with 0.
    Drain,
    /// Handles it: uses memory until it is stopped.
    Hog,
    /// Handles it: exits with 0 at once, whoever is connected.
    Drop,
    /// Has no handler.
    Nothing,
}

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct WorkloadArgs {
    #[arg(long, value_enum)]
    on_term: OnTerm,
    /// Goes on serving for this long after SIGTERM.
    #[arg(long, default_value_t = 0)]
    drain_ms: u64,
    /// Goes on for this long after it has stopped listening.
    #[arg(long, default_value_t = 0)]
    linger_ms: u64,
    /// Where it listens.
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Begins to listen so long after its start.
    #[arg(long, default_value_t = 0)]
    listen_after_ms: u64,
    /// A server that it calls all along.
    #[arg(long)]
    call: Option<SocketAddr>,
    /// A server to which it holds a connection all along.
    #[arg(long)]
    tunnel: Option<SocketAddr>,
    /// Uses this much memory all along.
    #[arg(long, default_value_t = 0)]
    hold_mib: usize,
    /// On `hog` a child uses the memory.
    #[arg(long)]
    hog_in_child: bool,
}

/// Serves until it is told to leave.
pub fn run(args: &WorkloadArgs) -> Result<()> {
    let held = memory::use_up(args.hold_mib);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(live(args))?;
    drop((runtime, held));
    tell_farewell();
    Ok(())
}

async fn live(args: &WorkloadArgs) -> Result<()> {
    let tunnel = match args.tunnel {
        Some(server) => Some(upstream::dig(server).await?),
        None => None,
    };
    println!("{READY}");
    let (leave, leaving) = watch::channel(false);
    let calls = args.call.map(|server| tokio::spawn(calls::make(server, leaving)));
    serve(args).await?;
    leave.send_replace(true);
    if let Some(calls) = calls {
        println!("{}", calls.await?.line()?);
    }
    if args.on_term == OnTerm::Drop {
        // Everything that is open is closed by the kernel, once the process has begun to exit.
        tell_farewell();
        std::process::exit(0);
    }
    match tunnel {
        Some(tunnel) => upstream::close(tunnel).await,
        None => Ok(()),
    }
}

/// A line that a workload writes when it can be used.
pub(crate) const READY: &str = "ready";

fn tell_farewell() {
    println!("{FAREWELL}{}", BootTime::now().0);
}

/// When a workload left by its own account, from what it wrote. The last thing that it does before it exits: what wait(2)
/// tells is later by the time that the kernel takes to bury a pid namespace, up to 20 ms on a machine with much to do.
pub fn left_at(output: &str) -> Option<BootTime> {
    let at = output.lines().next_back()?.strip_prefix(FAREWELL)?;
    at.parse().ok().map(BootTime)
}

/// How a workload's last line begins; boot time in nanoseconds follows.
const FAREWELL: &str = "left at ";

async fn serve(args: &WorkloadArgs) -> Result<()> {
    // Before it listens: whoever can connect may also send signals.
    let mut term = match args.on_term {
        OnTerm::Drain | OnTerm::Hog | OnTerm::Drop => Some(signal(SignalKind::terminate())?),
        OnTerm::Nothing => None,
    };
    sleep(Duration::from_millis(args.listen_after_ms)).await;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, args.port)).await.context("cannot listen")?;
    let (leave, leaving) = watch::channel(false);
    // Each connection holds a sender; the channel closes with the last.
    let (open, mut all_closed) = mpsc::channel::<()>(1);

    let drained = async {
        match &mut term {
            Some(term) => term.recv().await,
            None => std::future::pending().await,
        };
        if args.on_term == OnTerm::Hog {
            memory::hog();
        }
        sleep(Duration::from_millis(args.drain_ms)).await;
    };
    tokio::pin!(drained);
    loop {
        tokio::select! {
            () = &mut drained => break,
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("cannot accept")?;
                let (leaving, open, hog_in_child) = (leaving.clone(), open.clone(), args.hog_in_child);
                tokio::spawn(async move {
                    // A client that breaks off is none of the server's errors.
                    let _ = converse(stream, leaving, hog_in_child).await;
                    drop(open);
                });
            }
        }
    }
    if args.on_term == OnTerm::Drop {
        std::mem::forget(listener);
        return Ok(());
    }
    drop((listener, open));
    sleep(Duration::from_millis(args.linger_ms)).await;
    leave.send_replace(true);
    // Clients that do not take the farewell are cut.
    let _ = timeout(Duration::from_secs(1), all_closed.recv()).await;
    Ok(())
}

async fn converse(stream: TcpStream, mut leaving: watch::Receiver<bool>, hog_in_child: bool) -> Result<()> {
    let (input, mut output) = stream.into_split();
    let mut lines = BufReader::new(input).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) if line == "ping" => output.write_all(b"pong\n").await?,
                Some(line) if line == "abort" => std::process::abort(),
                Some(line) if line == "hog" && hog_in_child => memory::hog_in_child()?,
                Some(line) if line == "hog" => memory::hog(),
                Some(_) => {}
                None => return Ok(()),
            },
            _ = leaving.changed() => break,
        }
    }
    output.write_all(b"bye\n").await?;
    output.shutdown().await?;
    while lines.next_line().await?.is_some() {}
    Ok(())
}
