//! A loaded probe, and what it has said so far.

use std::cell::Cell;

use gracetrace::model::{
    BootTime, CgroupId, CgroupKind, Connection, Counters, Event, Exec, Exit, Kind, Pid, SignalSent,
};
use gracetrace::probe::{Batch, Losses, Options, Probe, Standbys};
use tokio::time::timeout;

use crate::container::{Cgroup, PATIENCE};

thread_local! {
    /// Which programs a probe of this thread loads, of hooks that have a standby.
    static STANDBYS: Cell<Standbys> = const { Cell::new(Standbys::WhereNeeded) };
}

/// Runs a test of another module with other programs.
pub(crate) fn with_standbys(standbys: Standbys, test: fn()) {
    STANDBYS.set(standbys);
    test();
}

pub(crate) struct Watch {
    pub(crate) probe: Probe,
    /// Everything received, the oldest first.
    pub(crate) events: Vec<Event>,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch::with(&Options { ring_bytes: 1 << 20, ..Options::default() })
    }

    pub(crate) fn with(options: &Options) -> Watch {
        let options = Options { standbys: STANDBYS.get(), ..options.clone() };
        let probe = Probe::load(&options).unwrap_or_else(|error| panic!("{error}"));
        Watch { probe, events: Vec::new() }
    }

    /// Tracks a cgroup as a container.
    pub(crate) fn track(&mut self, cgroup: &Cgroup) -> CgroupId {
        let id = cgroup.id();
        self.probe.track(id, id, CgroupKind::Container, None).unwrap();
        id
    }

    /// Tracks a cgroup as something above containers.
    pub(crate) fn track_ancestor(&mut self, cgroup: &Cgroup) {
        self.probe.track(cgroup.id(), cgroup.id(), CgroupKind::Ancestor, None).unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Batch {
        let batch = self.probe.next_batch(&mut self.events).await.unwrap();
        assert_eq!((batch.malformed.iter().sum::<u64>(), batch.unknown), (0, 0));
        batch
    }

    /// Waits for an event and returns it.
    pub(crate) async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let mut looked_at = 0;
        let search = async {
            loop {
                while let Some(event) = self.events.get(looked_at) {
                    looked_at += 1;
                    if let Some(found) = wanted(event) {
                        return found;
                    }
                }
                self.receive().await;
            }
        };
        match timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("{what}: not among {:#?}", self.events),
        }
    }

    pub(crate) async fn exec(&mut self, pid: Pid) -> (Event, Exec) {
        self.until("an exec", |event| match &event.kind {
            Kind::Exec(exec) if exec.pid == pid => Some((event.clone(), exec.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn exit(&mut self, pid: Pid) -> (Event, Exit) {
        self.until("an exit", |event| match &event.kind {
            Kind::Exit(exit) if exit.pid == pid => Some((event.clone(), exit.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn signal_sent(&mut self, pid: Pid, signal: u8) -> (Event, SignalSent) {
        self.until("a signal", |event| match &event.kind {
            Kind::SignalSent(sent) if sent.pid == pid && sent.signal.0 == signal => Some((event.clone(), sent.clone())),
            _ => None,
        })
        .await
    }

    /// Everything that this container has to tell by now, by a process put into it. Returns its counters.
    pub(crate) async fn snapshot(&mut self, cgroup: &Cgroup) -> Counters {
        let done = cgroup.run(&["true"]);
        self.exit(done.pid).await.0.counters
    }

    /// Takes snapshots until one is as wanted.
    pub(crate) async fn counters_until(
        &mut self,
        what: &str,
        cgroup: &Cgroup,
        wanted: impl Fn(&Counters) -> bool,
    ) -> Counters {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let counters = self.snapshot(cgroup).await;
            if wanted(&counters) {
                return counters;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what}: {counters:?}");
        }
    }

    /// Has the connections counted that tracked cgroups had before. Tells how many there were.
    pub(crate) fn seed(&mut self) -> u64 {
        self.probe.begin_seeding().unwrap().expect("this kernel has iterators").run().unwrap();
        self.probe.end_seeding().unwrap()
    }

    /// Changes of connections that were told so far, the oldest first.
    pub(crate) fn changes(&self) -> Vec<(&Event, Connection)> {
        let told = self.events.iter().filter_map(|event| match event.kind {
            Kind::Connection(connection) => Some((event, connection)),
            _ => None,
        });
        told.collect()
    }

    pub(crate) fn losses(&mut self) -> Losses {
        self.probe.losses(BootTime(1)).unwrap()
    }

    pub(crate) fn of(&self, cgroup: CgroupId) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.cgroup == cgroup)
    }
}
