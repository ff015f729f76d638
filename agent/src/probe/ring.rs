//! The ring buffer of records, and the one of the programs' own messages.

use std::io;

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;

use super::HOOKS;
use super::decode::decode;
use crate::model::Event;

/// At most so many records are read at once, so that nothing else has to wait long.
const MAX_BATCH: usize = 1024;

/// What was read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    /// Records by hook.
    pub received: [u64; HOOKS],
    /// Records by hook that could not be decoded.
    pub malformed: [u64; HOOKS],
    /// Records that could not be decoded, of no known hook.
    pub unknown: u64,
}

/// Reads both.
pub(super) struct Ring {
    events: AsyncFd<RingBuf<MapData>>,
    messages: Option<AsyncFd<EbpfLogger<ToTracing>>>,
}

impl Ring {
    pub(super) fn new(events: RingBuf<MapData>, messages: Option<EbpfLogger<ToTracing>>) -> io::Result<Ring> {
        // SAFETY: both own their map's file descriptor, never replace it, and close it only when they are dropped.
        let events = unsafe { AsyncFd::register(events) }.map_err(io::Error::from)?;
        let messages = match messages {
            // SAFETY: as above.
            Some(messages) => Some(unsafe { AsyncFd::register(messages) }.map_err(io::Error::from)?),
            None => None,
        };
        Ok(Ring { events, messages })
    }

    pub(super) async fn next_batch(&mut self, events: &mut Vec<Event>) -> io::Result<Batch> {
        let mut batch = Batch::default();
        loop {
            let messages = async {
                match &mut self.messages {
                    Some(messages) => messages.readable_mut().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ready = self.events.readable_mut() => {
                    let mut ready = ready?;
                    let mut room = MAX_BATCH;
                    let ring = ready.get_inner_mut();
                    while room > 0 && let Some(record) = ring.next() {
                        room -= 1;
                        batch.take(&record, events);
                    }
                    if room > 0 {
                        ready.clear_ready();
                    }
                    if room < MAX_BATCH {
                        return Ok(batch);
                    }
                }
                ready = messages => {
                    let mut ready = ready?;
                    ready.get_inner_mut().flush();
                    ready.clear_ready();
                }
            }
        }
    }
}

impl Batch {
    fn take(&mut self, record: &[u8], events: &mut Vec<Event>) {
        match decode(record) {
            Ok((hook, event)) => {
                self.received[hook as usize] += 1;
                events.push(event);
            }
            Err(malformed) => match malformed.hook() {
                Some(hook) => self.malformed[hook as usize] += 1,
                None => self.unknown += 1,
            },
        }
    }
}

/// Where the programs' own messages go.
pub(super) struct ToTracing;

impl log::Log for ToTracing {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        tracing::debug!(target: "gracetrace::kernel", "{}", record.args());
    }

    fn flush(&self) {}
}
