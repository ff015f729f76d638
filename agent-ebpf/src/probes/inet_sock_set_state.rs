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
    CONNECTION_INBOUND, CONNECTION_LATE, CONNECTION_OPENED, Connection, Hook, Socket, WORD_SEEDING,
};

use crate::once::Once;
use crate::sock::{Ends, Sock, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, is_open};
use crate::state::{self, Record, Tracked};
use crate::{connections, gone, kernel, ports};

const HOOK: Hook = Hook::InetSockSetState;

#[btf_tracepoint(function = "inet_sock_set_state")]
fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    handle::<false>(&ctx);
    0
}

/// Runs where the other one is left out: see [`gracetrace_ebpf::Hook::standby`].
#[btf_tracepoint(function = "inet_sock_set_state")]
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
        closed::<STANDBY>(sock, old, new)
    } else if old == TCP_SYN_SENT && new == TCP_CLOSE {
        failed::<STANDBY>(sock)
    } else if new == TCP_LISTEN {
        let container = state::container(sock.cgroup_id())?;
        if Once::Socket(sock, new).is_mine::<STANDBY>() { ports::listens(sock, container) } else { None }
    } else if old == TCP_LISTEN && new == TCP_CLOSE {
        // A new connection's socket is a copy of its listener, and goes from LISTEN to SYN_RECV (`inet_csk_clone_lock`).
        let container = state::container(sock.cgroup_id())?;
        if Once::Socket(sock, new).is_mine::<STANDBY>() { ports::listens_no_more(sock, container) } else { None }
    } else {
        None
    }
}

#[inline(always)]
fn established<const STANDBY: bool>(sock: Sock<true>, inbound: bool) -> Option<()> {
    // What is counted has an entry, and needs no other mark.
    if STANDBY && connections::is_open(sock.key()) {
        return None;
    }
    let entry = state::any_cgroup(sock.cgroup_id())?;
    if entry.kind == CGROUP_KIND_ANCESTOR || !sock.is_tcp() {
        return None;
    }
    let once = Once::Socket(sock, TCP_ESTABLISHED);
    if STANDBY && once.is_handled() {
        return None;
    }
    if entry.kind == CGROUP_KIND_KUBELET {
        if inbound {
            return None;
        }
        once.set_handled::<STANDBY>();
        return connections::set_kubelet(sock);
    }
    let container = Tracked::of(entry.owner)?;
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
    // SAFETY: only addresses are taken; the time is one word.
    let total = unsafe {
        if inbound {
            flags = CONNECTION_INBOUND;
            (&raw mut (*counters).last_inbound_at).write_volatile(now);
            if container.stop_at() != 0 {
                flags |= CONNECTION_LATE;
                state::add(&raw mut (*counters).late, 1);
            }
            &raw mut (*counters).inbound_total
        } else {
            &raw mut (*counters).outbound_total
        }
    };
    state::add(total, 1);
    let socket = Socket { cgroup: container.id, opened_at: now, flags: u64::from(flags) };
    if !connections::open(container, sock.key(), socket) {
        once.set_handled::<STANDBY>();
        container.count_lost(HOOK);
    }
    if container.is_watched() {
        tell(container, sock, &ends, Told { change: CONNECTION_OPENED, flags, opened_at: now, bytes: (0, 0) }, now);
    }
    Some(())
}

#[inline(always)]
fn closed<const STANDBY: bool>(sock: Sock<true>, old: i32, new: i32) -> Option<()> {
    let key = sock.key();
    let once = Once::Socket(sock, new);
    // Whoever takes the entry out handles it: the standby finds none where the first has.
    let (container, socket) = match connections::close(key) {
        Some(it) => {
            if kernel::has_standbys() && state::word(WORD_SEEDING) != 0 {
                once.set_handled::<STANDBY>();
            }
            it
        }
        None if state::word(WORD_SEEDING) == 0 => return None,
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
        let bytes = sock.bytes(old, flags & CONNECTION_INBOUND != 0);
        let told = Told { change: CONNECTION_CLOSED, flags, opened_at: socket.opened_at, bytes };
        tell(container, sock, &sock.ends()?, told, state::now());
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
    let entry = entry.filter(|entry| entry.kind != CGROUP_KIND_ANCESTOR);
    if (entry.is_none() && gone::is_empty()) || !sock.is_tcp() {
        return None;
    }
    if !Once::Socket(sock, TCP_CLOSE).is_mine::<STANDBY>() {
        return None;
    }
    // Whoever it is: it need not be a pod's.
    gone::could_not_connect(sock);
    let container = Tracked::of(entry?.owner)?;
    // Within the pod, too: a sidecar that is reached at a loopback address stands for whom it connects to.
    let ends = sock.ends()?;
    // SAFETY: only the address is taken.
    state::add(unsafe { &raw mut (*container.counters()).outbound_failed }, 1);
    if container.is_watched() {
        let told = Told { change: CONNECTION_FAILED, flags: 0, opened_at: 0, bytes: (0, 0) };
        tell(container, sock, &ends, told, state::now());
    }
    Some(())
}

/// What is told of a connection but for its ends.
struct Told {
    change: u32,
    flags: u32,
    opened_at: u64,
    /// Received and sent.
    bytes: (u64, u64),
}

/// Tells of a change, if this container may tell one more.
#[inline(always)]
fn tell(container: Tracked, sock: Sock<true>, ends: &Ends, told: Told, now: u64) {
    if !container.may_tell(now) {
        return;
    }
    let Some(mut record) = Record::<Connection>::new(HOOK, container.id, now, 0, Some(container)) else { return };
    let body = record.body();
    // SAFETY: `body` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*body).peer).write(ends.peer);
        (&raw mut (*body).peer_port).write(sock.peer_port());
        (&raw mut (*body).local_port).write(sock.own_port());
        (&raw mut (*body).change).write(told.change);
        (&raw mut (*body).flags).write(told.flags);
        (&raw mut (*body).reserved).write(0);
        (&raw mut (*body).opened_at).write(told.opened_at);
        (&raw mut (*body).received).write(told.bytes.0);
        (&raw mut (*body).sent).write(told.bytes.1);
    }
    record.submit();
}
