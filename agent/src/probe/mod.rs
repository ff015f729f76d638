//! The kernel side as the agent sees it: load the programs, tell them what to track, read their records.

mod ring;
mod load;
mod packets;
mod seeding;
mod maps;
mod misses;
mod without;
mod refusals;
mod offsets;
mod btf;
pub mod decode;

pub use btf::BtfError;
pub use gracetrace_ebpf::Hook;
pub use load::{LoadError, MAX_CONNECTIONS, Options, Standbys};
pub use maps::{Losses, MapUsage};
pub use ring::Batch;
pub use seeding::Seeding;

use std::iter;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::MapError;
use aya::programs::Program;

use crate::model::{BootTime, CgroupId, CgroupKind, Event, Pid};

/// How many hooks there are: the length of what is counted by hook.
pub const HOOKS: usize = Hook::ALL.len();

/// The programs in the kernel. Dropping it takes them out.
pub struct Probe {
    ring: ring::Ring,
    maps: maps::Maps,
    hooks: Vec<HookStatus>,
    packets: packets::Packets,
    refusals: refusals::Refusals,
    programs: Ebpf,
    /// While this is open the kernel takes the time of every run.
    _stats: Option<OwnedFd>,
}

/// Whether a hook works. Those that see packets do when they are attached: [`Probe::attach_to_kubelet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStatus {
    /// Which.
    pub hook: Hook,
    /// Why it does not.
    pub missing: Option<String>,
}

impl HookStatus {
    /// What is not measured without it, for people.
    pub fn loss(&self) -> &'static str {
        without::without(self.hook)
    }
}

/// What a hook has cost so far. The kernel counts only with [`Options::stats`], or when somebody else asks it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookUsage {
    /// Which.
    pub hook: Hook,
    /// How often it ran.
    pub runs: u64,
    /// How long it ran, all in all.
    pub time: Duration,
}

/// What is new of connections that could not be made: [`Probe::refused`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refused {
    /// [`Kind::Counted`] for each container of which SYNs were refused since the last call, and
    /// [`Kind::StaleConnections`] for each address.
    ///
    /// [`Kind::Counted`]: crate::model::Kind::Counted
    /// [`Kind::StaleConnections`]: crate::model::Kind::StaleConnections
    pub events: Vec<Event>,
    /// Refused SYNs that are counted nowhere, since the programs were loaded: no container came to listen for them, or
    /// there were too many ports at once.
    pub left_out: u64,
}

/// A call into the kernel failed after the programs were loaded.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A map could not be read or written.
    #[error("cannot use the map {map} of the kernel side: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        source: MapError,
    },
    /// Walking over open files failed.
    #[error("cannot look for connections that are older than the agent: {0}")]
    Walk(#[source] std::io::Error),
    /// Waiting for records failed.
    #[error("cannot wait for records of the kernel side: {0}")]
    Wait(#[from] std::io::Error),
}

impl Probe {
    /// Loads the programs, and attaches them but for those that see packets. Must be called in a tokio runtime. Fails if not a single hook works.
    pub fn load(options: &Options) -> Result<Probe, LoadError> {
        load::load(options)
    }

    /// Every hook, and whether it works.
    pub fn hooks(&self) -> &[HookStatus] {
        &self.hooks
    }

    /// Attaches the hooks that see packets to the kubelet's cgroups in `dirs`, and takes them off all others; or says of
    /// them why there are none. Once more with the same ones changes nothing; tells whether anything changed.
    pub fn attach_to_kubelet(&mut self, dirs: Result<&[PathBuf], &str>) -> bool {
        let (dirs, otherwise) = (dirs.unwrap_or_default(), dirs.err());
        let changed = self.packets.attach(&mut self.programs, &mut self.hooks, dirs, otherwise);
        if let Err(error) = self.maps.set_kubelet(dirs) {
            tracing::warn!("connections of the kubelet can't be told from others: {error}");
        }
        changed
    }

    /// Whether the kernel has taken any of the hooks that see packets: else the kubelet need not be looked for.
    pub fn wants_kubelet(&self) -> bool {
        self.packets.is_loaded()
    }

    /// Waits until there are records and appends a limited number of them to `events`. May be cancelled: records that
    /// were not returned stay where they are.
    pub async fn next_batch(&mut self, events: &mut Vec<Event>) -> Result<Batch, ProbeError> {
        Ok(self.ring.next_batch(events).await?)
    }

    /// What was lost since the programs were loaded, and an event for each container that has lost more than at the
    /// last call. `now` goes into these events.
    pub fn losses(&mut self, now: BootTime) -> Result<Losses, ProbeError> {
        self.maps.losses(now)
    }

    /// Makes the programs track a cgroup. `owner` is the container's cgroup; the cgroup itself unless it is nested.
    /// The init is taken as a hint: what the kernel side knows already is better.
    pub fn track(
        &mut self,
        cgroup: CgroupId,
        owner: CgroupId,
        kind: CgroupKind,
        init: Option<Pid>,
    ) -> Result<(), ProbeError> {
        self.maps.track(cgroup, owner, kind, init)
    }

    /// Makes the programs tell of the end of a process that entered a container before they were there. What it and its
    /// descendants have cost until now stays unknown.
    pub fn follow(&mut self, pid: Pid) -> Result<(), ProbeError> {
        self.maps.follow(pid)
    }

    /// Makes the programs tell of each change of a container's connections: it is being terminated. They begin by
    /// themselves with a stop signal, a kill from outside or the end of the init; a hook comes before those.
    pub fn watch_connections(&mut self, container: CgroupId) -> Result<(), ProbeError> {
        self.maps.watch_connections(container)
    }

    /// Begins to count the connections that tracked containers had before they were tracked. The rest is
    /// [`Seeding::run`], which may block for long; then [`Probe::end_seeding`] has to be called. `None` if this kernel can't.
    pub fn begin_seeding(&mut self) -> Result<Option<Seeding>, ProbeError> {
        let works = |hook| self.hooks.iter().any(|status| status.hook == hook && status.missing.is_none());
        if !works(Hook::InetSockSetState) || !works(Hook::IterTaskFile) {
            return Ok(None);
        }
        let seeding = Seeding::open(&mut self.programs).map_err(ProbeError::Walk)?;
        self.maps.begin_seeding()?;
        Ok(Some(seeding))
    }

    /// Has the programs no longer keep in mind what closes. Tells how many connections were found.
    pub fn end_seeding(&mut self) -> Result<u64, ProbeError> {
        self.maps.end_seeding()
    }

    /// Makes the programs forget a cgroup, and the container if it is one.
    pub fn untrack(&mut self, cgroup: CgroupId) -> Result<(), ProbeError> {
        self.refusals.forget(cgroup);
        self.maps.untrack(cgroup)
    }

    /// What is new of connections that could not be made. Cheap where nothing is. `now` goes into the events.
    pub fn refused(&mut self, now: BootTime) -> Result<Refused, ProbeError> {
        self.refusals.news(&self.maps, now)
    }

    /// Makes the programs count connects to an address that a pod has left.
    pub fn address_gone(&mut self, address: IpAddr) -> Result<(), ProbeError> {
        self.refusals.address_gone(address)
    }

    /// Somebody has the address again, or it has been watched for long enough. Gives what has not been told of it.
    pub fn address_taken(&mut self, address: IpAddr, now: BootTime) -> Result<Event, ProbeError> {
        self.refusals.address_taken(address, now)
    }

    /// Forgets ports of containers that are gone. Reads whole maps where something was added to them: for a slow timer.
    pub fn sweep_ports(&mut self, now: BootTime) -> Result<(), ProbeError> {
        self.refusals.sweep(&self.maps, now)
    }

    /// How full the maps are. Reads whole maps: for a slow timer.
    pub fn map_usage(&self) -> Vec<MapUsage> {
        let mut usage = self.maps.usage();
        usage.extend(self.refusals.usage());
        usage
    }

    /// How many events of a hook were lost at most because the kernel left out a run of its program, of the hooks that are
    /// attached and where it counts. Where there is a standby, an event is lost only if both were left out.
    pub fn misses(&self) -> Vec<(Hook, u64)> {
        let missed = self.attached().filter_map(|hook| {
            let missed = self.programs_of(hook).filter_map(|(_, program)| misses::of(program.fd().ok()?.as_fd()));
            let missed = if hook.standby().is_some() { missed.min() } else { missed.reduce(u64::saturating_add) };
            Some((hook, missed?))
        });
        missed.collect()
    }

    /// What the hooks have cost, of those that are attached. A standby's runs are not counted, but its time is.
    pub fn hook_usage(&self) -> Vec<HookUsage> {
        let usage = self.attached().filter_map(|hook| {
            let programs = self.programs_of(hook).filter_map(|(name, program)| {
                let info = match program {
                    Program::BtfTracePoint(program) => program.info(),
                    Program::FEntry(program) => program.info(),
                    Program::CgroupSkb(program) => program.info(),
                    Program::Iter(program) => program.info(),
                    _ => return None,
                };
                let info = info.ok()?;
                let runs = if hook.standby() == Some(name) { 0 } else { info.run_count() };
                Some(HookUsage { hook, runs, time: info.run_time() })
            });
            programs.reduce(|sum, of| HookUsage { hook, runs: sum.runs + of.runs, time: sum.time + of.time })
        });
        usage.collect()
    }

    fn attached(&self) -> impl Iterator<Item = Hook> {
        self.hooks.iter().filter(|status| status.missing.is_none()).map(|status| status.hook)
    }

    /// The loaded programs of a hook, by name: one, but for a standby, for the two functions that stand in for a
    /// tracepoint, and for the two passes of a walk.
    fn programs_of(&self, hook: Hook) -> impl Iterator<Item = (&'static str, &Program)> {
        let others = match hook {
            Hook::TcpSendReset => offsets::RESET_FUNCTIONS.as_slice(),
            Hook::IterTaskFile => seeding::PROGRAMS.as_slice(),
            _ => &[],
        };
        let names = iter::once(hook.name()).chain(hook.standby()).chain(others.iter().copied());
        let programs = names.filter_map(|name| Some((name, self.programs.program(name)?)));
        programs.filter(|(_, program)| program.fd().is_ok())
    }
}
