//! The Kubernetes API: a watch of this node's pods. First a list, then what changes; the list again when the server
//! does not remember any more where the watch was.
//!
//! A server that is away takes nothing away: the last state stays, its age grows, and everything that the kernel and
//! the runtime tell goes on. It may be away at the start, too. What happened meanwhile comes with the first answer: as
//! events, or as a list in which pods are missing.
//!
//! Only what is used of an object is read from its JSON (`podlist`); an object is never held as a whole.

mod pace;
mod error;
mod api;
mod body;
mod position;
mod questions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::podlist::{PodList, WatchEvent};
use super::{Health, Source, Update};
use crate::model::{BootTime, Pod, PodUid, Reason, WallTime};
use api::{Api, Asked, Status};
use body::Lines;
use error::ApiError;
pub use error::KubernetesError;
use pace::Backoff;
pub use pace::Pace;
use position::Position;

/// Pods that are remembered as listed: more than the index takes.
const MAX_PODS: usize = 8192;
/// Pods named in a warning.
const MAX_NAMED: usize = 5;
const LIST: Asked = Asked { verb: "list", resource: "pods" };
const WATCH: Asked = Asked { verb: "watch", resource: "pods" };

/// What the source needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose pods.
    pub node: Option<String>,
    /// Instead of what `KUBECONFIG`, `~/.kube/config` or the service account say.
    pub kubeconfig: Option<PathBuf>,
    /// How patient it is.
    pub pace: Pace,
    /// For the age of its state.
    pub now: fn() -> BootTime,
    /// For the age of events.
    pub wall: fn() -> WallTime,
}

/// The watch. [`Kubernetes::open`] reads the configuration, [`Kubernetes::run`] does the rest.
pub struct Kubernetes {
    api: Arc<Api>,
    node: String,
    pace: Pace,
    now: fn() -> BootTime,
    wall: fn() -> WallTime,
    health: Arc<Health>,
    position: Position,
    /// Pods that the server lists, and whether their deletion was seen.
    listed: BTreeMap<PodUid, bool>,
    /// Pods that cannot be read, since the last list.
    skipped: u64,
    /// Failures that were said since all was well.
    said: BTreeSet<&'static str>,
}

impl Kubernetes {
    /// Reads the configuration. Does not ask the server for anything: it may be away.
    ///
    /// # Errors
    /// When there is no configuration, or one that cannot be used.
    pub async fn open(options: Options) -> Result<Kubernetes, KubernetesError> {
        let node = options.node.filter(|node| !node.is_empty()).ok_or(KubernetesError::NoNode)?;
        if !node.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
            return Err(KubernetesError::BadNode(node));
        }
        let api = Api::open(options.kubeconfig, options.pace).await?;
        Ok(Kubernetes {
            api: Arc::new(api),
            node,
            pace: options.pace,
            now: options.now,
            wall: options.wall,
            health: Arc::default(),
            position: Position::default(),
            listed: BTreeMap::new(),
            skipped: 0,
            said: BTreeSet::new(),
        })
    }

    /// For metrics.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Sends what the server says, and answers questions. Ends when nobody listens any more.
    pub async fn run(mut self, updates: mpsc::Sender<Update>, questions: mpsc::Receiver<Arc<Pod>>) {
        info!("watching the pods of the node {} at {}", self.node, self.api.url());
        let answers = questions::answer(Arc::clone(&self.api), self.pace, self.wall, questions, updates.clone());
        let follow = self.follow(&updates);
        tokio::select! {
            () = updates.closed() => {}
            ((), ()) = async { tokio::join!(follow, answers) } => {}
        }
    }

    async fn follow(&mut self, updates: &mpsc::Sender<Update>) {
        let mut backoff = Backoff::new(&self.pace);
        loop {
            let began = (self.now)();
            let ended = self.list_and_watch(updates).await;
            if (self.now)().since(began) >= self.pace.steady {
                backoff.reset();
            }
            let mut pause = backoff.pause();
            if let Err(error) = ended {
                pause = pause.max(self.recover(&error).await);
            }
            sleep(pause).await;
        }
    }

    /// Until the watch ends, in whatever way.
    async fn list_and_watch(&mut self, updates: &mpsc::Sender<Update>) -> Result<(), ApiError> {
        let version = match self.position.watched() {
            Some(version) => version.to_owned(),
            None => self.list(updates).await?,
        };
        self.watch(version, updates).await
    }

    /// Gets ready for the next try; how long the server wants it to wait at least.
    async fn recover(&mut self, error: &ApiError) -> Duration {
        match error {
            // Nothing is wrong: the server keeps the events of some minutes only.
            ApiError::Gone => {
                debug!("{error}; asking for all pods again");
                self.position.forget();
                return Duration::ZERO;
            }
            // Another try from there might meet the same again.
            ApiError::Unreadable(_) | ApiError::TooLong(_) => self.position.list_again(),
            _ => {}
        }
        if self.health.observe_error() {
            self.said.clear();
        }
        if self.said.insert(error.kind()) {
            warn!("{error}; going on with what is known of the pods of {}", self.node);
        } else {
            debug!("{error}");
        }
        match error {
            ApiError::Unauthorized(_) | ApiError::Tls { .. } => {
                if let Err(error) = self.api.renew().await {
                    debug!("{error}");
                }
                Duration::ZERO
            }
            ApiError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    fn observe_good(&self) {
        if self.health.observe_good((self.now)()) {
            info!("the API server answers again");
        }
    }
}

/// The list.
impl Kubernetes {
    /// All pods of the node, as one update; the version from which to watch.
    async fn list(&mut self, updates: &mpsc::Sender<Update>) -> Result<String, ApiError> {
        let mut pods = Vec::new();
        let mut skipped = Vec::new();
        let mut next = None;
        let version = loop {
            let path = format!(
                "/api/v1/pods?fieldSelector={}&limit={}{}",
                self.selector(),
                self.pace.page,
                self.position.query(next.as_deref())
            );
            let text = self.api.get_text(&path, LIST, self.pace.page_bytes).await?;
            let list = PodList::parse(&text).map_err(|error| ApiError::Unreadable(error.to_string()))?;
            pods.extend(list.pods);
            skipped.extend(list.skipped);
            next = list.next;
            if next.is_none() || pods.len() > MAX_PODS {
                break list.version.ok_or_else(|| ApiError::Unreadable("a list without a version".to_owned()))?;
            }
        };
        self.skipped = u64::try_from(skipped.len()).unwrap_or(u64::MAX);
        if self.health.set_skipped(self.skipped) {
            for pod in skipped.iter().take(MAX_NAMED) {
                warn!("a pod of the API server is left out: {pod}");
            }
            if skipped.len() > MAX_NAMED {
                warn!("and {} more pods of the API server", skipped.len() - MAX_NAMED);
            }
        }
        self.observe_good();
        self.position.set(&version);
        let listed = pods.iter().map(|pod| (pod.uid.clone(), pod.requested.is_some())).collect();
        let before = std::mem::replace(&mut self.listed, listed);
        for (uid, _) in before.into_iter().filter(|(uid, deleted)| !deleted && !self.listed.contains_key(uid)) {
            if let Some(explained) = explain_gone(uid) {
                send(updates, explained).await;
            }
        }
        send(updates, Update::Pods { source: Source::Kubernetes, pods }).await;
        Ok(version)
    }

    fn selector(&self) -> String {
        encoded(&format!("spec.nodeName={}", self.node))
    }
}

/// The watch.
impl Kubernetes {
    async fn watch(&mut self, version: String, updates: &mpsc::Sender<Update>) -> Result<(), ApiError> {
        let seconds = self.pace.watch_seconds();
        let path = format!(
            "/api/v1/pods?watch=true&allowWatchBookmarks=true&fieldSelector={}&timeoutSeconds={seconds}&resourceVersion={}",
            self.selector(),
            encoded(&version)
        );
        let answer = self.api.get(&path, WATCH).await?;
        self.observe_good();
        let mut lines = Lines::new(answer.into_body(), self.pace.line_bytes);
        // A server that does not end it in time would keep a slow line open for ever.
        let longest = Duration::from_secs(seconds) + self.pace.answer;
        let watch = async {
            loop {
                match timeout(self.pace.silence, lines.next()).await {
                    Ok(Ok(Some(line))) => self.take(&line, updates).await?,
                    Ok(Ok(None)) => return Ok(()),
                    Ok(Err(error)) => return Err(error),
                    // Maybe there was nothing to say, maybe nobody is there any more: asking anew tells.
                    Err(_) => return Ok(()),
                }
            }
        };
        timeout(longest, watch).await.unwrap_or(Ok(()))
    }

    async fn take(&mut self, line: &str, updates: &mpsc::Sender<Update>) -> Result<(), ApiError> {
        let (event, version) = WatchEvent::parse(line).map_err(|error| ApiError::Unreadable(error.to_string()))?;
        match event {
            WatchEvent::Applied(pod) => {
                self.remember(&pod);
                send(updates, Update::Pod { source: Source::Kubernetes, pod }).await;
            }
            WatchEvent::Deleted(pod) => {
                let seen = self.listed.remove(&pod.uid).unwrap_or(false) || pod.requested.is_some();
                let uid = pod.uid.clone();
                // The last state may be the first to say that it is deleted: by force, there is nothing in between.
                send(updates, Update::Pod { source: Source::Kubernetes, pod }).await;
                if let Some(explained) = explain_gone(uid.clone()).filter(|_| !seen) {
                    send(updates, explained).await;
                }
                send(updates, Update::PodGone { source: Source::Kubernetes, uid }).await;
            }
            WatchEvent::Skipped { name, reason } => {
                self.skipped = self.skipped.saturating_add(1);
                if self.health.set_skipped(self.skipped) {
                    warn!("a pod of the API server is left out: {name}: {reason}");
                }
            }
            WatchEvent::Error(status) => {
                let Status { code, message } = Status::parse(&status);
                // Whatever it was, the server has ended this watch and cannot go on from there.
                self.position.list_again();
                return Err(api::status(code.unwrap_or(500), &message.unwrap_or(status), WATCH, None));
            }
            WatchEvent::Bookmark | WatchEvent::Other => {}
        }
        if let Some(version) = version {
            self.position.set(&version);
        }
        self.observe_good();
        Ok(())
    }

    fn remember(&mut self, pod: &Pod) {
        if let Some(deleted) = self.listed.get_mut(&pod.uid) {
            *deleted |= pod.requested.is_some();
        } else if self.listed.len() < MAX_PODS {
            self.listed.insert(pod.uid.clone(), pod.requested.is_some());
        }
    }
}

/// A pod that the API has no more, and whose deletion was not seen, was deleted all the same. Not so a static pod: what
/// the API has of it is a mirror, which comes and goes while the pod stays. Its uid is an md5, without the dashes of a
/// UUID (pkg/kubelet/config/common.go, `applyDefaults`).
fn explain_gone(uid: PodUid) -> Option<Update> {
    uid.as_str().contains('-').then_some(Update::Explained { uid, reason: Reason::Deletion })
}

/// Waits for room. Nobody listens any more when it fails; then the source ends anyway.
async fn send(updates: &mpsc::Sender<Update>, update: Update) {
    let _ = updates.send(update).await;
}

/// For the query of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
