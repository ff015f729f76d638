//! The source, with the index behind it.

use std::sync::Arc;
use std::time::Duration;

use gracetrace::clock;
use gracetrace::identity::kubernetes::{Kubernetes, KubernetesError, Options, Pace};
use gracetrace::identity::{FoundCgroup, Health, Index, Update};
use gracetrace::model::{CgroupId, ContainerIdentity, Pod, PodUid, WallTime};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::server::Server;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A source that runs, and what it has told so far.
pub(crate) struct Follower {
    updates: mpsc::Receiver<Update>,
    questions: mpsc::Sender<Arc<Pod>>,
    source: JoinHandle<()>,
    pub(crate) health: Arc<Health>,
    pub(crate) index: Index,
    pub(crate) told: Vec<Update>,
}

/// As the default, in a hurry.
pub(crate) fn pace() -> Pace {
    Pace {
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(100),
        ask_again: [Duration::from_millis(50), Duration::from_millis(100)],
        page: 2,
        ..Pace::default()
    }
}

pub(crate) async fn open(server: &Server, pace: Pace, node: Option<&str>) -> Result<Kubernetes, KubernetesError> {
    open_with(server, pace, node, clock::wall_now).await
}

async fn open_with(
    server: &Server,
    pace: Pace,
    node: Option<&str>,
    wall: fn() -> WallTime,
) -> Result<Kubernetes, KubernetesError> {
    let node = node.map(str::to_owned);
    let kubeconfig = Some(server.kubeconfig());
    Kubernetes::open(Options { node, kubeconfig, pace, now: clock::boot_now, wall }).await
}

impl Follower {
    pub(crate) async fn start(server: &Server) -> Follower {
        Follower::start_with(server, pace(), clock::wall_now).await
    }

    pub(crate) async fn start_with(server: &Server, pace: Pace, wall: fn() -> WallTime) -> Follower {
        let source = open_with(server, pace, Some("node1"), wall).await.expect("a good configuration");
        let health = source.health();
        let (sender, updates) = mpsc::channel(4);
        let (questions, asked) = mpsc::channel(4);
        let source = tokio::spawn(source.run(sender, asked));
        Follower { updates, questions, source, health, index: Index::new(), told: Vec::new() }
    }

    /// Waits until the source has told enough.
    pub(crate) async fn until(&mut self, what: &str, mut enough: impl FnMut(&Follower) -> bool) {
        let told = timeout(PATIENCE, async {
            while !enough(self) {
                self.take().await;
            }
        });
        if told.await.is_err() {
            panic!("not in time: {what}; it told {:#?}", self.told);
        }
    }

    /// The next update.
    pub(crate) async fn take(&mut self) {
        let update = self.updates.recv().await.expect("the source goes on");
        self.index.handle_update(&update);
        self.told.push(update);
    }

    /// Waits until a condition holds that no update tells of.
    pub(crate) async fn wait(&mut self, what: &str, condition: impl Fn(&Follower) -> bool) {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let looked = timeout(PATIENCE, async {
            while !condition(self) {
                tokio::select! { () = self.take() => {} _ = look.tick() => {} }
            }
        });
        assert!(looked.await.is_ok(), "not in time: {what}; it told {:#?}", self.told);
    }

    pub(crate) async fn ask(&self, pod: Pod) {
        self.questions.send(Arc::new(pod)).await.expect("the source takes questions");
    }

    /// Whether it takes questions.
    pub(crate) fn answers(&self) -> bool {
        !self.questions.is_closed()
    }

    /// The cgroups of all containers that a recording names are there, as on the node where it was made.
    pub(crate) fn with_cgroups_of(mut self, events: &[Value]) -> Follower {
        let mut found = vec![cgroup(2, 1, "/kubepods".to_owned())];
        for (uid, id) in containers(events) {
            let number = found.len() as u64 + 2;
            if !found.iter().any(|known| known.path.ends_with(&id)) {
                found.push(cgroup(number, 2, format!("/kubepods/pod{uid}/{id}")));
            }
        }
        self.index.handle_update(&Update::Cgroups { root: CgroupId(1), found, complete: true });
        self
    }

    /// What is known of the container with this id, or with this beginning of one.
    pub(crate) fn container(&self, id: &str) -> Arc<ContainerIdentity> {
        let mut all = (3..1000).filter_map(|number| self.index.container(CgroupId(number)));
        Arc::clone(all.find(|identity| identity.id.as_str().starts_with(id)).expect("the container has a cgroup"))
    }

    /// Whether the source has told that a pod is gone.
    pub(crate) fn is_gone(&self, uid: &str) -> bool {
        self.told.iter().any(|update| matches!(update, Update::PodGone { uid: gone, .. } if gone.as_str() == uid))
    }

    /// Lists so far, each as the uids in it.
    pub(crate) fn lists(&self) -> Vec<Vec<&str>> {
        fn uids(update: &Update) -> Option<Vec<&str>> {
            let Update::Pods { pods, .. } = update else { return None };
            Some(pods.iter().map(|pod| pod.uid.as_str()).collect())
        }
        self.told.iter().filter_map(uids).collect()
    }

    pub(crate) fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.index.pod(&PodUid::new(uid))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.source.abort();
    }
}

fn cgroup(id: u64, parent: u64, path: String) -> FoundCgroup {
    FoundCgroup { id: CgroupId(id), parent: CgroupId(parent), path, init: None }
}

/// Pod and container ids, in the order in which they first appear.
pub(crate) fn containers(events: &[Value]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for event in events {
        let uid = event["object"]["metadata"]["uid"].as_str().unwrap_or_default();
        for status in event["object"]["status"]["containerStatuses"].as_array().into_iter().flatten() {
            let id = status["containerID"].as_str().and_then(|id| id.strip_prefix("containerd://"));
            let pair = id.map(|id| (uid.to_owned(), id.to_owned()));
            all.extend(pair.filter(|pair| !all.contains(pair)));
        }
    }
    all
}
