//! The container runtime (containerd, CRI-O) as a source of pods, over the socket that the kubelet uses too. Alone it is
//! enough for names, hooks and grace periods: the kubelet writes them to its containers.
//!
//! It is asked for lists, at start, when a container's cgroup appears and on a slow timer. There is no subscription to
//! its events: in containerd 1.7 subscribers compete for them, and the kubelet would lose its own.
//!
//! A runtime that does not answer costs nothing but its news: the last good state stays, the failure is counted and said
//! once, and it is asked again with growing distance.

mod socket;
mod pace;
mod runtime;
mod client;
mod answers;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::{Health, Source, Update};
use crate::model::{BootTime, Pod};
use answers::{Details, Listing, Question};
use client::Client;
use pace::Pace;
use runtime::{NoListing, Runtime};

pub use client::CriError;
pub use socket::Socket;

/// Details asked in a row. Then the list of a container that has come meanwhile goes first.
const DETAILS_IN_A_ROW: usize = 8;

/// The source. [`Cri::run`] asks, and sends what changes.
#[derive(Debug)]
pub struct Cri {
    runtime: Runtime,
    container_came: Arc<Notify>,
    health: Arc<Health>,
    now: fn() -> BootTime,
    details: Details,
    /// What was sent last.
    sent: Option<Vec<Pod>>,
    /// What was said last of there being no runtime.
    said_nowhere: Option<String>,
}

/// Nobody listens to the updates any more.
struct Closed;

impl Cri {
    /// `container_came` is told when a container's cgroup appears; `now` is for the age of the state and for how long
    /// answers take.
    pub fn new(socket: Socket, container_came: Arc<Notify>, now: fn() -> BootTime) -> Cri {
        Cri {
            runtime: Runtime::new(socket),
            container_came,
            health: Arc::default(),
            now,
            details: Details::default(),
            sent: None,
            said_nowhere: None,
        }
    }

    /// For metrics.
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Sends the pods each time they have changed. Ends when nobody listens any more.
    pub async fn run(mut self, updates: mpsc::Sender<Update>) {
        let mut pace = Pace::new();
        let came = Arc::clone(&self.container_came);
        loop {
            tokio::select! {
                looked = self.look(&updates, &mut pace) => if looked.is_err() { return },
                // A runtime that hangs does not hold up the end.
                () = updates.closed() => return,
            }
            let looked_at = (self.now)();
            let wait = pace.wait(fastrand::f64());
            tokio::select! {
                () = came.notified() => {
                    sleep(pace.settle((self.now)().since(looked_at))).await;
                    pace.came();
                }
                () = sleep(wait) => {}
                () = updates.closed() => return,
            }
        }
    }

    /// Asks once: for the lists, and for what they leave open.
    async fn look(&mut self, updates: &mpsc::Sender<Update>, pace: &mut Pace) -> Result<(), Closed> {
        let begun = (self.now)();
        let listing = match self.runtime.list().await {
            Ok(listing) => listing,
            Err(NoListing::Nowhere(instead)) => {
                pace.answered(Duration::ZERO, false);
                self.nowhere(instead.as_ref());
                return Ok(());
            }
            Err(NoListing::Failed(error)) => {
                pace.failed();
                self.failed(&error);
                return Ok(());
            }
        };
        self.answered();
        self.details.retain(&listing);
        let news = self.send(&listing, updates).await?;
        pace.answered((self.now)().since(begun), news);
        self.refine(&listing, updates, pace).await
    }

    /// Asks what the list leaves open. Until that is known the pods go without it.
    async fn refine(
        &mut self,
        listing: &Listing,
        updates: &mpsc::Sender<Update>,
        pace: &mut Pace,
    ) -> Result<(), Closed> {
        'asking: for some in self.details.wanted(listing).chunks(DETAILS_IN_A_ROW) {
            for question in some {
                let Some(client) = self.runtime.client() else { break 'asking };
                if let Err(error) = ask(&mut self.details, client, question).await {
                    pace.failed();
                    self.failed(&error);
                    self.runtime.disconnect();
                    break 'asking;
                }
            }
            if timeout(Duration::ZERO, self.container_came.notified()).await.is_ok() {
                // Kept for the one who waits for it.
                self.container_came.notify_one();
                break;
            }
        }
        self.send(listing, updates).await.map(|_| ())
    }

    /// Sends the pods if they are others than before; tells whether they are.
    async fn send(&mut self, listing: &Listing, updates: &mpsc::Sender<Update>) -> Result<bool, Closed> {
        let (pods, skipped) = answers::pods(listing, &self.details);
        if self.health.set_skipped(skipped) && skipped > 0 {
            warn!("{skipped} sandboxes and containers of the runtime are left out: too many, or not to be understood");
        }
        if self.sent.as_ref() == Some(&pods) {
            return Ok(false);
        }
        self.sent = Some(pods.clone());
        updates.send(Update::Pods { source: Source::Cri, pods }).await.map_err(|_| Closed)?;
        Ok(true)
    }

    /// There is nothing to ask: said once, and once more when there is something else instead.
    fn nowhere(&mut self, instead: Option<&CriError>) {
        self.health.set_unused(true);
        let said = instead.map_or_else(String::new, ToString::to_string);
        if self.said_nowhere.as_ref() == Some(&said) {
            return;
        }
        match instead {
            Some(error) => warn!("no container runtime found: {error}"),
            None => info!(
                "no container runtime in the usual places: pods are known from other sources alone; --cri names its socket"
            ),
        }
        self.said_nowhere = Some(said);
    }

    fn failed(&self, error: &CriError) {
        self.health.set_unused(false);
        if self.health.observe_error() {
            warn!("{error}; going on with the containers known so far");
        } else {
            debug!("{error}");
        }
    }

    fn answered(&self) {
        self.health.set_unused(false);
        let is_first = self.health.good_at().is_none();
        let was_failing = self.health.observe_good((self.now)());
        let Some(client) = self.runtime.client() else { return };
        if is_first {
            info!("pods are known from the container runtime at {}", client.path().display());
        } else if was_failing {
            info!("the container runtime at {} answers again", client.path().display());
        }
    }
}

/// Asks one detail. What the runtime does not know, or cannot say, is no failure of the runtime.
async fn ask(details: &mut Details, client: &Client, question: &Question) -> Result<(), CriError> {
    let answer = match question {
        Question::Image(image) => client.image(image).await.map(|answer| details.image(image.clone(), &answer)),
        Question::Sandbox(id) => client.sandbox(id).await.map(|answer| details.sandbox(id.clone(), &answer)),
    };
    match answer {
        Err(error) if error.is_about_the_question() => {
            debug!("{error}");
            details.unanswered(question.clone());
            Ok(())
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests;
