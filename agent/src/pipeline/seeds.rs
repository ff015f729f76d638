//! The search for connections that are older than the agent, and that nobody counted when they were established.

use std::io;

use tokio::task::JoinHandle;

use super::Live;
use crate::clock;
use crate::input::Input;
use crate::model::{BootTime, CgroupId, Counters, Event, Kind};

/// Searches: whether one is wanted, and the one that runs.
#[derive(Debug, Default)]
pub struct Seeds {
    wanted: bool,
    running: Option<(BootTime, JoinHandle<io::Result<()>>)>,
}

/// When a search began, and how it ended.
pub(super) type Searched = (BootTime, io::Result<()>);

impl Seeds {
    /// Containers were found that the kernel side did not track from their first moment.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// The result of the search that runs; never, when none does.
    pub(super) async fn next(&mut self) -> Searched {
        let Some((began, running)) = &mut self.running else { return std::future::pending().await };
        let (began, searched) = (*began, running.await);
        self.running = None;
        (began, searched.unwrap_or_else(|panic| Err(io::Error::other(panic))))
    }
}

impl Live {
    /// Begins a search if one is wanted.
    pub(super) fn seed_if_wanted(&mut self) {
        if !self.seeds.wanted || self.seeds.running.is_some() {
            return;
        }
        self.seeds.wanted = false;
        let began = clock::boot_now();
        // What becomes known from here on is known after the beginning.
        self.tick();
        match self.probe.begin_seeding() {
            Ok(Some(seeding)) => {
                self.seeds.running = Some((began, tokio::task::spawn_blocking(|| seeding.run())));
            }
            // Said at the start.
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }

    pub(super) fn take_search(&mut self, (began, searched): Searched) {
        let now = clock::boot_now();
        // In any case: the programs need not go on keeping in mind what closes.
        let found = self.probe.end_seeding();
        match (searched, found) {
            (Ok(()), Ok(found)) => {
                let took = now.since(began);
                self.metrics.agent.kernel.observe_seeding(found, took);
                tracing::info!(
                    "{found} connections that are older than the agent are counted; the search took {took:?}"
                );
                let kind = Kind::ConnectionsSeeded { began };
                self.feed(Input::Kernel(Event { at: now, cgroup: CgroupId(0), counters: Counters::default(), kind }));
            }
            (Err(error), _) => tracing::warn!("cannot look for connections that are older than the agent: {error}"),
            (_, Err(error)) => tracing::warn!("{error}"),
        }
    }
}
