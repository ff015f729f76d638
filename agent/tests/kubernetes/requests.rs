//! Requests of httpGet hooks, from the log of a server that writes down what it was sent and answers, and when.

use std::net::SocketAddr;

use gracetrace::model::{Flow, HookRequest, Kind};
use serde_json::Value;

/// What the server's log says.
pub(crate) struct Requests {
    /// Wall-clock time in nanoseconds, and what the programs on the kubelet's cgroup would have said.
    pub(crate) kinds: Vec<(i64, Kind)>,
    /// When it got the stop signal.
    pub(crate) signalled: i64,
}

impl Requests {
    /// Reads the log as the kubelet keeps it: the time of each line, and the line. Probes are left out, as the programs do.
    pub(crate) fn parse(text: &str) -> Requests {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line.split_once(' ').unwrap().1).unwrap());
        let mut requests = Requests { kinds: Vec::new(), signalled: 0 };
        for line in lines {
            let at: jiff::Timestamp = line["t"].as_str().unwrap().parse().unwrap();
            let at = i64::try_from(at.as_nanosecond()).unwrap();
            match line["kind"].as_str().unwrap() {
                "raw" => {
                    let head = line["bytes"].as_str().unwrap();
                    let server: SocketAddr =
                        head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap().parse().unwrap();
                    let flow = Flow { client: line["remote"].as_str().unwrap().parse().unwrap(), server };
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    if head.contains("User-Agent: kube-lifecycle/") {
                        requests.kinds.push((at, Kind::HookRequest(HookRequest { flow, path, truncated: false })));
                    }
                }
                "response" => {
                    let uri = line["uri"].as_str().unwrap();
                    let status = u16::try_from(line["code"].as_u64().unwrap()).unwrap();
                    // Probes come in between, and are answered at once: the uri tells them apart.
                    let hook = requests.kinds.iter().rev().find_map(|(_, kind)| match kind {
                        Kind::HookRequest(request) if request.path == uri => Some(request.flow),
                        _ => None,
                    });
                    requests.kinds.extend(hook.map(|flow| (at, Kind::HookResponse { flow, status })));
                }
                "signal" => requests.signalled = at,
                _ => {}
            }
        }
        requests
    }
}
