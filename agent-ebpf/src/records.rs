//! What the programs write into the ring buffer: one record a kernel event, each starting with a [`Header`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of a task's `comm` (`TASK_COMM_LEN` in include/linux/sched.h), with its NUL.
pub const COMM_LEN: usize = 16;
/// Bytes kept of the path a process was executed by; the rest is cut.
pub const FILENAME_LEN: usize = 64;
/// Bytes kept of a process's argument vector; [`Exec::argv_len`] tells its full length.
pub const ARGV_LEN: usize = 512;
/// Bytes kept of a cgroup's path, with its NUL; [`FLAG_TRUNCATED`] tells when it was longer.
pub const PATH_LEN: usize = 512;
/// Bytes kept of an HTTP request; [`HookRequest::head_len`] tells how many there are.
pub const HEAD_LEN: usize = 256;

/// The process entered the container from outside: its parent does not belong to the container.
pub const FLAG_ENTERED: u32 = 1 << 0;
/// The process is the container's init.
pub const FLAG_INIT: u32 = 1 << 1;
/// The signal was sent to the whole process, not to one thread.
pub const FLAG_GROUP: u32 = 1 << 2;
/// A path did not fit into its record.
pub const FLAG_TRUNCATED: u32 = 1 << 3;

/// The kernel hooks, by the names of their tracepoints, or of the programs on the kubelet's cgroup. The numbers index
/// the drop counters and stand in [`Header::hook`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Hook {
    /// `sched_process_exec`
    SchedProcessExec = 0,
    /// `sched_process_fork`
    SchedProcessFork = 1,
    /// `sched_process_exit`
    SchedProcessExit = 2,
    /// `signal_generate`
    SignalGenerate = 3,
    /// `signal_deliver`
    SignalDeliver = 4,
    /// `mark_victim` (of the OOM killer)
    MarkVictim = 5,
    /// `inet_sock_set_state`
    InetSockSetState = 6,
    /// `cgroup_mkdir`
    CgroupMkdir = 7,
    /// `cgroup_rmdir`
    CgroupRmdir = 8,
    /// `cgroup_notify_populated`
    CgroupNotifyPopulated = 9,
    /// `cgroup_skb_egress`: a packet that a process of the kubelet's cgroup sends
    CgroupSkbEgress = 10,
    /// `cgroup_skb_ingress`: a packet that a process of the kubelet's cgroup receives
    CgroupSkbIngress = 11,
    /// `tcp_send_reset`: a reset that answers a packet; before 6.10 by `tcp_v4_send_reset` and `tcp_v6_send_reset`
    TcpSendReset = 12,
    /// `iter/task_file`: not an event but a walk over all open files, when the agent wants it
    IterTaskFile = 13,
}

impl Hook {
    /// Every hook, in the order of its number.
    pub const ALL: [Hook; 14] = [
        Hook::SchedProcessExec,
        Hook::SchedProcessFork,
        Hook::SchedProcessExit,
        Hook::SignalGenerate,
        Hook::SignalDeliver,
        Hook::MarkVictim,
        Hook::InetSockSetState,
        Hook::CgroupMkdir,
        Hook::CgroupRmdir,
        Hook::CgroupNotifyPopulated,
        Hook::CgroupSkbEgress,
        Hook::CgroupSkbIngress,
        Hook::TcpSendReset,
        Hook::IterTaskFile,
    ];

    /// Whether it is a tracepoint.
    pub const fn is_tracepoint(self) -> bool {
        !matches!(self, Hook::CgroupSkbEgress | Hook::CgroupSkbIngress | Hook::IterTaskFile)
    }

    /// Whether it sees packets: those are attached to the kubelet's cgroup.
    pub const fn sees_packets(self) -> bool {
        matches!(self, Hook::CgroupSkbEgress | Hook::CgroupSkbIngress)
    }

    /// A second program with the same code, for hooks whose loss would change a verdict.
    ///
    /// The kernel does not run a program again on a CPU where it is not through (`__bpf_trace_run` in
    /// kernel/trace/bpf_trace.c). Where programs of tracepoints can be preempted (seen on 7.2 and 7.3), that happens by the
    /// way, a few times in hundreds of runs when the CPUs are busy. It is another program then that runs: the standby comes
    /// after the first (`func_add` in kernel/tracepoint.c), and handles what that one has not. An event is lost only when both
    /// are left out: when two that were interrupted or preempted are in either of them, on one CPU.
    ///
    /// Other hooks need none: their tracepoints are under a lock that is not given up, interrupts off (`sighand->siglock`,
    /// `css_set_lock`), or are called by one at a time (`cgroup_mutex`, `oom_lock`); or, as with `sched_process_fork`, what they
    /// see is made up for elsewhere. `tcp_send_reset` is called for a SYN in softirq, where nothing preempts it; its program
    /// would be left out there if it were interrupted in a process that sends a reset by itself (`tcp_send_active_reset`), for
    /// which it does next to nothing. In runs on 7.3.4 it never was.
    pub const fn standby(self) -> Option<&'static str> {
        match self {
            Hook::SchedProcessExec => Some("sched_process_exec_standby"),
            Hook::SchedProcessExit => Some("sched_process_exit_standby"),
            Hook::InetSockSetState => Some("inet_sock_set_state_standby"),
            _ => None,
        }
    }

    /// The program's name, which is also the tracepoint's if it is one.
    pub const fn name(self) -> &'static str {
        match self {
            Hook::SchedProcessExec => "sched_process_exec",
            Hook::SchedProcessFork => "sched_process_fork",
            Hook::SchedProcessExit => "sched_process_exit",
            Hook::SignalGenerate => "signal_generate",
            Hook::SignalDeliver => "signal_deliver",
            Hook::MarkVictim => "mark_victim",
            Hook::InetSockSetState => "inet_sock_set_state",
            Hook::CgroupMkdir => "cgroup_mkdir",
            Hook::CgroupRmdir => "cgroup_rmdir",
            Hook::CgroupNotifyPopulated => "cgroup_notify_populated",
            Hook::CgroupSkbEgress => "cgroup_skb_egress",
            Hook::CgroupSkbIngress => "cgroup_skb_ingress",
            Hook::TcpSendReset => "tcp_send_reset",
            Hook::IterTaskFile => "iter_task_file",
        }
    }
}

/// Connections of one direction in one word, which one instruction changes and one load reads: how many were established
/// ever, times [`Directed::TOTAL`], and how many are open. The latter may be below 0 for a moment: when the end of a
/// connection that a search has found is seen before the search has counted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Directed(pub u64);

impl Directed {
    /// What one established connection adds. There is room for as many as ten thousand a second make in 13 years.
    pub const TOTAL: u64 = 1 << Self::OPEN_BITS;
    /// What one open connection adds.
    pub const OPEN: u64 = 1;
    /// How many may be open at once: one bit is the sign's.
    pub const MAX_OPEN: u64 = (1 << (Self::OPEN_BITS - 1)) - 1;
    const OPEN_BITS: u32 = 22;

    /// Connections established since the container is tracked.
    pub const fn total(self) -> u64 {
        self.0.wrapping_sub(self.signed_open() as u64) >> Self::OPEN_BITS
    }

    /// Connections now in ESTABLISHED or CLOSE_WAIT.
    pub const fn open(self) -> u64 {
        let open = self.signed_open();
        if open < 0 { 0 } else { open as u64 }
    }

    const fn signed_open(self) -> i64 {
        let unused = u64::BITS - Self::OPEN_BITS;
        ((self.0 << unused) as i64) >> unused
    }
}

/// Counters of one container, as they stood when the record was written. All but the open connections only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// Inbound connections.
    pub inbound: Directed,
    /// Outbound connections.
    pub outbound: Directed,
    /// Boot time in nanoseconds of the last inbound connection; 0 before the first.
    pub last_inbound_at: u64,
    /// Inbound connections established after the stop signal.
    pub late: u64,
    /// Stop signals that the init passed on to other processes of its container.
    pub forwarded: u64,
    /// Records of this container that did not fit into the ring buffer, and connections that did not fit into the
    /// socket map.
    pub lost: u64,
    /// Connections that went from ESTABLISHED or CLOSE_WAIT to CLOSE at once: by a reset of either side (unread data,
    /// `SO_LINGER` 0, a peer that gave up) or by a timeout.
    pub aborted: u64,
    /// Outbound connections that could not be established, those to a process of the same pod among them.
    pub outbound_failed: u64,
    /// Connections accepted from the pod itself, by its loopback device or its own address. In none of the counts above, but for the failed ones.
    pub internal: u64,
    /// Connections accepted from the kubelet: probes and httpGet hooks. In none of the counts above.
    pub kubelet: u64,
    /// SYNs that were answered with a reset because the container does not listen any more where it did.
    pub refused: u64,
    /// Boot time in nanoseconds of the last of those; 0 before the first.
    pub last_refused_at: u64,
    /// SYNs that were answered with a reset before the container listened there.
    pub startup_refused: u64,
}

/// The start of every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Boot time in nanoseconds (`bpf_ktime_get_boot_ns`).
    pub at: u64,
    /// The container's cgroup id: of the process's cgroup, or of the container's one above it. In cgroup records, the
    /// cgroup that the record is about.
    pub cgroup: u64,
    /// A [`Hook`] by number.
    pub hook: u32,
    /// `FLAG_…`
    pub flags: u32,
    /// The container's counters now.
    pub counters: Counters,
}

/// A process that entered a container, or a container's init, has executed a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// Flags: [`FLAG_ENTERED`], [`FLAG_INIT`].
    pub header: Header,
    /// Process id in the host's pid namespace.
    pub pid: u32,
    /// Its parent's process id in the host's pid namespace.
    pub parent_pid: u32,
    /// Process id in its own pid namespace.
    pub ns_pid: u32,
    /// Full length of the argument vector in bytes, with every NUL; may exceed [`ARGV_LEN`].
    pub argv_len: u32,
    /// The program's `comm`, NUL-padded.
    pub comm: [u8; COMM_LEN],
    /// The path it was executed by, NUL-padded, cut.
    pub filename: [u8; FILENAME_LEN],
    /// The start of the argument vector: NUL-terminated strings one after another. Bytes past `argv_len` are 0.
    pub argv: [u8; ARGV_LEN],
}

/// A process that entered a container, or a container's init, has died: the last thread of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// Flags: [`FLAG_ENTERED`], [`FLAG_INIT`].
    pub header: Header,
    /// Process id in the host's pid namespace.
    pub pid: u32,
    /// Wait status: exit code in bits 8 to 15, or the signal that killed it in bits 0 to 6 (bit 7: core dumped).
    pub status: u32,
    /// CPU time in nanoseconds of the process and, if it entered the container, of its descendants that have exited.
    pub cpu_ns: u64,
    /// Processes of its tree that were ever started, itself included; 1 for an init, whose tree is not followed.
    pub processes: u64,
    /// The process's `comm`, NUL-padded.
    pub comm: [u8; COMM_LEN],
}

/// A signal was sent to a container's init, or SIGKILL to any process of a container, from outside the container or
/// by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SignalGenerate {
    /// Flags: [`FLAG_INIT`] when the target is the init, [`FLAG_GROUP`].
    pub header: Header,
    /// The target's process id in the host's pid namespace.
    pub pid: u32,
    /// The sender's process id in the host's pid namespace. Whoever runs, if the kernel sent it.
    pub sender_pid: u32,
    /// The container that the sender belongs to, as a cgroup id; 0 when it belongs to none.
    pub sender_cgroup: u64,
    /// Signal number.
    pub signal: u32,
    /// `si_code`: 0 `SI_USER`, 128 `SI_KERNEL`, negative for tkill and queued signals.
    pub code: i32,
    /// What became of it (`TRACE_SIGNAL_…` in include/trace/events/signal.h): 0 delivered, 1 ignored, 2 already
    /// pending, 3 overflow, 4 information lost.
    pub result: u32,
    /// Always 0.
    pub reserved: u32,
    /// The target's `comm`, NUL-padded.
    pub comm: [u8; COMM_LEN],
    /// The sender's `comm`, NUL-padded.
    pub sender_comm: [u8; COMM_LEN],
}

/// A container's init takes a signal that came from outside, after the stop signal was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SignalDeliver {
    /// Flags: [`FLAG_INIT`].
    pub header: Header,
    /// The receiver's process id in the host's pid namespace.
    pub pid: u32,
    /// Signal number.
    pub signal: u32,
    /// `sa_handler`: 0 `SIG_DFL`, 1 `SIG_IGN`, else a handler's address.
    pub handler: u64,
}

/// The OOM killer has chosen a process of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MarkVictim {
    /// Flags: [`FLAG_INIT`].
    pub header: Header,
    /// The victim's process id in the host's pid namespace.
    pub pid: u32,
    /// Always 0.
    pub reserved: u32,
}

/// A cgroup was made below one that is tracked, or one whose name looks like the root of all pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CgroupMkdir {
    /// Flags: [`FLAG_TRUNCATED`]. Its cgroup is the new one.
    pub header: Header,
    /// The parent's cgroup id.
    pub parent: u64,
    /// Path from the hierarchy's root, NUL-terminated.
    pub path: [u8; PATH_LEN],
}

/// A tracked cgroup was removed (`cgroup_rmdir`), or lost its last or got its first process
/// (`cgroup_notify_populated`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CgroupEvent {
    /// No flags. Its cgroup is the one the event is about.
    pub header: Header,
    /// 1 when the cgroup or one below it has processes. Always 0 when removed.
    pub populated: u32,
    /// Always 0.
    pub reserved: u32,
}

/// The ends of a TCP connection of the kubelet. Addresses are in network byte order, IPv4 mapped into IPv6
/// (`::ffff:a.b.c.d`); ports are numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow {
    /// The kubelet's address.
    pub client: [u32; 4],
    /// The pod's address.
    pub server: [u32; 4],
    /// The kubelet's port.
    pub client_port: u16,
    /// The pod's port.
    pub server_port: u16,
}

/// The kubelet sends the request of an httpGet hook (`cgroup_skb_egress`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HookRequest {
    /// No flags. Its cgroup is the kubelet's.
    pub header: Header,
    /// The connection.
    pub flow: Flow,
    /// How many bytes of `head` there are; the others are 0.
    pub head_len: u32,
    /// The start of the request, from its request line on.
    pub head: [u8; HEAD_LEN],
}

/// A container answers the request of an httpGet hook (`cgroup_skb_ingress`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HookResponse {
    /// No flags. Its cgroup is the kubelet's.
    pub header: Header,
    /// The connection, just as in the request's record.
    pub flow: Flow,
    /// HTTP status: 101, or 200 to 999.
    pub status: u32,
}

/// [`Connection::change`]: established.
pub const CONNECTION_OPENED: u32 = 1;
/// [`Connection::change`]: it has left ESTABLISHED and CLOSE_WAIT.
pub const CONNECTION_CLOSED: u32 = 2;
/// [`Connection::change`]: an outbound one that could not be established.
pub const CONNECTION_FAILED: u32 = 3;

/// [`Connection::flags`]: a client's, accepted from a listener.
pub const CONNECTION_INBOUND: u32 = 1 << 0;
/// [`Connection::flags`]: established after the stop signal.
pub const CONNECTION_LATE: u32 = 1 << 1;
/// [`Connection::flags`]: closed at once, see [`Counters::aborted`].
pub const CONNECTION_ABORTED: u32 = 1 << 2;

/// A connection of a terminating container has changed (`inet_sock_set_state`). Counted ones only: nothing of the
/// kubelet's, nothing within the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Connection {
    /// No flags.
    pub header: Header,
    /// The other end's address in network byte order, IPv4 mapped into IPv6.
    pub peer: [u32; 4],
    /// The other end's port.
    pub peer_port: u16,
    /// The container's port.
    pub local_port: u16,
    /// `CONNECTION_OPENED`, `CONNECTION_CLOSED` or `CONNECTION_FAILED`.
    pub change: u32,
    /// `CONNECTION_INBOUND`, `CONNECTION_LATE`, `CONNECTION_ABORTED`.
    pub flags: u32,
    /// Always 0.
    pub reserved: u32,
    /// Boot time in nanoseconds when it was established; 0 when nobody saw that.
    pub opened_at: u64,
    /// Bytes of data received, and sent and acknowledged, when it closed.
    pub received: u64,
    /// See `received`.
    pub sent: u64,
}

const _: () = {
    const HEADER: usize = 128;
    assert!(size_of::<Counters>() == 104);
    assert!(size_of::<Header>() == HEADER);
    assert!(size_of::<Exec>() == HEADER + 16 + COMM_LEN + FILENAME_LEN + ARGV_LEN);
    assert!(size_of::<Exit>() == HEADER + 24 + COMM_LEN);
    assert!(size_of::<SignalGenerate>() == HEADER + 32 + 2 * COMM_LEN);
    assert!(size_of::<SignalDeliver>() == HEADER + 16);
    assert!(size_of::<MarkVictim>() == HEADER + 8);
    assert!(size_of::<CgroupMkdir>() == HEADER + 8 + PATH_LEN);
    assert!(size_of::<CgroupEvent>() == HEADER + 8);
    assert!(size_of::<Flow>() == 36);
    assert!(size_of::<HookRequest>() == HEADER + 40 + HEAD_LEN);
    assert!(size_of::<HookResponse>() == HEADER + 40);
    assert!(size_of::<Connection>() == HEADER + 56);
};
