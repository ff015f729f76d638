//! Who is connected, and who has to go when there are too many.
//!
//! A server that turns newcomers away can be made unreachable by whoever holds its connections; the kubelet would then
//! restart the agent over its liveness probe. So the newcomer is let in, and the one goes that has kept us waiting for
//! the longest; only if none does, the one that has been taking its answer for the longest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Limits;

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has sent nothing yet.
    New,
    /// Between requests.
    Idle,
    /// Its request comes in.
    Request,
    /// Its request is being answered.
    Answer,
    /// It has been told all there is, and waits for more.
    Streaming,
    /// It has to go.
    Out,
}

impl Phase {
    /// How long it may stay so.
    pub(super) fn limit(self, limits: &Limits) -> Duration {
        match self {
            Phase::New | Phase::Request => limits.header_time,
            Phase::Idle => limits.idle_time,
            Phase::Answer => limits.answer_time,
            // Ended by a heartbeat in any case.
            Phase::Streaming => Duration::MAX,
            Phase::Out => Duration::ZERO,
        }
    }

    /// The first has to go first.
    fn rank(self) -> u8 {
        match self {
            Phase::Out => 0,
            Phase::New | Phase::Idle | Phase::Request => 1,
            Phase::Answer | Phase::Streaming => 2,
        }
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts changes of phase: an order of time without a clock.
    turn: u64,
    /// By the turn in which they came.
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    since: u64,
    phase: watch::Sender<Phase>,
}

/// One connection's place. Given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    slots: Arc<Slots>,
    phase: watch::Receiver<Phase>,
}

impl Slots {
    pub(super) fn new(max: usize) -> Slots {
        Slots { max, inner: Mutex::default() }
    }

    /// A place, and whether another connection lost its own.
    pub(super) fn take(self: &Arc<Self>) -> (Slot, bool) {
        let mut inner = self.inner();
        let full = inner.taken.len() >= self.max.max(1);
        if full {
            let first = inner.taken.iter().min_by_key(|(_, taken)| (taken.phase.borrow().rank(), taken.since));
            if let Some((&id, _)) = first
                && let Some(taken) = inner.taken.remove(&id)
            {
                taken.phase.send_replace(Phase::Out);
            }
        }
        inner.turn += 1;
        let id = inner.turn;
        let (sender, phase) = watch::channel(Phase::New);
        inner.taken.insert(id, Taken { since: id, phase: sender });
        (Slot { id, slots: self.clone(), phase }, full)
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.inner().taken.len()
    }

    /// How many there may be.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// What the connection is at; changes wake the receiver.
    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        if matches!(*self.phase.borrow(), Phase::New | Phase::Idle) {
            self.enter(Phase::Request);
        }
    }

    /// It is at this now.
    pub(super) fn enter(&self, phase: Phase) {
        let mut inner = self.slots.inner();
        inner.turn += 1;
        let turn = inner.turn;
        // One that was pushed out is not there any more, and stays out.
        if let Some(taken) = inner.taken.get_mut(&self.id) {
            taken.since = turn;
            taken.phase.send_replace(phase);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.inner().taken.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_us_waiting_goes_first_and_who_is_answered_last() {
        let slots = Arc::new(Slots::new(3));
        let (answered, idle, new) = (slots.take().0, slots.take().0, slots.take().0);
        answered.enter(Phase::Answer);
        idle.enter(Phase::Idle);
        let at = |slot: &Slot| *slot.phase.borrow();
        let (slow, pushed_out) = slots.take();
        assert!(pushed_out);
        assert_eq!((at(&answered), at(&idle), at(&new)), (Phase::Answer, Phase::Idle, Phase::Out));
        slow.received();
        idle.enter(Phase::Answer);
        idle.enter(Phase::Idle);
        slow.received();
        let (second, _) = slots.take();
        assert_eq!((at(&answered), at(&idle), at(&slow)), (Phase::Answer, Phase::Idle, Phase::Out));
        slow.enter(Phase::Idle);
        assert_eq!(at(&slow), Phase::Out, "no way back");
        for slot in [&idle, &second] {
            slot.enter(Phase::Answer);
        }
        let _third = slots.take();
        assert_eq!((at(&answered), at(&idle), at(&second)), (Phase::Out, Phase::Answer, Phase::Answer));
        drop(idle);
        let (_fourth, pushed_out) = slots.take();
        assert!(!pushed_out, "a place was given back");
    }
}
