//! A real Prometheus scrapes the agent's metrics, in each format that it asks for. The metrics are those of the demo's
//! recorded terminations.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gracetrace::clock;
use gracetrace::correlator::Config;
use gracetrace::http::{self, Health, Inquiries, Shown};
use gracetrace::metrics::{Format, Metrics, Settings};
use gracetrace::pipeline::Pipeline;
use gracetrace::recording::Reader;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::server::Prometheus;

/// An agent's server with the metrics of every recording.
struct Agent {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    fn start() -> Agent {
        // Each was made after another boot.
        let metrics = Arc::new(Metrics::new(&Settings { keep: Duration::MAX, ..Settings::default() }));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let mut pipeline = Pipeline::new(Config::default(), Arc::default(), Arc::clone(&metrics));
            let mut reader = Reader::open(&path).unwrap();
            while let Some(input) = reader.next_input().unwrap() {
                pipeline.handle(&input);
            }
        }
        let health = Arc::new(Health::new(clock::boot_now(), ""));
        let shown = Shown { store: Arc::default(), metrics: Arc::clone(&metrics), health };
        let (ask, _) = Inquiries::channel();
        let state = http::State::new(shown, Arc::default(), ask, clock::boot_now, http::Limits::default());
        let (sender, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                http::serve(listener, Arc::new(state), async { drop(stopped.await) }).await;
            });
        });
        Agent { address: address.recv().unwrap(), metrics, stop: Some(stop), thread: Some(thread) }
    }

    /// Sum and count of a histogram over all of its series.
    fn histogram(&self, name: &str) -> (f64, f64) {
        let text = String::from_utf8(self.metrics.encode(Format::Text).unwrap()).unwrap();
        let sum = |suffix| {
            let series = text.lines().filter(|line| line.starts_with(&format!("{name}{suffix}{{")));
            series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
        };
        (sum("_sum"), sum("_count"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

const DURATION: &str = "gracetrace_termination_duration_seconds";

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// The number that a query with one result gives.
fn one(result: &Value) -> f64 {
    assert_eq!(result.as_array().unwrap().len(), 1, "{result}");
    number(&result[0]["value"][1])
}

/// That these are numbers of the same computation in another order.
fn assert_close(found: f64, expect: f64) {
    assert!((found - expect).abs() < 1e-6, "{found} instead of {expect}");
}

#[test]
fn native_histograms_come_by_protobuf() {
    let agent = Agent::start();
    let prometheus = Prometheus::start(agent.address, "native-histograms,exemplar-storage");
    let (sum, count) = agent.histogram(DURATION);
    assert!(count >= 10.0, "{count}");
    // A histogram in one sample is native: only protobuf can carry that.
    let result = prometheus.query(&format!("sum({DURATION})"));
    let histogram = &result[0]["histogram"][1];
    assert_close(number(&histogram["count"]), count);
    assert_close(number(&histogram["sum"]), sum);
    assert!(histogram["buckets"].as_array().unwrap().len() > 1, "{histogram}");
    let longest = one(&prometheus.query(&format!("histogram_quantile(1,sum({DURATION}))")));
    assert!(longest >= sum / count, "{longest}");
    assert_eq!(one(&prometheus.query("up")), 1.0);
    let exemplars = prometheus.exemplars(DURATION);
    assert!(exemplars[0]["exemplars"][0]["labels"]["pod_uid"].is_string(), "{exemplars}");
    let terminations = one(&prometheus.query("sum(gracetrace_pod_terminations_total)"));
    assert!(terminations >= count, "{terminations}");
}

#[test]
fn classic_histograms_come_as_openmetrics() {
    let agent = Agent::start();
    let prometheus = Prometheus::start(agent.address, "exemplar-storage");
    let (sum, count) = agent.histogram(DURATION);
    assert_close(one(&prometheus.query(&format!("sum({DURATION}_count)"))), count);
    assert_close(one(&prometheus.query(&format!("sum({DURATION}_sum)"))), sum);
    // As the rules name it.
    let within = one(&prometheus.query(&format!("sum({DURATION}_bucket%7Ble=%2230.0%22%7D)")));
    assert!(within > 0.0 && within <= count, "{within}");
    assert_eq!(one(&prometheus.query("up")), 1.0);
    let exemplars = prometheus.exemplars(&format!("{DURATION}_bucket"));
    assert!(exemplars[0]["exemplars"][0]["labels"]["pod_uid"].is_string(), "{exemplars}");
}
