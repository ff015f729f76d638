//! The kubelet's readiness probe of a pod: a connection now and then, from the node, as long as the pod is there. It goes on
//! while a pod terminates, and is no client's.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, stdin};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::node::{self, Node};
use crate::parts::{Helper, report};
use crate::workload::PORT;

/// Kubernetes has 10 s (`periodSeconds`) and 1 s at least; scenarios are short.
const PERIOD: Duration = Duration::from_millis(250);
/// Kubernetes' `timeoutSeconds`.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What became of the probes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Connections that were established.
    pub connected: u64,
    /// Connections that were refused.
    pub refused: u64,
}

/// A probe that goes on.
pub struct Probe {
    helper: Helper,
}

impl Probe {
    /// Starts it, from the kubelet's cgroup.
    pub fn start(node: &Node, address: Ipv4Addr) -> Result<Probe> {
        Probe::start_from(node, &node.kubelet_cgroup(), address)
    }

    /// Starts it from any cgroup.
    pub fn start_from(node: &Node, cgroup: &Path, address: Ipv4Addr) -> Result<Probe> {
        let mut command = node.command("kubelet", "probe");
        command
            .arg("--cgroup")
            .arg(cgroup)
            .args(["--bridge-pid", &node.bridge_pid().to_string()])
            .args(["--server", &address.to_string()]);
        Ok(Probe { helper: Helper::start(command, "the probe")? })
    }

    /// Ends it.
    pub async fn finish(mut self) -> Result<Probed> {
        self.helper.close_input();
        let probed = self.helper.next().await?;
        self.helper.wait().await?;
        Ok(probed)
    }
}

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    bridge_pid: u32,
    #[arg(long)]
    server: Ipv4Addr,
}

/// Probes until its input ends.
pub fn run(args: &ProbeArgs) -> Result<()> {
    node::play_outside(&args.cgroup, args.bridge_pid, probe(args.server))
}

async fn probe(server: Ipv4Addr) -> Result<()> {
    let mut probed = Probed::default();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut input = stdin();
    let mut end = std::pin::pin!(input.read_u8());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut end => return report(&probed),
        }
        // As a tcpSocket probe does: connected is good (pkg/probe/tcp, `DoTCPProbe`).
        match timeout(TIMEOUT, TcpStream::connect((server, PORT))).await {
            Ok(Ok(_)) => probed.connected += 1,
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => probed.refused += 1,
            // Established, and reset by a listener that ended before this process looked.
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => {}
            Ok(Err(error)) => return Err(error).context("the probe cannot connect"),
            // A pod whose network goes away does not answer.
            Err(_) => {}
        }
    }
}
