//! Trees of processes: those that entered a container, and their descendants. Who belongs to which, and how many there
//! were.
//!
//! `sched_process_fork` tells of every new process, but not to every run of its program. Since 7.0 or so the programs of a
//! tracepoint can be preempted, and the kernel does not run a program again on a CPU where it is not through
//! (`__bpf_trace_run` in kernel/trace/bpf_trace.c). So a process whose fork nobody saw is taken in when it is seen the next
//! time, by way of its parent.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use gracetrace_ebpf::Entered;

use crate::kernel::Task;
use crate::state;

/// Processes that entered a container, by process id.
#[map]
static ENTERED: HashMap<u32, Entered> = HashMap::with_max_entries(8_192, 0);

/// Those and their descendants, by process id; the value is the one that entered.
#[map]
static TREE: HashMap<u32, u32> = HashMap::with_max_entries(65_536, 0);

/// Begins a tree with a process that entered. False when there is no room for it.
#[inline(always)]
pub(crate) fn begin(pid: u32, cpu_before_ns: u64) -> bool {
    let start = Entered { cpu_before_ns, descendants_cpu_ns: 0, processes: 1 };
    // It stays the same one when it executes another program.
    let _ = ENTERED.insert(pid, start, u64::from(BPF_NOEXIST));
    TREE.insert(pid, pid, u64::from(BPF_ANY)).is_ok()
}

/// The process that entered and that a process descends from, or is. Before it exits only.
#[inline(always)]
pub(crate) fn root_of(task: Task) -> Option<u32> {
    root(task.tgid()).or_else(|| take_in(task))
}

/// The same by process id, of one that is known.
#[inline(always)]
pub(crate) fn root(pid: u32) -> Option<u32> {
    // SAFETY: a value is one word.
    unsafe { TREE.get(pid) }.copied()
}

/// Takes in a process whose fork was not seen, if its parent is known.
#[inline(always)]
pub(crate) fn take_in(task: Task) -> Option<u32> {
    let root = root(task.real_parent().tgid())?;
    insert(task.tgid(), root, BPF_NOEXIST)?.ok()?;
    Some(root)
}

/// Adds a new process to the tree of one that entered. False when there is no room for it.
#[inline(always)]
pub(crate) fn add(pid: u32, root: u32) -> bool {
    // What an earlier process with this id has left behind, if its exit was not seen, gives way.
    insert(pid, root, BPF_ANY).is_none_or(|inserted| inserted.is_ok())
}

/// `None` when the one that entered is gone: nobody asks for the rest of its tree then.
#[inline(always)]
fn insert(pid: u32, root: u32, flags: u32) -> Option<Result<(), ()>> {
    let entered = ENTERED.get_ptr_mut(root)?;
    if TREE.insert(pid, root, u64::from(flags)).is_err() {
        return Some(Err(()));
    }
    // SAFETY: only the address is taken.
    state::add(unsafe { &raw mut (*entered).processes }, 1);
    Some(Ok(()))
}

/// Removes a descendant that exits and adds what it has cost. Of two threads that both look like the last one, only one
/// can remove it.
#[inline(always)]
pub(crate) fn leave(pid: u32, root: u32, cpu_ns: u64) {
    if TREE.remove(pid).is_ok()
        && let Some(entered) = ENTERED.get_ptr_mut(root)
    {
        // SAFETY: only the address is taken.
        state::add(unsafe { &raw mut (*entered).descendants_cpu_ns }, cpu_ns);
    }
}

/// Removes one that entered and exits, and returns what its tree has cost.
#[inline(always)]
pub(crate) fn end(pid: u32) -> Option<Entered> {
    // SAFETY: plain words.
    let entered: Entered = *unsafe { ENTERED.get(pid) }?;
    ENTERED.remove(pid).ok()?;
    let _ = TREE.remove(pid);
    Some(entered)
}
