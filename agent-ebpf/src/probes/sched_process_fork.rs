//! Hook: `sched_process_fork(parent, child)`, in the parent's process, before the child runs.
//!
//! Feeds: processes and CPU time of a hook with all its descendants. Writes no record.
//! Without it: of a hook's descendants only those are counted whose parent is still there when they execute a program or
//! exit.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::Hook;

use crate::kernel::Task;
use crate::{state, tree};

#[btf_tracepoint(function = "sched_process_fork")]
fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx);
    0
}

#[inline(always)]
fn handle(ctx: &BtfTracePointContext) -> Option<()> {
    let parent = Task(ctx.arg(0));
    let root = tree::root_of(parent)?;
    let child = Task(ctx.arg(1)).tgid();
    if child == parent.tgid() {
        return None; // a thread
    }
    if !tree::add(child, root) {
        state::container(parent.cgroup_id())?.count_lost(Hook::SchedProcessFork);
    }
    Some(())
}
