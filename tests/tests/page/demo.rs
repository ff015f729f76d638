//! The demo's node and its agent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use gracetrace_tests::{agent, scenario, wait};
use serde_json::Value;

/// How long it may take until every scenario has been played.
const PATIENCE: Duration = Duration::from_secs(120);

/// A demo. Ended, with all it has made, when dropped.
pub(crate) struct Demo {
    child: Child,
    input: Option<ChildStdin>,
    address: String,
    said: Arc<Mutex<String>>,
}

/// What it says when the last scenario has ended, whatever became of it.
const LAST_WORDS: &str = "as it should be";
/// On a machine that is too busy for it a demo can go wrong. Then there is another one, so many times in all.
const TRIES: usize = 3;

/// The one that tests share as long as one of them needs it.
static PLAYED: Mutex<Weak<Demo>> = Mutex::new(Weak::new());

impl Demo {
    /// One in which every scenario has been played once.
    pub(crate) fn played() -> Arc<Demo> {
        let mut shared = PLAYED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(demo) = shared.upgrade() {
            return demo;
        }
        let mut tries = (0..TRIES).filter_map(|_| Demo::start(&["--once", "--stay"]));
        let demo = tries.find(Demo::plays_all).expect("every scenario is seen to end");
        let demo = Arc::new(demo);
        *shared = Arc::downgrade(&demo);
        demo
    }

    /// Waits for the end. Whether the agent has told of every scenario.
    fn plays_all(&self) -> bool {
        wait::within(PATIENCE, "the demo has played every scenario", || self.said().contains(LAST_WORDS));
        let ended = self.terminations().iter().filter(|one| !one["end"].is_null()).count();
        if ended != scenario::ALL.len() {
            eprintln!("{ended} terminations of {} scenarios; the demo says:\n{}", scenario::ALL.len(), self.said());
        }
        ended == scenario::ALL.len()
    }

    fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One in which pods come and go.
    pub(crate) fn live() -> Demo {
        (0..TRIES).find_map(|_| Demo::start(&[])).expect("the demo starts")
    }

    /// `None` when it has ended before its agent was ready, as on a machine that is too busy.
    fn start(options: &[&str]) -> Option<Demo> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gracetrace-demo"));
        command.arg("--agent").arg(agent::built()).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        // It says where the agent is on one of the two.
        let (sender, lines) = std::sync::mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)))
            });
        }
        drop(sender);
        let mut demo = Demo { child, input, address: String::new(), said: Arc::default() };
        for line in &lines {
            if let Some((_, address)) = line.split_once("the agent shows what it sees at http://") {
                demo.address = address.trim_end_matches('/').to_owned();
                break;
            }
            note(&demo.said, &line);
        }
        if demo.address.is_empty() {
            eprintln!("the demo has ended:\n{}", demo.said());
            return None;
        }
        let said = Arc::clone(&demo.said);
        thread::spawn(move || lines.iter().for_each(|line| note(&said, &line)));
        Some(demo)
    }

    /// Where the agent's page is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What the agent knows, the newest first.
    pub(crate) fn terminations(&self) -> Vec<Value> {
        list(&self.address, "/api/v1/terminations")
    }

    /// The termination of a scenario.
    pub(crate) fn termination(&self, scenario: &str) -> Value {
        let mut all = self.terminations().into_iter();
        all.find(|one| one["workload"]["name"] == scenario).unwrap_or_else(|| panic!("nothing of {scenario}"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // With `--stay` it ends with its input; without, it waits for a signal.
        drop(self.input.take());
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// Keeps what it says; a demo that goes on for long says more than anybody reads.
fn note(said: &Mutex<String>, line: &str) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    if said.len() < 1 << 16 {
        said.push_str(line);
        said.push('\n');
    }
}

/// A list of an agent's API.
pub(crate) fn list(address: &str, path: &str) -> Vec<Value> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}
