//! Processes that do more than a shell can: the program `gracetrace-part`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};

use crate::container::Cgroup;

/// A process that plays a part in a cgroup. Killed when dropped.
pub(crate) struct Part {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Part {
    pub(crate) fn start(cgroup: &Cgroup, part: &str, address: SocketAddr) -> Part {
        let mut command = cgroup.command(env!("CARGO_BIN_EXE_gracetrace-part"));
        command.args([part, &address.to_string()]);
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
