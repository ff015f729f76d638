//! Clients of a pod: real TCP connections from the node's side of the bridge. They count what became of each.

pub mod process;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::clock::BootTime;
use crate::node::Node;
use crate::parts::Helper;

/// What the driver asks of them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Open connections and keep them, in use.
    Hold(u32),
    /// Open short connections one after another.
    Arrive {
        /// How many.
        count: u32,
        /// How long after each other.
        every_ms: u64,
    },
    /// Make the server abort.
    Abort,
    /// Make the server use memory without end.
    Hog,
    /// Wait until every connection has ended, and tell of them.
    Finish,
}

/// What they answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done as asked.
    Done,
    /// What became of every connection.
    Connections(Vec<Connection>),
}

/// One connection, or an attempt at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// When connect returned.
    pub at: BootTime,
    /// The client's address, once it was connected.
    pub client: Option<SocketAddr>,
    /// How it ended.
    pub end: End,
}

/// How a connection ended, as its client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The client was done.
    Closed,
    /// The server said farewell.
    Bye,
    /// The server was gone without a word.
    Cut,
    /// It was reset before the server had answered: nobody had accepted it.
    Reset,
    /// There was none: the SYN was answered by a reset.
    Refused,
}

/// The clients of one pod.
pub struct Clients {
    helper: Helper,
}

impl Clients {
    /// Starts them; they do nothing yet.
    pub fn start(node: &Node, address: Ipv4Addr) -> Result<Clients> {
        let mut command = node.command("clients", "clients");
        command
            .arg("--cgroup")
            .arg(node.clients_cgroup())
            .args(["--bridge-pid", &node.bridge_pid().to_string()])
            .args(["--server", &address.to_string()]);
        Ok(Clients { helper: Helper::start(command, "the clients")? })
    }

    /// Has them do something and waits for it.
    pub async fn ask(&mut self, request: Request) -> Result<()> {
        self.helper.tell(&request).await?;
        match self.helper.next().await? {
            Answer::Done => Ok(()),
            Answer::Connections(_) => bail!("the clients answer another question"),
        }
    }

    /// Ends them, once the server has ended.
    pub async fn finish(mut self) -> Result<Vec<Connection>> {
        self.helper.tell(&Request::Finish).await?;
        let answer = self.helper.next().await?;
        self.helper.wait().await?;
        match answer {
            Answer::Connections(connections) => Ok(connections),
            Answer::Done => bail!("the clients answer another question"),
        }
    }
}
