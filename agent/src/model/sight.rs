//! What the kernel side can see.

/// Which measures this kernel gives. What it does not is `None` in a timeline, or makes it incomplete; never a 0 or a
/// "no" that nobody has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Signals that are sent (`signal_generate`): without them nothing can be said of how a container ended.
    pub signals: bool,
    /// Signals that are taken (`signal_deliver`).
    pub deliveries: bool,
    /// Ends of processes (`sched_process_exit`): without them nothing can be said of how a container ended.
    pub exits: bool,
    /// Connections (`inet_sock_set_state`).
    pub connections: bool,
    /// Besides how many there are: who the peers are, what was aborted or failed, what is the kubelet's or the pod's own.
    /// Recordings of earlier versions have none of that ([`Sight::EARLIER`]).
    pub connection_details: bool,
    /// Connections that are refused (`tcp_send_reset`).
    pub refusals: bool,
    /// Requests of httpGet hooks and their answers (`cgroup_skb_egress`, `cgroup_skb_ingress` on the kubelet's cgroup):
    /// without both, such hooks are concluded from spec and times.
    pub http_hooks: bool,
}

/// Not a hook by itself, but what `inet_sock_set_state` came to tell later.
const CONNECTION_DETAILS: &str = "inet_sock_set_state (details)";

impl Default for Sight {
    /// Everything.
    fn default() -> Sight {
        Sight {
            signals: true,
            deliveries: true,
            exits: true,
            connections: true,
            connection_details: true,
            refusals: true,
            http_hooks: true,
        }
    }
}

impl Sight {
    /// What versions that did not name their hooks in a recording did not have yet.
    pub const EARLIER: [&str; 2] = [CONNECTION_DETAILS, "tcp_send_reset"];

    /// Everything but for what these hooks tell, by the names of the hooks.
    pub fn without<'a>(missing: impl IntoIterator<Item = &'a str>) -> Sight {
        let mut sight = Sight::default();
        for hook in missing {
            match hook {
                "signal_generate" => sight.signals = false,
                "signal_deliver" => sight.deliveries = false,
                "sched_process_exit" => sight.exits = false,
                "inet_sock_set_state" => sight.connections = false,
                CONNECTION_DETAILS => sight.connection_details = false,
                "tcp_send_reset" => sight.refusals = false,
                "cgroup_skb_egress" | "cgroup_skb_ingress" => sight.http_hooks = false,
                _ => {}
            }
        }
        sight
    }
}
