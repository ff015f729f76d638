//! `/api/v1/stream`: changes of terminations as server-sent events.
//!
//! A reader has a place in the order of changes and nothing else: what it is sent next is looked up when it can take it.
//! So a slow one costs no queue, and skips states that nobody needs any more; one that was away goes on from where it
//! was, as long as the store remembers what has left it since. Each state of a termination is encoded once for all.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::State;
use crate::model::BootTime;
use crate::store::{Change, News, Revision, Whose};

/// Wakes readers of the stream.
#[derive(Debug)]
pub struct Feed {
    latest: watch::Sender<Latest>,
    readers: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Latest {
    revision: Revision,
    closed: bool,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed { latest: watch::Sender::default(), readers: AtomicUsize::new(0) }
    }
}

impl Feed {
    /// The store has come this far.
    pub fn announce(&self, revision: Revision) {
        self.latest.send_if_modified(|latest| std::mem::replace(&mut latest.revision, revision) != revision);
    }

    /// The server stops: so do the streams.
    pub(super) fn close(&self) {
        self.latest.send_modify(|latest| latest.closed = true);
    }

    /// How many read.
    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }
}

/// One of a limited number of readers. Given back when dropped.
#[derive(Debug)]
struct Ticket(Arc<Feed>);

impl Ticket {
    fn take(feed: &Arc<Feed>, max: usize) -> Option<Ticket> {
        let taken = feed
            .readers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |readers| (readers < max).then(|| readers + 1));
        taken.ok().map(|_| Ticket(Arc::clone(feed)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a stream.
pub(super) struct Events {
    /// Makes the next block; `None` after the last one.
    next: Option<Next>,
}

type Next = Pin<Box<dyn Future<Output = (Reader, Option<Bytes>)> + Send>>;

impl Events {
    /// A stream for one more reader; `None` when there are too many.
    pub(super) fn open(state: &Arc<State>, whose: Whose, last_event_id: Option<&str>) -> Option<Events> {
        let ticket = Ticket::take(&state.feed, state.limits.streams)?;
        let reader = Reader {
            state: Arc::clone(state),
            changed: state.feed.latest.subscribe(),
            whose,
            begin: Some(match last_event_id {
                None => Begin::Now,
                Some(id) => parse_id(state.epoch, id).map_or(Begin::Lost, Begin::After),
            }),
            seen: 0,
            handed_out: None,
            is_over: false,
            _ticket: ticket,
        };
        Some(Events { next: Some(Box::pin(reader.next())) })
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let Poll::Ready((reader, block)) = next.as_mut().poll(cx) else { return Poll::Pending };
        self.next = block.is_some().then(|| Box::pin(reader.next()) as Next);
        Poll::Ready(block)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// A place in the order of changes, as clients have it. The epoch is another one in each run of the agent.
pub(super) fn event_id(epoch: u64, revision: Revision) -> String {
    format!("{epoch:x}-{revision}")
}

/// `None` if it is none of this run.
fn parse_id(of: u64, text: &str) -> Option<Revision> {
    let (epoch, revision) = text.split_once('-')?;
    (u64::from_str_radix(epoch, 16) == Ok(of)).then(|| revision.parse().ok())?
}

/// Where a reader wants to begin.
enum Begin {
    Now,
    After(Revision),
    /// At a place that is not known in this run.
    Lost,
}

/// Who is told.
struct Reader {
    state: Arc<State>,
    changed: watch::Receiver<Latest>,
    whose: Whose,
    /// Where it wants to begin, until it has.
    begin: Option<Begin>,
    seen: Revision,
    /// When the last block was handed out, until it was taken.
    handed_out: Option<BootTime>,
    is_over: bool,
    _ticket: Ticket,
}

impl Reader {
    /// Without news, something is said this often: proxies and clients then know that it is alive.
    const HEARTBEAT: Duration = Duration::from_secs(15);
    /// Changes are gathered for this long.
    const PACE: Duration = Duration::from_millis(100);
    /// Changes that are looked at in one go, and the bytes after which a block is full.
    const BATCH: usize = 16;
    /// See [`Reader::BATCH`].
    const BLOCK: usize = 64 << 10;

    /// The next block, and `None` at the end. Nothing is handed out while the one before is being written.
    async fn next(mut self) -> (Reader, Option<Bytes>) {
        let now = (self.state.now)();
        if self.is_over || self.changed.borrow().closed {
            return (self, None);
        }
        if self.handed_out.take().is_some_and(|at| now.since(at) > self.state.limits.stream_patience) {
            self.state.metrics.agent.observe_closed("slow_stream");
            self.is_over = true;
            let detail = "this reader is too slow; connect again with the last event's id to go on from there";
            return (self, Some(event(None, "dropped", &serde_json::json!({ "detail": detail }))));
        }
        let block = match self.begin.take() {
            Some(begin) => Some(self.greet(begin)),
            None => self.news().await,
        };
        self.handed_out = Some((self.state.now)());
        (self, block)
    }

    /// The first block: how soon to come back, and where this begins.
    fn greet(&mut self, begin: Begin) -> Bytes {
        let latest = self.state.store.lock().unwrap_or_else(PoisonError::into_inner).revision();
        let mut block = BytesMut::from("retry: 2000\n\n".as_bytes());
        match begin {
            Begin::Now => {
                self.seen = latest;
                block.extend(self.position("hello", "what changes from here on is told"));
            }
            // Whether one can go on from there the first look at the changes shows.
            Begin::After(revision) => self.seen = revision,
            Begin::Lost => block.extend(self.reset()),
        }
        block.freeze()
    }

    /// What was missed cannot be told: the client has to read the list anew.
    fn reset(&mut self) -> Bytes {
        self.seen = self.state.store.lock().unwrap_or_else(PoisonError::into_inner).revision();
        self.position("reset", "what was missed since the given event is not known: read the list anew")
    }

    fn position(&self, name: &str, detail: &str) -> Bytes {
        let id = event_id(self.state.epoch, self.seen);
        event(Some(&id), name, &serde_json::json!({ "event_id": id, "detail": detail }))
    }

    /// Waits for changes, or says that there were none.
    async fn news(&mut self) -> Option<Bytes> {
        loop {
            self.changed.mark_unchanged();
            if let Some(block) = self.block() {
                return Some(block);
            }
            if self.changed.borrow().closed {
                return None;
            }
            match timeout(Self::HEARTBEAT, self.changed.changed()).await {
                Ok(Ok(())) => sleep(Self::PACE).await,
                Ok(Err(_)) => return None,
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
    }

    /// As many changes as fit, if there are any.
    fn block(&mut self) -> Option<Bytes> {
        let mut block = BytesMut::new();
        while block.len() < Self::BLOCK {
            let before = self.seen;
            let changes = {
                let store = self.state.store.lock().unwrap_or_else(PoisonError::into_inner);
                store.changes(&self.whose, self.seen, Self::BATCH)
            };
            let Some((changes, seen)) = changes else {
                block.extend(self.reset());
                break;
            };
            let now = (self.state.now)();
            for change in changes {
                if block.len() >= Self::BLOCK {
                    break;
                }
                self.seen = change.revision;
                write_change(&mut block, self.state.epoch, change, now);
            }
            if block.len() < Self::BLOCK {
                self.seen = seen;
            }
            if self.seen == before {
                break;
            }
        }
        (!block.is_empty()).then(|| block.freeze())
    }
}

fn write_change(block: &mut BytesMut, epoch: u64, change: Change, now: BootTime) {
    let id = event_id(epoch, change.revision);
    match change.news {
        News::Changed(found) => {
            let name = if found.is_finished() { "finished" } else { "changed" };
            let json = found.into_json(now);
            write_event(block, Some(&id), name, &json);
        }
        News::Gone(why) => {
            let data = serde_json::json!({ "id": change.id.as_str(), "why": why.as_str() });
            write_event(block, Some(&id), "gone", data.to_string().as_bytes());
        }
    }
}

fn event(id: Option<&str>, name: &str, data: &serde_json::Value) -> Bytes {
    let mut block = BytesMut::new();
    write_event(&mut block, id, name, data.to_string().as_bytes());
    block.freeze()
}

/// JSON as it is made here has no line break in it.
fn write_event(block: &mut BytesMut, id: Option<&str>, name: &str, data: &[u8]) {
    if let Some(id) = id {
        block.extend_from_slice(b"id: ");
        block.extend_from_slice(id.as_bytes());
        block.extend_from_slice(b"\n");
    }
    block.extend_from_slice(b"event: ");
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b"\ndata: ");
    block.extend_from_slice(data);
    block.extend_from_slice(b"\n\n");
}
