//! What has changed since a point that a reader knows: the source of the stream.
//!
//! Each termination is in here once, at its latest change. Who was away for long gets the present state of all that has
//! changed meanwhile, and nothing twice; who is slow skips states. So it needs no more room than the terminations do.

use std::collections::{BTreeMap, VecDeque};

use super::Found;
use crate::model::TerminationId;

/// Counts changes, from 1 on; 0 is before the first.
pub type Revision = u64;

/// A change that a reader has not seen.
#[derive(Debug, Clone)]
pub struct Change {
    /// Where to go on after it.
    pub revision: Revision,
    /// Which termination.
    pub id: TerminationId,
    /// What it is now.
    pub news: News,
}

/// What a termination is now.
#[derive(Debug, Clone)]
pub enum News {
    /// It is new, or something of it is.
    Changed(Found),
    /// It has left the store.
    Gone(Gone),
}

/// Why it has left the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It turned out to be none.
    Withdrawn,
    /// It had to make room.
    Evicted,
}

impl Gone {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Gone::Withdrawn => "withdrawn",
            Gone::Evicted => "evicted",
        }
    }
}

/// The order of the changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    latest: Revision,
    present: BTreeMap<Revision, TerminationId>,
    gone: VecDeque<(Revision, TerminationId, Gone)>,
    /// From before this, what has left is not known any more.
    forgotten: Revision,
}

impl Changes {
    /// How many of those that have left are remembered.
    pub(super) const GONE: usize = 4_096;

    pub(super) fn latest(&self) -> Revision {
        self.latest
    }

    /// It has changed; `before` is the revision that it had.
    pub(super) fn note(&mut self, id: &TerminationId, before: Option<Revision>) -> Revision {
        if let Some(before) = before {
            self.present.remove(&before);
        }
        self.latest += 1;
        self.present.insert(self.latest, id.clone());
        self.latest
    }

    /// It has left.
    pub(super) fn note_gone(&mut self, id: TerminationId, before: Revision, why: Gone) {
        self.present.remove(&before);
        self.latest += 1;
        if self.gone.len() == Self::GONE
            && let Some((revision, ..)) = self.gone.pop_front()
        {
            self.forgotten = revision;
        }
        self.gone.push_back((self.latest, id, why));
    }

    /// The first `limit` changes after `since`, in their order. `None` when what came next is not known any more, or
    /// never was.
    pub(super) fn since(
        &self,
        since: Revision,
        limit: usize,
        found: impl Fn(&TerminationId) -> Option<Found>,
    ) -> Option<Vec<Change>> {
        if since < self.forgotten || since > self.latest {
            return None;
        }
        let mut present = self.present.range(since.saturating_add(1)..).peekable();
        let first = self.gone.partition_point(|(revision, ..)| *revision <= since);
        let mut gone = self.gone.range(first..).peekable();
        let mut changes = Vec::new();
        while changes.len() < limit {
            let is_gone = match (present.peek(), gone.peek()) {
                (None, None) => break,
                (Some((here, _)), Some((left, ..))) => left < *here,
                (here, _) => here.is_none(),
            };
            if is_gone {
                changes.extend(gone.next().map(|(revision, id, why)| Change {
                    revision: *revision,
                    id: id.clone(),
                    news: News::Gone(*why),
                }));
            } else if let Some((revision, id)) = present.next() {
                let news = found(id).map(News::Changed);
                changes.extend(news.map(|news| Change { revision: *revision, id: id.clone(), news }));
            }
        }
        Some(changes)
    }
}
