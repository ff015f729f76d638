//! HTTP hooks: requests as the kubelet's HTTP client makes them, from a process called `kubelet` in a cgroup of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::CriNode;
use super::seen::{Call, HookEnd, HookRun};
use crate::clock::BootTime;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    id: u64,
    address: SocketAddr,
    path: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    id: u64,
    from: BootTime,
    to: BootTime,
    status: Result<u16, String>,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>;

/// The driver's side: a process on the node. Ended when dropped.
pub(super) struct HookSender {
    child: Child,
    input: Mutex<(u64, ChildStdin)>,
    waiting: Waiting,
}

impl HookSender {
    pub(super) fn start(node: &CriNode) -> Result<HookSender> {
        let mut command = node.enter("kubelet", &node.dir().join("bin/kubelet"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the kubelet's process")?;
        let input = child.stdin.take().context("it has no input")?;
        let output = child.stdout.take().context("it has no output")?;
        let waiting = Waiting::default();
        let others = waiting.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(io::Result::ok) {
                let Ok(answer) = serde_json::from_str::<Answer>(&line) else { continue };
                let waits = others.lock().unwrap_or_else(PoisonError::into_inner).remove(&answer.id);
                // Nobody waits any more when the test has failed.
                let _ = waits.map(|waits| waits.send(answer));
            }
        });
        Ok(HookSender { child, input: Mutex::new((0, input)), waiting })
    }

    /// Sends a request and waits for the answer.
    pub(super) async fn get(&self, address: IpAddr, port: u16, path: &str) -> Result<HookRun> {
        let answer = {
            let mut guard = self.input.lock().unwrap_or_else(PoisonError::into_inner);
            let (last, input) = &mut *guard;
            *last += 1;
            let (sender, receiver) = oneshot::channel();
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(*last, sender);
            let request = Request { id: *last, address: (address, port).into(), path: path.to_owned() };
            writeln!(input, "{}", serde_json::to_string(&request)?).context("the kubelet's process is gone")?;
            receiver
        };
        let answer = answer.await.context("the kubelet's process is gone")?;
        let end = answer.status.map_or_else(HookEnd::Refused, HookEnd::Status);
        Ok(HookRun { call: Call { from: answer.from, to: answer.to }, end })
    }
}

impl Drop for HookSender {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process: a request a line, each answered when its answer has come.
pub fn serve() -> Result<()> {
    let idle: Arc<Mutex<HashMap<SocketAddr, TcpStream>>> = Arc::default();
    for line in stdin().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let idle = idle.clone();
        thread::spawn(move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.address);
            let from = BootTime::now();
            let result = exchange(kept, &request);
            let to = BootTime::now();
            let status = result.map_err(|error| error.to_string()).map(|(status, stream)| {
                // As the transport of Go's net/http does, for hooks but not for probes.
                idle.lock().unwrap_or_else(PoisonError::into_inner).insert(request.address, stream);
                status
            });
            let answer = Answer { id: request.id, from, to, status };
            let line = serde_json::to_string(&answer).map_err(io::Error::other);
            // The driver may be gone.
            let _ = line.and_then(|line| writeln!(stdout().lock(), "{line}"));
        });
    }
    Ok(())
}

/// One request, on the connection of the last one if there is one, as recorded from a kubelet 1.36.
fn exchange(kept: Option<TcpStream>, request: &Request) -> io::Result<(u16, TcpStream)> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect_timeout(&request.address, PATIENCE)?,
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let (path, address) = (&request.path, request.address);
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: kube-lifecycle/1.36\r\nAccept: */*\r\n\
         Accept-Encoding: gzip\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let status = answer(&stream)?;
    Ok((status, stream))
}

/// The status of an answer, which is read to its end.
fn answer(stream: &TcpStream) -> io::Result<u16> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no answer but {line:?}")))?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(status)
}
