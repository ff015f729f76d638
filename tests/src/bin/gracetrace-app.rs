//! What the images of the tests run: a server that leaves when it is told to, or `pause`, by the name it is called.
//!
//! It is linked statically, for there is nothing else in the images, and so it uses nothing but std and libc.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use std::{env, thread};

/// Signals that end it in order: the default, and those that images of servers ask for.
const STOPS: [i32; 3] = [libc::SIGTERM, libc::SIGQUIT, libc::SIGUSR1];

fn main() -> io::Result<()> {
    if env::args().next().is_some_and(|name| name.ends_with("pause")) {
        loop {
            thread::park();
        }
    }
    for signal in STOPS {
        let handler: extern "C" fn(libc::c_int) = leave;
        // SAFETY: the handler calls _exit(2) alone, which is safe in a signal handler (signal-safety(7)).
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    let listener = TcpListener::bind(("0.0.0.0", 8080))?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || serve(&stream));
    }
    Ok(())
}

/// Leaves with the signal's number as its exit code, so that it can be told which one came.
extern "C" fn leave(signal: libc::c_int) {
    // SAFETY: takes no pointers and does not return.
    unsafe { libc::_exit(signal) }
}

/// Answers one request after another: `/anything?sleep=SECONDS&code=STATUS`. `/crash` ends it by a signal of its own.
fn serve(stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut close = false;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            close |= header.eq_ignore_ascii_case("connection: close\r\n");
            if header.trim().is_empty() {
                break;
            }
        }
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let query: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        match path {
            "/crash" => std::process::abort(),
            "/exit" => exit(query.get("code").and_then(|code| code.parse().ok()).unwrap_or(0)),
            _ => {}
        }
        pause(query.get("sleep").and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0));
        let code = query.get("code").unwrap_or(&"200");
        // In one piece, as servers send a short answer.
        let answer = format!("HTTP/1.1 {code} Status\r\nContent-Length: 0\r\n\r\n");
        (&mut &*stream).write_all(answer.as_bytes())?;
        if close {
            return Ok(());
        }
    }
}

fn pause(seconds: f64) {
    let (_keep, never): (Sender<()>, Receiver<()>) = channel();
    // Nothing is ever sent: it ends when the time is over.
    let _ = never.recv_timeout(Duration::from_secs_f64(seconds));
}
