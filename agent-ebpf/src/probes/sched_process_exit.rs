//! Hook: `sched_process_exit(task[, group_dead])`, in the dying thread. Its files and sockets are still open then.
//!
//! Feeds: end, exit code and cost of hooks; end and exit code of a container's init, with the connections it cuts.
//! Without it: no termination is seen to end before its cgroup is empty, and no hook has a result.

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::{Exit, FLAG_ENTERED, FLAG_INIT, Hook};

use crate::kernel::{self, Task};
use crate::once::Once;
use crate::state::{self, Record};
use crate::tree;

const HOOK: Hook = Hook::SchedProcessExit;

#[btf_tracepoint(function = "sched_process_exit")]
fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    handle::<false>(&ctx);
    0
}

/// Runs where the other one is left out: see [`gracetrace_ebpf::Hook::standby`].
#[btf_tracepoint(function = "sched_process_exit")]
fn sched_process_exit_standby(ctx: BtfTracePointContext) -> i32 {
    handle::<true>(&ctx);
    0
}

#[inline(always)]
fn handle<const STANDBY: bool>(ctx: &BtfTracePointContext) -> Option<()> {
    // SAFETY: the helper takes nothing.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let container = state::container(cgroup)?;
    let task = Task(ctx.arg(0));
    if !is_last_thread(ctx, task) {
        return None;
    }
    let tgid = task.tgid();
    if !Once::Process(HOOK, task.start_time(), tgid).is_mine::<STANDBY>() {
        return None;
    }
    let mut cpu_ns = task.cpu_ns();
    let mut processes = 1;
    let mut flags = 0;

    let is_init = container.init_pid() == tgid;
    match root_of(task, tgid, is_init) {
        Some(root) if root != tgid => {
            tree::leave(tgid, root, cpu_ns);
            return None;
        }
        Some(_) => {
            let entered = tree::end(tgid)?;
            // What was waited for is counted to the full, the others up to their last switch or tick; those that were
            // not waited for are only in the sum.
            let descendants = entered.descendants_cpu_ns.max(task.signal().waited_for_ns());
            cpu_ns = cpu_ns.saturating_sub(entered.cpu_before_ns).saturating_add(descendants);
            processes = entered.processes;
            flags = FLAG_ENTERED;
        }
        None => {
            let parent_cgroup = task.real_parent().cgroup_id();
            if parent_cgroup != cgroup && state::container_id(parent_cgroup) != Some(container.id) {
                flags = FLAG_ENTERED;
            }
            if is_init {
                flags |= FLAG_INIT;
            } else if flags == 0 || task.wait_status() == 0 {
                // Of the runtime's own stages in the container, only one that fails is of interest: it could not
                // execute its command.
                return None;
            }
            // Two threads may both look like the last one.
            let death = Once::Process(HOOK, task.group_leader().start_time(), tgid);
            if !kernel::exit_passes_group_dead() && !death.is_first() {
                return None;
            }
        }
    }

    if flags & FLAG_INIT != 0 {
        // Before its sockets close.
        container.set_ending();
    }
    let mut record = Record::<Exit>::new(HOOK, container.id, state::now(), flags, Some(container))?;
    let exit = record.body();
    // SAFETY: `exit` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*exit).pid).write(tgid);
        (&raw mut (*exit).status).write(task.wait_status());
        (&raw mut (*exit).cpu_ns).write(cpu_ns);
        (&raw mut (*exit).processes).write(processes);
        (&raw mut (*exit).comm).write(task.comm());
    }
    record.submit();
    Some(())
}

/// The tree that a dying process belongs to. One whose fork was not seen is taken in only where the kernel says which thread
/// is the last: of two that both look like it, the second would find the first's process gone and count it once more. No
/// kernel that old leaves out runs of `sched_process_fork`. An init is in no tree, whatever its id stood for before.
#[inline(always)]
fn root_of(task: Task, tgid: u32, is_init: bool) -> Option<u32> {
    if is_init {
        return None;
    }
    if kernel::exit_passes_group_dead() { tree::root_of(task) } else { tree::root(tgid) }
}

/// Whether the process dies with this thread. Before 6.16 nobody says so, and two threads may both find that none is
/// left (`do_exit` in kernel/exit.c counts down before the tracepoint).
#[inline(always)]
fn is_last_thread(ctx: &BtfTracePointContext, task: Task) -> bool {
    if kernel::exit_passes_group_dead() {
        let group_dead: u64 = ctx.arg(1);
        group_dead as u8 != 0
    } else {
        task.signal().live() == 0
    }
}
