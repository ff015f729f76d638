//! An agent for tests that are not asynchronous: its lines come through a pipe.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Usage, built};
use crate::wait;

/// How long it may take to tell of a termination.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running agent. Killed when dropped.
pub struct Piped {
    child: Child,
    lines: Receiver<String>,
    address: String,
    said: String,
}

impl Piped {
    /// Starts it for a part of the cgroup tree, with more arguments, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start, with what it says.
    pub fn start(cgroup_root: &Path, arguments: &[&str]) -> Piped {
        let mut command = Command::new(built());
        command.args(["run", "--listen", "127.0.0.1:0", "--cgroup-root"]).arg(cgroup_root).args(arguments);
        command.env("GRACETRACE_CRI", "none");
        Piped::spawn(command)
    }

    /// Starts it as a command says, which has it listen where it likes, and waits until it is ready.
    ///
    /// # Panics
    /// As [`Piped::start`] does.
    pub fn spawn(mut command: Command) -> Piped {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let output = child.stdout.take().expect("it is piped");
        let log = child.stderr.take().expect("it is piped");
        // From here on it is killed when this fails.
        let (sender, lines) = channel();
        let mut agent = Piped { child, lines, address: String::new(), said: String::new() };
        (agent.address, agent.said) = address(log);
        thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines.map_while(Result::ok).take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        wait::until("the agent is ready", || agent.get("/readyz").starts_with("HTTP/1.1 200"));
        agent
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The whole answer to a GET request.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the agent listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// What it has used so far.
    ///
    /// # Panics
    /// When it is gone.
    pub fn usage(&self) -> Usage {
        Usage::of(self.child.id()).expect("it runs")
    }

    /// What it said on standard error before it listened.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// The next termination that has ended.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn termination(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("the agent tells of a termination in time");
        serde_json::from_str(&line).expect("a line is a JSON object")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// Ends it by SIGKILL. Gives what it has told of terminations and nobody has asked for.
    ///
    /// # Panics
    /// When it is gone already, or has said something else.
    pub fn kill(mut self) -> Vec<Value> {
        self.signal(Signal::KILL);
        let status = self.child.wait().expect("it ends");
        assert!(!status.success(), "it was killed");
        self.lines.iter().map(|line| serde_json::from_str(&line).expect("a line is a JSON object")).collect()
    }

    /// Has it leave in peace. Nothing may be left untold.
    ///
    /// # Panics
    /// When it does not, or tells of another termination.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.child.wait().expect("it ends").success());
        let more: Vec<String> = self.lines.iter().collect();
        assert!(more.is_empty(), "more terminations than there were: {more:#?}");
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads where it listens from its log, and gives what it had said until then. The log goes on; nobody may let the pipe fill up.
fn address(log: ChildStderr) -> (String, String) {
    let mut log = BufReader::new(log);
    let mut said = String::new();
    loop {
        let before = said.len();
        assert!(log.read_line(&mut said).expect("its log can be read") > 0, "the agent has ended:\n{said}");
        if let Some((_, rest)) = said[before..].split_once("http://") {
            let address = rest.trim_end().trim_end_matches('/').to_owned();
            thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return (address, said);
        }
    }
}
