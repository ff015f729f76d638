//! The index: which cgroup is which container of which pod. Pure: sources and kernel events in, [`Change`]s out, in an
//! order that depends on the input alone.
//!
//! A cgroup's place comes from its parent when that is known, and else from the tail of its path: a container may run a
//! node of its own, with a root of pods inside it, and all of that belongs to the container.
//!
//! What is kept of a container stays until its cgroup is removed *and* its termination has been reported; a pod stays
//! as long as a source lists it or a container of it stays.
#![forbid(unsafe_code)]

mod pods;
mod merge;
mod recent;
mod hooks;
mod known;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{CgroupKind, Change, FoundCgroup, InitProcess, Place, Update, place};
use crate::model::{
    BootTime, CgroupId, Comm, ContainerId, ContainerIdentity, ContainerSpec, Event, Kind, Pid, Pod, PodUid, Role,
};
use hooks::Flows;
use pods::Pods;
use recent::Recent;

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    cgroups: BTreeMap<CgroupId, Node>,
    containers: BTreeMap<CgroupId, Container>,
    pods: Pods,
    /// Cgroups that were forgotten: a walk that began before must not bring them back.
    forgotten: Recent,
    /// Requests of httpGet hooks that wait for their response.
    flows: Flows,
    /// The directory where the last walk began.
    root: Option<CgroupId>,
    refused: Refused,
    changes: VecDeque<Change>,
    rescan: bool,
}

/// How much was left out because a limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Cgroups that are not tracked.
    pub cgroups: u64,
    /// Pods that containers go without.
    pub pods: u64,
    /// Requests of httpGet hooks that belong to no container that is known; not for want of room.
    pub hooks: u64,
}

/// A node runs 110 pods by default, at most some 500, each with a handful of containers.
const MAX_CGROUPS: usize = 32_768;
/// Of these, how many one container may make: it shall not take the room of others.
const MAX_NESTED: usize = 512;
/// See [`MAX_CGROUPS`].
const MAX_PODS: usize = 4096;
/// The kernel's number for the root directory of a hierarchy (fs/kernfs/dir.c, `kernfs_create_root`: the first id).
const HIERARCHY_ROOT: CgroupId = CgroupId(1);

/// A cgroup that is tracked.
#[derive(Debug)]
struct Node {
    parent: CgroupId,
    owner: CgroupId,
    kind: CgroupKind,
    /// Learned from a walk, not from an event at its making.
    walked: bool,
    /// The last walk did not find it.
    missing: bool,
}

/// A container's cgroup.
#[derive(Debug)]
struct Container {
    identity: Arc<ContainerIdentity>,
    /// Short name of its init.
    comm: Option<Comm>,
    /// What the pod said of this instance while it was the present one.
    spec: Option<ContainerSpec>,
    /// Cgroups inside it.
    nested: BTreeSet<CgroupId>,
    /// When it was last sent an httpGet hook.
    hook_at: BootTime,
    /// Its cgroup is gone.
    removed: bool,
    /// Its termination was reported.
    finished: bool,
}

/// Short name of the process in a sandbox's container (kubernetes/kubernetes, build/pause).
const PAUSE: &[u8] = b"pause";

/// How a cgroup was learned of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Made,
    Walked,
}

impl Index {
    /// An index that knows nothing yet.
    pub fn new() -> Index {
        Index::default()
    }

    /// Takes what a source says.
    pub fn handle_update(&mut self, update: &Update) {
        match update {
            Update::Pods { source, pods } => {
                for uid in self.pods.replace(*source, pods, &mut self.refused.pods) {
                    self.resolve_pod(&uid);
                }
            }
            Update::Pod { source, pod } => {
                if self.pods.tell(*source, pod, &mut self.refused.pods) {
                    self.resolve_pod(&pod.uid);
                }
            }
            Update::PodGone { source, uid } => {
                if self.pods.unlist(*source, uid) {
                    self.resolve_pod(uid);
                }
            }
            Update::Explained { uid, reason } => {
                if self.pods.explain(uid, *reason) {
                    self.resolve_pod(uid);
                }
            }
            Update::Cgroups { root, found, complete } => self.handle_walk(*root, found, *complete),
        }
    }

    /// Takes a kernel event; most are not for the index.
    pub fn handle_event(&mut self, event: &Event) {
        match &event.kind {
            Kind::CgroupCreated { parent, path, truncated } => {
                self.handle_created(event.cgroup, *parent, path, *truncated);
            }
            Kind::CgroupRemoved => self.handle_removed(event.cgroup),
            Kind::Exec(exec) if exec.init => {
                self.handle_init(event.cgroup, InitProcess { pid: exec.pid, comm: exec.comm })
            }
            Kind::Lost => self.rescan = true,
            _ => {}
        }
    }

    /// Takes note that a container's termination was reported: when its cgroup is gone too, it may be forgotten.
    pub fn handle_finished(&mut self, cgroup: CgroupId) {
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        container.finished = true;
        let uid = container.identity.pod_uid.clone();
        if container.removed {
            self.forget_container(cgroup);
        }
        if self.pods.forget_explanation(&uid) {
            self.resolve_pod(&uid);
        }
    }

    /// The next thing to do. The request to walk again comes last and once.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front().or_else(|| std::mem::take(&mut self.rescan).then_some(Change::Rescan))
    }

    /// What is known of a container's cgroup.
    pub fn container(&self, cgroup: CgroupId) -> Option<&Arc<ContainerIdentity>> {
        self.containers.get(&cgroup).map(|container| &container.identity)
    }

    /// What is known of a pod.
    pub fn pod(&self, uid: &PodUid) -> Option<&Arc<Pod>> {
        self.pods.get(uid)
    }

    /// Every pod that has a container here, each instance of a container with what was known of it while it ran.
    pub fn attached_pods(&self) -> Vec<Pod> {
        let mut pods: Vec<Pod> = self.pods.attached().map(|pod| Pod::clone(pod)).collect();
        let places: BTreeMap<PodUid, usize> =
            pods.iter().enumerate().map(|(index, pod)| (pod.uid.clone(), index)).collect();
        for container in self.containers.values() {
            let Some(spec) = &container.spec else { continue };
            let Some(pod) = places.get(&container.identity.pod_uid).and_then(|index| pods.get_mut(*index)) else {
                continue;
            };
            if pod.containers.iter().all(|known| known.id != spec.id) {
                pod.containers.push(spec.clone());
            }
        }
        pods
    }

    /// How many containers are known, sandboxes included.
    pub fn containers(&self) -> usize {
        self.containers.len()
    }

    /// How many pods are known.
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    /// How much was left out because a limit was reached.
    pub fn refused(&self) -> Refused {
        self.refused
    }
}

/// Cgroups come and go.
impl Index {
    fn handle_created(&mut self, id: CgroupId, parent: CgroupId, path: &str, truncated: bool) {
        self.forgotten.remove(id);
        if let Some(node) = self.cgroups.get_mut(&id) {
            // A walk was faster than the event: the kernel side has counted from the start after all.
            if node.walked && node.parent == parent {
                node.walked = false;
                if let Some(container) = self.containers.get_mut(&id) {
                    container.set(|identity| identity.older_than_agent = false, &mut self.changes);
                }
                return;
            }
            self.forget_any(id);
        } else if self.containers.contains_key(&id) {
            self.forget_any(id);
        }
        if truncated && !self.inside_container(parent) {
            self.rescan = true;
            return;
        }
        let known_parent = self.cgroups.contains_key(&parent);
        let place = place(path);
        if !known_parent {
            match place {
                Place::Outside => return,
                Place::Root => {
                    self.rescan = true;
                    // With a walk that begins somewhere below, this root may be none of ours; the walk will tell.
                    if self.root != Some(HIERARCHY_ROOT) && self.root != Some(parent) {
                        return;
                    }
                }
                // Its parent's record was lost.
                _ => self.rescan = true,
            }
        }
        self.add(id, parent, place, None, Seen::Made);
    }

    fn handle_walk(&mut self, root: CgroupId, found: &[FoundCgroup], complete: bool) {
        self.root = Some(root);
        for cgroup in found {
            if let Some(node) = self.cgroups.get_mut(&cgroup.id) {
                node.missing = false;
                if let Some(init) = cgroup.init {
                    self.handle_init(cgroup.id, init);
                }
            } else if !self.forgotten.contains(cgroup.id) && !self.containers.contains_key(&cgroup.id) {
                self.add(cgroup.id, cgroup.parent, place(&cgroup.path), cgroup.init, Seen::Walked);
            }
        }
        if complete {
            self.look_for_missing(found);
        }
    }

    /// A cgroup that two walks did not find is gone. One is not enough: it may have been made after the walk went by.
    fn look_for_missing(&mut self, found: &[FoundCgroup]) {
        let found: BTreeSet<CgroupId> = found.iter().map(|cgroup| cgroup.id).collect();
        let mut gone = Vec::new();
        for (id, node) in self.cgroups.iter_mut().filter(|(id, _)| !found.contains(id)) {
            if node.missing {
                gone.push(*id);
            } else {
                node.missing = true;
                self.rescan = true;
            }
        }
        for id in gone {
            if self.containers.contains_key(&id) {
                self.changes.push_back(Change::Gone { cgroup: id });
            }
            self.handle_removed(id);
        }
    }

    fn handle_removed(&mut self, id: CgroupId) {
        let node = self.cgroups.remove(&id);
        match self.containers.get_mut(&id) {
            Some(container) => {
                container.removed = true;
                if container.finished {
                    self.forget_container(id);
                }
            }
            // Also when it is not known: the kernel side tracks children of its own accord, and nobody else will tell
            // it to stop.
            None => {
                self.changes.push_back(Change::Untrack { cgroup: id });
                self.forgotten.insert(id);
            }
        }
        if let Some(node) = node
            && let Some(owner) = self.containers.get_mut(&node.owner)
        {
            owner.nested.remove(&id);
        }
    }

    fn handle_init(&mut self, cgroup: CgroupId, init: InitProcess) {
        match self.containers.get_mut(&cgroup) {
            Some(container) => {
                // The kernel side knows its own init; only what a walk found has to be told, and that was done.
                container.comm = Some(init.comm);
                self.resolve(cgroup);
            }
            // An init in a cgroup that is not known: the record of its making was lost.
            None if !self.cgroups.contains_key(&cgroup) && !self.forgotten.contains(cgroup) => {
                self.rescan |= self.refused.cgroups == 0;
            }
            None => {}
        }
    }

    fn inside_container(&self, id: CgroupId) -> bool {
        self.cgroups.get(&id).is_some_and(|node| node.kind != CgroupKind::Ancestor)
    }

    fn add(&mut self, id: CgroupId, parent: CgroupId, place: Place, init: Option<InitProcess>, seen: Seen) {
        let (kind, owner) = match self.cgroups.get(&parent) {
            Some(above) if above.kind != CgroupKind::Ancestor => (CgroupKind::Nested, above.owner),
            _ => match place {
                Place::Container(..) => (CgroupKind::Container, id),
                // Below a container that is not known: the walk that was asked for finds both.
                Place::Outside | Place::Nested(..) => return,
                Place::Root | Place::Qos | Place::Pod(_) | Place::Other => (CgroupKind::Ancestor, id),
            },
        };
        let has_room = self.cgroups.len() < MAX_CGROUPS
            && match (kind, place) {
                (CgroupKind::Nested, _) => self.add_nested(owner, id),
                (CgroupKind::Container, Place::Container(uid, container)) => {
                    self.add_container(id, uid, container, init, seen)
                }
                _ => true,
            };
        if !has_room {
            self.refused.cgroups += 1;
            return;
        }
        self.cgroups.insert(id, Node { parent, owner, kind, walked: seen == Seen::Walked, missing: false });
        let init: Option<Pid> = init.filter(|_| kind == CgroupKind::Container).map(|init| init.pid);
        self.changes.push_back(Change::Track { cgroup: id, owner, kind, init });
        if kind == CgroupKind::Container
            && let Some(container) = self.containers.get(&id)
        {
            self.changes.push_back(Change::Container(container.identity.clone()));
        }
    }

    /// Whether there was room.
    fn add_nested(&mut self, owner: CgroupId, id: CgroupId) -> bool {
        let owner = self.containers.get_mut(&owner).filter(|owner| owner.nested.len() < MAX_NESTED);
        owner.is_some_and(|owner| owner.nested.insert(id))
    }

    /// Adds it without a word; whether there was room.
    fn add_container(
        &mut self,
        cgroup: CgroupId,
        pod_uid: PodUid,
        id: ContainerId,
        init: Option<InitProcess>,
        seen: Seen,
    ) -> bool {
        // Those that are removed but were never reported wait here and nowhere else.
        if self.containers.len() >= MAX_CGROUPS {
            let waiting = self.containers.iter().find(|(_, container)| container.removed).map(|(id, _)| *id);
            let Some(waiting) = waiting else { return false };
            self.forget_container(waiting);
        }
        self.pods.attach(&pod_uid, cgroup);
        let identity = ContainerIdentity {
            cgroup,
            id,
            pod_uid,
            role: Role::App,
            pod: None,
            older_than_agent: seen == Seen::Walked,
        };
        let container = Container {
            identity: Arc::new(identity),
            comm: init.map(|init| init.comm),
            spec: None,
            nested: BTreeSet::new(),
            hook_at: BootTime::default(),
            removed: false,
            finished: false,
        };
        let container = self.containers.entry(cgroup).or_insert(container);
        container.resolve(self.pods.get(&container.identity.pod_uid), &mut VecDeque::new());
        true
    }

    fn forget_container(&mut self, id: CgroupId) {
        let Some(container) = self.containers.remove(&id) else { return };
        for nested in container.nested {
            self.cgroups.remove(&nested);
            self.changes.push_back(Change::Untrack { cgroup: nested });
            self.forgotten.insert(nested);
        }
        self.cgroups.remove(&id);
        self.changes.push_back(Change::Untrack { cgroup: id });
        self.forgotten.insert(id);
        self.pods.detach(&container.identity.pod_uid, id);
    }

    /// Its number has come back: the old one is gone, reported or not.
    fn forget_any(&mut self, id: CgroupId) {
        if self.containers.contains_key(&id) {
            self.forget_container(id);
        } else {
            self.handle_removed(id);
        }
        self.forgotten.remove(id);
    }
}

/// Containers get their pods.
impl Index {
    fn resolve_pod(&mut self, uid: &PodUid) {
        for cgroup in self.pods.containers_of(uid) {
            self.resolve(cgroup);
        }
    }

    fn resolve(&mut self, cgroup: CgroupId) {
        if let Some(container) = self.containers.get_mut(&cgroup) {
            container.resolve(self.pods.get(&container.identity.pod_uid), &mut self.changes);
        }
    }
}

impl Container {
    /// Joins pod, spec and role anew.
    fn resolve(&mut self, pod: Option<&Arc<Pod>>, changes: &mut VecDeque<Change>) {
        let id = &self.identity.id;
        let pod = pod.map(|pod| {
            if let Some(spec) = pod.containers.iter().find(|spec| spec.id.as_ref() == Some(id)) {
                self.spec = Some(spec.clone());
                return pod.clone();
            }
            // The pod has a newer instance of it, or lists it no more: it stays what it was.
            let Some(remembered) = &self.spec else { return pod.clone() };
            let mut pod = Pod::clone(pod);
            match pod.containers.iter_mut().find(|spec| spec.name == remembered.name) {
                Some(spec) => *spec = remembered.clone(),
                None => pod.containers.push(remembered.clone()),
            }
            Arc::new(pod)
        });
        let is_pause = self.comm.is_some_and(|comm| comm.as_bytes() == PAUSE);
        let role = match &self.spec {
            Some(spec) => spec.role,
            None if is_pause => Role::Sandbox,
            // Once a sandbox, always a sandbox.
            None => self.identity.role,
        };
        self.set(
            |identity| {
                identity.role = role;
                identity.pod = pod;
            },
            changes,
        );
    }

    /// Changes the identity, and says so if it is another one now.
    fn set(&mut self, change: impl FnOnce(&mut ContainerIdentity), changes: &mut VecDeque<Change>) {
        let mut identity = ContainerIdentity::clone(&self.identity);
        change(&mut identity);
        if identity != *self.identity {
            self.identity = Arc::new(identity);
            changes.push_back(Change::Container(self.identity.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
