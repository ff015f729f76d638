//! Hook: `signal_generate(sig, info, task, group, result)`, in the sender's context, the target's signal lock held.
//!
//! Feeds: stop signal, SIGKILL from outside, kills by the kernel; whether the init passes the stop signal on.
//! Without it: nothing tells when and by whom a container was stopped; late connections are not counted.

use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_current_comm};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use gracetrace_ebpf::{COMM_LEN, FLAG_GROUP, FLAG_INIT, Hook, MARK_VICTIM_PID, SignalGenerate};

use crate::kernel::{
    self, SI_KERNEL, SI_QUEUE, SI_TKILL, SI_USER, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM,
    SIGURG, Task,
};
use crate::state::{self, Record, Tracked, VICTIMS};

#[btf_tracepoint(function = "signal_generate")]
fn signal_generate(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx);
    0
}

#[inline(always)]
fn handle(ctx: &BtfTracePointContext) -> Option<()> {
    let signal = ctx.arg::<i32>(0) as u32;
    let target = Task(ctx.arg(2));
    // SAFETY: the helper takes nothing.
    let sender_cgroup = unsafe { bpf_get_current_cgroup_id() };
    let target_cgroup = target.cgroup_id();
    // Within a cgroup these come by the thousands: Go's runtime preempts with SIGURG.
    if sender_cgroup == target_cgroup && (signal == SIGURG || signal == SIGCHLD) {
        return None;
    }
    let container = state::container(target_cgroup)?;

    let code = kernel::signal_code(ctx.arg(1));
    // Timers and the like have codes of their own and come in anybody's context.
    let by_process = code == SI_USER || code == SI_QUEUE || code == SI_TKILL;
    let kernel_kill = signal == SIGKILL && code == SI_KERNEL;
    if !by_process && !kernel_kill {
        return None;
    }
    let sender_id = state::container_id(sender_cgroup).unwrap_or(0);
    let inside = sender_id == container.id;
    let sender_pid = state::current_tgid();
    let init_pid = container.init_pid();
    let pid = target.tgid();
    let to_init = pid == init_pid;

    if by_process && inside {
        if sender_pid == init_pid && !to_init && is_forwarded(container, signal) {
            // SAFETY: only the address is taken.
            state::add(unsafe { &raw mut (*container.counters()).forwarded }, 1);
        }
        return None;
    }
    if kernel_kill {
        if kernel::mark_victim_form() == MARK_VICTIM_PID {
            let _ = VICTIMS.insert(target.pid(), container.id, 0);
        }
        // The init of a pid namespace takes all others along (`zap_pid_ns_processes` in kernel/pid_namespace.c).
        if inside && sender_pid == init_pid && !to_init {
            return None;
        }
    }
    if !to_init && signal != SIGKILL {
        return None;
    }

    let at = state::now();
    if to_init {
        let may_stop = signal != SIGKILL && signal != SIGSTOP && signal != SIGCONT;
        if may_stop && container.stop_at() == 0 {
            debug!(ctx, "signal {} to the init {} of {}", signal, pid, container.id);
            container.set_stop(signal, at);
        }
        if may_stop {
            // The one before it may have been a reload.
            container.tell_anew();
        } else if signal == SIGKILL {
            // Before any of its sockets closes.
            container.set_ending();
        }
    }

    let group: i32 = ctx.arg(3);
    let flags = if to_init { FLAG_INIT } else { 0 } | if group != 0 { FLAG_GROUP } else { 0 };
    let mut record = Record::<SignalGenerate>::new(Hook::SignalGenerate, container.id, at, flags, Some(container))?;
    let sent = record.body();
    // SAFETY: `sent` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*sent).pid).write(pid);
        (&raw mut (*sent).sender_pid).write(sender_pid);
        (&raw mut (*sent).sender_cgroup).write(sender_id);
        (&raw mut (*sent).signal).write(signal);
        (&raw mut (*sent).code).write(code);
        (&raw mut (*sent).result).write(ctx.arg::<i32>(4) as u32);
        (&raw mut (*sent).reserved).write(0);
        (&raw mut (*sent).comm).write(target.comm());
        (&raw mut (*sent).sender_comm).write(bpf_get_current_comm().unwrap_or([0; COMM_LEN]));
    }
    record.submit();
    Some(())
}

/// Whether a signal from the init to another process of its container passes the stop signal on.
#[inline(always)]
fn is_forwarded(container: Tracked, signal: u32) -> bool {
    if container.stop_at() == 0 {
        return false;
    }
    matches!(signal, SIGTERM | SIGINT | SIGQUIT | SIGHUP) || (signal == container.stop_signal() && signal != SIGKILL)
}
