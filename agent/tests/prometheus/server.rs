//! A real Prometheus with one target.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long it may take to start, to scrape, to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ended when dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _data: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target`, with features such as `native-histograms`.
    pub(crate) fn start(target: SocketAddr, features: &str) -> Prometheus {
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs:\n- job_name: gracetrace\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, text).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", &format!("--enable-feature={features}")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus is missing: `cargo xtask test` installs it");
        let log = child.stderr.take().unwrap();
        let (sender, addresses) = mpsc::channel();
        // Reads on to the end: it must not wait for somebody to read its log.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let address = line.split_once("msg=\"Listening on\" address=").map(|(_, address)| address.to_owned());
                address.into_iter().for_each(|address| drop(sender.send(address)));
            }
        });
        let address = addresses.recv_timeout(PATIENCE).expect("prometheus does not listen").parse().unwrap();
        Prometheus { child, address, _data: data }
    }

    /// The result of a query, once there is one.
    pub(crate) fn query(&self, query: &str) -> Value {
        self.wait_for(&format!("/api/v1/query?query={query}"), |answer| {
            let result = &answer["data"]["result"];
            (!result.as_array()?.is_empty()).then(|| result.clone())
        })
    }

    /// Exemplars of the last hour, once there are some.
    pub(crate) fn exemplars(&self, query: &str) -> Value {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        self.wait_for(
            &format!("/api/v1/query_exemplars?query={query}&start={}&end={}", now - 3600, now + 3600),
            |answer| (!answer["data"].as_array()?.is_empty()).then(|| answer["data"].clone()),
        )
    }

    fn wait_for(&self, path: &str, found: impl Fn(&Value) -> Option<Value>) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            match found(&answer) {
                Some(found) => return found,
                None if Instant::now() > deadline => panic!("{path} brings nothing: {answer}"),
                // Between two scrapes.
                None => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // 1.0: the answer comes in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or(Value::Null)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
