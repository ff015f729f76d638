//! Members of kernel structures. Where they are comes from the kernel's BTF, by way of the agent and [`GLOBALS`].
//!
//! A pointer that the kernel hands to a `tp_btf` program has a type the verifier knows, so its members are loaded
//! directly. Such a load never faults: a bad address reads as 0 (`ex_handler_bpf` in arch/x86/net/bpf_jit_comp.c and
//! its like). What the verifier cannot type (user memory, arrays with a variable index) goes through a helper.

use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user,
};
use gracetrace_ebpf::{COMM_LEN, Globals};

/// Written by the agent before the programs are loaded, frozen after that.
#[unsafe(no_mangle)]
pub(crate) static GLOBALS: Globals = Globals::ZERO;

/// Reads a member of [`GLOBALS`] as what the agent put there, not as the 0 that the compiler sees.
macro_rules! global {
    ($field:ident) => {
        // SAFETY: a static is always readable.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::GLOBALS.$field) }
    };
}
pub(crate) use global;

// After the macro, which it uses.
mod network;
pub(crate) use network::{Net, Syn};

/// Signals by number. They are the same on every architecture this runs on (include/uapi/asm-generic/signal.h).
pub(crate) const SIGHUP: u32 = 1;
pub(crate) const SIGINT: u32 = 2;
pub(crate) const SIGQUIT: u32 = 3;
pub(crate) const SIGKILL: u32 = 9;
pub(crate) const SIGTERM: u32 = 15;
pub(crate) const SIGCHLD: u32 = 17;
pub(crate) const SIGCONT: u32 = 18;
pub(crate) const SIGSTOP: u32 = 19;
pub(crate) const SIGURG: u32 = 23;

/// Codes of include/uapi/asm-generic/siginfo.h: kill(2), sigqueue(3), tkill(2), the kernel.
pub(crate) const SI_USER: i32 = 0;
pub(crate) const SI_QUEUE: i32 = -1;
pub(crate) const SI_TKILL: i32 = -6;
pub(crate) const SI_KERNEL: i32 = 128;

/// `SIGNAL_GROUP_EXIT` in include/linux/sched/signal.h.
const SIGNAL_GROUP_EXIT: u32 = 4;

/// Loads the value at `base + offset`.
#[inline(always)]
pub(crate) fn load<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: the verifier has proven that `base` is a kernel object with a member at this offset, or refuses the
    // program.
    unsafe { read_volatile(base.add(offset as usize).cast()) }
}

/// Reads through a helper what the verifier cannot type; 0 when the address is bad.
#[inline(always)]
pub(crate) fn probe_read<T: Copy + Default>(address: *const u8) -> T {
    let mut value = T::default();
    // SAFETY: the destination is a local of that size; the helper checks the source.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, address.cast()) };
    value
}

/// Copies a kernel string into `to` and returns its length with the NUL, cut at the capacity; negative when the
/// address is bad.
///
/// # Safety
/// `to` must be writable for `capacity` bytes.
#[inline(always)]
pub(crate) unsafe fn read_string(to: *mut u8, capacity: usize, from: *const u8) -> i64 {
    // SAFETY: the caller vouches for `to`; the helper checks the source.
    unsafe { bpf_probe_read_kernel_str(to.cast(), capacity as u32, from.cast()) as i64 }
}

/// Copies `len` bytes of the current process's memory into `to`. False when that memory is not there.
///
/// # Safety
/// `to` must be writable for `len` bytes.
#[inline(always)]
pub(crate) unsafe fn read_user(to: *mut u8, len: u32, from: u64) -> bool {
    // SAFETY: the caller vouches for `to`; the helper checks the source.
    unsafe { bpf_probe_read_user(to.cast(), len, from as *const _) == 0 }
}

/// Reads one byte of a kernel string.
#[inline(always)]
pub(crate) fn read_byte(address: *const u8, index: usize) -> u8 {
    probe_read(address.wrapping_add(index))
}

/// `struct task_struct`
#[derive(Clone, Copy)]
pub(crate) struct Task(pub(crate) *const u8);

impl Task {
    #[inline(always)]
    pub(crate) fn pid(self) -> u32 {
        load(self.0, global!(task_pid))
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        load(self.0, global!(task_tgid))
    }

    #[inline(always)]
    pub(crate) fn start_time(self) -> u64 {
        load(self.0, global!(task_start_time))
    }

    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; COMM_LEN] {
        let offset = global!(task_comm);
        let words: [u64; 2] = [load(self.0, offset), load(self.0, offset + 8)];
        // SAFETY: both are 16 plain bytes.
        unsafe { core::mem::transmute(words) }
    }

    #[inline(always)]
    pub(crate) fn real_parent(self) -> Task {
        Task(load(self.0, global!(task_real_parent)))
    }

    #[inline(always)]
    pub(crate) fn group_leader(self) -> Task {
        Task(load(self.0, global!(task_group_leader)))
    }

    #[inline(always)]
    pub(crate) fn signal(self) -> SignalStruct {
        SignalStruct(load(self.0, global!(task_signal)))
    }

    /// Id of its cgroup in the unified hierarchy, as `bpf_get_current_cgroup_id` tells it of the current task.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> u64 {
        let css_set: *const u8 = load(self.0, global!(task_cgroups));
        Cgroup(load(css_set, global!(css_set_dfl_cgrp))).id()
    }

    /// Where its arguments start, and how many bytes they are.
    #[inline(always)]
    pub(crate) fn arguments(self) -> Option<(u64, u64)> {
        let mm: *const u8 = load(self.0, global!(task_mm));
        if mm.is_null() {
            return None;
        }
        let start: u64 = load(mm, global!(mm_arg_start));
        let end: u64 = load(mm, global!(mm_arg_end));
        Some((start, end.saturating_sub(start)))
    }

    /// Its process id in its own pid namespace, and how deep that is; the host's is 0.
    #[inline(always)]
    pub(crate) fn namespace_pid(self) -> (u32, u32) {
        let pid: *const u8 = load(self.0, global!(task_thread_pid));
        // `MAX_PID_NS_LEVEL` is 32 (include/linux/pid_namespace.h): the mask is for the verifier.
        let level = load::<u32>(pid, global!(pid_level)) & 0x3f;
        let number = global!(pid_numbers) + level * global!(upid_size) + global!(upid_nr);
        (probe_read(pid.wrapping_add(number as usize)), level)
    }

    /// CPU time in nanoseconds of the process: of threads that were reaped, of this one and of the leader, which stays
    /// until it is waited for. A thread's time is counted up to its last switch or tick.
    #[inline(always)]
    pub(crate) fn cpu_ns(self) -> u64 {
        let reaped: u64 = load(self.signal().0, global!(signal_sum_sched_runtime));
        let own: u64 = load(self.0, global!(task_sum_exec_runtime));
        let leader = self.group_leader();
        if leader.pid() == self.pid() {
            return reaped.wrapping_add(own);
        }
        reaped.wrapping_add(own).wrapping_add(load(leader.0, global!(task_sum_exec_runtime)))
    }

    /// What wait(2) will report of it (`wait_task_zombie` in kernel/exit.c).
    #[inline(always)]
    pub(crate) fn wait_status(self) -> u32 {
        let signal = self.signal();
        if load::<u32>(signal.0, global!(signal_flags)) & SIGNAL_GROUP_EXIT != 0 {
            return load(signal.0, global!(signal_group_exit_code));
        }
        load(self.group_leader().0, global!(task_exit_code))
    }
}

/// `struct signal_struct`: what the threads of a process share.
#[derive(Clone, Copy)]
pub(crate) struct SignalStruct(*const u8);

impl SignalStruct {
    /// Threads that have not begun to exit.
    #[inline(always)]
    pub(crate) fn live(self) -> i32 {
        load(self.0, global!(signal_live))
    }

    /// CPU time in nanoseconds of all descendants that were waited for, to the full.
    #[inline(always)]
    pub(crate) fn waited_for_ns(self) -> u64 {
        load::<u64>(self.0, global!(signal_cutime)).wrapping_add(load(self.0, global!(signal_cstime)))
    }
}

/// `struct cgroup`
#[derive(Clone, Copy)]
pub(crate) struct Cgroup(pub(crate) *const u8);

impl Cgroup {
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        load(load(self.0, global!(cgroup_kn)), global!(kernfs_node_id))
    }

    /// The id of the cgroup above it; 0 for a root.
    #[inline(always)]
    pub(crate) fn parent_id(self) -> u64 {
        let css: *const u8 = load(self.0, global!(cgroup_parent));
        if css.is_null() {
            return 0;
        }
        Cgroup(load(css, global!(css_cgroup))).id()
    }

    /// Whether it is of the unified hierarchy: only there are ids those of the agent's map. That hierarchy has the id 0
    /// (`cgroup_init` sets it up first).
    #[inline(always)]
    pub(crate) fn is_unified(self) -> bool {
        let root: *const u8 = load(self.0, global!(cgroup_root));
        load::<u32>(root, global!(cgroup_root_hierarchy_id)) == 0
    }

    /// Address of the name of its directory.
    #[inline(always)]
    pub(crate) fn name(self) -> *const u8 {
        load(load(self.0, global!(cgroup_kn)), global!(kernfs_node_name))
    }
}

/// `si_code` of a signal's `struct kernel_siginfo`, with the two values that stand for one
/// (include/linux/sched/signal.h): `SEND_SIG_NOINFO` 0 and `SEND_SIG_PRIV` 1. Because of these two, kernels from 6.12 or so
/// on take the argument for a number and refuse a direct load (`raw_tp_null_args` in kernel/bpf/btf.c).
#[inline(always)]
pub(crate) fn signal_code(info: *const u8) -> i32 {
    match info as u64 {
        0 => SI_USER,
        1 => SI_KERNEL,
        info => probe_read((info + u64::from(global!(siginfo_code))) as *const u8),
    }
}

/// The `struct sock` behind an open file, if it is a socket. `bpf_sock_from_file` is not in every kernel that this runs on
/// (5.11), so this goes the same way: a socket that was opened by its path only has no private data (`do_dentry_open` in
/// fs/open.c), and all other files with such an inode are sockets (`sock_alloc_file` in net/socket.c).
#[inline(always)]
pub(crate) fn socket_of_file(file: *const u8) -> Option<*const u8> {
    const S_IFMT: u16 = 0o170_000;
    const S_IFSOCK: u16 = 0o140_000;
    let inode: *const u8 = load(file, global!(file_inode));
    if load::<u16>(inode, global!(inode_mode)) & S_IFMT != S_IFSOCK {
        return None;
    }
    let socket: u64 = load(file, global!(file_private_data));
    if socket == 0 {
        return None;
    }
    let sock: u64 = probe_read((socket + u64::from(global!(socket_sk))) as *const u8);
    (sock != 0).then_some(sock as *const u8)
}

/// The network namespace that the first task of all is in, by inode number; 0 when it is not found. That task is its own
/// parent (`init_task` in init/init_task.c), and is in the namespaces that the kernel started with, `init_net` among them.
#[inline(always)]
pub(crate) fn first_task_netns() -> u32 {
    /// More than there are processes one above the other, from this one up.
    const DEPTH: u32 = 64;
    // SAFETY: the helper takes nothing.
    let mut task = unsafe { bpf_get_current_task() } as u64;
    for _ in 0..DEPTH {
        task = follow(task, global!(task_real_parent));
    }
    if probe_read::<u32>((task + u64::from(global!(task_pid))) as *const u8) != 0 {
        return 0;
    }
    let net = follow(follow(task, global!(task_nsproxy)), global!(nsproxy_net_ns));
    probe_read((net + u64::from(global!(net_inum))) as *const u8)
}

/// The address that stands in a member.
#[inline(always)]
fn follow(base: u64, offset: u32) -> u64 {
    probe_read((base + u64::from(offset)) as *const u8)
}

/// `sa_handler` of a `struct k_sigaction`.
#[inline(always)]
pub(crate) fn signal_handler(action: *const u8) -> u64 {
    load(action, global!(sigaction_handler))
}

/// Address of the path that a `struct linux_binprm` is about.
#[inline(always)]
pub(crate) fn binprm_filename(binprm: *const u8) -> *const u8 {
    load(binprm, global!(binprm_filename))
}

/// Which form `mark_victim` has.
#[inline(always)]
pub(crate) fn mark_victim_form() -> u32 {
    global!(mark_victim_form)
}

/// How many connections of a container are told one by one, before they are told at a slow pace.
#[inline(always)]
pub(crate) fn connection_records() -> u64 {
    u64::from(global!(connection_records))
}

/// Whether `sched_process_exit` says that a thread is the last of its process.
#[inline(always)]
pub(crate) fn exit_passes_group_dead() -> bool {
    global!(exit_passes_group_dead) != 0
}

/// Whether hooks that have a standby run it too.
#[inline(always)]
pub(crate) fn has_standbys() -> bool {
    global!(standbys) != 0
}
