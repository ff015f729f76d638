//! Clients: what they do with connections, and what they see of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use gracetrace_tests::node::network;
use gracetrace_tests::server::{ANSWER, Counts, Order};
use gracetrace_tests::wait;
use rustix::net::sockopt::set_socket_linger;

/// Connects, gives an order and waits for the answer: established and accepted on both sides.
pub(crate) fn order(server: SocketAddr, order: Order) -> TcpStream {
    let mut stream = TcpStream::connect(server).unwrap_or_else(|error| panic!("cannot connect to {server}: {error}"));
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&[order.byte()]).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], ANSWER);
    stream
}

/// Whole connections, a batch of them at a time: side by side they cost the machine less than one after another.
pub(crate) fn visit_many(server: SocketAddr, count: usize) {
    let connect = |_| {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(&[Order::Close.byte()]).unwrap();
        stream
    };
    let mut streams: Vec<TcpStream> = (0..count).map(connect).collect();
    for stream in &mut streams {
        let mut answer = [0; 2];
        // The answer and the end may come together or not.
        assert_eq!((stream.read(&mut answer).unwrap(), answer[0]), (1, ANSWER));
        assert_eq!(stream.read(&mut answer).unwrap(), 0, "the server closes");
    }
}

/// Some that stay.
pub(crate) fn hold(server: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| order(server, Order::Hold)).collect()
}

/// A whole connection. It is over on both sides when this returns.
pub(crate) fn visit(server: SocketAddr, what: Order) {
    let mut stream = order(server, what);
    match what {
        Order::Hold | Order::Tell => {
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        Order::Close => assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server closes"),
        Order::Reset => assert_reset(&mut stream),
        Order::LeaveUnread => {
            stream.write_all(b"never read").unwrap();
            assert_reset(&mut stream);
        }
        Order::Linger => panic!("does not end"),
    }
}

fn assert_reset(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
}

/// Closes by a reset.
pub(crate) fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Visits from some threads at once, in the network namespace of a process.
pub(crate) fn storm(network_of: u32, server: SocketAddr, what: Order, threads: usize, each: usize) {
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(move || {
                network::enter_network_of(network_of).unwrap();
                (0..each).for_each(|_| visit(server, what));
            });
        }
    });
}

/// What a server has counted so far.
pub(crate) fn counts(server: SocketAddr) -> Counts {
    let mut stream = order(server, Order::Tell);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Asks a server until its counts are as they have to become, and gives how often it was asked.
pub(crate) fn wait_for(server: SocketAddr, what: &str, condition: impl Fn(&Counts) -> bool) -> u64 {
    let mut asked = 0;
    wait::until(what, || {
        asked += 1;
        condition(&counts(server))
    });
    asked
}

/// Whether each has been cut.
pub(crate) fn assert_cut(streams: Vec<TcpStream>) {
    for mut stream in streams {
        match stream.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("not cut: {other:?}"),
        }
    }
}
