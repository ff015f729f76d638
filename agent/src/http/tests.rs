//! Real TCP on loopback, raw bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::report::Termination;
use crate::report::fixture::{at, full, in_progress, numbered};

fn now() -> BootTime {
    at(200.0)
}

pub(super) struct Server {
    address: SocketAddr,
    pub(super) state: Arc<State>,
    /// Nobody answers.
    _inquiries: mpsc::Receiver<Inquiry>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(limits: Limits) -> Server {
        Server::start_at(limits, now).await
    }

    pub(super) async fn start_at(limits: Limits, now: fn() -> BootTime) -> Server {
        let health = Arc::new(Health::new(at(195.0), "probes are not attached yet"));
        let shown = Shown { store: Arc::default(), metrics: Arc::default(), health };
        let (ask, inquiries) = Inquiries::channel();
        let state = Arc::new(State::new(shown, Arc::default(), ask, now, limits));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, state.clone(), async {
            let _ = stopped.await;
        }));
        Server { address, state, _inquiries: inquiries, stop, task }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes, reads to the end.
    pub(super) async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        (status(&answer), answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(Duration::from_secs(20), self.task).await.expect("it does not stop").unwrap();
    }

    pub(super) fn closed(&self, reason: &str) -> u64 {
        let text = String::from_utf8(self.state.metrics.encode(crate::metrics::Format::Text).unwrap()).unwrap();
        let series = format!("gracetrace_http_connections_closed_total{{reason=\"{reason}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |value| value.parse().unwrap())
    }
}

/// Whatever comes until the other side closes, orderly or not.
pub(super) async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("it does not close");
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{answer:?}"))[..3].parse().unwrap()
}

#[tokio::test]
async fn every_route() {
    let server = Server::start(Limits::default()).await;
    for (path, expect, part) in [
        ("/", 200, "<a href=\"/metrics\">"),
        ("/metrics", 200, "# TYPE gracetrace_build_info gauge\n"),
        ("/metrics?x=y", 200, "gracetrace_timelines_stored 0\n"),
        ("/healthz", 200, "ok\n"),
        ("/readyz", 503, "\"detail\":\"probes are not attached yet\""),
        ("/api/v1/terminations", 200, "[]"),
        ("/api/v1/terminations/nobody", 404, "no such termination"),
        ("/api/v1/terminations/%ff", 404, "no such termination"),
        ("/api/v1/terminations/", 404, "no such termination"),
        ("/api/v1/terminations?limit=0", 400, "from 1 to 1000"),
        ("/api/v1", 404, "no such page"),
        ("/favicon.ico", 404, "no such page"),
        ("//healthz", 404, "no such page"),
        ("/../../etc/passwd", 404, "no such page"),
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, expect, "{path}: {body}");
        assert!(body.contains(part), "{path}: {body}");
    }
    server.state.health.set_ready();
    assert_eq!(server.get("/readyz").await, (200, "ok\n".to_owned()));
    server.state.health.beat(at(180.0));
    let (status, body) = server.get("/healthz").await;
    assert_eq!(status, 503);
    let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["title"], "Service Unavailable");
    assert_eq!(problem["status"], 503);
    assert_eq!(problem["detail"], "the pipeline has not turned for 20 s");
}

#[tokio::test]
async fn terminations() {
    let server = Server::start(Limits::default()).await;
    {
        let mut store = server.state.store.lock().unwrap();
        (1..=150).for_each(|number| store.handle_timeline(numbered(number)));
        store.handle_timeline(in_progress());
    }
    let list = async |query: &str| -> Vec<Termination> {
        let (status, body) = server.get(&format!("/api/v1/terminations{query}")).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    };
    let all = list("").await;
    assert_eq!((all.len(), all[0].id.as_str(), all[99].id.as_str()), (100, "uid-150", "uid-52"));
    assert_eq!(list("?limit=1000").await.len(), 151);
    assert_eq!(list("?workload=deployment%2Fweb&pod=web-7&outcome=forced&namespace=default").await.len(), 1);
    // Ends are from 11 to 160 s after boot, it is 200 s, and one goes on.
    assert_eq!(list("?since=41s").await.len(), 3);
    let id = full().id;
    let (status, body) = server.get(&format!("/api/v1/terminations/{id}")).await;
    let one: Termination = serde_json::from_str(&body).unwrap();
    assert_eq!((status, one.id.as_str(), one.grace_used_seconds), (200, id.as_str(), Some(100.0)));
}

#[tokio::test]
async fn headers_of_an_answer() {
    let server = Server::start(Limits::default()).await;
    let answer = server.send("GET /healthz HTTP/1.0\r\n\r\n").await.to_ascii_lowercase();
    for header in [
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'",
        "content-length: 3",
    ] {
        assert!(answer.contains(&format!("\r\n{header}")), "{header}: {answer}");
    }
    let answer = server
        .send("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nvary: Accept, Accept-Encoding\r\n") && answer.ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_by_what_the_client_takes() {
    let server = Server::start(Limits::default()).await;
    for (accept, kind) in [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("Accept: application/openmetrics-text\r\n", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        ),
    ] {
        let mut bodies = Vec::new();
        for encoding in ["", "Accept-Encoding: gzip\r\n"] {
            let mut stream = server.connect().await;
            let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{accept}{encoding}Connection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            let head = String::from_utf8_lossy(&answer[..end]).into_owned();
            assert!(head.contains(&format!("\r\ncontent-type: {kind}\r\n")), "{head}");
            assert_eq!(head.contains("\r\ncontent-encoding: gzip\r\n"), !encoding.is_empty(), "{head}");
            bodies.push(answer.split_off(end));
        }
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(bodies[1].as_slice());
        std::io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        assert!(bodies[1].len() < bodies[0].len());
        // Not all of it: the answers before this one are counted in it.
        assert_eq!(unpacked[..64], bodies[0][..64], "{kind}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start(Limits::default()).await;
    for path in ["/healthz", "/readyz", "/api/v1/terminations", "/nowhere"] {
        let answer = server.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "");
        let (expect, full) = server.get(path).await;
        assert_eq!(status(head), expect);
        assert!(head.contains(&format!("content-length: {}", full.len())), "{head}");
    }
}

#[tokio::test]
async fn other_methods_and_their_bodies() {
    let server = Server::start(Limits::default()).await;
    for request in [
        "POST /api/v1/terminations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{",
        "PUT /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ] {
        let answer = server.send(request).await;
        assert_eq!(status(&answer), 405, "{answer}");
        assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
        assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{answer}");
    }
    let answer = server.send("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n").await;
    assert_eq!(status(&answer), 200, "its body is not waited for: {answer}");
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let server = Server::start(Limits::default()).await;
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(20_000));
    assert_eq!(status(&server.send(long).await), 431);
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(status(&server.send(many).await), 431);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000));
    assert!(matches!(status(&server.send(long).await), 414 | 431));
    let fits = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: {}\r\n\r\n", "a".repeat(8_000));
    assert_eq!(status(&server.send(fits).await), 200);
    assert_eq!(server.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn garbage() {
    let server = Server::start(Limits::default()).await;
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\r\n\r\n\r\nnonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        &[0; 4_096],
        &[0xff; 40_000],
    ] {
        let answer = server.send(garbage).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    }
    let answer = server
        .send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n\x01\x02\r\n\r\n")
        .await;
    assert_eq!((answer.matches("HTTP/1.1 200").count(), answer.matches("HTTP/1.1 503").count()), (1, 1), "{answer}");
    assert!(answer.contains("HTTP/1.1 400"), "{answer}");
    assert_eq!(server.get("/healthz").await.0, 200);
}

const QUICK: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_slow_head_gets_cut() {
    let server = Server::start(Limits { header_time: QUICK, ..Limits::default() }).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    // A byte now and then does not buy time.
    let drip = async {
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n".iter().cycle() {
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(QUICK / 10).await;
        }
    };
    timeout(QUICK * 20, drip).await.expect("it was not cut");
    assert_eq!(read_all(&mut silent).await, "");
    assert_eq!((server.closed("slow_request"), server.closed("idle")), (1, 1));
}

#[tokio::test]
async fn idle_connections_are_kept_for_a_while() {
    let server = Server::start(Limits { header_time: QUICK, idle_time: QUICK * 15, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    let mut buffer = [0; 1_024];
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let len = stream.read(&mut buffer).await.unwrap();
        assert_eq!(status(&String::from_utf8_lossy(&buffer[..len])), 200);
        sleep(QUICK * 2).await;
    }
    assert_eq!(read_all(&mut stream).await, "");
    assert_eq!(server.closed("idle"), 1);
}

#[tokio::test]
async fn a_reader_that_does_not_read_gets_cut() {
    let server = Server::start(Limits { answer_time: QUICK * 10, ..Limits::default() }).await;
    {
        let mut store = server.state.store.lock().unwrap();
        for number in 0..1_000 {
            let mut timeline = numbered(number);
            timeline.findings[0].message = "x".repeat(20_000);
            store.handle_timeline(timeline);
        }
    }
    let mut stream = server.connect().await;
    stream.write_all(b"GET /api/v1/terminations?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    sleep(QUICK * 15).await;
    assert_eq!(server.closed("slow_reader"), 1);
    assert!(read_all(&mut stream).await.len() < 20_000_000, "what was on its way");
    let (status, body) = server.get("/api/v1/terminations?limit=1000").await;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Vec<Termination>>(&body).unwrap().len(), 1_000);
}

#[tokio::test]
async fn a_thousand_idle_connections() {
    let server = Server::start(Limits::default()).await;
    let mut kept = server.connect().await;
    let mut crowd = Vec::new();
    for number in 0..1_000 {
        let mut stream = server.connect().await;
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n").await; // And no more.
        }
        crowd.push(stream);
        if number % 50 == 0 {
            // One that was let in before, and is in use, stays.
            kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut buffer = [0; 1_024];
            let len = kept.read(&mut buffer).await.unwrap();
            assert_eq!(status(&String::from_utf8_lossy(&buffer[..len])), 200);
        }
    }
    assert_eq!(server.get("/healthz").await.0, 200, "and a new one is let in");
    assert!(server.closed("too_many") >= 1_000 - 128, "{}", server.closed("too_many"));
}

#[tokio::test]
async fn shutdown_finishes_what_is_being_answered() {
    let server = Server::start(Limits { stop_time: QUICK * 5, ..Limits::default() }).await;
    let mut idle = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(b"GET /healthz HTTP/1.1\r\nHo").await.unwrap();
    assert_eq!(server.get("/healthz").await.0, 200);
    server.stop.send(()).unwrap();
    assert_eq!(read_all(&mut idle).await, "", "closed at once");
    timeout(QUICK * 20, server.task).await.expect("it does not stop").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "the port is free");
    read_all(&mut half).await;
}
