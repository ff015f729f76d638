//! The network between the browser and an agent, which can go away and come back.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on.
pub(crate) struct Proxy {
    address: SocketAddr,
    agent: String,
    task: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Begins to, on a port of its own.
    pub(crate) async fn start(agent: &str) -> Proxy {
        let mut proxy = Proxy { address: (Ipv4Addr::LOCALHOST, 0).into(), agent: agent.to_owned(), task: None };
        proxy.heal().await;
        proxy
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Resets every connection, and refuses new ones.
    pub(crate) async fn cut(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Passes connections on again.
    pub(crate) async fn heal(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let agent = self.agent.clone();
        self.task = Some(tokio::spawn(async move {
            // With the task go its connections.
            let mut connections = JoinSet::new();
            loop {
                let Ok((mut client, _)) = listener.accept().await else { continue };
                let agent = agent.clone();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(&agent).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        }));
    }
}
