//! Connections that could not be made, in a running agent: what the kernel side has counted goes in as events.

use super::Live;
use crate::clock;
use crate::identity::AddressChange;
use crate::input::Input;
use crate::model::BootTime;
use std::time::Duration;

/// How often to look, at most. A container's verdict is final a quarter of a second after its end
/// ([`crate::correlator::Config`]), and its network is gone within 90 ms: what is refused until then is seen in time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When the agent looked last, and what it could not say.
#[derive(Debug, Default)]
pub struct Refusals {
    looked_at: BootTime,
    failed: bool,
}

impl Live {
    /// Tells what is new. Before each tick, so that a verdict that it makes final has all there is.
    pub(super) fn tell_refused(&mut self) {
        let now = clock::boot_now();
        if now.since(self.refusals.looked_at) < LOOK_EVERY {
            return;
        }
        self.refusals.looked_at = now;
        match self.probe.refused(now) {
            Ok(news) => {
                self.account.refused_left_out = news.left_out;
                self.metrics.agent.limits.set_left_out("refused_connections", news.left_out);
                for event in news.events {
                    self.feed(Input::Kernel(event));
                }
            }
            Err(error) if !self.refusals.failed => {
                self.refusals.failed = true;
                tracing::warn!("refused connections are not told any more: {error}");
            }
            Err(_) => {}
        }
    }

    /// Has connects to an address counted, or not any more.
    pub(super) fn apply_address(&mut self, change: AddressChange) {
        let done = match change {
            AddressChange::Gone(address) => self.probe.address_gone(address),
            AddressChange::Taken(address) => {
                self.probe.address_taken(address, clock::boot_now()).map(|last| self.feed(Input::Kernel(last)))
            }
        };
        if let Err(error) = done {
            tracing::warn!("connects to an address that a pod has left are not counted: {error}");
        }
    }
}
