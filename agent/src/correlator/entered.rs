//! Processes that came into a container from outside: which programs they executed, and how they ended.

use std::time::Duration;

use super::evidence::is_runtime;
use crate::model::{BootTime, Comm, Counters, Exec, Exit, Kind, LifecycleHandler, Pid, WaitStatus};

/// Their records, sorted by time. Processes are told apart by pid and time when read, so a reused pid is another one.
#[derive(Debug, Clone, Default)]
pub(super) struct Entered {
    records: Vec<Record>,
}

#[derive(Debug, Clone)]
struct Record {
    at: BootTime,
    pid: Pid,
    counters: Counters,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Exec(Exec),
    Exit { status: WaitStatus, comm: Comm, cpu: Duration, processes: u64 },
}

/// One process.
#[derive(Debug, Clone, Default)]
pub(super) struct Process<'a> {
    /// Indices of its records.
    records: Vec<usize>,
    /// The programs it executed, without the runtime's own stages.
    pub(super) execs: Vec<(BootTime, &'a Exec, &'a Counters)>,
    /// Its end.
    pub(super) end: Option<End>,
}

/// The end of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) at: BootTime,
    pub(super) status: WaitStatus,
    pub(super) cpu: Duration,
    pub(super) processes: u64,
    /// It never became a program: the runtime could not execute it.
    pub(super) failed_exec: bool,
    pub(super) counters: Counters,
}

impl Process<'_> {
    /// When it executed the hook's command.
    pub(super) fn hook_start(&self, hook: Option<&LifecycleHandler>) -> Option<(BootTime, Counters)> {
        let Some(LifecycleHandler::Exec(command)) = hook else { return None };
        let (at, _, counters) = self.execs.iter().find(|(_, exec, _)| exec.is_of(command))?;
        Some((*at, **counters))
    }
}

impl Entered {
    /// Whether any of them executed a program that is not the runtime's.
    pub(super) fn ran_a_program(&self) -> bool {
        self.records.iter().any(|record| match &record.what {
            What::Exec(exec) => !is_runtime(&exec.comm, &exec.filename),
            What::Exit { comm, .. } => !is_runtime(comm, ""),
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn exec(&mut self, at: BootTime, exec: &Exec, counters: Counters) {
        self.insert(Record { at, pid: exec.pid, counters, what: What::Exec(exec.clone()) });
    }

    pub(super) fn exit(&mut self, at: BootTime, exit: &Exit, counters: Counters) {
        let what = What::Exit { status: exit.status, comm: exit.comm, cpu: exit.cpu, processes: exit.processes };
        self.insert(Record { at, pid: exit.pid, counters, what });
    }

    /// The records as they came.
    pub(super) fn export(&self) -> impl Iterator<Item = (BootTime, Counters, Kind)> {
        self.records.iter().map(|record| {
            let kind = match &record.what {
                What::Exec(exec) => Kind::Exec(Exec { init: false, entered: true, ..exec.clone() }),
                What::Exit { status, comm, cpu, processes } => Kind::Exit(Exit {
                    pid: record.pid,
                    status: *status,
                    init: false,
                    entered: true,
                    comm: *comm,
                    cpu: *cpu,
                    processes: *processes,
                }),
            };
            (record.at, record.counters, kind)
        })
    }

    /// The processes, in the order of their first record.
    pub(super) fn processes(&self) -> Vec<Process<'_>> {
        let mut found: Vec<(Pid, Process<'_>)> = Vec::new();
        for (index, record) in self.records.iter().enumerate() {
            let known = found.iter().position(|(pid, process)| *pid == record.pid && process.end.is_none());
            let known = known.unwrap_or_else(|| {
                found.push((record.pid, Process::default()));
                found.len() - 1
            });
            let process = &mut found[known].1;
            process.records.push(index);
            match &record.what {
                What::Exec(exec) if is_runtime(&exec.comm, &exec.filename) => {}
                What::Exec(exec) => process.execs.push((record.at, exec, &record.counters)),
                What::Exit { status, comm, cpu, processes } => {
                    let failed_exec = process.execs.is_empty() && is_runtime(comm, "");
                    process.end = Some(End {
                        at: record.at,
                        status: *status,
                        cpu: *cpu,
                        processes: *processes,
                        failed_exec,
                        counters: record.counters,
                    });
                }
            }
        }
        found.into_iter().map(|(_, process)| process).collect()
    }

    /// Drops records over `max`, and tells how many: those of the oldest process that has ended and was no run of the
    /// hook; else of a later run than the first; else of a process that executes one program after another.
    pub(super) fn shrink(&mut self, max: usize, hook: Option<&LifecycleHandler>) -> u64 {
        if self.records.len() <= max {
            return 0;
        }
        let processes = self.processes();
        let is_run = |process: &Process<'_>| process.hook_start(hook).is_some();
        let other = processes.iter().find(|it| it.end.is_some() && !is_run(it));
        let run = || processes.iter().filter(|it| it.end.is_some() && is_run(it)).nth(1);
        let drop: Vec<usize> = match other.or_else(run) {
            Some(process) => process.records.clone(),
            None => processes.iter().find(|it| it.records.len() > 2).map_or(vec![0], |it| vec![it.records[1]]),
        };
        let mut index = 0;
        self.records.retain(|_| {
            index += 1;
            !drop.contains(&(index - 1))
        });
        drop.len() as u64
    }

    fn insert(&mut self, record: Record) {
        let rank = |it: &Record| (it.at, matches!(it.what, What::Exit { .. }), it.pid);
        let index = self.records.partition_point(|known| rank(known) <= rank(&record));
        self.records.insert(index, record);
    }
}
