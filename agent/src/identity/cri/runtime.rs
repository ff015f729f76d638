//! The runtime that serves this node's pods: found, connected to, and found again.

use std::path::{Path, PathBuf};

use super::answers::Listing;
use super::client::{Client, CriError};
use super::socket::Socket;

/// See the module.
#[derive(Debug)]
pub(super) struct Runtime {
    socket: Socket,
    client: Option<Client>,
    /// Where pods were found, when nobody said where to look: another socket that has none does not replace it.
    home: Option<PathBuf>,
}

/// Why there is no list.
#[derive(Debug)]
pub(super) enum NoListing {
    /// There is no runtime, and nobody said that there must be; with what was found instead.
    Nowhere(Option<CriError>),
    /// The runtime does not answer.
    Failed(CriError),
}

impl Runtime {
    pub(super) fn new(socket: Socket) -> Runtime {
        Runtime { socket, client: None, home: None }
    }

    /// The connection, if there is one.
    pub(super) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Gives the connection up: the next list makes a new one.
    pub(super) fn disconnect(&mut self) {
        self.client = None;
    }

    /// What the runtime has.
    pub(super) async fn list(&mut self) -> Result<Listing, NoListing> {
        if let Some(client) = self.client.as_ref().filter(|_| self.socket != Socket::Auto || self.home.is_some()) {
            match client.list().await {
                Ok(listing) => return Ok(self.keep(listing)),
                Err(error @ CriError::Timeout { .. }) => {
                    self.client = None;
                    return Err(NoListing::Failed(error));
                }
                // A restart of the runtime ends its connections: no failure, if it is there again.
                Err(_) => self.client = None,
            }
        }
        let mut failed = None;
        let mut without_pods = None;
        for path in self.socket.candidates() {
            match connect(&path).await {
                Ok((client, listing)) if self.is_right(&path, &listing) => {
                    self.client = Some(client);
                    return Ok(self.keep(listing));
                }
                Ok((client, listing)) => without_pods = without_pods.or(Some((client, listing))),
                // Docker's containerd comes before what speaks for Docker: what the latter says tells more.
                Err(error) if matches!(failed, None | Some(CriError::NotCri { .. })) => failed = Some(error),
                Err(_) => {}
            }
        }
        match (&self.home, failed, without_pods) {
            (None, _, Some((client, listing))) => {
                self.client = Some(client);
                Ok(self.keep(listing))
            }
            (None, None, None) => Err(NoListing::Nowhere(None)),
            // Where nobody said that there must be a runtime, one that serves no pods is none.
            (None, Some(error @ CriError::NotCri { .. }), None) if self.socket == Socket::Auto => {
                Err(NoListing::Nowhere(Some(error)))
            }
            (_, Some(error), _) => Err(NoListing::Failed(error)),
            (Some(home), None, _) => Err(NoListing::Failed(CriError::gone(home))),
        }
    }

    /// Whether this is the runtime that serves this node's pods: a node may have another containerd that has none.
    fn is_right(&self, path: &Path, listing: &Listing) -> bool {
        self.socket != Socket::Auto || !listing.is_empty() || self.home.as_deref() == Some(path)
    }

    /// Takes note of where pods are. As long as there are none, all places are tried each time.
    fn keep(&mut self, listing: Listing) -> Listing {
        if self.socket == Socket::Auto && !listing.is_empty() {
            self.home = self.client.as_ref().map(|client| client.path().to_owned());
        }
        listing
    }
}

async fn connect(path: &Path) -> Result<(Client, Listing), CriError> {
    let client = Client::connect(path).await?;
    let listing = client.list().await?;
    Ok((client, listing))
}
