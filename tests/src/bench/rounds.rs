//! The work that is measured, done by a process that sits in the cgroup in question.

use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::place::Place;
use super::seeding::SOCKETS_EACH;
use super::stats::median;

/// The line that makes a worker open connections and keep them.
const HOLD: &str = "hold";

/// What a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Connect, request, response and close over loopback, in one thread.
    Tcp,
    /// Fork, exec and exit of a static program that does nothing.
    Exec,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Tcp => "tcp_round",
            Kind::Exec => "exec_round",
        }
    }

    /// Rounds in a block: some tenths of a second.
    pub(super) fn rounds(self) -> usize {
        match self {
            Kind::Tcp => 2000,
            Kind::Exec => 300,
        }
    }
}

/// The bench's side of a process that does rounds.
pub(super) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one in a cgroup.
    pub(super) fn start(place: &Place, cgroup: &Path) -> Result<Worker> {
        let program = std::env::current_exe().context("cannot find the bench's own program")?;
        let mut command = Command::new(program);
        command.args(["play", "worker", "--cgroup"]).arg(cgroup).arg("--noop").arg(place.noop());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start a worker")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.context("the worker has no pipes")?;
        Ok(Worker { child, input, output: BufReader::new(output) })
    }

    /// Has it open connections with itself, and keep them.
    pub(super) fn hold(&mut self) -> Result<()> {
        writeln!(self.input, "{HOLD}").context("the worker has ended")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        anyhow::ensure!(!answer.is_empty(), "the worker cannot hold connections");
        Ok(())
    }

    /// Does one block of rounds and returns the median round in nanoseconds.
    pub(super) fn block(&mut self, kind: Kind) -> Result<f64> {
        writeln!(self.input, "{}", kind.name()).context("the worker has ended")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        answer.trim().parse().context("the worker has ended")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It is idle between blocks, and nothing it has is worth a farewell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The worker's arguments.
#[derive(Debug, clap::Args)]
pub(super) struct WorkerArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    noop: PathBuf,
}

/// The worker itself: a block of rounds for each line of input.
pub(super) fn work(args: &WorkerArgs) -> Result<()> {
    crate::node::enter(&args.cgroup).with_context(|| format!("cannot enter {}", args.cgroup.display()))?;
    stay_on_one_cpu()?;
    let mut blocks = 0;
    let mut held = None;
    for line in stdin().lock().lines() {
        blocks += 1;
        let nanoseconds = match line?.as_str() {
            HOLD => {
                held = Some(hold()?);
                vec![0.0]
            }
            "tcp_round" => tcp_block(blocks)?,
            "exec_round" => exec_block(&args.noop)?,
            other => bail!("not a kind of round: {other:?}"),
        };
        println!("{}", median(&nanoseconds));
    }
    drop(held);
    Ok(())
}

/// Moves this process to the last CPU it may use: one that moves around is measured with cold caches now and then.
fn stay_on_one_cpu() -> Result<()> {
    let may = sched_getaffinity(None).context("cannot tell which CPUs there are")?;
    if let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|&cpu| may.is_set(cpu)) {
        let mut one = CpuSet::new();
        one.set(last);
        sched_setaffinity(None, &one).context("cannot stay on one CPU")?;
    }
    Ok(())
}

/// Both ends of connections, [`SOCKETS_EACH`] in all.
fn hold() -> Result<(TcpListener, Vec<TcpStream>)> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("cannot raise the limit of files")?;
    let [_, _, middle, low] = std::process::id().to_be_bytes();
    let listener =
        TcpListener::bind((Ipv4Addr::new(127, 200, middle, low.clamp(1, 254)), 0)).context("cannot listen")?;
    let address = listener.local_addr()?;
    let mut held = Vec::with_capacity(SOCKETS_EACH);
    for _ in 0..SOCKETS_EACH / 2 {
        held.push(TcpStream::connect(address).context("cannot hold one more connection")?);
        held.push(listener.accept()?.0);
    }
    // It goes on listening: which end is which is told by that.
    Ok((listener, held))
}

fn tcp_block(number: u32) -> Result<Vec<f64>> {
    // Another address each time: the ports of the blocks before are still in TIME_WAIT.
    let [_, high, middle, low] = (std::process::id().wrapping_mul(1021).wrapping_add(number)).to_be_bytes();
    let address = Ipv4Addr::new(127, high / 2 + 1, middle, low.clamp(1, 254));
    let listener = TcpListener::bind((address, 0)).context("cannot listen")?;
    let address = listener.local_addr()?;
    let mut buffer = [0; 128];
    let mut times = Vec::with_capacity(Kind::Tcp.rounds());
    for _ in 0..Kind::Tcp.rounds() {
        let begin = Instant::now();
        let mut client = TcpStream::connect(address)?;
        let (mut server, _) = listener.accept()?;
        client.write_all(&buffer)?;
        server.read_exact(&mut buffer)?;
        server.write_all(&buffer)?;
        client.read_exact(&mut buffer)?;
        drop(client);
        drop(server);
        times.push(begin.elapsed().as_secs_f64() * 1e9);
    }
    Ok(times)
}

fn exec_block(noop: &Path) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(Kind::Exec.rounds());
    for _ in 0..Kind::Exec.rounds() {
        let begin = Instant::now();
        let status = Command::new(noop).stdin(Stdio::null()).status().context("cannot run a program")?;
        times.push(begin.elapsed().as_secs_f64() * 1e9);
        if !status.success() {
            bail!("the program that does nothing failed: {status}");
        }
    }
    Ok(times)
}
