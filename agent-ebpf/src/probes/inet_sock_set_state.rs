//! Hook: `inet_sock_set_state(sk, oldstate, newstate)`, in any context: current is nobody in particular, so that the
//! container is the socket's. The socket has its old state still.
//!
//! Feeds: connections by container: open, established, late, aborted, failed, the last one's time; those from within the
//! pod and from the kubelet apart. Writes no record, but for a container that is terminating: then one for each change.
//! Every other record carries a snapshot of the counts. Who listens on which port, for `tcp_send_reset`; connects to
//! addresses of pods that have gone.
//! Without it: nothing is said about connections, and refused ones belong to nobody.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::{
    CGROUP_KIND_ANCESTOR, CGROUP_KIND_KUBELET, CONNECTION_ABORTED, CONNECTION_CLOSED, CONNECTION_FAILED,
    CONNECTION_INBOUND, CONNECTION_LATE, CONNECTION_OPENED, Connection, Hook, Socket,
};

use crate::once::Once;
use crate::sock::{Sock, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, is_open};
use crate::state::{self, Record, Tracked};
use crate::{connections, gone, kernel, ports};

const HOOK: Hook = Hook::InetSockSetState;

// Inlined into what the macro makes of it: a call is saved.
#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    handle::<false>(&ctx);
    0
}

/// Runs where the other one is left out: see [`gracetrace_ebpf::Hook::standby`].
#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
fn inet_sock_set_state_standby(ctx: BtfTracePointContext) -> i32 {
    handle::<true>(&ctx);
    0
}

#[inline(always)]
fn handle<const STANDBY: bool>(ctx: &BtfTracePointContext) -> Option<()> {
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    let sock = Sock::<true>(ctx.arg(0));
    if new == TCP_ESTABLISHED {
        if old == TCP_SYN_RECV {
            established::<STANDBY>(sock, true)
        } else if old == TCP_SYN_SENT {
            established::<STANDBY>(sock, false)
        } else {
            None
        }
    } else if is_open(old) && !is_open(new) {
        // By the socket, not by its cgroup: that may not be tracked any more, and the entry must go.
        closed::<STANDBY>(sock, new)
    } else if old == TCP_SYN_SENT && new == TCP_CLOSE {
        failed::<STANDBY>(sock)
    } else if new == TCP_LISTEN || (old == TCP_LISTEN && new == TCP_CLOSE) {
        // A new connection's socket is a copy of its listener, and goes from LISTEN to SYN_RECV (`inet_csk_clone_lock`).
        listener::<STANDBY>(sock, new)
    } else {
        None
    }
}

#[inline(always)]
fn listener<const STANDBY: bool>(sock: Sock<true>, new: i32) -> Option<()> {
    let container = state::container(sock.cgroup_id())?;
    if !Once::Socket(sock, new).is_mine::<STANDBY>() {
        None
    } else if new == TCP_LISTEN {
        ports::listens(sock, container)
    } else {
        ports::listens_no_more(sock, container)
    }
}

#[inline(always)]
fn established<const STANDBY: bool>(sock: Sock<true>, inbound: bool) -> Option<()> {
    // What is counted has an entry, and needs no other mark.
    if STANDBY && connections::is_open(sock.key()) {
        return None;
    }
    let once = Once::Socket(sock, TCP_ESTABLISHED);
    let cgroup = sock.cgroup_id();
    // Most containers have one cgroup: it is their own id.
    let container = match Tracked::of(cgroup) {
        Some(container) => container,
        None => {
            let entry = state::any_cgroup(cgroup)?;
            if entry.kind == CGROUP_KIND_KUBELET {
                if inbound || !sock.is_tcp() || (STANDBY && once.is_handled()) {
                    return None;
                }
                once.set_handled::<STANDBY>();
                return connections::set_kubelet(sock);
            }
            if entry.kind == CGROUP_KIND_ANCESTOR {
                return None;
            }
            Tracked::of(entry.owner)?
        }
    };
    if !sock.is_tcp() || (STANDBY && once.is_handled()) {
        return None;
    }
    gone::connected(sock, inbound);
    let counters = container.counters();
    let ends = sock.ends()?;
    if sock.is_within_pod(&ends) {
        if inbound {
            once.set_handled::<STANDBY>();
            // SAFETY: only the address is taken.
            state::add(unsafe { &raw mut (*counters).internal }, 1);
        }
        return None;
    }
    let now = state::now();
    if inbound && connections::is_kubelet(sock, &ends, now) {
        once.set_handled::<STANDBY>();
        // SAFETY: only the address is taken.
        state::add(unsafe { &raw mut (*counters).kubelet }, 1);
        return None;
    }

    let mut flags = 0;
    if inbound {
        flags = CONNECTION_INBOUND;
        // SAFETY: the container's; a word is written whole.
        unsafe { (&raw mut (*counters).last_inbound_at).write_volatile(now) };
        if container.stop_at() != 0 {
            flags |= CONNECTION_LATE;
            // SAFETY: only the address is taken.
            state::add(unsafe { &raw mut (*counters).late }, 1);
        }
    }
    let socket = Socket { cgroup: container.id, opened_at: now, flags: u64::from(flags) };
    if !connections::open(container, sock.key(), socket) {
        once.set_handled::<STANDBY>();
        container.count_lost(HOOK);
    }
    if container.is_watched() {
        tell(container, sock, Told::new(CONNECTION_OPENED, flags), now);
    }
    Some(())
}

#[inline(always)]
fn closed<const STANDBY: bool>(sock: Sock<true>, new: i32) -> Option<()> {
    let key = sock.key();
    let once = Once::Socket(sock, new);
    // Whoever takes the entry out handles it: the standby finds none where the first has.
    let (container, socket) = match connections::close(key) {
        Some(it) => {
            if kernel::has_standbys() && state::seeding() != 0 {
                once.set_handled::<STANDBY>();
            }
            it
        }
        None if state::seeding() == 0 => return None,
        None if STANDBY && once.is_handled() => return None,
        None => {
            connections::set_closed(key);
            connections::close(key)?
        }
    };
    let mut flags = socket.flags as u32;
    if new == TCP_CLOSE {
        flags |= CONNECTION_ABORTED;
        // SAFETY: only the address is taken.
        state::add(unsafe { &raw mut (*container.counters()).aborted }, 1);
    }
    if container.is_watched() {
        tell(container, sock, Told::new(CONNECTION_CLOSED, flags), socket.opened_at);
    }
    Some(())
}

#[inline(always)]
fn failed<const STANDBY: bool>(sock: Sock<true>) -> Option<()> {
    let entry = state::any_cgroup(sock.cgroup_id());
    if entry.is_some_and(|entry| entry.kind == CGROUP_KIND_KUBELET) {
        // Once only, by itself.
        return ports::take_back(sock);
    }
    // A number in any case: the verifier wants none to be carried along that nobody has set, even if nobody looks at it.
    let owner = entry.filter(|entry| entry.kind != CGROUP_KIND_ANCESTOR).map_or(0, |entry| entry.owner);
    if (owner == 0 && gone::is_empty()) || !sock.is_tcp() {
        return None;
    }
    if !Once::Socket(sock, TCP_CLOSE).is_mine::<STANDBY>() {
        return None;
    }
    // Whoever it is: it need not be a pod's.
    gone::could_not_connect(sock);
    let container = Tracked::of(owner)?;
    // Within the pod, too: a sidecar that is reached at a loopback address stands for whom it connects to.
    // SAFETY: only the address is taken.
    state::add(unsafe { &raw mut (*container.counters()).outbound_failed }, 1);
    if container.is_watched() {
        tell(container, sock, Told::new(CONNECTION_FAILED, 0), 0);
    }
    Some(())
}

/// What is told of a connection but for what its socket says: change and flags. In one word, since a function can have five
/// arguments.
#[derive(Clone, Copy)]
struct Told(u64);

impl Told {
    #[inline(always)]
    fn new(change: u32, flags: u32) -> Told {
        Told(u64::from(change) << 32 | u64::from(flags))
    }
}

/// Tells of a change, if this container may tell one more. A program of its own: hardly any change is told.
#[inline(never)]
fn tell(container: Tracked, sock: Sock<true>, told: Told, opened_at: u64) -> Option<()> {
    let (change, flags) = ((told.0 >> 32) as u32, told.0 as u32);
    let now = state::now();
    if !container.may_tell(now) {
        return None;
    }
    let ends = sock.ends()?;
    let (received, sent) = match change {
        CONNECTION_CLOSED => sock.bytes(sock.state(), flags & CONNECTION_INBOUND != 0),
        _ => (0, 0),
    };
    let mut record = Record::<Connection>::new(HOOK, container.id, now, 0, Some(container))?;
    let body = record.body();
    // SAFETY: `body` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*body).peer).write(ends.peer);
        (&raw mut (*body).peer_port).write(sock.peer_port());
        (&raw mut (*body).local_port).write(sock.own_port());
        (&raw mut (*body).change).write(change);
        (&raw mut (*body).flags).write(flags);
        (&raw mut (*body).reserved).write(0);
        (&raw mut (*body).opened_at).write(opened_at);
        (&raw mut (*body).received).write(received);
        (&raw mut (*body).sent).write(sent);
    }
    record.submit();
    Some(())
}
