//! Hook: `sched_process_exec(task, old_pid, binprm)`, at the end of a successful execve(2), in the new program's
//! process.
//!
//! Feeds: start and command of exec hooks, probes and execs by hand; a container's init; which network namespaces are pods'.
//! Without it: no exec hook is seen, the init is known only where the agent finds it by itself, and clients that come before
//! a container listens are not counted.

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use gracetrace_ebpf::{ARGV_LEN, Exec, FILENAME_LEN, FLAG_ENTERED, FLAG_INIT, Hook};

use crate::kernel::{self, Task};
use crate::once::Once;
use crate::state::{self, Record};
use crate::{ports, tree};

const HOOK: Hook = Hook::SchedProcessExec;
const FILENAME_WORDS: usize = FILENAME_LEN / 8;

#[btf_tracepoint(function = "sched_process_exec")]
fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    handle::<false>(&ctx);
    0
}

/// Runs where the other one is left out: see [`gracetrace_ebpf::Hook::standby`].
#[btf_tracepoint(function = "sched_process_exec")]
fn sched_process_exec_standby(ctx: BtfTracePointContext) -> i32 {
    handle::<true>(&ctx);
    0
}

#[inline(always)]
fn handle<const STANDBY: bool>(ctx: &BtfTracePointContext) -> Option<()> {
    // SAFETY: the helper takes nothing.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let container = state::container(cgroup)?;
    let task = Task(ctx.arg(0));
    let tgid = task.tgid();

    let parent = task.real_parent();
    let parent_cgroup = parent.cgroup_id();
    let entered = parent_cgroup != cgroup && state::container_id(parent_cgroup) != Some(container.id);
    if entered {
        // The runtime is the node's. Its leader: a thread of it may be in the pod's namespace already.
        let (own, host) = (task.network_namespace(), parent.group_leader().network_namespace());
        if host != 0 && own != host {
            ports::is_of_a_pod(own);
        }
    } else {
        tree::root_of(task);
    }
    let init_pid = container.init_pid();
    if !entered && init_pid != 0 && init_pid != tgid {
        return None;
    }
    let (ns_pid, level) = task.namespace_pid();
    // The first process of a pid namespace is the init, but a container's own namespaces inside of it have such ones
    // too. Without a namespace of its own (hostPID, or one shared by the pod) it is the first that the runtime puts
    // there.
    let first = level > 0 && ns_pid == 1;
    let init = init_pid == tgid || (first && (entered || init_pid == 0)) || (entered && init_pid == 0);
    if !entered && !init {
        return None;
    }
    let (arg_start, arg_len) = task.arguments()?;
    // Told from the next one of this process by where its arguments are.
    if !Once::Process(HOOK, task.start_time() ^ arg_start << 16, tgid).is_mine::<STANDBY>() {
        return None;
    }

    let mut filename = [0u64; FILENAME_WORDS];
    // SAFETY: the array is that long.
    unsafe {
        kernel::read_string(filename.as_mut_ptr().cast(), FILENAME_LEN, kernel::binprm_filename(ctx.arg(2)));
    }
    if is_runtime(&filename, arg_start, arg_len) {
        debug!(ctx, "exec of {}: the runtime itself, skipped", tgid);
        return None;
    }

    if init {
        if init_pid != tgid {
            container.set_init_pid(tgid);
        }
    } else if !tree::begin(tgid, task.cpu_ns()) {
        container.count_lost(HOOK);
    }
    debug!(ctx, "exec of {} in {}: entered {}, init {}", tgid, container.id, u8::from(entered), u8::from(init));

    let flags = if entered { FLAG_ENTERED } else { 0 } | if init { FLAG_INIT } else { 0 };
    let mut record = Record::<Exec>::new(HOOK, container.id, state::now(), flags, Some(container))?;
    let exec = record.body();
    // SAFETY: `exec` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*exec).pid).write(tgid);
        (&raw mut (*exec).parent_pid).write(parent.tgid());
        (&raw mut (*exec).ns_pid).write(ns_pid);
        (&raw mut (*exec).argv_len).write(u32::try_from(arg_len).unwrap_or(u32::MAX));
        (&raw mut (*exec).comm).write(task.comm());
        (&raw mut (*exec).filename).cast::<[u64; FILENAME_WORDS]>().write(filename);
        write_argv((&raw mut (*exec).argv).cast(), arg_start, arg_len);
    }
    record.submit();
    Some(())
}

/// Writes what fits of the argument vector, and zeros after it.
///
/// # Safety
/// `to` must be writable for [`ARGV_LEN`] bytes and aligned to 8.
#[inline(always)]
unsafe fn write_argv(to: *mut u8, start: u64, len: u64) {
    for word in 0..ARGV_LEN / 8 {
        // SAFETY: within the bytes that the caller vouches for. Volatile, or the compiler calls its own memset.
        unsafe { to.cast::<u64>().add(word).write_volatile(0) };
    }
    // SAFETY: as above. A constant length where it is cut, a masked one where it is not: the verifier must see both.
    unsafe {
        if len >= ARGV_LEN as u64 {
            kernel::read_user(to, ARGV_LEN as u32, start);
        } else {
            kernel::read_user(to, core::hint::black_box(len as u32) & (ARGV_LEN as u32 - 1), start);
        }
    }
}

/// Whether this is a stage of the container runtime and not yet the container's command. runc 1.5 starts its `runc
/// init` inside of the container's cgroup, from a copy of itself that it has open, or as `/proc/self/exe`; only the
/// latter is also what applets of busybox use.
#[inline(always)]
fn is_runtime(filename: &[u64; FILENAME_WORDS], arg_start: u64, arg_len: u64) -> bool {
    const fn word(text: &[u8; 8]) -> u64 {
        u64::from_ne_bytes(*text)
    }
    const LOW_6: u64 = u64::from_le(0xffff_ffff_ffff);
    let [first, second, ..] = *filename;
    if first == word(b"/dev/fd/") {
        return true;
    }
    if first != word(b"/proc/se") {
        return false;
    }
    if second & LOW_6 == word(b"lf/fd/\0\0") {
        return true;
    }
    if second != word(b"lf/exe\0\0") || arg_len < 10 {
        return false;
    }
    // The vector ends in `runc`, `init`.
    let mut end = [0u64; 2];
    // SAFETY: the array is longer than that.
    unsafe { kernel::read_user(end.as_mut_ptr().cast(), 10, arg_start + arg_len - 10) };
    end[0] == word(b"runc\0ini") && end[1] == word(b"t\0\0\0\0\0\0\0")
}
