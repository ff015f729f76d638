//! Other tools that watch the same: started, waited for until they say what they see, and stopped.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::rounds::{Kind, Worker};

/// How long a tool may take until it sees something: bpftrace compiles its program first.
const START: Duration = Duration::from_secs(30);
/// How long it may take to leave when it is told to.
const STOP: Duration = Duration::from_secs(5);

/// These tools want to find the tracepoints' descriptions, which are not mounted everywhere. Here they are for them alone.
const PREPARE: &str =
    "mount -t tracefs tracefs /sys/kernel/tracing && mount -t debugfs debugfs /sys/kernel/debug && exec \"$@\"";

/// A tool of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    program: &'static str,
    arguments: &'static [&'static str],
    /// What stands in its output once it sees rounds.
    sees: &'static str,
}

/// Every change of a connection's state as a line, from a ring of records.
pub(super) const TCPSTATES: Tool = Tool { program: "tcpstates", arguments: &[], sees: "127." };

/// The same tracepoint, counted in the kernel and printed now and then.
pub(super) const BPFTRACE: Tool = Tool {
    program: "bpftrace",
    arguments: &[
        "-e",
        "tracepoint:sock:inet_sock_set_state { @changes[args->newstate] = count(); } interval:ms:500 { print(@changes); }",
    ],
    sees: "@changes[",
};

/// Programs that are executed, a line each.
pub(super) const EXECSNOOP: Tool = Tool { program: "execsnoop", arguments: &[], sees: "noop" };

/// Processes that exit, a line each.
pub(super) const EXITSNOOP: Tool = Tool { program: "exitsnoop", arguments: &[], sees: "noop" };

/// One that runs and sees what happens. Its output is read and forgotten, as fast as it comes.
pub(super) struct Running {
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Tool {
    /// Starts it, and has the worker do rounds until it says that it sees them.
    pub(super) fn start(self, worker: &mut Worker, kind: Kind) -> Result<Running> {
        // As a shell does it: the tool takes the place of the shell, and so has the process that is known here.
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", PREPARE, "sh", self.program]);
        command.args(self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        super::end_with_us(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program))?;
        let mut running = Running { child, reader: None };
        let output = running.child.stdout.take().context("it has no output")?;
        let seen = Arc::new(AtomicBool::new(false));
        running.reader = Some(read(output, self.sees, Arc::clone(&seen)));
        let mut errors = running.child.stderr.take().context("it has no standard error")?;
        let says = thread::spawn(move || {
            let mut text = String::new();
            // Whatever it is, the last line of it is told.
            let _ = errors.read_to_string(&mut text);
            text.lines().last().unwrap_or("it says nothing").to_owned()
        });
        let deadline = Instant::now() + START;
        while !seen.load(Ordering::Relaxed) {
            if let Some(status) = running.child.try_wait()? {
                let says = says.join().unwrap_or_default();
                bail!("{} has ended ({status}): {says}", self.program);
            }
            if Instant::now() > deadline {
                bail!("{} has seen nothing for {} s", self.program, START.as_secs());
            }
            worker.block(kind)?;
        }
        Ok(running)
    }
}

/// Reads to the end, and notes when `wanted` has come by.
fn read(mut output: impl Read + Send + 'static, wanted: &'static str, seen: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        let mut kept: Vec<u8> = Vec::new();
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            if seen.load(Ordering::Relaxed) {
                continue;
            }
            kept.extend_from_slice(&buffer[..count]);
            if kept.windows(wanted.len()).any(|bytes| bytes == wanted.as_bytes()) {
                seen.store(true, Ordering::Relaxed);
            }
            // It may stand across two pieces.
            kept.drain(..kept.len().saturating_sub(wanted.len()));
        }
    })
}

impl Running {
    /// Has it leave; one that does not is killed.
    pub(super) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::INT).context("cannot stop it")?;
        let deadline = Instant::now() + STOP;
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing once it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_may_come_in_pieces() {
        let seen = Arc::new(AtomicBool::new(false));
        read(&b"no, op"[..], "noop", Arc::clone(&seen)).join().unwrap();
        assert!(!seen.load(Ordering::Relaxed));
        read((&b"a lot, and no"[..]).chain(&b"op, too"[..]), "noop", Arc::clone(&seen)).join().unwrap();
        assert!(seen.load(Ordering::Relaxed));
    }
}
