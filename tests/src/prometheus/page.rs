//! A target that always answers the same: for metrics of programs that are not here.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::Result;

/// A page that is served. Gone when dropped.
pub struct Page {
    address: String,
    done: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Page {
    /// Serves a text in the format of Prometheus, whatever the path.
    ///
    /// # Errors
    /// When there is no port.
    pub fn serve(text: &str) -> Result<Page> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?.to_string();
        let done = Arc::new(AtomicBool::new(false));
        let length = text.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        );
        let is_done = Arc::clone(&done);
        let server = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_done.load(Ordering::Acquire) {
                    return;
                }
                // A client that leaves early has no need of an answer.
                let _ = reply(stream, &answer);
            }
        });
        Ok(Page { address, done, server: Some(server) })
    }

    /// Where it is: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        // It waits for a connection: here is one.
        let woken = TcpStream::connect(&self.address).is_ok();
        if let Some(server) = self.server.take().filter(|_| woken) {
            let _ = server.join();
        }
    }
}

fn reply(stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    // The request ends with an empty line; a body is never sent.
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    (&stream).write_all(answer.as_bytes())
}
