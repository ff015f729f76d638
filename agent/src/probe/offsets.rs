//! What the programs must know of this kernel: resolved from its BTF, per hook. Pure.
#![forbid(unsafe_code)]

use gracetrace_ebpf::{Globals, Hook, MARK_VICTIM_PID, MARK_VICTIM_TASK, SOCK_CGROUP_POINTER, SOCK_CGROUP_TAGGED};

use super::btf::Btf;

/// The functions that answer with a reset. The second is not there in a kernel without IPv6.
pub(super) const RESET_FUNCTIONS: [&str; 2] = ["tcp_v4_send_reset", "tcp_v6_send_reset"];

/// What `DEFINE_SRCU_FAST(tracepoint_srcu)` in kernel/tracepoint.c has for each CPU.
const TRACEPOINT_SRCU: &str = "tracepoint_srcu_srcu_data";

/// The globals, and what the kernel does not have.
#[derive(Debug, Clone, Default)]
pub(super) struct Offsets {
    /// For the programs. What is missing is 0, and no program that reads it is loaded.
    pub(super) globals: Globals,
    /// What tells of a SYN that is refused.
    pub(super) reset: ResetForm,
    /// Whether the kernel preempts programs of tracepoints, and so leaves out runs of them.
    pub(super) preempts: bool,
    missing: Vec<(&'static [Hook], String)>,
}

impl Offsets {
    /// Finds everything that `WANTED` and the forms of arguments need.
    pub(super) fn resolve(btf: &Btf<'_>) -> Offsets {
        let mut offsets = Offsets::default();
        for wanted in WANTED {
            match btf.member(wanted.structure, wanted.path) {
                // A load of another size would read something else, or be refused.
                Some(member) if wanted.sizes.contains(&member.size) => {
                    (wanted.set)(&mut offsets.globals, member.offset);
                }
                _ => offsets.missing.push((wanted.hooks, format!("{}.{}", wanted.structure, wanted.path))),
            }
        }
        match btf.size_of("upid") {
            Some(size) => offsets.globals.upid_size = size,
            None => offsets.missing.push((&[Hook::SchedProcessExec], "struct upid".to_owned())),
        }
        offsets.resolve_sock_cgroup(btf);
        offsets.resolve_reset(btf);
        let by_tracepoint = |hook: &Hook| hook.is_tracepoint() && *hook != Hook::TcpSendReset;
        for hook in Hook::ALL.into_iter().filter(by_tracepoint) {
            if btf.tracepoint(hook.name()).is_none() {
                offsets.missing.push((only(hook), format!("tracepoint {}", hook.name())));
            }
        }
        let arguments = btf.tracepoint(Hook::SchedProcessExit.name()).unwrap_or_default();
        offsets.globals.exit_passes_group_dead = u32::from(arguments.len() > 1);
        // Tracepoints are under SRCU, and no longer without preemption, since commit a46023d5616e ("tracing: Guard
        // __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast"). Until 6.12 the idle task's were under one of that name.
        offsets.preempts = offsets.can_have_standbys() && btf.has_variable(TRACEPOINT_SRCU);
        let arguments = btf.tracepoint(Hook::MarkVictim.name()).unwrap_or_default();
        offsets.globals.mark_victim_form =
            if arguments.first() == Some(&true) { MARK_VICTIM_TASK } else { MARK_VICTIM_PID };
        offsets
    }

    /// Something that a hook needs and the kernel does not have.
    pub(super) fn missing(&self, hook: Hook) -> Option<&str> {
        self.missing.iter().find(|(hooks, _)| hooks.contains(&hook)).map(|(_, what)| what.as_str())
    }

    /// Whether hooks can have a standby. It takes a kernel that says which thread is a process's last: the second of two that
    /// both look like it would be taken for the standby of the first.
    pub(super) fn can_have_standbys(&self) -> bool {
        self.globals.exit_passes_group_dead != 0
    }

    fn resolve_reset(&mut self, btf: &Btf<'_>) {
        let parameters = btf.tracepoint(Hook::TcpSendReset.name()).unwrap_or_default();
        self.reset = if parameters.len() > 2 { ResetForm::Tracepoint } else { ResetForm::Functions };
        if self.reset == ResetForm::Functions && !btf.has_function(RESET_FUNCTIONS[0]) {
            let what = format!("tracepoint tcp_send_reset with a reason, and no function {}", RESET_FUNCTIONS[0]);
            self.missing.push((RESET, what));
        }
    }

    fn resolve_sock_cgroup(&mut self, btf: &Btf<'_>) {
        let forms = [("sk_cgrp_data.cgroup", SOCK_CGROUP_POINTER), ("sk_cgrp_data.val", SOCK_CGROUP_TAGGED)];
        match forms.into_iter().find_map(|(path, form)| Some((btf.member("sock", path)?, form))) {
            Some((member, form)) => {
                self.globals.sock_cgroup = member.offset;
                self.globals.sock_cgroup_form = form;
            }
            None => self.missing.push((SOCKET, "sock.sk_cgrp_data.cgroup".to_owned())),
        }
    }
}

/// How the kernel tells of a SYN that it answers with a reset because nobody listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ResetForm {
    /// By the tracepoint: it has a third parameter, the reason. Since 6.10 it has that one and is there for SYNs without
    /// a socket: see `agent-ebpf/src/probes/tcp_send_reset.rs`.
    #[default]
    Tracepoint,
    /// By the functions that the tracepoint is in.
    Functions,
}

/// A slice of just this hook.
fn only(hook: Hook) -> &'static [Hook] {
    let place = Hook::ALL.iter().position(|each| *each == hook).unwrap_or(0);
    static ALL: [Hook; Hook::ALL.len()] = Hook::ALL;
    &ALL[place..=place]
}

struct Wanted {
    structure: &'static str,
    path: &'static str,
    sizes: &'static [u32],
    set: fn(&mut Globals, u32),
    hooks: &'static [Hook],
}

macro_rules! wanted {
    ($($global:ident = $structure:literal . $path:literal, $sizes:expr, $hooks:expr;)+) => {
        const WANTED: &[Wanted] = &[$(Wanted {
            structure: $structure,
            path: $path,
            sizes: &$sizes,
            set: |globals, offset| globals.$global = offset,
            hooks: $hooks,
        }),+];
    };
}

const EXEC: &[Hook] = &[Hook::SchedProcessExec];
const EXIT: &[Hook] = &[Hook::SchedProcessExit];
const EXEC_EXIT: &[Hook] = &[Hook::SchedProcessExec, Hook::SchedProcessExit];
/// The walk looks for the first task of all.
const PARENT: &[Hook] = &[Hook::SchedProcessFork, Hook::SchedProcessExec, Hook::SchedProcessExit, Hook::IterTaskFile];
const SIGNAL: &[Hook] = &[Hook::SignalGenerate];
const DELIVER: &[Hook] = &[Hook::SignalDeliver];
const SOCKET: &[Hook] = &[Hook::InetSockSetState, Hook::IterTaskFile];
const WALK: &[Hook] = &[Hook::IterTaskFile];
/// The programs do without: IPv6, bytes of a connection.
const OPTIONAL: &[Hook] = &[];
const CGROUP: &[Hook] = &[Hook::CgroupMkdir, Hook::CgroupRmdir, Hook::CgroupNotifyPopulated];
const MKDIR: &[Hook] = &[Hook::CgroupMkdir];
const RESET: &[Hook] = &[Hook::TcpSendReset];
/// They tell network namespaces from each other.
const NETWORK: &[Hook] = &[Hook::SchedProcessExec, Hook::InetSockSetState, Hook::TcpSendReset, Hook::IterTaskFile];
const PROXY: &[Hook] = &[Hook::SchedProcessExec, Hook::IterTaskFile];
/// They read members of a task.
const TASK: &[Hook] =
    &[Hook::SchedProcessExec, Hook::SchedProcessFork, Hook::SchedProcessExit, Hook::SignalGenerate, Hook::MarkVictim];
const TASK_ID: &[Hook] = &[
    Hook::SchedProcessExec,
    Hook::SchedProcessFork,
    Hook::SchedProcessExit,
    Hook::SignalGenerate,
    Hook::MarkVictim,
    Hook::IterTaskFile,
];
/// They turn a task, a socket or a cgroup into a cgroup's id.
const CGROUP_ID: &[Hook] = &[
    Hook::SchedProcessExec,
    Hook::SchedProcessFork,
    Hook::SchedProcessExit,
    Hook::SignalGenerate,
    Hook::MarkVictim,
    Hook::InetSockSetState,
    Hook::IterTaskFile,
    Hook::CgroupMkdir,
    Hook::CgroupRmdir,
    Hook::CgroupNotifyPopulated,
];

wanted! {
    task_pid = "task_struct"."pid", [4], TASK_ID;
    task_tgid = "task_struct"."tgid", [4], TASK;
    task_comm = "task_struct"."comm", [0], TASK;
    task_cgroups = "task_struct"."cgroups", [8], TASK;
    task_real_parent = "task_struct"."real_parent", [8], PARENT;
    task_group_leader = "task_struct"."group_leader", [8], EXEC_EXIT;
    task_signal = "task_struct"."signal", [8], EXEC_EXIT;
    task_sum_exec_runtime = "task_struct"."se.sum_exec_runtime", [8], EXEC_EXIT;
    task_start_time = "task_struct"."start_time", [8], EXEC_EXIT;
    task_exit_code = "task_struct"."exit_code", [4], EXIT;
    task_mm = "task_struct"."mm", [8], EXEC;
    task_thread_pid = "task_struct"."thread_pid", [8], EXEC;
    signal_live = "signal_struct"."live", [4], EXIT;
    signal_flags = "signal_struct"."flags", [4], EXIT;
    signal_group_exit_code = "signal_struct"."group_exit_code", [4], EXIT;
    signal_sum_sched_runtime = "signal_struct"."sum_sched_runtime", [8], EXEC_EXIT;
    signal_cutime = "signal_struct"."cutime", [8], EXIT;
    signal_cstime = "signal_struct"."cstime", [8], EXIT;
    mm_arg_start = "mm_struct"."arg_start", [8], EXEC;
    mm_arg_end = "mm_struct"."arg_end", [8], EXEC;
    binprm_filename = "linux_binprm"."filename", [8], EXEC;
    pid_level = "pid"."level", [4], EXEC;
    pid_numbers = "pid"."numbers", [0], EXEC;
    upid_nr = "upid"."nr", [4], EXEC;
    css_set_dfl_cgrp = "css_set"."dfl_cgrp", [8], TASK;
    cgroup_kn = "cgroup"."kn", [8], CGROUP_ID;
    kernfs_node_id = "kernfs_node"."id", [8], CGROUP_ID;
    cgroup_root = "cgroup"."root", [8], CGROUP;
    cgroup_root_hierarchy_id = "cgroup_root"."hierarchy_id", [4], CGROUP;
    cgroup_parent = "cgroup"."self.parent", [8], MKDIR;
    css_cgroup = "cgroup_subsys_state"."cgroup", [8], MKDIR;
    kernfs_node_name = "kernfs_node"."name", [8], MKDIR;
    siginfo_code = "kernel_siginfo"."si_code", [4], SIGNAL;
    sigaction_handler = "k_sigaction"."sa.sa_handler", [8], DELIVER;
    sock_protocol = "sock"."sk_protocol", [2], SOCKET;
    sock_state = "sock"."__sk_common.skc_state", [1], WALK;
    sock_family = "sock"."__sk_common.skc_family", [2], SOCKET;
    sock_dport = "sock"."__sk_common.skc_dport", [2], SOCKET;
    sock_daddr = "sock"."__sk_common.skc_daddr", [4], SOCKET;
    sock_rcv_saddr = "sock"."__sk_common.skc_rcv_saddr", [4], SOCKET;
    sock_v6_daddr = "sock"."__sk_common.skc_v6_daddr", [16], OPTIONAL;
    sock_v6_rcv_saddr = "sock"."__sk_common.skc_v6_rcv_saddr", [16], OPTIONAL;
    sock_net = "sock"."__sk_common.skc_net.net", [8], SOCKET;
    inet_sport = "inet_sock"."inet_sport", [2], SOCKET;
    net_inum = "net"."ns.inum", [4], NETWORK;
    net_hash_mix = "net"."hash_mix", [4], NETWORK;
    tcp_bytes_received = "tcp_sock"."bytes_received", [8], OPTIONAL;
    tcp_bytes_acked = "tcp_sock"."bytes_acked", [8], OPTIONAL;
    file_inode = "file"."f_inode", [8], WALK;
    file_private_data = "file"."private_data", [8], WALK;
    inode_mode = "inode"."i_mode", [2], WALK;
    socket_sk = "socket"."sk", [8], WALK;
    task_nsproxy = "task_struct"."nsproxy", [8], PROXY;
    nsproxy_net_ns = "nsproxy"."net_ns", [8], PROXY;
    skb_dev = "sk_buff"."dev", [8], RESET;
    skb_head = "sk_buff"."head", [8], RESET;
    skb_network_header = "sk_buff"."network_header", [2], RESET;
    skb_transport_header = "sk_buff"."transport_header", [2], RESET;
    net_device_net = "net_device"."nd_net.net", [8], RESET;
}

#[cfg(test)]
mod tests {
    use super::super::btf::kind;
    use super::super::btf::tests::Builder;
    use super::*;

    #[test]
    fn a_kernel_without_types_has_nothing() {
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24_u32, 0, 0, 0, 0] {
            bytes.extend(word.to_ne_bytes());
        }
        let offsets = Offsets::resolve(&Btf::parse(&bytes).unwrap());
        for hook in Hook::ALL {
            // Packets look the same everywhere.
            assert_eq!(offsets.missing(hook).is_some(), !hook.sees_packets(), "{}", hook.name());
        }
    }

    /// What is different in kernels, and nothing else.
    fn forms(cgroup: Option<&str>, exit: usize, victim_is_task: bool, srcu: bool) -> Offsets {
        let mut types = Builder::default();
        let int = types.add("int", kind::INT, 0, 4, &[32]);
        let word = types.add("u64", kind::INT, 0, 8, &[64]);
        let task = types.add("", kind::PTR, 0, 0, &[]);
        let members: Vec<_> = cgroup.iter().map(|name| (*name, word, 0)).collect();
        let data = types.structure("sock_cgroup_data", kind::STRUCT, 8, 0, &members);
        types.structure("sock", kind::STRUCT, 24, 0, &[("sk_protocol", int, 0), ("sk_cgrp_data", data, 128)]);
        types.tracepoint("sched_process_exit", &[task, int][..exit]);
        types.tracepoint("mark_victim", &[if victim_is_task { task } else { int }]);
        if srcu {
            types.add(TRACEPOINT_SRCU, kind::VAR, 0, data, &[0]);
        }
        Offsets::resolve(&Btf::parse(&types.bytes()).unwrap())
    }

    #[test]
    fn forms_are_those_of_the_types_not_of_a_version() {
        let old = forms(Some("val"), 1, false, true);
        assert_eq!((old.globals.sock_cgroup, old.globals.sock_cgroup_form), (16, SOCK_CGROUP_TAGGED));
        assert_eq!(old.globals.exit_passes_group_dead, 0);
        assert!(!old.can_have_standbys() && !old.preempts);
        assert_eq!(old.globals.mark_victim_form, MARK_VICTIM_PID);

        let new = forms(Some("cgroup"), 2, true, true);
        assert_eq!((new.globals.sock_cgroup, new.globals.sock_cgroup_form), (16, SOCK_CGROUP_POINTER));
        assert_eq!(new.globals.exit_passes_group_dead, 1);
        assert!(new.preempts);
        // Between them the idle task had no tracepoints of its own.
        assert!(!forms(Some("cgroup"), 2, true, false).preempts);
        assert_eq!(new.globals.mark_victim_form, MARK_VICTIM_TASK);

        // Built without CONFIG_SOCK_CGROUP_DATA.
        let without = forms(None, 2, true, true);
        let lacks = |what: &str| without.missing.iter().any(|(hooks, lacks)| lacks == what && hooks == &SOCKET);
        assert!(lacks("sock.sk_cgrp_data.cgroup"), "{:?}", without.missing);
    }

    #[test]
    fn this_kernel_has_everything() {
        // Kernels without BTF have nothing to look at; the real-kernel tests insist on it.
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
        let offsets = Offsets::resolve(&Btf::parse(&bytes).unwrap());
        for hook in Hook::ALL {
            assert_eq!(offsets.missing(hook), None, "{}", hook.name());
        }
    }
}
