//! One end of connections, or both, for tests that need a process of its own there.

use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    if env::args().skip(1).eq(["steps"]) {
        return gracetrace_tests::steps::run();
    }
    let [part, address] = env::args().skip(1).collect::<Vec<_>>().try_into().ok().context("usage: PART ADDRESS")?;
    let address: SocketAddr = address.parse().context("not an address")?;
    match part.as_str() {
        "serve" => serve(&TcpListener::bind(address)?),
        "connect" => connect(address, 3),
        "both" => {
            let listener = TcpListener::bind(address)?;
            connect(listener.local_addr()?, 4)
        }
        "pipe" => pipe(TcpStream::connect(address)?),
        other => bail!("no part {other}: steps, serve, connect, both or pipe"),
    }
}

/// Accepts and holds connections until it is ended.
fn serve(listener: &TcpListener) -> Result<()> {
    println!("port={}", listener.local_addr()?.port());
    let mut held = Vec::new();
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"x")?;
        held.push(stream);
    }
}

/// Passes on what comes in over the standard input, each piece in a segment of its own, and what comes back.
fn pipe(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    std::thread::spawn(move || {
        let (mut output, mut piece) = (io::stdout(), [0; 1 << 13]);
        while let length @ 1.. = answers.read(&mut piece)? {
            output.write_all(&piece[..length])?;
            output.flush()?;
        }
        io::Result::Ok(())
    });
    let mut piece = vec![0; 1 << 16];
    loop {
        match io::stdin().read(&mut piece)? {
            0 => return Ok(()),
            length => stream.write_all(&piece[..length])?,
        }
    }
}

/// Holds connections until the standard input is closed.
fn connect(address: SocketAddr, connections: usize) -> Result<()> {
    let held = (0..connections).map(|_| TcpStream::connect(address)).collect::<io::Result<Vec<_>>>()?;
    println!("connected");
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}
