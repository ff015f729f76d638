//! Hook: `signal_deliver(sig, info, action)`, in the receiver's context, as it takes a signal off its queue.
//!
//! Feeds: what the init does with the stop signal.
//! Without it: a signal that was not ignored at once counts as handled.
//!
//! Not every signal gets here. One that kills by default is turned into SIGKILL as it is sent (`complete_signal` in
//! kernel/signal.c): the exit status tells that. One that a process waits for (sigwait(3), signalfd(2)) is not delivered
//! at all. And one that was blocked when it was sent gets here even if it is ignored, with the handler `SIG_IGN`, or
//! `SIG_DFL` in the init of a pid namespace.

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::{FLAG_INIT, Hook, SignalDeliver};

use crate::kernel::{self, SIGCHLD, SIGTERM, SIGURG};
use crate::state::{self, Record};

#[btf_tracepoint(function = "signal_deliver")]
fn signal_deliver(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx);
    0
}

#[inline(always)]
fn handle(ctx: &BtfTracePointContext) -> Option<()> {
    let signal = ctx.arg::<i32>(0) as u32;
    if signal == SIGURG || signal == SIGCHLD {
        return None;
    }
    // SAFETY: the helper takes nothing.
    let container = state::container(unsafe { bpf_get_current_cgroup_id() })?;
    if container.stop_at() == 0 || (signal != container.stop_signal() && signal != SIGTERM) {
        return None;
    }
    let pid = state::current_tgid();
    if pid != container.init_pid() {
        return None;
    }
    let mut record =
        Record::<SignalDeliver>::new(Hook::SignalDeliver, container.id, state::now(), FLAG_INIT, Some(container))?;
    let delivered = record.body();
    // SAFETY: `delivered` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*delivered).pid).write(pid);
        (&raw mut (*delivered).signal).write(signal);
        (&raw mut (*delivered).handler).write(kernel::signal_handler(ctx.arg(2)));
    }
    record.submit();
    Some(())
}
