//! Whose a cgroup is: cgroup to container to pod. A pure [`Index`] merges what sources say; the sources do the IO and
//! send [`Update`]s: cgroup paths (`cgroupfs`, and the kernel's own cgroup events), the container runtime (`cri`), the
//! Kubernetes API (`kubernetes`) and a file of pods (`pods_file`). Each tells under a [`Source`] of its own.

mod index;
mod path;
mod roles;
mod addresses;
pub mod podlist;
pub mod kubernetes;
pub mod cri;
pub mod pods_file;
pub mod cgroupfs;
mod health;

use std::sync::Arc;

use crate::model::{CgroupId, CgroupKind, Comm, ContainerIdentity, Pid, Pod, PodUid, Reason};

pub use addresses::{AddressChange, Addresses, Whose};
pub use health::Health;
pub use index::{Index, Refused};
pub use path::{Place, is_root_of_pods, place};

/// What a source tells the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// All pods that a source knows now; replaces what it said before.
    Pods {
        /// Who says so.
        source: Source,
        /// All of them.
        pods: Vec<Pod>,
    },
    /// One pod that a source has news of; what it said of others stays.
    Pod {
        /// Who says so.
        source: Source,
        /// The pod as it is now.
        pod: Box<Pod>,
    },
    /// A source does not list this pod any more.
    PodGone {
        /// Who says so.
        source: Source,
        /// Which.
        uid: PodUid,
    },
    /// Why containers of a pod were ended, as the answer of a source that was asked.
    Explained {
        /// Which pod.
        uid: PodUid,
        /// Why.
        reason: Reason,
    },
    /// Result of walking the cgroup tree: every cgroup at or below a root of pods, parents before children.
    Cgroups {
        /// The directory where the walk began.
        root: CgroupId,
        /// What it found.
        found: Vec<FoundCgroup>,
        /// False when a limit ended the walk: then a cgroup that is missing may still be there.
        complete: bool,
    },
}

impl Update {
    /// Says where pods are whose source does not know: a runtime has no name for its node.
    pub fn fill_node(&mut self, node: &Arc<str>) {
        let pods = match self {
            Update::Pods { pods, .. } => pods.as_mut_slice(),
            Update::Pod { pod, .. } => std::slice::from_mut(&mut **pod),
            Update::PodGone { .. } | Update::Explained { .. } | Update::Cgroups { .. } => return,
        };
        for pod in pods {
            pod.node.get_or_insert_with(|| Arc::clone(node));
        }
    }
}

/// A source of pods. The order is the order of trust: the last one wins when two tell of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// What an earlier run of the agent has left on disk.
    State,
    /// The container runtime.
    Cri,
    /// The file given with `--pods`.
    File,
    /// The Kubernetes API.
    Kubernetes,
}

impl Source {
    /// Every one.
    pub const ALL: &'static [Source] = &[Source::State, Source::Cri, Source::File, Source::Kubernetes];

    /// The word in labels and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::State => "state",
            Source::Cri => "cri",
            Source::File => "file",
            Source::Kubernetes => "kubernetes",
        }
    }
}

/// A pod as the index knows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPod {
    /// As cgroup paths carry it.
    pub uid: PodUid,
    /// `None` while no source has told of it.
    pub pod: Option<Arc<Pod>>,
    /// Who lists it now, the most trusted first.
    pub sources: Vec<Source>,
    /// Those of its containers whose cgroups are there.
    pub containers: Vec<Arc<ContainerIdentity>>,
}

/// A cgroup that the walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCgroup {
    /// The inode number of its directory.
    pub id: CgroupId,
    /// That of the directory above it.
    pub parent: CgroupId,
    /// Its path as far as this process can see: in a cgroup namespace, or with only a part of the hierarchy mounted,
    /// the front differs from what the kernel's own events say. The index relies on the tail alone.
    pub path: String,
    /// The first process, if it is a container's cgroup and has one.
    pub init: Option<InitProcess>,
}

/// A container's first process: pid 1 of its pid namespace, else the oldest one whose parent is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitProcess {
    /// Its process id as the reader's `/proc` shows it.
    pub pid: Pid,
    /// Its short name.
    pub comm: Comm,
}

/// What the index wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A container is new, or more is known of it.
    Container(Arc<ContainerIdentity>),
    /// The kernel side shall track this cgroup so.
    Track {
        /// Which.
        cgroup: CgroupId,
        /// The container's cgroup that it belongs to: itself unless it is nested.
        owner: CgroupId,
        /// What it is.
        kind: CgroupKind,
        /// The container's init, if known.
        init: Option<Pid>,
    },
    /// The kernel side shall forget this cgroup.
    Untrack {
        /// Which.
        cgroup: CgroupId,
    },
    /// A container's cgroup is not there any more, and no event told so: the records of its end were lost. It is
    /// untracked only after [`Index::handle_finished`], like one that was removed in sight.
    Gone {
        /// Which.
        cgroup: CgroupId,
    },
    /// Something may have been missed: a path was cut, a new root of pods appeared, records were lost. Walk the tree
    /// again. Comes often when much goes on: wait a little and do it once for many.
    Rescan,
}
