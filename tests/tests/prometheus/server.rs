//! A Prometheus of a test's own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use gracetrace_tests::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::program;

/// How long something may take that many scrapes and evaluations lead to, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running Prometheus. Killed when dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes an address every second as `deploy/prometheus/prometheus.yaml` would, with these rules: a name
    /// and a text each. Waits until it is ready.
    pub(crate) fn start(target: &str, rules: &[(String, String)]) -> Prometheus {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("rules")).expect("a folder in it");
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.yaml"],
            "scrape_configs": [{
                "job_name": "gracetrace",
                "honor_labels": true,
                "static_configs": [{"targets": [target], "labels": {"node": "one"}}],
            }],
        });
        // JSON is YAML.
        fs::write(dir.path().join("prometheus.yaml"), config.to_string()).expect("a file in it");
        write(dir.path(), rules);
        let address =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr()).expect("a port is free");
        let log = File::create(dir.path().join("log")).expect("a file in it");
        let child = program("prometheus")
            .arg(format!("--config.file={}", dir.path().join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-lifecycle")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        let server = Prometheus { child, address, dir };
        wait::until("prometheus is ready", || server.ask("GET", "/-/ready").is_some_and(|(status, _)| status == 200));
        server
    }

    /// Takes other rules in the place of those that it has.
    pub(crate) fn reload(&self, rules: &[(String, String)]) {
        write(self.dir.path(), rules);
        let answer = self.ask("POST", "/-/reload");
        assert_eq!(answer.map(|(status, _)| status), Some(200), "{}", self.says());
    }

    /// The samples of a query: labels and value.
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let answer = self.api(&format!("/api/v1/query?query={}", encoded(query)));
        let samples = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        samples
            .into_iter()
            .map(|sample| (sample["metric"].clone(), sample["value"][1].as_str().unwrap().parse().unwrap()))
            .collect()
    }

    /// Whether there is an alert of that name about a workload, and its state: `pending` or `firing`.
    pub(crate) fn alert(&self, name: &str, workload: &str) -> Option<String> {
        let answer = self.api("/api/v1/alerts");
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let ours = |alert: &&Value| alert["labels"]["alertname"] == name && alert["labels"]["workload"] == workload;
        alerts.iter().find(ours).map(|alert| alert["state"].as_str().unwrap().to_owned())
    }

    /// Rules that could not be evaluated, with the reason.
    pub(crate) fn failed_rules(&self) -> Vec<String> {
        let answer = self.api("/api/v1/rules");
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        rules
            .filter(|rule| rule["health"] == "err")
            .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
            .collect()
    }

    /// Waits until there is a value.
    pub(crate) fn wait<T>(&self, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
        wait::value_within(PATIENCE, what, look)
    }

    fn api(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path).expect("prometheus answers");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// HTTP/1.0: the answer ends with the connection, and comes in one piece.
    fn ask(&self, method: &str, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", self.address).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn says(&self) -> String {
        let text = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(dir: &Path, rules: &[(String, String)]) {
    for (name, text) in rules {
        fs::write(dir.join("rules").join(name), text).expect("a file in it");
    }
}

fn encoded(query: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    query.bytes().map(byte).collect()
}
