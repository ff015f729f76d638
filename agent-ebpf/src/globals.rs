//! Read-only globals: what the agent learns from the kernel's BTF before it loads the programs.

use zerocopy::{Immutable, IntoBytes, KnownLayout};

/// `mark_victim` passes the victim's task (6.8 and later).
pub const MARK_VICTIM_TASK: u32 = 0;
/// `mark_victim` passes the victim's thread id (before 6.8).
pub const MARK_VICTIM_PID: u32 = 1;

/// `sock_cgroup_data.cgroup` is a plain pointer (5.15 and later).
pub const SOCK_CGROUP_POINTER: u32 = 0;
/// `sock_cgroup_data.val` is a pointer, or something else when one of its two low bits is set (before 5.15,
/// `sock_cgroup_ptr` in include/linux/cgroup.h).
pub const SOCK_CGROUP_TAGGED: u32 = 1;

macro_rules! globals {
    ($($(#[$doc:meta])* $field:ident),+ $(,)?) => {
        /// Offsets in bytes of kernel structure members, and which form an argument has. The verifier sees frozen
        /// constants, so a member costs one direct load and a form that is not there costs nothing.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct Globals {
            $($(#[$doc])* pub $field: u32),+
        }

        impl Globals {
            /// All 0: what stands in the object before the agent fills it in.
            pub const ZERO: Globals = Globals { $($field: 0),+ };
        }
    };
}

globals! {
    // First what every connection needs, which is 64 bytes: a line of the processor's cache or two.
    /// `sock.sk_protocol`, 16 bits wide
    sock_protocol,
    /// `sock.sk_cgrp_data.cgroup`, or `.val` in the form [`SOCK_CGROUP_TAGGED`]
    sock_cgroup,
    /// [`SOCK_CGROUP_POINTER`] or [`SOCK_CGROUP_TAGGED`]
    sock_cgroup_form,
    /// `sock.skc_state`
    sock_state,
    /// `sock.skc_family`
    sock_family,
    /// `sock.skc_dport`: the peer's port, in network byte order
    sock_dport,
    /// `sock.skc_daddr`
    sock_daddr,
    /// `sock.skc_rcv_saddr`
    sock_rcv_saddr,
    /// `sock.skc_v6_daddr`; 0 when the kernel has no IPv6
    sock_v6_daddr,
    /// `sock.skc_v6_rcv_saddr`; 0 when the kernel has no IPv6
    sock_v6_rcv_saddr,
    /// `sock.skc_net.net`
    sock_net,
    /// `net.ns.inum`
    net_inum,
    /// `cgroup.kn`
    cgroup_kn,
    /// `kernfs_node.id`
    kernfs_node_id,
    /// 1 when hooks that have a standby run it too
    standbys,
    /// 1 when connections that are counted may have a place in `PLACES`
    socket_places,
    /// `task_struct.pid`
    task_pid,
    /// `task_struct.tgid`
    task_tgid,
    /// `task_struct.comm`
    task_comm,
    /// `task_struct.real_parent`
    task_real_parent,
    /// `task_struct.group_leader`
    task_group_leader,
    /// `task_struct.start_time`
    task_start_time,
    /// `task_struct.signal`
    task_signal,
    /// `task_struct.mm`
    task_mm,
    /// `task_struct.cgroups`
    task_cgroups,
    /// `task_struct.thread_pid`
    task_thread_pid,
    /// `task_struct.exit_code`
    task_exit_code,
    /// `task_struct.se.sum_exec_runtime`
    task_sum_exec_runtime,
    /// `signal_struct.live`
    signal_live,
    /// `signal_struct.flags`
    signal_flags,
    /// `signal_struct.group_exit_code`
    signal_group_exit_code,
    /// `signal_struct.sum_sched_runtime`
    signal_sum_sched_runtime,
    /// `signal_struct.cutime`
    signal_cutime,
    /// `signal_struct.cstime`
    signal_cstime,
    /// `mm_struct.arg_start`
    mm_arg_start,
    /// `mm_struct.arg_end`
    mm_arg_end,
    /// `linux_binprm.filename`
    binprm_filename,
    /// `pid.level`
    pid_level,
    /// `pid.numbers`
    pid_numbers,
    /// Size of a `struct upid`
    upid_size,
    /// `upid.nr`
    upid_nr,
    /// `css_set.dfl_cgrp`
    css_set_dfl_cgrp,
    /// `cgroup.root`
    cgroup_root,
    /// `cgroup.self.parent`
    cgroup_parent,
    /// `cgroup_subsys_state.cgroup`
    css_cgroup,
    /// `cgroup_root.hierarchy_id`
    cgroup_root_hierarchy_id,
    /// `kernfs_node.name`
    kernfs_node_name,
    /// `kernel_siginfo.si_code`
    siginfo_code,
    /// `k_sigaction.sa.sa_handler`
    sigaction_handler,
    /// `tcp_sock.bytes_received`; 0 when the kernel has no such member
    tcp_bytes_received,
    /// `tcp_sock.bytes_acked`; 0 when the kernel has no such member
    tcp_bytes_acked,
    /// `file.f_inode`
    file_inode,
    /// `file.private_data`
    file_private_data,
    /// `inode.i_mode`
    inode_mode,
    /// `socket.sk`
    socket_sk,
    /// `task_struct.nsproxy`
    task_nsproxy,
    /// `nsproxy.net_ns`
    nsproxy_net_ns,
    /// [`MARK_VICTIM_TASK`] or [`MARK_VICTIM_PID`]
    mark_victim_form,
    /// How many connections of a container are told one by one, before they are told at a slow pace
    connection_records,
    /// 1 when `sched_process_exit` passes `group_dead` (6.16 and later)
    exit_passes_group_dead,
    /// `net.hash_mix`
    net_hash_mix,
    /// `inet_sock.inet_sport`, from the start of the `sock`
    inet_sport,
    /// `sk_buff.dev`
    skb_dev,
    /// `sk_buff.head`
    skb_head,
    /// `sk_buff.network_header`
    skb_network_header,
    /// `sk_buff.transport_header`
    skb_transport_header,
    /// `net_device.nd_net.net`
    net_device_net,
}
