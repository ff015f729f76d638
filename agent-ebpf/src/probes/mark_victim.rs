//! Hook: `mark_victim(task, uid)`, before 6.8 `mark_victim(pid)`, in the context of whoever ran out of memory.
//!
//! Feeds: the outcome `oom`.
//! Without it: an OOM kill looks like a crash by SIGKILL.

use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::{FLAG_INIT, Hook, MARK_VICTIM_PID, MarkVictim};

use crate::kernel::{self, Task};
use crate::state::{self, Record, Tracked, VICTIMS};

#[btf_tracepoint(function = "mark_victim")]
fn mark_victim(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx);
    0
}

#[inline(always)]
fn handle(ctx: &BtfTracePointContext) -> Option<()> {
    let (container, pid) = if kernel::mark_victim_form() == MARK_VICTIM_PID {
        by_pid(ctx.arg::<i32>(0) as u32)?
    } else {
        let victim = Task(ctx.arg(0));
        (state::container(victim.cgroup_id())?, victim.tgid())
    };
    let flags = if pid == container.init_pid() { FLAG_INIT } else { 0 };
    let mut record = Record::<MarkVictim>::new(Hook::MarkVictim, container.id, state::now(), flags, Some(container))?;
    let marked = record.body();
    // SAFETY: `marked` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*marked).pid).write(pid);
        (&raw mut (*marked).reserved).write(0);
    }
    record.submit();
    Some(())
}

/// Finds the victim's container by its thread id: the kernel has just sent it SIGKILL, or it is the current task, which
/// is dying already (`out_of_memory` in mm/oom_kill.c).
#[inline(always)]
fn by_pid(pid: u32) -> Option<(Tracked, u32)> {
    let current = bpf_get_current_pid_tgid();
    if current as u32 == pid {
        // SAFETY: the helper takes nothing.
        return Some((state::container(unsafe { bpf_get_current_cgroup_id() })?, (current >> 32) as u32));
    }
    // SAFETY: a value is one word.
    let id = *unsafe { VICTIMS.get(pid) }?;
    Some((Tracked::of(id)?, pid))
}
