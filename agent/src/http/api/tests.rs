//! Real TCP on loopback: what the API says, and how.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::Limits;
use super::super::tests::{Server, read_all, status};
use crate::model::{BootTime, TerminationId, Timeline};
use crate::report::fixture::{full, in_progress, numbered};

async fn server_with(numbers: impl IntoIterator<Item = u64>) -> Server {
    let server = Server::start(Limits::default()).await;
    numbers.into_iter().for_each(|number| put(&server, number));
    server
}

fn put(server: &Server, number: u64) {
    put_timeline(server, numbered(number));
}

fn put_timeline(server: &Server, timeline: Timeline) {
    let mut store = server.state.store.lock().unwrap();
    store.handle_timeline(timeline);
    server.state.feed.announce(store.revision());
}

/// Head and body of an answer.
async fn ask(server: &Server, path: &str, header: &str) -> (String, Vec<u8>) {
    let mut stream = server.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("it does not close").unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap(), body)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn a_list_in_parts() {
    let server = server_with(1..=7).await;
    let (mut path, mut ids) = ("/api/v1/terminations?namespace=default&limit=3".to_owned(), Vec::new());
    loop {
        let (head, body) = ask(&server, &path, "").await;
        let list: Vec<Value> = serde_json::from_slice(&body).unwrap();
        ids.extend(list.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(link) = header(&head, "link") else { break };
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(ids, ["uid-7", "uid-6", "uid-5", "uid-4", "uid-3", "uid-2", "uid-1"]);
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let server = server_with(1..=3).await;
    for path in ["/api/v1/terminations", "/api/v1/terminations/uid-1", "/api/v1/workloads", "/api/v1/openapi.json"] {
        let (head, body) = ask(&server, path, "").await;
        let tag = header(&head, "etag").unwrap().to_owned();
        assert_eq!(
            (header(&head, "cache-control"), header(&head, "vary")),
            (Some("no-cache"), Some("Accept-Encoding"))
        );
        assert!(!body.is_empty());
        for known in [tag.clone(), tag.trim_start_matches("W/").to_owned(), format!("\"x\", {tag}"), "*".to_owned()] {
            let (head, body) = ask(&server, path, &format!("If-None-Match: {known}\r\n")).await;
            assert_eq!((status(&head), body.len()), (304, 0), "{path} {known}: {head}");
            assert_eq!(header(&head, "etag"), Some(tag.as_str()));
        }
        assert_eq!(status(&ask(&server, path, "If-None-Match: \"x\"\r\n").await.0), 200);
    }
    let list = ask(&server, "/api/v1/terminations", "").await.0;
    let tag = format!("If-None-Match: {}\r\n", header(&list, "etag").unwrap());
    put(&server, 4);
    assert_eq!(status(&ask(&server, "/api/v1/terminations", &tag).await.0), 200);
}

#[tokio::test]
async fn large_answers_are_packed() {
    let server = server_with(1..=500).await;
    server.state.store.lock().unwrap().handle_timeline(in_progress());
    for path in ["/api/v1/terminations?limit=1000", "/api/v1/terminations/uid-1", "/api/v1/workloads"] {
        let (_, plain) = ask(&server, path, "").await;
        let (head, packed) = ask(&server, path, "Accept-Encoding: gzip\r\n").await;
        assert_eq!(header(&head, "content-encoding"), Some("gzip"), "{head}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain && packed.len() < plain.len(), "{path}");
    }
    let (head, _) = ask(&server, "/api/v1/terminations?pod=nobody", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(header(&head, "content-encoding"), None, "two bytes are not worth it");
}

#[tokio::test]
async fn errors_name_the_parameter() {
    let server = server_with([]).await;
    for (path, parameter) in [
        ("/api/v1/terminations?limit=0", "limit"),
        ("/api/v1/terminations/x?pod=y", "pod"),
        ("/api/v1/workloads?pod=y", "pod"),
        ("/api/v1/pods?cursor=", "cursor"),
        ("/api/v1/health?verbose", "verbose"),
        ("/api/v1/stream?since=1h", "since"),
        ("/api/v1/openapi.json?x=1", "x"),
    ] {
        let (head, body) = ask(&server, path, "").await;
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status(&head), problem["parameter"].as_str()), (400, Some(parameter)), "{path}: {problem}");
        assert_eq!(header(&head, "content-type"), Some("application/problem+json"));
    }
}

#[tokio::test]
async fn a_pipeline_that_does_not_answer() {
    let server = server_with([]).await;
    let (head, body) = ask(&server, "/api/v1/health", "").await;
    assert_eq!((status(&head), header(&head, "retry-after")), (503, Some("5")), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("the pipeline does not answer"));
}

async fn open_stream(server: &Server, more: &str) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(format!("GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n{more}\r\n").as_bytes()).await.unwrap();
    stream
}

/// Reads until there is this text.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    let mut buffer = [0; 64 << 10];
    while !read.contains(text) {
        let len = timeout(Duration::from_secs(20), stream.read(&mut buffer)).await.expect("it does not come").unwrap();
        assert!(len > 0, "it has ended before {text:?}: {read}");
        read += &String::from_utf8_lossy(&buffer[..len]);
    }
    read
}

#[tokio::test]
async fn a_stream_goes_on_from_where_it_was() {
    let server = server_with([1]).await;
    let mut stream = open_stream(&server, "").await;
    read_until(&mut stream, "event: hello").await;
    put(&server, 2);
    let read = read_until(&mut stream, "\"uid-2\"").await;
    assert!(read.contains("event: finished") && !read.contains("uid-1"), "{read}");
    let id = read.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(stream);
    put(&server, 3);
    server.state.store.lock().unwrap().withdraw(&numbered(2).id);
    let mut stream = open_stream(&server, &format!("Last-Event-ID: {id}\r\n")).await;
    let read = read_until(&mut stream, "\"why\":\"withdrawn\"").await;
    assert!(read.contains("uid-3") && !read.contains("hello") && !read.contains("\"uid\":\"uid-2\""), "{read}");
    for lost in ["nonsense".to_owned(), "1-1".to_owned(), format!("{}999", id)] {
        let mut stream = open_stream(&server, &format!("Last-Event-ID: {lost}\r\n")).await;
        read_until(&mut stream, "event: reset").await;
        put(&server, 9);
        read_until(&mut stream, "uid-9").await;
        server.state.store.lock().unwrap().withdraw(&numbered(9).id);
    }
}

#[tokio::test]
async fn a_stream_of_one_pod() {
    let server = server_with([]).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /api/v1/stream?pod=web-5 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    (1..=9).for_each(|number| put(&server, number));
    let read = read_until(&mut stream, "\"uid-5\"").await;
    assert!(!read.contains("uid-4") && !read.contains("uid-6"), "{read}");
}

#[tokio::test]
async fn a_reader_that_is_stuck_is_cut() {
    let limits = Limits { answer_time: Duration::from_millis(500), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut stuck = open_stream(&server, "").await;
    read_until(&mut stuck, "hello").await;
    let told = async {
        let mut number = 0;
        while server.closed("slow_reader") == 0 {
            number += 1;
            let mut timeline = full();
            timeline.findings[0].message = "x".repeat(1 << 20);
            timeline.id = TerminationId::new(format!("uid-{}", number % 16));
            put_timeline(&server, timeline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), told).await.expect("it is not cut");
    read_all(&mut stuck).await;
    assert_eq!(server.state.feed.readers(), 0, "its place is free");
}

#[tokio::test]
async fn a_slow_reader_is_told_and_let_go() {
    static SECONDS: AtomicU64 = AtomicU64::new(200);

    // A second goes by whenever somebody looks.
    let now = || BootTime(SECONDS.fetch_add(1, Ordering::Relaxed) * 1_000_000_000);
    let limits = Limits { stream_patience: Duration::ZERO, ..Limits::default() };
    let server = Server::start_at(limits, now).await;
    let read = read_all(&mut open_stream(&server, "Connection: close\r\n").await).await;
    let (_, last) = read.split_once("event: hello").unwrap();
    assert!(last.contains("event: dropped") && last.contains("too slow"), "{read}");
    assert_eq!((server.closed("slow_stream"), server.state.feed.readers()), (1, 0));
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let server = server_with([]).await;
    let mut stream = open_stream(&server, "").await;
    read_until(&mut stream, "hello").await;
    server.stop().await;
    read_all(&mut stream).await;
}

#[tokio::test]
async fn head_of_a_stream_is_no_stream() {
    let server = server_with([]).await;
    let answer = server.send("HEAD /api/v1/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!((status(&answer), header(&answer, "content-type")), (200, Some("text/event-stream")), "{answer}");
}
