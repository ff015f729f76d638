//! Programs of the Prometheus project: they choose a free port and log which.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// A running one. Ended when dropped.
pub struct Program {
    child: Child,
    address: String,
}

impl Program {
    /// Starts one that was told to listen on port 0, and waits until it listens.
    ///
    /// # Errors
    /// When it is not there, or ends before it listens; with what it says.
    pub fn start(mut command: Command) -> Result<Program> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let log = child.stderr.take().context("its log is piped")?;
        // From here on it is ended when this fails.
        let mut program = Program { child, address: String::new() };
        let mut log = BufReader::new(log);
        let mut said = String::new();
        loop {
            let before = said.len();
            if log.read_line(&mut said)? == 0 {
                bail!("{name} has ended:\n{said}");
            }
            if let Some(address) = listens_on(&said[before..]) {
                program.address = address.to_owned();
                break;
            }
        }
        // Nobody reads on, and the pipe must not fill up.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(program)
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As prometheus/exporter-toolkit logs it (web/tls_config.go, `ServeMultiple`), before the versions with structured logs and in them.
fn listens_on(line: &str) -> Option<&str> {
    let (_, address) = line.split_once("msg=\"Listening on\"")?.1.split_once("address=")?;
    address.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let line = "ts=2026-11-25T15:01:40.409Z caller=tls_config.go:232 level=info component=web msg=\"Listening on\" address=127.0.0.1:46557\n";
        assert_eq!(listens_on(line), Some("127.0.0.1:46557"));
        assert_eq!(listens_on("level=info msg=\"Start listening for connections\" address=127.0.0.1:0\n"), None);
    }

    #[test]
    fn what_ends_at_once_is_an_error_with_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such file >&2"]);
        let error = Program::start(command).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("sh has ended:\nno such file\n"));
    }
}
