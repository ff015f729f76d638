//! The node of a recording: which task is whose thread, whose child and in which cgroup, and what the eBPF programs say
//! of it. Each method named after a hook is its program in `agent-ebpf/src/probes`, rule by rule. What a rule needs and
//! ftrace does not tell is concluded, and said so: arguments, exit statuses, `CLONE_PARENT` and `CLONE_INTO_CGROUP`. Not
//! there at all, and 0: connections, CPU time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gracetrace::identity::{FoundCgroup, InitProcess, Update};
use gracetrace::model::{
    Argv, CgroupId, CgroupKind, Comm, Counters, Event, Exec, Exit, Kind, Pid, Signal, SignalDelivered, SignalSent,
    WaitStatus,
};

use crate::trace::{self, Line, Trace};

/// See the module.
pub(crate) struct Node {
    tasks: BTreeMap<Pid, Task>,
    /// The maps `CGROUPS`, `CONTAINERS` with `INITS`, and `ENTERED` with `TREE` in `tasks`.
    tracked: BTreeMap<CgroupId, (CgroupId, CgroupKind)>,
    /// Made, and the agent has not said yet what it is.
    pending: BTreeSet<CgroupId>,
    containers: BTreeMap<CgroupId, Container>,
    trees: BTreeMap<Pid, u64>,
    /// Every cgroup below a root of pods that the recording names. One that is made while it runs is there from the
    /// first line that names it: `cgroup_mkdir` was not recorded.
    paths: BTreeMap<String, CgroupId>,
    found: Vec<FoundCgroup>,
    /// Processes that were there at the beginning, by name: their threads are not listed.
    listed: Vec<(String, Pid)>,
    /// The command of the hook: ftrace does not record arguments.
    hook: Vec<String>,
    clone_into: Option<CgroupId>,
    events: Vec<Event>,
}

#[derive(Debug, Clone)]
struct Task {
    process: Pid,
    parent: Option<Pid>,
    cgroup: Option<CgroupId>,
    comm: String,
    /// SIGKILL was sent to it and found it alive.
    killed: bool,
    /// The process that entered the container, if this is one of its tree.
    root: Option<Pid>,
}

#[derive(Default)]
struct Container {
    init: Option<Pid>,
    stop: Option<u8>,
    forwarded: u64,
}

const TERM: u8 = 15;
const KILL: u8 = 9;
const SI_KERNEL: i32 = 128;
const HIERARCHY_ROOT: CgroupId = CgroupId(1);

impl Node {
    /// The node as the recording begins. `hook` is the command of the pod's hook.
    pub(crate) fn new(trace: &Trace, hook: &[String]) -> Node {
        let mut node = Node {
            tasks: BTreeMap::new(),
            tracked: BTreeMap::new(),
            pending: BTreeSet::new(),
            containers: BTreeMap::new(),
            trees: BTreeMap::new(),
            paths: trace.paths(),
            found: Vec::new(),
            listed: Vec::new(),
            hook: hook.to_vec(),
            clone_into: None,
            events: Vec::new(),
        };
        // Ids only grow: those up to the pod's own were there before.
        let newest = trace.cgroups.iter().map(|cgroup| cgroup.id).max().unwrap();
        for (path, id) in node.paths.iter().filter(|(_, id)| **id <= newest) {
            let parent = node.paths.get(above(path)).copied().unwrap_or(HIERARCHY_ROOT);
            node.found.push(FoundCgroup { id: *id, parent, path: path.clone(), init: None });
        }
        for cgroup in trace.cgroups.iter().filter(|cgroup| !cgroup.processes.is_empty()) {
            let inside = |pid: Pid| cgroup.processes.iter().any(|process| process.pid == pid);
            let init = cgroup.processes.iter().find(|process| !inside(process.parent)).unwrap();
            let init = InitProcess { pid: init.pid, comm: Comm::new(init.comm.as_bytes()) };
            node.found.iter_mut().find(|found| found.id == cgroup.id).unwrap().init = Some(init);
            for process in &cgroup.processes {
                let (parent, comm) = (Some(process.parent), process.comm.clone());
                let cgroup = Some(cgroup.id);
                let task = Task { process: process.pid, parent, cgroup, comm, killed: false, root: None };
                node.tasks.insert(process.pid, task);
                node.listed.push((process.comm.clone(), process.pid));
            }
        }
        // runc 1.5 starts the stages of an exec with clone3(2) and CLONE_INTO_CGROUP, of which no tracepoint tells.
        // 1.3 moves the last stage, and `cgroup_attach_task` tells.
        let attaches = trace.lines.iter().any(|line| matches!(line.event, trace::Event::Attach { .. }));
        let app = node.found.iter().find(|found| found.init.is_some_and(|init| init.comm.as_bytes() != b"pause"));
        node.clone_into = app.map(|found| found.id).filter(|_| !attaches);
        node
    }

    /// What walking the tree of cgroups finds.
    pub(crate) fn walk(&self) -> Update {
        Update::Cgroups { root: HIERARCHY_ROOT, found: self.found.clone(), complete: true }
    }

    /// What the agent writes into the maps.
    pub(crate) fn track(&mut self, cgroup: CgroupId, owner: CgroupId, kind: CgroupKind, init: Option<Pid>) {
        self.tracked.insert(cgroup, (owner, kind));
        self.pending.remove(&cgroup);
        let container = self.containers.entry(owner).or_default();
        container.init = init.or(container.init);
    }

    /// What the agent takes out of them.
    pub(crate) fn untrack(&mut self, cgroup: CgroupId) {
        self.tracked.remove(&cgroup);
        self.containers.remove(&cgroup);
    }

    /// Takes a line; what the programs write into the ring buffer.
    pub(crate) fn handle(&mut self, line: &Line) -> Vec<Event> {
        match &line.event {
            trace::Event::Fork { comm, child, child_comm } => self.sched_process_fork(line, comm, *child, child_comm),
            trace::Event::Exec { filename } => self.sched_process_exec(line, filename),
            trace::Event::Exit { comm, group_dead } => self.sched_process_exit(line, comm, *group_dead),
            trace::Event::SignalGenerate { signal, code, target, comm, result } => {
                self.signal_generate(line, Signal(*signal), *code, (*target, comm), *result);
            }
            trace::Event::SignalDeliver { signal, handler } => self.signal_deliver(line, Signal(*signal), *handler),
            trace::Event::Attach { cgroup, path, pid } => {
                self.cgroup_mkdir(line, path);
                if let Some(task) = self.tasks.get_mut(pid) {
                    task.cgroup = Some(*cgroup);
                }
            }
            trace::Event::Populated { cgroup, path, populated } => {
                self.cgroup_mkdir(line, path);
                if self.tracked.get(cgroup).is_some_and(|(_, kind)| *kind != CgroupKind::Nested) {
                    self.push(line, *cgroup, if *populated { Kind::CgroupPopulated } else { Kind::CgroupEmpty });
                }
            }
            trace::Event::Rmdir { cgroup } => {
                if self.tracked.contains_key(cgroup) {
                    self.push(line, *cgroup, Kind::CgroupRemoved);
                }
            }
        }
        std::mem::take(&mut self.events)
    }
}

/// The hooks.
impl Node {
    fn sched_process_fork(&mut self, line: &Line, comm: &str, child: Pid, child_comm: &str) {
        let forker = self.task(line.current, comm);
        let mut task = Task { process: child, parent: Some(forker.process), ..forker.clone() };
        if comm == "runc:[2:INIT]" {
            // Written in Go: what it starts before it executes the command are threads.
            task = Task { process: forker.process, parent: forker.parent, ..task };
        } else if comm.starts_with("runc:[") {
            // The stages of `runc init` are siblings: clone(2) with CLONE_PARENT (libcontainer/nsenter/nsexec.c,
            // `clone_parent`).
            task.parent = forker.parent;
        }
        child_comm.clone_into(&mut task.comm);
        if let Some(count) = forker.root.filter(|_| task.process == child).and_then(|root| self.trees.get_mut(&root)) {
            *count += 1;
        }
        self.tasks.insert(child, task);
    }

    fn sched_process_exec(&mut self, line: &Line, filename: &str) {
        let before = self.task(line.current, "");
        let by_runtime = before.comm.starts_with("runc");
        let pid = before.process;
        let comm = filename.rsplit('/').next().unwrap();
        let task = self.tasks.entry(pid).or_insert(before);
        comm.clone_into(&mut task.comm);
        if by_runtime && filename.starts_with("/proc/self/fd/") {
            task.cgroup = self.clone_into.or(task.cgroup);
        }
        let task = task.clone();
        let Some(container) = self.container(task.cgroup) else { return };
        let entered = self.is_entered(&task, container);
        let init_pid = self.containers[&container].init;
        // Its number in its pid namespace is not recorded: the first that the runtime puts there is the init.
        let init = init_pid == Some(pid) || (entered && init_pid.is_none());
        if !entered && !init {
            return;
        }
        let is_runtime = filename.starts_with("/dev/fd/")
            || filename.starts_with("/proc/self/fd/")
            || (filename == "/proc/self/exe" && by_runtime);
        if is_runtime {
            return;
        }
        // The program that the pod's hook names has the hook's arguments, any other none but its name.
        let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let is_hook = entered && !init && self.hook.first().is_some_and(|program| name(program) == comm);
        let words = if is_hook { self.hook.clone() } else { vec![comm.to_owned()] };
        let argv: Vec<u8> = words.iter().flat_map(|word| word.bytes().chain([0])).collect();
        if init {
            self.containers.get_mut(&container).unwrap().init = Some(pid);
        } else {
            self.trees.entry(pid).or_insert(1);
            self.tasks.get_mut(&pid).unwrap().root = Some(pid);
        }
        let exec = Exec {
            pid,
            parent: task.parent.unwrap_or(Pid(0)),
            init,
            entered,
            comm: Comm::new(comm.as_bytes()),
            filename: filename.to_owned(),
            argv: Argv::new(&argv[..argv.len().min(512)], u32::try_from(argv.len()).unwrap()),
        };
        self.push(line, container, Kind::Exec(exec));
    }

    fn sched_process_exit(&mut self, line: &Line, comm: &str, group_dead: bool) {
        let task = self.task(line.current, comm);
        let pid = task.process;
        let Some(container) = self.container(task.cgroup).filter(|_| group_dead) else { return };
        // The status is not recorded. Of these processes the kubelet says that they left with 0, or died of SIGKILL.
        let status = WaitStatus(if self.tasks[&pid].killed { KILL.into() } else { 0 });
        let init = self.containers[&container].init == Some(pid);
        let (entered, processes) = match task.root {
            Some(root) if root != pid => return,
            Some(_) => (true, self.trees.remove(&pid).unwrap()),
            None => (self.is_entered(&task, container), 1),
        };
        if task.root.is_none() && !init && (!entered || status == WaitStatus(0)) {
            return;
        }
        let comm = Comm::new(comm.as_bytes());
        let exit = Exit { pid, status, init, entered, comm, cpu: Duration::ZERO, processes };
        self.push(line, container, Kind::Exit(exit));
    }

    fn signal_generate(&mut self, line: &Line, signal: Signal, code: i32, target: (Pid, &str), result: u32) {
        let sender = self.task(line.current, "");
        let target = self.task(target.0, target.1);
        if signal == Signal(KILL) && result == 0 {
            self.tasks.get_mut(&target.process).unwrap().killed = true;
        }
        let Some(container) = self.container(target.cgroup) else { return };
        let kernel_kill = signal == Signal(KILL) && code == SI_KERNEL;
        let by_process = matches!(code, 0 | -1 | -6);
        if !by_process && !kernel_kill {
            return;
        }
        let sender_cgroup = self.container(sender.cgroup);
        let inside = sender_cgroup == Some(container);
        let state = self.containers.get_mut(&container).unwrap();
        let to_init = state.init == Some(target.process);
        let by_init = state.init == Some(sender.process);
        if by_process && inside {
            let passes_on = matches!(signal.0, TERM | 2 | 3 | 1) || Some(signal.0) == state.stop;
            state.forwarded += u64::from(by_init && !to_init && state.stop.is_some() && passes_on);
            return;
        }
        if (kernel_kill && inside && by_init && !to_init) || (!to_init && signal != Signal(KILL)) {
            return;
        }
        if to_init && !matches!(signal.0, KILL | 18 | 19) {
            state.stop = state.stop.or(Some(signal.0));
        }
        let sent = SignalSent {
            pid: target.process,
            init: to_init,
            comm: Comm::new(target.comm.as_bytes()),
            signal,
            code,
            ignored: result == 1,
            sender: sender.process,
            sender_comm: Comm::new(sender.comm.as_bytes()),
            sender_cgroup,
        };
        self.push(line, container, Kind::SignalSent(sent));
    }

    fn signal_deliver(&mut self, line: &Line, signal: Signal, handler: u64) {
        let task = self.task(line.current, "");
        let Some(container) = self.container(task.cgroup) else { return };
        let state = &self.containers[&container];
        let awaited = state.stop.is_some_and(|stop| signal.0 == stop || signal.0 == TERM);
        if awaited && state.init == Some(task.process) {
            self.push(line, container, Kind::SignalDelivered(SignalDelivered { pid: task.process, signal, handler }));
        }
    }

    /// Makes the cgroups on the way down to a path that are not there yet.
    fn cgroup_mkdir(&mut self, line: &Line, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for path in ends.map(|end| &path[..end]) {
            let Some((&id, &parent)) = self.paths.get(path).zip(self.paths.get(above(path))) else { continue };
            let Some((owner, kind)) = self.tracked.get(&parent).copied() else { continue };
            if self.tracked.contains_key(&id) || self.found.iter().any(|found| found.id == id) {
                continue;
            }
            // What is pending counts as a container, but what is made below it is pending too.
            let nested = kind != CgroupKind::Ancestor && !self.pending.contains(&parent);
            let (owner, kind) = if nested { (owner, CgroupKind::Nested) } else { (id, CgroupKind::Container) };
            if !nested {
                self.pending.insert(id);
            }
            self.tracked.insert(id, (owner, kind));
            self.containers.entry(owner).or_default();
            self.push(line, id, Kind::CgroupCreated { parent, path: path.to_owned(), truncated: false });
        }
    }
}

/// What the hooks ask for.
impl Node {
    /// A task. One that nobody has listed or started is a thread of the listed process of that name, or else outside.
    fn task(&mut self, pid: Pid, comm: &str) -> Task {
        if let Some(task) = self.tasks.get(&pid) {
            return task.clone();
        }
        let process = self.listed.iter().find(|(name, _)| name == comm).map(|(_, process)| *process);
        let task = match process {
            Some(process) => self.tasks[&process].clone(),
            None => {
                let comm = comm.to_owned();
                Task { process: pid, parent: None, cgroup: None, comm, killed: false, root: None }
            }
        };
        // Its name may come with a later line.
        if !comm.is_empty() {
            self.tasks.insert(pid, task.clone());
        }
        task
    }

    fn container(&self, cgroup: Option<CgroupId>) -> Option<CgroupId> {
        let (owner, kind) = self.tracked.get(&cgroup?)?;
        (*kind != CgroupKind::Ancestor).then_some(*owner)
    }

    fn is_entered(&self, task: &Task, container: CgroupId) -> bool {
        let parent = task.parent.and_then(|parent| self.tasks.get(&parent));
        self.container(parent.and_then(|parent| parent.cgroup)) != Some(container)
    }

    fn push(&mut self, line: &Line, cgroup: CgroupId, kind: Kind) {
        let owner = self.tracked.get(&cgroup).map_or(cgroup, |(owner, _)| *owner);
        let forwarded = self.containers.get(&owner).map_or(0, |container| container.forwarded);
        let counters = Counters { forwarded, ..Counters::default() };
        self.events.push(Event { at: line.at, cgroup, counters, kind });
    }
}

/// The path above.
fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}
