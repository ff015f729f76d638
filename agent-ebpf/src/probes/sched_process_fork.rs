//! Hook: `sched_process_fork(parent, child)`, in the parent's process, before the child runs.
//!
//! Feeds: processes and CPU time of a hook with all its descendants. Writes no record.
//! Without it: a hook's cost is that of its first process and of the descendants it has waited for.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::Hook;

use crate::kernel::Task;
use crate::state::{self, ENTERED, TREE};

#[btf_tracepoint(function = "sched_process_fork")]
fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx);
    0
}

#[inline(always)]
fn handle(ctx: &BtfTracePointContext) -> Option<()> {
    let tgid = state::current_tgid();
    // SAFETY: a value is one word.
    let root = *unsafe { TREE.get(tgid) }?;
    let child = Task(ctx.arg(1)).tgid();
    if child == tgid {
        return None; // a thread
    }
    let entered = ENTERED.get_ptr_mut(root)?;
    // SAFETY: only the address is taken.
    state::add(unsafe { &raw mut (*entered).processes }, 1);
    if TREE.insert(child, root, 0).is_err() {
        state::container(Task(ctx.arg(0)).cgroup_id())?.count_lost(Hook::SchedProcessFork);
    }
    Some(())
}
