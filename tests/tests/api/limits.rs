//! Clients that take what they can get. The kubelet's probes are answered all the same, and memory stays what it is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gracetrace_tests::wait;

use crate::client::{Stream, health};
use crate::node::Node;

#[test]
fn ten_thousand_readers_one_after_the_other() {
    let node = Node::new("readers");
    let agent = node.agent();
    let visit = || {
        // The end of the one before may not have been noticed yet.
        let mut stream = wait::value("a place", || Stream::open(agent.address(), None).ok());
        assert_eq!(stream.next().name, "hello");
    };
    (0..1_000).for_each(|_| visit());
    let before = agent.usage().rss_bytes;
    (0..9_000).for_each(|_| visit());
    wait::until("all have gone", || health(&agent)["http"]["streams"] == 0);
    let after = agent.usage().rss_bytes;
    assert!(after < before + (8 << 20), "memory grew from {before} to {after} bytes");
    agent.stop();
}

#[test]
fn more_readers_than_there_is_room_for() {
    let node = Node::new("room");
    let agent = node.agent();
    let most = health(&agent)["http"]["max_streams"].as_u64().expect("a number");
    let readers: Vec<Stream> = (0..most).map(|_| Stream::open(agent.address(), None).expect("there is room")).collect();
    let refused = Stream::open(agent.address(), None).err().expect("there is none");
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(agent.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(agent.get("/api/v1/stream").contains("\r\nretry-after: "));
    drop(readers);
    wait::until("there is room again", || Stream::open(agent.address(), None).is_ok());
    agent.stop();
}

#[test]
fn a_thousand_connections_that_say_little() {
    let node = Node::new("idle");
    let agent = node.agent();
    let mut reader = Stream::open(agent.address(), None).expect("there is room");
    assert_eq!(reader.next().name, "hello");
    let mut crowd = Vec::new();
    for number in 0..1_000 {
        let mut stream = TcpStream::connect(agent.address()).expect("the agent listens");
        match number % 3 {
            0 => {}
            // Some of them have lost their place by then.
            1 => drop(stream.write_all(b"GET /api/v1/terminations HTTP/1.1\r\nHo")),
            _ => drop(stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")),
        }
        crowd.push(stream);
        if number % 100 == 0 {
            assert!(agent.get("/healthz").starts_with("HTTP/1.1 200"));
        }
    }
    let of = health(&agent);
    assert!(of["http"]["connections"].as_u64() <= of["http"]["max_connections"].as_u64(), "{of:#}");
    assert_eq!(of["http"]["streams"], 1, "who reads what is sent is not pushed out: {of:#}");
    agent.stop();
}

#[test]
fn heads_without_an_end() {
    let node = Node::new("heads");
    let agent = node.agent();
    let mut huge = TcpStream::connect(agent.address()).expect("the agent listens");
    huge.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket has a timeout");
    let _ = write!(huge, "GET /healthz HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(1 << 20));
    let mut answer = Vec::new();
    // What is sent after the end of the agent's patience may reset the connection, and the answer with it.
    let _ = huge.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    let mut slow = TcpStream::connect(agent.address()).expect("the agent listens");
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").expect("it takes that");
    slow.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket has a timeout");
    assert_eq!(slow.read(&mut [0; 64]).expect("it is closed in time"), 0);
    assert!(agent.get("/healthz").starts_with("HTTP/1.1 200"));
    agent.stop();
}
