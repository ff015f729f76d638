//! Hook: `inet_sock_set_state(sk, oldstate, newstate)`, in any context: current is nobody in particular, so that the
//! container is the socket's.
//!
//! Feeds: connections by container: open, established, late, the last one's time. Writes no record; every other record
//! carries a snapshot.
//! Who listens on which port, for `tcp_send_reset`; connects to addresses of pods that have gone.
//! Without it: nothing is said about connections, and refused ones belong to nobody.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::{CGROUP_KIND_KUBELET, Counters, Hook, Socket};

use crate::kernel::Sock;
use crate::state::{self, SOCKETS, Tracked};
use crate::{gone, ports};

/// States of include/net/tcp_states.h.
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;
const TCP_CLOSE: i32 = 7;
const TCP_CLOSE_WAIT: i32 = 8;
const TCP_LISTEN: i32 = 10;

const IPPROTO_TCP: u16 = 6;

#[btf_tracepoint(function = "inet_sock_set_state")]
fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx);
    0
}

#[inline(always)]
fn handle(ctx: &BtfTracePointContext) -> Option<()> {
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    let sock = Sock(ctx.arg(0));
    places(sock, old, new);
    if new == TCP_ESTABLISHED {
        if old == TCP_SYN_RECV || old == TCP_SYN_SENT {
            established(sock, old == TCP_SYN_RECV);
        }
    } else if new != TCP_CLOSE_WAIT && (old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT) {
        // By the socket, not by its cgroup: that may not be tracked any more, and the entry must go.
        ended(sock.0 as u64);
    }
    Some(())
}

/// What is not about a connection that is, or was: listeners, and connects that fail.
#[inline(always)]
fn places(sock: Sock, old: i32, new: i32) -> Option<()> {
    match (old, new) {
        (_, TCP_LISTEN) => ports::listens(sock),
        (TCP_LISTEN, _) => ports::listens_no_more(sock),
        (TCP_SYN_SENT, TCP_CLOSE) => could_not_connect(sock),
        _ => None,
    }
}

#[inline(always)]
fn could_not_connect(sock: Sock) -> Option<()> {
    match state::any_cgroup(sock.cgroup_id()) {
        Some(entry) if entry.kind == CGROUP_KIND_KUBELET => ports::take_back(sock),
        _ => gone::could_not_connect(sock),
    }
}

#[inline(always)]
fn established(sock: Sock, inbound: bool) -> Option<()> {
    let container = state::container(sock.cgroup_id())?;
    if sock.protocol() != IPPROTO_TCP {
        return None;
    }
    gone::connected(sock, inbound);
    let key = sock.0 as u64;
    let counters = container.counters();
    // SAFETY: only addresses are taken; the time is one word.
    let (open, total) = unsafe {
        if inbound {
            (&raw mut (*counters).last_inbound_at).write_volatile(state::now());
            if container.stop_at() != 0 {
                state::add(&raw mut (*counters).late, 1);
            }
            (&raw mut (*counters).inbound_open, &raw mut (*counters).inbound_total)
        } else {
            (&raw mut (*counters).outbound_open, &raw mut (*counters).outbound_total)
        }
    };
    state::add(total, 1);
    let socket = Socket { cgroup: container.id, inbound: u64::from(inbound) };
    if SOCKETS.insert(key, socket, BPF_NOEXIST.into()).is_err() {
        // Either there is no room, or the end of another connection at this address was not seen.
        ended(key);
        if SOCKETS.insert(key, socket, BPF_NOEXIST.into()).is_err() {
            container.count_lost(Hook::InetSockSetState);
            return None;
        }
    }
    state::add(open, 1);
    Some(())
}

/// Takes a connection off the count, if it was counted.
#[inline(always)]
fn ended(key: u64) -> Option<()> {
    // SAFETY: plain words; nobody writes to an entry after it was made.
    let socket: Socket = *unsafe { SOCKETS.get(key) }?;
    // Only one can remove it.
    SOCKETS.remove(key).ok()?;
    let counters: *mut Counters = Tracked::of(socket.cgroup)?.counters();
    // SAFETY: only addresses are taken.
    let open = unsafe {
        if socket.inbound != 0 { &raw mut (*counters).inbound_open } else { &raw mut (*counters).outbound_open }
    };
    state::add(open, 1u64.wrapping_neg());
    Some(())
}
