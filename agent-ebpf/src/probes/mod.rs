//! One hook a file, named after its tracepoint. Most are `tp_btf` programs: typed arguments, no copy by a helper.
//! Each first finds out whether its event is about a tracked container, with one map lookup, and returns if not.
//!
//! Two are `cgroup_skb` programs. They see the packets of the kubelet's cgroup and nobody else's, and let every one of
//! them pass. Another file is no hook: its programs walk over all open files when the agent wants them to.

mod sched_process_exec;
mod sched_process_fork;
mod sched_process_exit;
mod signal_generate;
mod signal_deliver;
mod mark_victim;
mod inet_sock_set_state;
mod cgroup_mkdir;
mod cgroup_rmdir;
mod cgroup_notify_populated;
mod cgroup_skb_egress;
mod cgroup_skb_ingress;
mod iter_task_file;
mod tcp_send_reset;
mod tcp_v4_send_reset;
mod tcp_v6_send_reset;
