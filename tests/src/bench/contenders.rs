//! Who is measured: the agent, and on request what others do on the same events. Each in turns with nothing at all.

use std::path::Path;

use anyhow::Result;

use super::agent::Agent;
use super::empty::Empty;
use super::peers::{self, Running};
use super::place::Place;
use super::print::Entry;
use super::rounds::{Kind, Worker};
use super::stats::{Spread, median};

/// Blocks of each kind of which the quickest is one side of a pair: others on the machine only make them slower.
const BLOCKS: usize = 5;

/// The name of what others are compared with, too.
const EMPTY: &str = "empty-program";

/// Somebody to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Gracetrace,
    Empty,
    Tcpstates,
    Bpftrace,
    /// Both at once: they tell of the begin and of the end.
    Snoops,
}

/// Whoever runs. Stopped before it is dropped, unless something went wrong.
enum Active {
    Agent(Agent),
    Program(#[expect(dead_code, reason = "held while it is measured")] Empty),
    Tools(Vec<Running>),
}

impl Who {
    fn start(self, place: &Place, agent: &Path, worker: &mut Worker) -> Result<Active> {
        let tools = match self {
            Who::Gracetrace => return Ok(Active::Agent(Agent::start(place, agent, &[])?)),
            Who::Empty => return Ok(Active::Program(Empty::attach(c"inet_sock_set_state")?)),
            Who::Tcpstates => vec![peers::TCPSTATES.start(worker, Kind::Tcp)?],
            Who::Bpftrace => vec![peers::BPFTRACE.start(worker, Kind::Tcp)?],
            Who::Snoops => {
                vec![peers::EXECSNOOP.start(worker, Kind::Exec)?, peers::EXITSNOOP.start(worker, Kind::Exec)?]
            }
        };
        Ok(Active::Tools(tools))
    }

    /// What is done while it runs: the name of the result, the kind, and whether it is in a pod.
    fn work(self) -> &'static [(&'static str, Kind, bool)] {
        match self {
            Who::Gracetrace => &[
                ("gracetrace-pod", Kind::Tcp, true),
                ("gracetrace-pod", Kind::Exec, true),
                ("gracetrace-node", Kind::Tcp, false),
                ("gracetrace-node", Kind::Exec, false),
            ],
            Who::Empty => &[(EMPTY, Kind::Tcp, true)],
            Who::Tcpstates => &[("tcpstates", Kind::Tcp, true)],
            Who::Bpftrace => &[("bpftrace", Kind::Tcp, true)],
            Who::Snoops => &[("execsnoop+exitsnoop", Kind::Exec, true)],
        }
    }
}

impl Active {
    fn stop(self) -> Result<()> {
        match self {
            Active::Agent(agent) => agent.stop(),
            Active::Program(_) => Ok(()),
            Active::Tools(tools) => tools.into_iter().try_for_each(Running::stop),
        }
    }
}

/// One of them, with what was measured.
struct Contender {
    who: Who,
    subjects: Vec<Subject>,
    /// Why it cannot be measured here.
    failed: Option<String>,
}

/// One kind of round in one place, and its times in nanoseconds, a pair each.
struct Subject {
    kind: Kind,
    variant: &'static str,
    worker: Worker,
    with: Vec<f64>,
    without: Vec<f64>,
}

/// Every kind of round with each of them against without, and the agent's against the empty program's.
pub(super) fn measure(place: &Place, agent: &Path, pairs: u32, with_peers: bool) -> Result<Vec<Entry>> {
    let who: &[Who] = match with_peers {
        true => &[Who::Empty, Who::Gracetrace, Who::Bpftrace, Who::Tcpstates, Who::Snoops],
        false => &[Who::Gracetrace],
    };
    let mut contenders = who.iter().map(|who| Contender::new(*who, place)).collect::<Result<Vec<_>>>()?;
    for pair in 0..pairs {
        eprintln!("pair {} of {pairs}", pair + 1);
        for contender in contenders.iter_mut().filter(|contender| contender.failed.is_none()) {
            let measured = contender.measure(place, agent, pair % 2 == 1);
            match measured {
                // Without the agent there is nothing to tell.
                Err(error) if contender.who == Who::Gracetrace => return Err(error),
                Err(error) => contender.failed = Some(format!("{error:#}")),
                Ok(()) => {}
            }
        }
    }
    let mut entries: Vec<Entry> = contenders.iter().flat_map(Contender::entries).collect();
    entries.extend(against_empty(&contenders));
    Ok(entries)
}

/// What the agent adds to being called at all.
fn against_empty(contenders: &[Contender]) -> Option<Entry> {
    let find = |who: Who| contenders.iter().find(|contender| contender.who == who && contender.failed.is_none());
    let (empty, agent) = (find(Who::Empty)?.subjects.first()?, find(Who::Gracetrace)?.subjects.first()?);
    let ratios: Vec<f64> = agent.ratios().zip(empty.ratios()).map(|(agent, empty)| agent / empty).collect();
    Some(Entry::Ratio {
        name: agent.kind.name(),
        variant: agent.variant,
        baseline: EMPTY,
        ratio: Spread::of(&ratios),
        bare_ns: median(&empty.with),
        ns: median(&agent.with),
        pairs: ratios.len(),
    })
}

impl Contender {
    fn new(who: Who, place: &Place) -> Result<Contender> {
        let subject = |(variant, kind, in_pod): &(&'static str, Kind, bool)| {
            let cgroup = if *in_pod { place.pod_cgroup() } else { place.node_cgroup() };
            let mut worker = Worker::start(place, cgroup)?;
            // Once for nothing: the first is the slowest.
            worker.block(*kind)?;
            Ok(Subject { kind: *kind, variant, worker, with: Vec::new(), without: Vec::new() })
        };
        Ok(Contender { who, subjects: who.work().iter().map(subject).collect::<Result<_>>()?, failed: None })
    }

    /// One pair. They swap their order, so that a machine that gets slower meanwhile favours neither.
    fn measure(&mut self, place: &Place, agent: &Path, with_first: bool) -> Result<()> {
        for with in [with_first, !with_first] {
            let active = match self.subjects.first_mut().filter(|_| with) {
                Some(first) => Some(self.who.start(place, agent, &mut first.worker)?),
                None => None,
            };
            for subject in &mut self.subjects {
                subject.measure(with)?;
            }
            active.map(Active::stop).transpose()?;
        }
        Ok(())
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |subject: &Subject| match &self.failed {
            Some(why) => Entry::Unmeasured { name: subject.kind.name(), variant: subject.variant, why: why.clone() },
            None => subject.entry(),
        };
        self.subjects.iter().map(entry).collect()
    }
}

impl Subject {
    fn measure(&mut self, with: bool) -> Result<()> {
        let mut quickest = f64::INFINITY;
        for _ in 0..BLOCKS {
            quickest = quickest.min(self.worker.block(self.kind)?);
        }
        let side = if with { &mut self.with } else { &mut self.without };
        side.push(quickest);
        Ok(())
    }

    fn ratios(&self) -> impl Iterator<Item = f64> {
        self.with.iter().zip(&self.without).map(|(with, without)| with / without)
    }

    fn entry(&self) -> Entry {
        let ratios: Vec<f64> = self.ratios().collect();
        Entry::Ratio {
            name: self.kind.name(),
            variant: self.variant,
            baseline: "bare",
            ratio: Spread::of(&ratios),
            bare_ns: median(&self.without),
            ns: median(&self.with),
            pairs: ratios.len(),
        }
    }
}
