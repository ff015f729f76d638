//! Connections that are counted, in the two ways they come: seen as they are established, or found by a walk over open
//! files. And the kubelet's, which are not.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap};
use gracetrace_ebpf::{CONNECTION_INBOUND, Counters, Directed, Flow, Socket};

use crate::sock::{Ends, Sock};
use crate::sockets;
use crate::state::{self, Tracked};

/// Sockets without an entry that have closed during a walk, by their address: the walk may have found one of them just
/// before that.
#[map]
static CLOSED: LruHashMap<u64, u8> = LruHashMap::with_max_entries(2_048, 0);

/// Connections of the kubelet whose other end was not established yet.
#[map]
static KUBELET_FLOWS: LruHashMap<Flow, u8> = LruHashMap::with_max_entries(4_096, 0);

/// When the kubelet last connected from a port, by some bits of it: most clients are told from the kubelet by this alone.
#[map]
static KUBELET_PORTS: Array<u64> = Array::with_max_entries(KUBELET_PORTS_LEN, 0);

const KUBELET_PORTS_LEN: u32 = 8_192;

/// For how long in nanoseconds after the kubelet's end the pod's end may be established: the last segment of the handshake
/// may be lost, or the server slow to accept (`tcp_check_req` in net/ipv4/tcp_minisocks.c).
const HANDSHAKE: u64 = 30_000_000_000;

/// Makes an entry for a connection and counts it as established, and as open. False when there is no room: then it counts as
/// established only.
#[inline(always)]
pub(crate) fn open(container: Tracked, key: u64, socket: Socket) -> bool {
    let has_entry = sockets::insert(key, socket) || {
        // Either there is no room, or the end of another connection at this address was not seen.
        if let Some(stale) = sockets::remove(key) {
            count_off(&stale);
        }
        sockets::insert(key, socket)
    };
    let open = if has_entry { Directed::OPEN } else { 0 };
    state::add(count(container.counters(), &socket), Directed::TOTAL + open);
    has_entry
}

/// The same for one that a walk has found. `None` if it is counted already.
#[inline(always)]
pub(crate) fn open_found(container: Tracked, key: u64, socket: Socket) -> Option<bool> {
    if is_open(key) {
        return None;
    }
    if !sockets::insert_into_map(key, socket) {
        return if is_open(key) { None } else { Some(false) };
    }
    state::add(count(container.counters(), &socket), Directed::OPEN);
    // The one that closes a socket says so first and then looks for the entry once more; so one of the two sees the other.
    // SAFETY: only whether it is there is asked.
    if unsafe { CLOSED.get(key) }.is_some() {
        close(key);
        return None;
    }
    Some(true)
}

/// Whether a connection is counted as open.
#[inline(always)]
pub(crate) fn is_open(key: u64) -> bool {
    sockets::has(key)
}

/// Takes a connection off the count, if it was counted.
#[inline(always)]
pub(crate) fn close(key: u64) -> Option<(Tracked, Socket)> {
    let socket = sockets::remove(key)?;
    Some((count_off(&socket)?, socket))
}

/// Remembers that a socket without an entry has closed during a walk.
#[inline(always)]
pub(crate) fn set_closed(key: u64) {
    let _ = CLOSED.insert(key, 0, 0);
}

#[inline(always)]
fn count_off(socket: &Socket) -> Option<Tracked> {
    let container = Tracked::of(socket.cgroup)?;
    state::add(count(container.counters(), socket), Directed::OPEN.wrapping_neg());
    Some(container)
}

#[inline(always)]
fn count(counters: *mut Counters, socket: &Socket) -> *mut u64 {
    // SAFETY: only addresses are taken.
    unsafe {
        if socket.flags & u64::from(CONNECTION_INBOUND) != 0 {
            &raw mut (*counters).inbound.0
        } else {
            &raw mut (*counters).outbound.0
        }
    }
}

/// Remembers a connection that the kubelet has made.
#[inline(always)]
pub(crate) fn set_kubelet<const TYPED: bool>(sock: Sock<TYPED>) -> Option<()> {
    let Ends { peer, own } = sock.ends()?;
    let flow = Flow { client: own, server: peer, client_port: sock.own_port(), server_port: sock.peer_port() };
    KUBELET_FLOWS.insert(flow, 0, 0).ok()?;
    let port = KUBELET_PORTS.get_ptr_mut(u32::from(flow.client_port) % KUBELET_PORTS_LEN)?;
    // SAFETY: a map value; a word is written whole.
    unsafe { port.write_volatile(state::now()) };
    Some(())
}

/// Whether an accepted connection comes from the kubelet. Each is told once.
#[inline(always)]
pub(crate) fn is_kubelet<const TYPED: bool>(sock: Sock<TYPED>, ends: &Ends, now: u64) -> bool {
    let client_port = sock.peer_port();
    let Some(port) = KUBELET_PORTS.get_ptr(u32::from(client_port) % KUBELET_PORTS_LEN) else { return false };
    // SAFETY: a map value; a word is read whole.
    let connected_at = unsafe { port.read_volatile() };
    if connected_at == 0 || now.saturating_sub(connected_at) > HANDSHAKE {
        return false;
    }
    let flow = Flow { client: ends.peer, server: ends.own, client_port, server_port: sock.own_port() };
    KUBELET_FLOWS.remove(flow).is_ok()
}
