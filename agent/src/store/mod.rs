//! The terminations that can still be asked for: bounded in count and bytes, newest first.
//!
//! A finished termination is kept as the JSON it will be sent as, so that a list costs no serialization, and beside it
//! the few numbers that summaries are made of. One in progress is kept as its timeline.
#![forbid(unsafe_code)]

mod filter;
mod found;
mod changes;
mod facts;
mod workloads;

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

pub use changes::{Change, Gone, News, Revision};
pub use filter::{Cursor, Filter, Moment, Whose, WorkloadFilter};
pub use found::{Found, InProgress, encode};
pub use workloads::Collected;

use crate::model::{BootTime, Connections, TerminationId, Timeline};
use changes::Changes;
use facts::Facts;
use filter::Facets;
use workloads::GoesOn;

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
    by_start: BTreeSet<Cursor>,
    /// By end, finished ones only: the order in which they go.
    by_end: BTreeSet<(BootTime, TerminationId)>,
    changes: Changes,
    bytes: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    start: BootTime,
    /// `None` while it goes on.
    end: Option<BootTime>,
    bytes: usize,
    revision: Revision,
    facets: Facets,
    /// `None` while it goes on.
    facts: Option<Arc<Facts>>,
    found: Found,
}

/// A part of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The newest first.
    pub found: Vec<Found>,
    /// Where the next part begins, if there is one.
    pub next: Option<Cursor>,
    /// Another number, in all likelihood, when any of them has changed or others are there.
    pub digest: u64,
    /// Whether any of them goes on.
    pub in_progress: bool,
    /// How far this list has seen the changes.
    pub revision: Revision,
}

impl Store {
    /// What an entry costs beside its JSON: keys, facets and the places in its orders.
    const ENTRY_BYTES: usize = 640;

    /// An empty one.
    pub fn new(limits: Limits) -> Store {
        Store { limits, ..Store::default() }
    }

    /// Takes a new state of a termination, in place of the one before. What is over the limits goes: first what ended
    /// first, then what began first.
    pub fn handle_timeline(&mut self, timeline: Timeline) {
        match timeline.end {
            Some(end) => self.handle_finished(&timeline, encode(&timeline, end)),
            None => {
                // Its JSON is kept beside it for a moment.
                let bytes = 2 * size(&timeline);
                let (id, start, facets) = (timeline.id.clone(), timeline.start, Facets::of(&timeline));
                let found = Found::InProgress(Arc::new(InProgress::new(timeline)));
                self.put(&id, Entry { start, end: None, bytes, revision: 0, facets, facts: None, found });
            }
        }
    }

    /// The same of one that has ended and was encoded already.
    pub fn handle_finished(&mut self, timeline: &Timeline, json: Bytes) {
        let facts = Facts::of(timeline).map(Arc::new);
        let entry = Entry {
            start: timeline.start,
            end: timeline.end,
            bytes: json.len() + facts.as_ref().map_or(0, |facts| facts.bytes()),
            revision: 0,
            facets: Facets::of(timeline),
            facts,
            found: Found::Finished(json),
        };
        self.put(&timeline.id, entry);
    }

    /// Takes out what turned out to be no termination.
    pub fn withdraw(&mut self, id: &TerminationId) {
        self.remove(id, Gone::Withdrawn);
    }

    /// One termination, and its latest change.
    pub fn get(&self, id: &str) -> Option<(Found, Revision)> {
        self.entries.get(&TerminationId::new(id)).map(|entry| (entry.found.clone(), entry.revision))
    }

    /// Those that pass the filter and come `after` that one, newest first, at most `limit`.
    pub fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Page {
        let mut page = Page { revision: self.changes.latest(), ..Page::default() };
        let mut digest = DefaultHasher::new();
        let mut last: Option<&Cursor> = None;
        let places = match after {
            Some(after) => self.by_start.range(..after),
            None => self.by_start.range::<Cursor, _>(..),
        };
        for place in places.rev() {
            let Some(entry) = self.entries.get(&place.id).filter(|entry| filter.passes(&entry.facets)) else {
                continue;
            };
            if page.found.len() == limit {
                page.next = last.cloned();
                break;
            }
            entry.revision.hash(&mut digest);
            page.in_progress |= entry.end.is_none();
            page.found.push(entry.found.clone());
            last = Some(place);
        }
        page.next.hash(&mut digest);
        page.digest = digest.finish();
        page
    }

    /// Those that go on, the oldest first.
    pub fn in_progress(&self) -> impl Iterator<Item = &Timeline> {
        self.by_start.iter().filter_map(|place| match &self.entries.get(&place.id)?.found {
            Found::InProgress(goes_on) => Some(&goes_on.timeline),
            Found::Finished(_) => None,
        })
    }

    /// How many changes there were.
    pub fn revision(&self) -> Revision {
        self.changes.latest()
    }

    /// The first `limit` changes after `since` of whose terminations is asked for, and where to go on after them. Looks
    /// at `4 * limit` at most: there may be more although it finds none. `None` when what came next is not known any more.
    pub fn changes(&self, whose: &Whose, since: Revision, limit: usize) -> Option<(Vec<Change>, Revision)> {
        let found = |id: &TerminationId| self.entries.get(id).map(|entry| entry.found.clone());
        let mut changes = self.changes.since(since, 4 * limit, found)?;
        let all = changes.last().map_or(since, |change| change.revision);
        changes.retain(|change| match &change.news {
            News::Gone(_) => true,
            News::Changed(_) => self.entries.get(&change.id).is_some_and(|entry| whose.passes(&entry.facets)),
        });
        let is_cut = changes.len() > limit;
        changes.truncate(limit);
        let seen = changes.last().filter(|_| is_cut).map_or(all, |change| change.revision);
        Some((changes, seen))
    }

    /// What summaries by workload are made of.
    pub fn collect(&self) -> Collected {
        let mut collected = Collected::default();
        for entry in self.by_start.iter().rev().filter_map(|place| self.entries.get(&place.id)) {
            match (&entry.facts, &entry.found) {
                (Some(facts), _) => collected.ended.push(Arc::clone(facts)),
                (None, Found::InProgress(goes_on)) => {
                    let timeline = &goes_on.timeline;
                    collected.in_progress.push(GoesOn {
                        key: (timeline.namespace.clone(), timeline.workload.clone()),
                        start: timeline.start,
                        wall: timeline.clock.at(timeline.start),
                    });
                }
                (None, Found::Finished(_)) => {}
            }
        }
        collected
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

    /// What it may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many had to go so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn put(&mut self, id: &TerminationId, mut entry: Entry) {
        entry.bytes += Self::ENTRY_BYTES;
        if entry.bytes > self.limits.bytes {
            self.remove(id, Gone::Evicted);
            self.evicted += 1; // It alone, not everybody else for it.
            return;
        }
        let before = self.take_out(id).map(|(_, before)| before.revision);
        entry.revision = self.changes.note(id, before);
        self.bytes += entry.bytes;
        self.by_start.insert(Cursor { start: entry.start, id: id.clone() });
        if let Some(end) = entry.end {
            self.by_end.insert((end, id.clone()));
        }
        self.entries.insert(id.clone(), entry);
        self.evict();
    }

    fn evict(&mut self) {
        while self.entries.len() > self.limits.terminations || self.bytes > self.limits.bytes {
            let ended = self.by_end.first().map(|(_, id)| id);
            let Some(id) = ended.or(self.by_start.first().map(|place| &place.id)).cloned() else { return };
            self.remove(&id, Gone::Evicted);
            self.evicted += 1;
        }
    }

    fn remove(&mut self, id: &TerminationId, why: Gone) {
        if let Some((id, entry)) = self.take_out(id) {
            self.changes.note_gone(id, entry.revision, why);
        }
    }

    fn take_out(&mut self, id: &TerminationId) -> Option<(TerminationId, Entry)> {
        let (id, entry) = self.entries.remove_entry(id)?;
        self.bytes -= entry.bytes;
        if let Some(end) = entry.end {
            self.by_end.remove(&(end, id.clone()));
        }
        self.by_start.remove(&Cursor { start: entry.start, id: id.clone() });
        Some((id, entry))
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
