//! Processes that do more than a shell can: this program itself, told by its environment what to do.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};

use crate::container::Cgroup;

const VARIABLE: &str = "GRACETRACE_TEST_PART";

/// A process that plays a part in a cgroup. Killed when dropped.
pub(crate) struct Part {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Part {
    pub(crate) fn start(cgroup: &Cgroup, part: &str, address: SocketAddr) -> Part {
        let mut command = cgroup.command(env::current_exe().unwrap().to_str().unwrap());
        command.args(["--exact", "part::play", "--nocapture"]);
        command.env(VARIABLE, format!("{part} {address}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Part { child, output }
    }

    /// Waits for a line with this in it and returns what follows it.
    pub(crate) fn said(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("it ended without {word:?}");
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays a part to its end.
pub(crate) fn run(cgroup: &Cgroup, part: &str, address: SocketAddr) {
    let mut part = Part::start(cgroup, part, address);
    part.said("connected");
    drop(part.child.stdin.take());
    assert!(part.child.wait().unwrap().success());
}

/// No test: a part that tests start as a process of its own. Without the variable it has nothing to do.
#[test]
fn play() {
    let Ok(part) = env::var(VARIABLE) else { return };
    let (part, address) = part.split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    match part {
        "serve" => serve(TcpListener::bind(address).unwrap()),
        "connect" => connect(address, 3),
        "both" => {
            let listener = TcpListener::bind(address).unwrap();
            connect(listener.local_addr().unwrap(), 4);
        }
        other => panic!("no part {other}"),
    }
}

fn serve(listener: TcpListener) {
    println!("port={}", listener.local_addr().unwrap().port());
    let mut held = Vec::new();
    loop {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"x").unwrap();
        held.push(stream);
    }
}

/// Holds connections until the standard input is closed.
fn connect(address: SocketAddr, connections: usize) {
    let held: Vec<_> = (0..connections).map(|_| TcpStream::connect(address).unwrap()).collect();
    println!("connected");
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(held);
}
