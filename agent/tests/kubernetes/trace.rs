//! Reads a recording of ftrace (`/sys/kernel/tracing/trace`): lines of events, and before them one line a cgroup with
//! the processes that were in it when the recording began.

use std::collections::BTreeMap;

use gracetrace::model::{BootTime, CgroupId, Pid};

/// A recording.
pub(crate) struct Trace {
    /// The cgroups of the pod at the beginning.
    pub(crate) cgroups: Vec<Cgroup>,
    /// The events, in their order.
    pub(crate) lines: Vec<Line>,
}

/// A cgroup and its processes.
pub(crate) struct Cgroup {
    pub(crate) id: CgroupId,
    /// From the root of the hierarchy.
    pub(crate) path: String,
    pub(crate) processes: Vec<Process>,
}

/// A process that was there at the beginning.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: Pid,
    pub(crate) comm: String,
}

/// One event.
pub(crate) struct Line {
    pub(crate) at: BootTime,
    /// The task that ran: a thread's id. Its name in front of it is no good: ftrace looks it up when the line is read.
    pub(crate) current: Pid,
    pub(crate) event: Event,
}

/// The events, with the fields that are used.
pub(crate) enum Event {
    Fork { comm: String, child: Pid, child_comm: String },
    Exec { filename: String },
    Exit { comm: String, group_dead: bool },
    SignalGenerate { signal: u8, code: i32, target: Pid, comm: String, result: u32 },
    SignalDeliver { signal: u8, handler: u64 },
    Attach { cgroup: CgroupId, path: String, pid: Pid },
    Populated { cgroup: CgroupId, path: String, populated: bool },
    Rmdir { cgroup: CgroupId },
}

impl Trace {
    pub(crate) fn parse(text: &str) -> Trace {
        let header = |line: &str| line.strip_prefix("# cgroup id(inode) ").map(cgroup);
        let cgroups = text.lines().filter_map(header).collect();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(line).collect();
        Trace { cgroups, lines }
    }

    /// Every cgroup that is named.
    pub(crate) fn paths(&self) -> BTreeMap<String, CgroupId> {
        let in_lines = self.lines.iter().filter_map(|line| match &line.event {
            Event::Attach { cgroup, path, .. } | Event::Populated { cgroup, path, .. } => Some((path.clone(), *cgroup)),
            _ => None,
        });
        in_lines.chain(self.cgroups.iter().map(|cgroup| (cgroup.path.clone(), cgroup.id))).collect()
    }
}

/// `5554 /sys/fs/cgroup/kubepods/…: 3489(sh,ppid 3439) 3508(sleep,ppid 3489) `
fn cgroup(text: &str) -> Cgroup {
    let (id, rest) = text.split_once(' ').unwrap();
    let (path, processes) = rest.split_once(": ").unwrap();
    let process = |text: &str| {
        let (pid, rest) = text.split_once('(').unwrap();
        let (comm, parent) = rest.split_once(",ppid ").unwrap();
        Process { pid: number(pid), parent: number(parent.strip_suffix(')').unwrap()), comm: comm.to_owned() }
    };
    Cgroup {
        id: CgroupId(id.parse().unwrap()),
        path: path.strip_prefix("/sys/fs/cgroup").unwrap().to_owned(),
        // A space stands before each `ppid` too.
        processes: processes
            .split(") ")
            .filter(|text| !text.is_empty())
            .map(|text| process(&format!("{text})")))
            .collect(),
    }
}

/// `  runc-3536    [001] .....  3415.810876: sched_process_exec: filename=/opt/node/bin/runc pid=3536 old_pid=3536`
fn line(text: &str) -> Line {
    let mut words = text.split_whitespace();
    let task = words.next().unwrap();
    let time = words.nth(2).unwrap().strip_suffix(':').unwrap();
    let name = words.next().unwrap().strip_suffix(':').unwrap();
    let words: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
    let field = |name: &str| words.iter().find(|(key, _)| *key == name).unwrap_or_else(|| panic!("{name} in {text}")).1;
    let text_of = |name: &str| field(name).to_owned();
    let cgroup = |name: &str| CgroupId(field(name).parse().unwrap());
    let event = match name {
        "sched_process_fork" => {
            Event::Fork { comm: text_of("comm"), child: number(field("child_pid")), child_comm: text_of("child_comm") }
        }
        "sched_process_exec" => Event::Exec { filename: text_of("filename") },
        "sched_process_exit" => Event::Exit { comm: text_of("comm"), group_dead: field("group_dead") == "true" },
        "signal_generate" => Event::SignalGenerate {
            signal: field("sig").parse().unwrap(),
            code: field("code").parse().unwrap(),
            target: number(field("pid")),
            comm: text_of("comm"),
            result: field("res").parse().unwrap(),
        },
        "signal_deliver" => Event::SignalDeliver {
            signal: field("sig").parse().unwrap(),
            handler: u64::from_str_radix(field("sa_handler"), 16).unwrap(),
        },
        "cgroup_attach_task" => {
            Event::Attach { cgroup: cgroup("dst_id"), path: text_of("dst_path"), pid: number(field("pid")) }
        }
        "cgroup_notify_populated" => {
            Event::Populated { cgroup: cgroup("id"), path: text_of("path"), populated: field("val") == "1" }
        }
        "cgroup_rmdir" => Event::Rmdir { cgroup: cgroup("id") },
        other => panic!("an event that nobody reads: {other}"),
    };
    let (seconds, fraction) = time.split_once('.').unwrap();
    let micros: u64 = format!("{seconds}{fraction}").parse().unwrap();
    Line { at: BootTime(micros * 1000), current: number(task.rsplit_once('-').unwrap().1), event }
}

fn number(text: &str) -> Pid {
    Pid(text.parse().unwrap())
}
