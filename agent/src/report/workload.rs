//! The contract's summary of a workload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Time, Word, Workload};

/// What the terminations of a workload have in common, as far as they are still known.
///
/// Terminations during which records were lost or nobody watched (`incomplete`, or `complete` false) are counted in
/// `terminations`, `outcomes`, `reasons` and `findings`, and are in no distribution: their times may be wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WorkloadSummary {
    /// `None` for pods that no source has told of.
    pub namespace: Option<String>,
    /// `None` for pods that no source has told of. Pods without an owner are workloads of kind `Pod`, each its own.
    pub workload: Option<Workload>,
    /// Those that have ended.
    pub terminations: u64,
    /// Those that go on.
    pub in_progress: u64,
    /// The start of the oldest one.
    pub first_seen: Time,
    /// The start of the newest one.
    pub last_seen: Time,
    /// How those that have ended did, by [`crate::model::Outcome`]. What never happened is left out.
    pub outcomes: BTreeMap<Word, u64>,
    /// Why, by [`crate::model::Reason`].
    pub reasons: BTreeMap<Word, u64>,
    /// In how many there was a finding, by [`crate::model::FindingId`].
    pub findings: BTreeMap<Word, u64>,
    /// The grace period of the newest one, if it is known.
    pub grace_period_seconds: Option<u64>,
    /// preStop hooks that have ended, by container.
    pub hook_seconds: Option<Distribution>,
    /// From the stop signal to the exit, by container.
    pub stop_to_exit_seconds: Option<Distribution>,
    /// From the start of a termination to its end, where the kubelet acted.
    pub grace_used_seconds: Option<Distribution>,
    /// Grace used by grace period.
    pub utilization: Option<Distribution>,
    /// From the start to the last new inbound connection; of a pod's containers the one with the longest.
    pub traffic_tail_seconds: Option<Distribution>,
    /// How the last ones have used their grace, the newest first. At most [`WorkloadSummary::RECENT`].
    pub recent: Vec<Budget>,
}

impl WorkloadSummary {
    /// How many terminations are told one by one.
    pub const RECENT: usize = 50;
}

/// Values that were measured. A percentile is the smallest value that so many of all are not above (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// Half of them are not above it.
    pub p50: f64,
    /// 95 % of them are not above it.
    pub p95: f64,
    /// 99 % of them are not above it.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// How one termination has used its grace period: by the container that ended last, which the pod had to wait for.
///
/// `null` is "not measured" or "there was none".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Budget {
    /// The termination's id.
    pub id: String,
    /// The pod's name.
    pub pod: Option<String>,
    /// When it began.
    pub start: Time,
    /// How it ended.
    pub outcome: Word,
    /// False when records were lost while it ran, or nobody watched: its times may be wrong.
    pub complete: bool,
    /// The container that ended last.
    pub container: Option<String>,
    /// What it was allowed.
    pub grace_period_seconds: Option<u64>,
    /// What it took, from start to end.
    pub grace_used_seconds: Option<f64>,
    /// From the start of its preStop hook to the hook's end; to the stop signal if that came first.
    pub hook_seconds: Option<f64>,
    /// From the stop signal to the exit.
    pub drain_seconds: Option<f64>,
    /// What was left of the grace period. Negative when it was overrun.
    pub margin_seconds: Option<f64>,
    /// From the start to the stop signal: so long the pod could still serve who had not heard of its end. To be held
    /// against `traffic_tail_seconds`.
    pub prestop_wait_seconds: Option<f64>,
    /// From the start to the last new inbound connection, to whichever container.
    pub traffic_tail_seconds: Option<f64>,
    /// Whether it was ended by SIGKILL.
    pub killed: bool,
    /// What was found, by id; each once.
    pub findings: Vec<Word>,
}
