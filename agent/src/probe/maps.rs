//! The maps that the agent writes (what to track) and reads (what was lost, what is used).

use std::collections::{BTreeSet, HashMap as StdHashMap};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use aya::{Ebpf, Pod};
use gracetrace_ebpf::{
    CGROUP_FLAG_WATCHED, CGROUP_KIND_ANCESTOR, CGROUP_KIND_CONTAINER, CGROUP_KIND_KUBELET, CGROUP_KIND_NESTED, Cgroup,
    Container, Entered, FromAgent, FromPrograms, Hook,
};
use zerocopy::transmute;

use super::load::{LoadError, take_map};
use super::{HOOKS, ProbeError, decode};
use crate::model::{BootTime, CgroupId, CgroupKind, Counters, Event, Kind, Pid};

/// `BPF_NOEXIST` in include/uapi/linux/bpf.h.
const NOEXIST: u64 = 1;
/// `BPF_EXIST`, there too.
const EXIST: u64 = 2;

/// Data of the programs, which the loader makes maps of: [`FromAgent`] and [`FromPrograms`].
const FROM_AGENT: &str = ".data.agent";
const FROM_PROGRAMS: &str = ".data.programs";

/// What was lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Losses {
    /// By hook, since the programs were loaded: records that did not fit into the ring buffer; for
    /// `inet_sock_set_state` connections, for `sched_process_fork` processes, for `cgroup_mkdir` cgroups, for
    /// `cgroup_skb_ingress` requests waiting for their response, that found no place in a map.
    pub drops: [u64; HOOKS],
    /// [`Kind::Lost`], for each container that has lost more than at the last call.
    pub events: Vec<Event>,
}

/// How full a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapUsage {
    /// Its name.
    pub map: &'static str,
    /// Entries in it.
    pub used: u64,
    /// Entries that it has room for.
    pub max: u64,
}

/// The maps. Values are bytes here: `aya::Pod` cannot be had for types of another crate, and zerocopy proves the rest.
pub(super) struct Maps {
    cgroups: Table<u64, [u8; size_of::<Cgroup>()]>,
    containers: Table<u64, [u8; size_of::<Container>()]>,
    inits: Table<u64, u32>,
    entered: Table<u32, [u8; size_of::<Entered>()]>,
    tree: Table<u32, u32>,
    /// Room in the map of sockets, which only the programs look into.
    max_sockets: u64,
    /// What the programs are told, as they have it.
    told: FromAgent,
    from_agent: Array<MapData, [u8; size_of::<FromAgent>()]>,
    from_programs: Array<MapData, [u8; size_of::<FromPrograms>()]>,
    /// Containers whose connections are told one by one because the agent wants it.
    watched: BTreeSet<CgroupId>,
    /// Cgroups of the kubelet that are in the filter as such.
    kubelets: BTreeSet<CgroupId>,
    /// How many seedings there were.
    seedings: u64,
    /// How many connections were seeded before the one that goes on.
    seeded: u64,
    drops: PerCpuArray<MapData, u64>,
    /// All drops at the last call of [`Maps::losses`].
    seen: u64,
    /// What each container had lost then. Only of those that had.
    lost: StdHashMap<CgroupId, u64>,
}

/// A map, its name and its room.
pub(super) struct Table<K: Pod, V: Pod> {
    name: &'static str,
    pub(super) map: HashMap<MapData, K, V>,
    max: u64,
}

impl Maps {
    pub(super) fn take(programs: &mut Ebpf) -> Result<Maps, LoadError> {
        let drops = take_map(programs, "DROPS")?;
        let drops = PerCpuArray::try_from(drops).map_err(|source| LoadError::Map { map: "DROPS", source })?;
        let (from_agent, from_programs) = (take_map(programs, FROM_AGENT)?, take_map(programs, FROM_PROGRAMS)?);
        let from_agent = Array::try_from(from_agent).map_err(|source| LoadError::Map { map: FROM_AGENT, source })?;
        let from_programs =
            Array::try_from(from_programs).map_err(|source| LoadError::Map { map: FROM_PROGRAMS, source })?;
        Ok(Maps {
            cgroups: Table::take(programs, "CGROUPS")?,
            containers: Table::take(programs, "CONTAINERS")?,
            inits: Table::take(programs, "INITS")?,
            entered: Table::take(programs, "ENTERED")?,
            tree: Table::take(programs, "TREE")?,
            max_sockets: room(&take_map(programs, "SOCKETS")?).unwrap_or(0),
            told: FromAgent::default(),
            from_agent,
            from_programs,
            watched: BTreeSet::new(),
            kubelets: BTreeSet::new(),
            seedings: 0,
            seeded: 0,
            drops,
            seen: 0,
            lost: StdHashMap::new(),
        })
    }

    pub(super) fn track(
        &mut self,
        cgroup: CgroupId,
        owner: CgroupId,
        kind: CgroupKind,
        init: Option<Pid>,
    ) -> Result<(), ProbeError> {
        // The container comes first, so that the programs never find a cgroup whose container is not there.
        let kind = match kind {
            CgroupKind::Container => {
                self.containers.insert_new(cgroup.0, transmute!(Container::default()))?;
                if let Some(init) = init {
                    self.inits.insert_new(cgroup.0, init.0)?;
                }
                CGROUP_KIND_CONTAINER
            }
            CgroupKind::Ancestor => CGROUP_KIND_ANCESTOR,
            CgroupKind::Nested => CGROUP_KIND_NESTED,
        };
        let flags = if self.watched.contains(&cgroup) { CGROUP_FLAG_WATCHED } else { 0 };
        let entry = Cgroup { owner: owner.0, kind, flags };
        self.kubelets.remove(&cgroup);
        self.cgroups.insert(cgroup.0, transmute!(entry))?;
        if kind != CGROUP_KIND_CONTAINER {
            // What `cgroup_mkdir` took for a container.
            self.forget_container(cgroup)?;
        }
        Ok(())
    }

    pub(super) fn follow(&mut self, pid: Pid) -> Result<(), ProbeError> {
        let entered = Entered { processes: 1, ..Entered::default() };
        self.entered.insert_new(pid.0, transmute!(entered))?;
        self.tree.insert_new(pid.0, pid.0)?;
        Ok(())
    }

    pub(super) fn watch_connections(&mut self, container: CgroupId) -> Result<(), ProbeError> {
        let entry = Cgroup { owner: container.0, kind: CGROUP_KIND_CONTAINER, flags: CGROUP_FLAG_WATCHED };
        // In this order: an entry is looked at only while there are any.
        if self.cgroups.replace(container.0, transmute!(entry))? && self.watched.insert(container) {
            self.tell(FromAgent { watched: self.watched.len() as u64, ..self.told })?;
        }
        Ok(())
    }

    /// Makes these directories the kubelet's cgroups in the filter, and no others. What is there as a pods' cgroup stays one.
    pub(super) fn set_kubelet(&mut self, dirs: &[PathBuf]) -> Result<(), ProbeError> {
        let ids = dirs.iter().filter_map(|dir| Some(CgroupId(std::fs::metadata(dir).ok()?.ino())));
        let wanted: BTreeSet<CgroupId> = ids.collect();
        for gone in self.kubelets.difference(&wanted) {
            self.cgroups.remove(gone.0)?;
        }
        self.kubelets.retain(|id| wanted.contains(id));
        for id in wanted {
            let entry = Cgroup { owner: id.0, kind: CGROUP_KIND_KUBELET, flags: 0 };
            if self.cgroups.insert_new(id.0, transmute!(entry))? {
                self.kubelets.insert(id);
            }
        }
        Ok(())
    }

    pub(super) fn begin_seeding(&mut self) -> Result<(), ProbeError> {
        self.seeded = self.found()?.seeded;
        self.seedings += 1;
        self.tell(FromAgent { seeding: self.seedings, ..self.told })
    }

    pub(super) fn end_seeding(&mut self) -> Result<u64, ProbeError> {
        self.tell(FromAgent { seeding: 0, ..self.told })?;
        Ok(self.found()?.seeded.saturating_sub(self.seeded))
    }

    fn found(&self) -> Result<FromPrograms, ProbeError> {
        let found = self.from_programs.get(&0, 0).map_err(|source| ProbeError::Map { map: FROM_PROGRAMS, source })?;
        Ok(transmute!(found))
    }

    fn tell(&mut self, told: FromAgent) -> Result<(), ProbeError> {
        let bytes: [u8; size_of::<FromAgent>()] = transmute!(told);
        self.from_agent.set(0, bytes, 0).map_err(|source| ProbeError::Map { map: FROM_AGENT, source })?;
        self.told = told;
        Ok(())
    }

    pub(super) fn untrack(&mut self, cgroup: CgroupId) -> Result<(), ProbeError> {
        self.cgroups.remove(cgroup.0)?;
        self.kubelets.remove(&cgroup);
        if self.watched.remove(&cgroup) {
            self.tell(FromAgent { watched: self.watched.len() as u64, ..self.told })?;
        }
        self.forget_container(cgroup)
    }

    fn forget_container(&mut self, cgroup: CgroupId) -> Result<(), ProbeError> {
        self.containers.remove(cgroup.0)?;
        self.inits.remove(cgroup.0)?;
        self.lost.remove(&cgroup);
        Ok(())
    }

    pub(super) fn losses(&mut self, now: BootTime) -> Result<Losses, ProbeError> {
        let mut losses = Losses::default();
        for hook in Hook::ALL {
            let by_cpu =
                self.drops.get(&(hook as u32), 0).map_err(|source| ProbeError::Map { map: "DROPS", source })?;
            losses.drops[hook as usize] = by_cpu.iter().sum();
        }
        let all: u64 = losses.drops.iter().sum();
        // Everything that a container has lost is among them: mostly there is nothing to look for.
        if all != self.seen {
            self.seen = all;
            for (cgroup, container) in containers(&self.containers) {
                let seen = self.lost.get(&cgroup).copied().unwrap_or(0);
                if container.counters.lost > seen {
                    self.lost.insert(cgroup, container.counters.lost);
                    let counters = decode::counters(&container.counters);
                    losses.events.push(Event { at: now, cgroup, counters, kind: Kind::Lost });
                }
            }
        }
        Ok(losses)
    }

    /// Every container's counters.
    pub(super) fn counters(&self) -> impl Iterator<Item = (CgroupId, Counters)> {
        containers(&self.containers).map(|(id, container)| (id, decode::counters(&container.counters)))
    }

    pub(super) fn has_container(&self, cgroup: u64) -> bool {
        self.containers.map.get(&cgroup, 0).is_ok()
    }

    pub(super) fn usage(&self) -> Vec<MapUsage> {
        vec![
            self.cgroups.usage(),
            self.containers.usage(),
            self.inits.usage(),
            self.entered.usage(),
            self.tree.usage(),
            // A large map, whose entries the programs count.
            MapUsage { map: "SOCKETS", used: self.found().map_or(0, |found| found.sockets), max: self.max_sockets },
        ]
    }
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Every entry, each once or so: one that goes away meanwhile may be left out, or have others come again.
    pub(super) fn entries(&self) -> impl Iterator<Item = (K, V)> {
        self.map.iter().take(usize::try_from(self.max).unwrap_or(usize::MAX)).filter_map(Result::ok)
    }

    pub(super) fn take(programs: &mut Ebpf, name: &'static str) -> Result<Table<K, V>, LoadError> {
        let map = take_map(programs, name)?;
        let max = room(&map).unwrap_or(u64::from(u32::MAX));
        let map = HashMap::try_from(map).map_err(|source| LoadError::Map { map: name, source })?;
        Ok(Table { name, map, max })
    }

    pub(super) fn insert(&mut self, key: K, value: V) -> Result<(), ProbeError> {
        self.map.insert(key, value, 0).map_err(|source| self.error(source))
    }

    /// Leaves out what is not there, and says so with `false`.
    pub(super) fn replace(&mut self, key: K, value: V) -> Result<bool, ProbeError> {
        match self.map.insert(key, value, EXIST) {
            Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(false),
            result => result.map(|()| true).map_err(|source| self.error(source)),
        }
    }

    /// Leaves what is there, and says so with `false`.
    pub(super) fn insert_new(&mut self, key: K, value: V) -> Result<bool, ProbeError> {
        match self.map.insert(key, value, NOEXIST) {
            Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            result => result.map(|()| true).map_err(|source| self.error(source)),
        }
    }

    pub(super) fn remove(&mut self, key: K) -> Result<(), ProbeError> {
        match self.map.remove(&key) {
            Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|source| self.error(source)),
        }
    }

    pub(super) fn usage(&self) -> MapUsage {
        // A walk starts over when the entry it stands on is removed: it must end all the same.
        let used = self.map.keys().take(usize::try_from(self.max).unwrap_or(usize::MAX)).count();
        MapUsage { map: self.name, used: used as u64, max: self.max }
    }

    pub(super) fn error(&self, source: MapError) -> ProbeError {
        ProbeError::Map { map: self.name, source }
    }
}

/// Entries that a hash map has room for.
fn room(map: &Map) -> Option<u64> {
    match map {
        Map::HashMap(data) => Some(u64::from(data.info().ok()?.max_entries())),
        _ => None,
    }
}

/// Every container's state. One that goes away meanwhile is left out.
fn containers(map: &Table<u64, [u8; size_of::<Container>()]>) -> impl Iterator<Item = (CgroupId, Container)> {
    map.entries().map(|(id, bytes)| (CgroupId(id), transmute!(bytes)))
}
