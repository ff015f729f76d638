//! The terminations that can still be asked for: bounded in count and bytes, newest first.
//!
//! A finished termination is kept as the JSON it will be sent as, so that a list costs no serialization. One in
//! progress is kept as its timeline: how much grace it has used is known only when somebody asks.
#![forbid(unsafe_code)]

mod filter;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

pub use filter::{Filter, Since, WorkloadFilter};

use crate::model::{BootTime, Connections, TerminationId, Timeline};
use crate::report;
use filter::Facets;

/// What [`Store`] may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Terminations.
    pub terminations: usize,
    /// Bytes of all of them, as near as that can be told.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { terminations: 2_000, bytes: 32 << 20 }
    }
}

/// The store.
#[derive(Debug, Default)]
pub struct Store {
    limits: Limits,
    entries: HashMap<TerminationId, Entry>,
    /// By start: the order of a list.
    by_start: BTreeSet<(BootTime, TerminationId)>,
    /// By end, finished ones only: the order in which they go.
    by_end: BTreeSet<(BootTime, TerminationId)>,
    bytes: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    start: BootTime,
    /// `None` while it goes on.
    end: Option<BootTime>,
    bytes: usize,
    facets: Facets,
    found: Found,
}

/// A termination that was asked for.
#[derive(Debug, Clone)]
pub enum Found {
    /// Its report, as JSON.
    Finished(Bytes),
    /// It goes on.
    InProgress(Arc<Timeline>),
}

impl Found {
    /// The report as JSON. Needs no access to the store.
    pub fn into_json(self, now: BootTime) -> Bytes {
        match self {
            Found::Finished(json) => json,
            Found::InProgress(timeline) => report::json_line(&report::termination(&timeline, now)).into(),
        }
    }
}

impl Store {
    /// What an entry costs beside its JSON: keys, facets and the places in two orders.
    const ENTRY_BYTES: usize = 512;

    /// An empty one.
    pub fn new(limits: Limits) -> Store {
        Store { limits, ..Store::default() }
    }

    /// Takes a new state of a termination, in place of the one before. What is over the limits goes: first what ended
    /// first, then what began first.
    pub fn handle_timeline(&mut self, timeline: Timeline) {
        self.remove(&timeline.id);
        let id = timeline.id.clone();
        let (start, end, facets) = (timeline.start, timeline.end, Facets::of(&timeline));
        let (found, bytes) = match end {
            Some(end) => {
                // Boxed: a string's spare capacity would be memory that is not counted.
                let json = report::json_line(&report::termination(&timeline, end)).into_bytes().into_boxed_slice();
                let json = Bytes::from(json);
                let bytes = json.len();
                (Found::Finished(json), bytes)
            }
            None => {
                let bytes = size(&timeline);
                (Found::InProgress(Arc::new(timeline)), bytes)
            }
        };
        let bytes = bytes + Self::ENTRY_BYTES;
        if bytes > self.limits.bytes {
            self.evicted += 1; // It alone, not everybody else for it.
            return;
        }
        self.bytes += bytes;
        self.by_start.insert((start, id.clone()));
        if let Some(end) = end {
            self.by_end.insert((end, id.clone()));
        }
        self.entries.insert(id, Entry { start, end, bytes, facets, found });
        self.evict();
    }

    /// Takes out what turned out to be no termination.
    pub fn withdraw(&mut self, id: &TerminationId) {
        self.remove(id);
    }

    /// One termination.
    pub fn get(&self, id: &str) -> Option<Found> {
        self.entries.get(&TerminationId::new(id)).map(|entry| entry.found.clone())
    }

    /// Those that pass the filter, newest first, as many as it allows.
    pub fn list(&self, filter: &Filter) -> Vec<Found> {
        self.by_start
            .iter()
            .rev()
            .filter_map(|(_, id)| self.entries.get(id))
            .filter(|entry| filter.passes(&entry.facets))
            .take(filter.limit)
            .map(|entry| entry.found.clone())
            .collect()
    }

    /// Those that go on, the oldest first.
    pub fn in_progress(&self) -> impl Iterator<Item = &Timeline> {
        self.by_start.iter().filter_map(|(_, id)| match &self.entries.get(id)?.found {
            Found::InProgress(timeline) => Some(&**timeline),
            Found::Finished(_) => None,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many had to go so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn evict(&mut self) {
        while self.entries.len() > self.limits.terminations || self.bytes > self.limits.bytes {
            let Some((_, id)) = self.by_end.first().or(self.by_start.first()).cloned() else { return };
            self.remove(&id);
            self.evicted += 1;
        }
    }

    fn remove(&mut self, id: &TerminationId) {
        let Some((id, entry)) = self.entries.remove_entry(id) else { return };
        self.bytes -= entry.bytes;
        if let Some(end) = entry.end {
            self.by_end.remove(&(end, id.clone()));
        }
        self.by_start.remove(&(entry.start, id));
    }
}

/// The bytes of a timeline: its parts, and the texts that are its own.
fn size(timeline: &Timeline) -> usize {
    size_of::<Timeline>()
        + timeline.containers.len() * (size_of::<crate::model::ContainerTimeline>() + 64)
        + timeline
            .findings
            .iter()
            .map(|finding| size_of_val(finding) + finding.message.len() + finding.advice.len())
            .sum::<usize>()
        + timeline.containers.iter().map(|container| connections_size(&container.connections)).sum::<usize>()
}

fn connections_size(of: &Connections) -> usize {
    let peers = of.peers.as_ref().map_or(0, |peers| size_of_val(&peers.listed[..]) + size_of_val(&peers.others[..]));
    peers + of.curve.as_ref().map_or(0, |curve| size_of_val(&curve[..]))
}

#[cfg(test)]
mod tests;
