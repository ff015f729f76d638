//! The contract's account of the agent itself.

use serde::{Deserialize, Serialize};

use super::{Time, Word};

/// How the agent is doing, and what it cannot see. Counts are since it started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Health {
    /// Its version.
    pub version: Word,
    /// What machine it was built for.
    pub arch: Word,
    /// Whether it is ready: everything is attached and read.
    pub ready: bool,
    /// Why it is not ready.
    pub not_ready: Option<String>,
    /// What makes its account incomplete, a sentence each: hooks that are missing, records that were lost, sources that
    /// fail, what found no room. Empty when all is well.
    pub problems: Vec<String>,
    /// What goes on inside.
    #[serde(flatten)]
    pub vitals: Vitals,
    /// The terminations that can be asked for.
    pub store: StoreHealth,
    /// The server that says this.
    pub http: HttpHealth,
}

/// How the pipeline is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Vitals {
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The node's name, if the agent was told.
    pub node: Option<String>,
    /// When it started.
    pub started: Time,
    /// How long ago that was.
    pub uptime_seconds: f64,
    /// The time now, as it goes into reports.
    pub now: Time,
    /// The kernel hooks.
    pub hooks: Vec<HookHealth>,
    /// Where pods and their containers are known from.
    pub sources: Vec<SourceHealth>,
    /// How full the maps of the kernel programs are, as of up to 10 s ago.
    pub maps: Vec<MapUse>,
    /// What had to be left out for want of room, or was lost on its way; what never happened is there with 0.
    pub left_out: Vec<LeftOut>,
    /// Pods that are known.
    pub pods: u64,
    /// Containers that are known, those that hold a pod's namespaces included.
    pub containers: u64,
    /// What survives a restart; `None` without `--state-dir`.
    pub state: Option<StateHealth>,
    /// What the agent takes; `None` where the kernel does not say.
    pub process: Option<ProcessHealth>,
}

/// A kernel hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HookHealth {
    /// The kernel's name for it.
    pub hook: Word,
    /// Whether it is attached.
    pub attached: bool,
    /// Why it is not.
    pub missing: Option<String>,
    /// What is not measured without it.
    pub without: Word,
    /// Records read.
    pub received: u64,
    /// Records, or what it counts, that found no room.
    pub dropped: u64,
    /// Records that could not be decoded.
    pub malformed: u64,
    /// Events that it may have missed because the kernel left out runs of its programs; `None` where nobody counts.
    pub missed: Option<u64>,
    /// Runs; `None` unless the kernel was asked to count (`--kernel-stats`).
    pub runs: Option<u64>,
    /// Time that those took; `None` as `runs`.
    pub run_seconds: Option<f64>,
}

/// A source of pods, or of cgroups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourceHealth {
    /// `kubernetes`, `cri`, `file` or `cgroups`.
    pub source: Word,
    /// Since its last good answer; `None` when there never was one.
    pub age_seconds: Option<f64>,
    /// Whether the last try failed.
    pub failing: bool,
    /// How often it could not be asked or understood.
    pub errors: u64,
    /// Pods of its last answer that could not be read.
    pub skipped: u64,
    /// There is nothing to ask here, and nobody said that there must be.
    pub unused: bool,
}

/// A map of the kernel programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MapUse {
    /// Its name.
    pub map: Word,
    /// Entries in it.
    pub entries: u64,
    /// Entries that it has room for.
    pub max_entries: u64,
}

/// What was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// What.
    pub what: Word,
    /// How much of it.
    pub count: u64,
}

/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StateHealth {
    /// Since it was last saved; `None` when it never was.
    pub age_seconds: Option<f64>,
    /// Size of what was saved.
    pub bytes: u64,
    /// How often it was saved.
    pub saves: u64,
    /// How often that failed.
    pub errors: u64,
}

/// What the agent takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessHealth {
    /// Memory of its own.
    pub resident_bytes: u64,
    /// CPU time so far.
    pub cpu_seconds: f64,
}

/// The terminations that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StoreHealth {
    /// How many there are.
    pub terminations: u64,
    /// How many there may be (`--keep-terminations`).
    pub max_terminations: u64,
    /// What they take.
    pub bytes: u64,
    /// What they may take (`--keep-bytes`).
    pub max_bytes: u64,
    /// Those that had to make room.
    pub evicted: u64,
    /// Those that go on.
    pub in_progress: u64,
}

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HttpHealth {
    /// Connections now, this one included.
    pub connections: u64,
    /// How many there may be; then the one that has kept the server waiting for the longest goes.
    pub max_connections: u64,
    /// Readers of the stream now.
    pub streams: u64,
    /// How many there may be; more are refused.
    pub max_streams: u64,
}
