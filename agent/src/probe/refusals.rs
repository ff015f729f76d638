//! Connections that could not be made, as the programs count them: reads what has changed, and keeps the maps small.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray};
use gracetrace_ebpf::{
    Gone, Port, PortKey, TALLIES, TALLY_LEFT_OUT, TALLY_PLACES, TALLY_REFUSED, TALLY_STALE, Waiting,
};
use zerocopy::transmute;

use super::load::{LoadError, take_map};
use super::maps::{MapUsage, Maps, Table};
use super::{ProbeError, Refused};
use crate::model::{BootTime, CgroupId, Event, Kind};

/// How long SYNs wait for a container that will listen where they were refused. No client waits longer for a start, and a
/// port that nobody ever listens on must not be kept.
const WAITING_KEPT: Duration = Duration::from_secs(300);
/// How long a port where a living container has stopped to listen is kept when the map is more than half full: programs
/// that listen on a new port each time must not fill it.
const CLOSED_KEPT: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Refusals {
    tallies: PerCpuArray<MapData, u64>,
    ports: Table<[u8; size_of::<PortKey>()], [u8; size_of::<Port>()]>,
    waiting: Table<[u8; size_of::<PortKey>()], [u8; size_of::<Waiting>()]>,
    gone: Table<[u8; 16], [u8; size_of::<Gone>()]>,
    gone_len: Array<MapData, u64>,
    /// The tallies at the last look.
    seen: [u64; TALLIES as usize],
    /// What was told of each container: refused, and refused before it listened.
    told: HashMap<CgroupId, (u64, u64)>,
    /// What was told of each address.
    addresses: BTreeMap<IpAddr, u64>,
    /// SYNs that waited until their time was over.
    expired: u64,
}

impl Refusals {
    pub(super) fn take(programs: &mut Ebpf) -> Result<Refusals, LoadError> {
        let tallies = PerCpuArray::try_from(take_map(programs, "TALLIES")?);
        let gone_len = Array::try_from(take_map(programs, ".data.gone")?);
        Ok(Refusals {
            tallies: tallies.map_err(|source| LoadError::Map { map: "TALLIES", source })?,
            ports: Table::take(programs, "PORTS")?,
            waiting: Table::take(programs, "WAITING")?,
            gone: Table::take(programs, "GONE")?,
            gone_len: gone_len.map_err(|source| LoadError::Map { map: ".data.gone", source })?,
            seen: [0; TALLIES as usize],
            told: HashMap::new(),
            addresses: BTreeMap::new(),
            expired: 0,
        })
    }

    /// What is new since the last call. Costs one look where nothing is.
    pub(super) fn news(&mut self, maps: &Maps, now: BootTime) -> Result<Refused, ProbeError> {
        let mut news = Refused::default();
        if self.has_changed(TALLY_REFUSED)? {
            for (cgroup, counters) in maps.counters() {
                let counted = (counters.refused, counters.startup_refused);
                if counted != self.told.get(&cgroup).copied().unwrap_or_default() {
                    self.told.insert(cgroup, counted);
                    news.events.push(Event { at: now, cgroup, counters, kind: Kind::Counted });
                }
            }
        }
        if self.has_changed(TALLY_STALE)? {
            for (address, told) in &mut self.addresses {
                let failed = self.gone.map.get(&bytes(*address), 0).map_or(0, failed);
                if failed > *told {
                    news.events.push(stale(*address, failed - *told, now));
                    *told = failed;
                }
            }
        }
        news.left_out = self.tally(TALLY_LEFT_OUT)?.saturating_add(self.expired);
        Ok(news)
    }

    /// The kernel side forgets a container.
    pub(super) fn forget(&mut self, cgroup: CgroupId) {
        self.told.remove(&cgroup);
    }

    /// Begins to count connects to an address that nobody has any more. One that is counted already goes on as it was.
    pub(super) fn address_gone(&mut self, address: IpAddr) -> Result<(), ProbeError> {
        if !self.addresses.contains_key(&address) {
            self.gone.insert(bytes(address), transmute!(Gone::default()))?;
            self.addresses.insert(address, 0);
        }
        self.tell_len()
    }

    /// Ends to. Gives what was not told yet.
    pub(super) fn address_taken(&mut self, address: IpAddr, now: BootTime) -> Result<Event, ProbeError> {
        let told = self.addresses.remove(&address).unwrap_or(0);
        self.tell_len()?;
        let failed = self.gone.map.get(&bytes(address), 0).map_or(0, failed);
        self.gone.remove(bytes(address))?;
        Ok(stale(address, failed.saturating_sub(told), now))
    }

    /// Takes out ports of containers that are gone, and SYNs that waited in vain. Reads whole maps, if anything was added
    /// to them: for a slow timer.
    pub(super) fn sweep(&mut self, maps: &Maps, now: BootTime) -> Result<(), ProbeError> {
        // What is there ages also while nothing is added, but takes nobody's room then.
        if !self.has_changed(TALLY_PLACES)? {
            return Ok(());
        }
        let usage = self.ports.usage();
        let crowded = usage.used > usage.max / 2;
        let mut owners: BTreeMap<u64, bool> = BTreeMap::new();
        let old: Vec<[u8; 16]> = self
            .ports
            .entries()
            .filter(|(_, bytes)| {
                let port: Port = transmute!(*bytes);
                let alive = *owners.entry(port.owner).or_insert_with(|| maps.has_container(port.owner));
                let closed = port.listening <= 0 && now.since(BootTime(port.changed_at)) >= CLOSED_KEPT;
                !alive || (crowded && closed)
            })
            .map(|(key, _)| key)
            .collect();
        for key in old {
            self.ports.remove(key)?;
        }
        let in_vain: Vec<([u8; 16], Waiting)> = self
            .waiting
            .entries()
            .map(|(key, bytes)| (key, transmute!(bytes)))
            .filter(|(_, waiting): &(_, Waiting)| now.since(BootTime(waiting.last_at)) >= WAITING_KEPT)
            .collect();
        for (key, waiting) in in_vain {
            self.waiting.remove(key)?;
            self.expired = self.expired.saturating_add(waiting.count.saturating_sub(waiting.given));
        }
        Ok(())
    }

    pub(super) fn usage(&self) -> [MapUsage; 3] {
        [self.ports.usage(), self.waiting.usage(), self.gone.usage()]
    }

    fn tell_len(&mut self) -> Result<(), ProbeError> {
        let len = self.addresses.len() as u64;
        self.gone_len.set(0, len, 0).map_err(|source| ProbeError::Map { map: ".data.gone", source })
    }

    /// Whether a tally is another one than at the last call.
    fn has_changed(&mut self, which: u32) -> Result<bool, ProbeError> {
        let now = self.tally(which)?;
        let seen = &mut self.seen[which as usize];
        Ok(std::mem::replace(seen, now) != now)
    }

    fn tally(&self, which: u32) -> Result<u64, ProbeError> {
        let by_cpu = self.tallies.get(&which, 0).map_err(|source| ProbeError::Map { map: "TALLIES", source })?;
        Ok(by_cpu.iter().fold(0, |sum, tally| sum.saturating_add(*tally)))
    }
}

fn stale(address: IpAddr, count: u64, now: BootTime) -> Event {
    let kind = Kind::StaleConnections { address, count };
    Event { at: now, cgroup: CgroupId(0), counters: Default::default(), kind }
}

fn failed(bytes: [u8; size_of::<Gone>()]) -> u64 {
    let gone: Gone = transmute!(bytes);
    gone.failed
}

/// As the programs have it.
fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
