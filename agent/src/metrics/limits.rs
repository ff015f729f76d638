//! What the agent left out because a limit was reached: it never grows without bound, and never hides what that cost.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;

use super::registry::Registry;
use super::series::Series;

/// Metrics about limits, each by a word for what was left out.
#[derive(Debug)]
pub struct Limits {
    left_out: Series<WhatLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

impl Limits {
    pub(super) fn new(registry: &mut Registry) -> Limits {
        let limits = Limits { left_out: Series::uncapped(Counter::default) };
        registry.register(
            "left_out",
            "Left out because a limit was reached: containers, cgroups, pods and records that were forgotten, lines \
             of output that nobody read in time; refused connections that no container came to listen for, or to too many \
             ports; and records of httpGet hooks that belong to no container that is known",
            limits.left_out.clone(),
        );
        limits
    }

    /// Says how much of it was left out since the start.
    pub fn set_left_out(&self, what: &'static str, total: u64) {
        self.left_out.with(WhatLabel { what }, |counter| counter.inner().store(total, Ordering::Relaxed));
    }
}
