//! A termination that was asked for, and its JSON.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::model::{BootTime, Timeline};
use crate::report;

/// A termination that was asked for.
#[derive(Debug, Clone)]
pub enum Found {
    /// Its report, as JSON.
    Finished(Bytes),
    /// It goes on.
    InProgress(Arc<InProgress>),
}

impl Found {
    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        matches!(self, Found::Finished(_))
    }

    /// The report as JSON. Needs no access to the store. Of one that goes on it may be a quarter of a second old.
    pub fn into_json(self, now: BootTime) -> Bytes {
        match self {
            Found::Finished(json) => json,
            Found::InProgress(goes_on) => goes_on.json(now),
        }
    }
}

/// One that goes on: how much grace it has used is known only when somebody asks.
#[derive(Debug)]
pub struct InProgress {
    pub(super) timeline: Timeline,
    encoded: Mutex<Option<(BootTime, Bytes)>>,
}

impl InProgress {
    /// However many ask, it is encoded so often at most.
    const FRESH: Duration = Duration::from_millis(250);

    pub(super) fn new(timeline: Timeline) -> InProgress {
        InProgress { timeline, encoded: Mutex::default() }
    }

    fn json(&self, now: BootTime) -> Bytes {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, json)) = &*encoded
            && *at <= now
            && now.since(*at) < Self::FRESH
        {
            return json.clone();
        }
        let json = encode(&self.timeline, now);
        *encoded = Some((now, json.clone()));
        json
    }
}

/// The report as it is sent. Of a finished one `now` plays no part.
pub fn encode(timeline: &Timeline, now: BootTime) -> Bytes {
    // Boxed: a string's spare capacity would be memory that is not counted.
    Bytes::from(report::json_line(&report::termination(timeline, now)).into_bytes().into_boxed_slice())
}
