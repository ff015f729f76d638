//! What the programs must know of this kernel: resolved from its BTF, per hook. Pure.
#![forbid(unsafe_code)]

use gracetrace_ebpf::{Globals, Hook, MARK_VICTIM_PID, MARK_VICTIM_TASK, SOCK_CGROUP_POINTER, SOCK_CGROUP_TAGGED};

use super::btf::Btf;

/// The functions that answer with a reset. The second is not there in a kernel without IPv6.
pub(super) const RESET_FUNCTIONS: [&str; 2] = ["tcp_v4_send_reset", "tcp_v6_send_reset"];

/// The globals, and what the kernel does not have.
#[derive(Debug, Clone, Default)]
pub(super) struct Offsets {
    /// For the programs. What is missing is 0, and no program that reads it is loaded.
    pub(super) globals: Globals,
    /// What tells of a SYN that is refused.
    pub(super) reset: ResetForm,
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
        offsets.resolve_v6(btf);
        offsets.resolve_reset(btf);
        let by_tracepoint = |hook: &Hook| hook.is_tracepoint() && *hook != Hook::TcpSendReset;
        for hook in Hook::ALL.into_iter().filter(by_tracepoint) {
            if btf.tracepoint(hook.name()).is_none() {
                offsets.missing.push((only(hook), format!("tracepoint {}", hook.name())));
            }
        }
        let arguments = btf.tracepoint(Hook::SchedProcessExit.name()).unwrap_or_default();
        offsets.globals.exit_passes_group_dead = u32::from(arguments.len() > 1);
        let arguments = btf.tracepoint(Hook::MarkVictim.name()).unwrap_or_default();
        offsets.globals.mark_victim_form =
            if arguments.first() == Some(&true) { MARK_VICTIM_TASK } else { MARK_VICTIM_PID };
        offsets
    }

    /// Something that a hook needs and the kernel does not have.
    pub(super) fn missing(&self, hook: Hook) -> Option<&str> {
        self.missing.iter().find(|(hooks, _)| hooks.contains(&hook)).map(|(_, what)| what.as_str())
    }

    /// A kernel without IPv6 has no members for it.
    fn resolve_v6(&mut self, btf: &Btf<'_>) {
        let offset = |path| btf.member("sock", path).filter(|member| member.size == 16).map_or(0, |found| found.offset);
        self.globals.sock_v6_daddr = offset("__sk_common.skc_v6_daddr");
        self.globals.sock_v6_rcv_saddr = offset("__sk_common.skc_v6_rcv_saddr");
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
            None => self.missing.push((&[Hook::InetSockSetState], "sock.sk_cgrp_data.cgroup".to_owned())),
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
const SIGNAL: &[Hook] = &[Hook::SignalGenerate];
const DELIVER: &[Hook] = &[Hook::SignalDeliver];
const SOCKET: &[Hook] = &[Hook::InetSockSetState];
const CGROUP: &[Hook] = &[Hook::CgroupMkdir, Hook::CgroupRmdir, Hook::CgroupNotifyPopulated];
const MKDIR: &[Hook] = &[Hook::CgroupMkdir];
const RESET: &[Hook] = &[Hook::TcpSendReset];
/// They tell network namespaces from each other.
const NETWORK: &[Hook] = &[Hook::SchedProcessExec, Hook::InetSockSetState, Hook::TcpSendReset];
/// They read members of a task.
const TASK: &[Hook] =
    &[Hook::SchedProcessExec, Hook::SchedProcessFork, Hook::SchedProcessExit, Hook::SignalGenerate, Hook::MarkVictim];
/// They turn a task, a socket or a cgroup into a cgroup's id.
const CGROUP_ID: &[Hook] = &[
    Hook::SchedProcessExec,
    Hook::SchedProcessFork,
    Hook::SchedProcessExit,
    Hook::SignalGenerate,
    Hook::MarkVictim,
    Hook::InetSockSetState,
    Hook::CgroupMkdir,
    Hook::CgroupRmdir,
    Hook::CgroupNotifyPopulated,
];

wanted! {
    task_pid = "task_struct"."pid", [4], TASK;
    task_tgid = "task_struct"."tgid", [4], TASK;
    task_comm = "task_struct"."comm", [0], TASK;
    task_cgroups = "task_struct"."cgroups", [8], TASK;
    task_real_parent = "task_struct"."real_parent", [8], EXEC_EXIT;
    task_group_leader = "task_struct"."group_leader", [8], EXEC_EXIT;
    task_signal = "task_struct"."signal", [8], EXEC_EXIT;
    task_sum_exec_runtime = "task_struct"."se.sum_exec_runtime", [8], EXEC_EXIT;
    task_start_time = "task_struct"."start_time", [8], EXIT;
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
    task_nsproxy = "task_struct"."nsproxy", [8], EXEC;
    nsproxy_net_ns = "nsproxy"."net_ns", [8], EXEC;
    net_inum = "net"."ns.inum", [4], NETWORK;
    net_hash_mix = "net"."hash_mix", [4], NETWORK;
    sock_net = "sock"."__sk_common.skc_net.net", [8], SOCKET;
    sock_family = "sock"."__sk_common.skc_family", [2], SOCKET;
    sock_dport = "sock"."__sk_common.skc_dport", [2], SOCKET;
    sock_daddr = "sock"."__sk_common.skc_daddr", [4], SOCKET;
    sock_rcv_saddr = "sock"."__sk_common.skc_rcv_saddr", [4], SOCKET;
    inet_sport = "inet_sock"."inet_sport", [2], SOCKET;
    skb_dev = "sk_buff"."dev", [8], RESET;
    skb_head = "sk_buff"."head", [8], RESET;
    skb_network_header = "sk_buff"."network_header", [2], RESET;
    skb_transport_header = "sk_buff"."transport_header", [2], RESET;
    net_device_net = "net_device"."nd_net.net", [8], RESET;
}

#[cfg(test)]
mod tests {
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
            assert_eq!(offsets.missing(hook).is_some(), hook.is_tracepoint(), "{}", hook.name());
        }
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
