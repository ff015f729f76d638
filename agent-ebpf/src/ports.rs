//! Ports that containers listen on, and SYNs that were refused there: whose they are, and whose they may become.
//!
//! A SYN to a port where a container has listened and does not any more is that container's, as long as its state is
//! there. To a port where nobody has, it waits for the container that will: in the network namespaces of pods only, in
//! the host's own anybody may connect to anything. To a port where a container listens all the same, it is nobody's:
//! another address, or a limit of the listener's (`tcp_abort_on_overflow` answers the ACK, not the SYN).
//!
//! The word of a new listener comes before it is in the kernel's table (`inet_csk_listen_start`), and a SYN may have looked
//! there before the word and be told of after it: what is refused within [`BEGINNING_NS`] was before. A SYN that is refused in
//! the moment between a listener's leaving that table and the word of it is nobody's (`tcp_set_state`).

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray};
use gracetrace_ebpf::{
    Counters, Flow, Hook, Port, PortKey, Refusal, TALLIES as TALLY_COUNT, TALLY_LEFT_OUT, TALLY_PLACES, TALLY_REFUSED,
    WAITING_KEPT_NS, WAITING_SLOTS, Waiting,
};

use crate::kernel::Syn;
use crate::sock::{Address, Ends, Sock};
use crate::state::{self, Tracked};

/// Who listens where, or did. What belongs to containers that are gone is taken out by the agent.
#[map]
static PORTS: HashMap<PortKey, Port> = HashMap::with_max_entries(8_192, 0);

/// SYNs that were refused where nobody has listened yet. What nobody came for is taken out by the agent.
#[map]
static WAITING: HashMap<PortKey, Waiting> = HashMap::with_max_entries(8_192, 0);

/// Slots of [`WAITING`] out of which somebody gives a container its SYNs.
#[map]
static GIVING: HashMap<PortKey, u8> = HashMap::with_max_entries(256, 0);

/// Network namespaces of pods.
#[map]
static NAMESPACES: LruHashMap<u64, u8> = LruHashMap::with_max_entries(4_096, 0);

/// SYNs that were counted a moment ago: should they turn out to be the kubelet's, it was none of its clients.
#[map]
static REFUSALS: LruHashMap<Flow, Refusal> = LruHashMap::with_max_entries(1_024, 0);

/// When the kubelet sent a SYN that may be refused.
#[map]
static KUBELET_SYNS: LruHashMap<Flow, u64> = LruHashMap::with_max_entries(1_024, 0);

/// For how long in nanoseconds after that a refused SYN between the same ends is that one: longer than it takes to the pod,
/// and shorter than it takes until somebody else has its port.
const KUBELET_SYN_KEPT_NS: u64 = 1_000_000_000;

/// For how long in nanoseconds after the word of a listener a refused SYN is one from before: much longer than the kernel takes
/// from there to its table, because whoever listens may be preempted on the way.
const BEGINNING_NS: u64 = 50_000_000;

/// What the agent looks at often, to know whether there is anything to look for. By `TALLY_…`.
#[map]
static TALLIES: PerCpuArray<u64> = PerCpuArray::with_max_entries(TALLY_COUNT, 0);

/// Adds to one of [`TALLIES`].
#[inline(always)]
pub(crate) fn tally(which: u32, by: u64) {
    if let Some(tally) = TALLIES.get_ptr_mut(which) {
        state::add(tally, by);
    }
}

/// A namespace is a pod's.
#[inline(always)]
pub(crate) fn is_of_a_pod(namespace: u64) {
    if namespace != 0 {
        let _ = NAMESPACES.insert(namespace, 1, 0);
    }
}

/// A container's socket begins to listen.
#[inline(always)]
pub(crate) fn listens(sock: Sock<true>, container: Tracked) -> Option<()> {
    let key = place(sock)?;
    tally(TALLY_PLACES, 1);
    let new = place_of(container, sock, 1)?;
    // Another may be first, on another CPU.
    if PORTS.get_ptr_mut(key).is_some() || PORTS.insert(key, new, BPF_NOEXIST.into()).is_err() {
        let Some(port) = PORTS.get_ptr_mut(key) else {
            container.count_lost(Hook::TcpSendReset);
            return None;
        };
        // SAFETY: a map value, which stays mapped while the program runs; each word is written whole.
        unsafe {
            (&raw mut (*port).owner).write_volatile(new.owner);
            (&raw mut (*port).changed_at).write_volatile(new.changed_at);
            (&raw mut (*port).address).write_volatile(new.address);
            state::add((&raw mut (*port).listening).cast(), 1);
        }
    }

    give(key, container)
}

/// Gives a container the SYNs that wait for it. Others may come meanwhile: whoever makes one wait looks for a listener after
/// that, and whoever gives looks for more after it has let go of the slot. So none is left behind, or given twice.
#[inline(always)]
fn give(key: PortKey, container: Tracked) -> Option<()> {
    /// Each time another comes in between; who comes after that is given with the next.
    const TIMES: u32 = 3;
    let slot = slot(key);
    for _ in 0..TIMES {
        let waiting = WAITING.get_ptr_mut(slot)?;
        // SAFETY: a map value, which stays mapped while the program runs; a word is read whole.
        let is_its = unsafe { (&raw const (*waiting).port).read_volatile() == u64::from(key.port) };
        if !is_its || not_given(waiting) == 0 || GIVING.insert(slot, 0, BPF_NOEXIST.into()).is_err() {
            return None;
        }
        let count = not_given(waiting);
        // SAFETY: only the address is taken.
        state::add(unsafe { &raw mut (*waiting).given }, count);
        let _ = GIVING.remove(slot);
        count_early(container, count);
    }
    Some(())
}

/// How many SYNs wait. Below 0, wrapped, when some were taken back that were given.
#[inline(always)]
fn not_given(waiting: *const Waiting) -> u64 {
    // SAFETY: a map value, which stays mapped while the program runs; each word is read whole.
    unsafe {
        let given = (&raw const (*waiting).given).read_volatile();
        (&raw const (*waiting).count).read_volatile().wrapping_sub(given)
    }
}

#[inline(always)]
fn count_early(container: Tracked, by: u64) {
    // SAFETY: only the address is taken.
    state::add(unsafe { &raw mut (*container.counters()).startup_refused }, by);
    tally(TALLY_REFUSED, 1);
}

/// A socket is found listening that nobody has seen begin with it.
#[inline(always)]
pub(crate) fn listens_already<const TYPED: bool>(sock: Sock<TYPED>, container: Tracked) -> Option<()> {
    let key = place(sock)?;
    let host = state::host_netns();
    if host != 0 && sock.network().number() != host {
        is_of_a_pod(key.namespace);
    }
    // SAFETY: only whether it is there is asked.
    if unsafe { PORTS.get(key) }.is_some() {
        return None;
    }
    let new = place_of(container, sock, 1)?;
    if PORTS.insert(key, new, BPF_NOEXIST.into()).is_ok() {
        tally(TALLY_PLACES, 1);
    }
    Some(())
}

/// A container's socket listens no more.
#[inline(always)]
pub(crate) fn listens_no_more(sock: Sock<true>, container: Tracked) -> Option<()> {
    let key = place(sock)?;
    tally(TALLY_PLACES, 1);
    let new = place_of(container, sock, 0)?;
    let Some(port) = PORTS.get_ptr_mut(key) else {
        // It had listened before anybody looked.
        if PORTS.insert(key, new, BPF_NOEXIST.into()).is_err() {
            container.count_lost(Hook::TcpSendReset);
        }
        return None;
    };
    // SAFETY: as above.
    unsafe {
        let listening = &raw mut (*port).listening;
        state::add(listening.cast(), 1u64.wrapping_neg());
        // Of two at once both may be the last one.
        if listening.read_volatile() <= 0 {
            (&raw mut (*port).changed_at).write_volatile(new.changed_at);
        }
    }
    Some(())
}

/// The kubelet has sent a SYN: should it be refused, it was none of a client's. Mostly it is not, and makes room in the end.
#[inline(always)]
pub(crate) fn expect_kubelet(flow: Flow) {
    let _ = KUBELET_SYNS.insert(flow, state::now(), 0);
}

/// A SYN was answered with a reset, because no socket was there.
#[inline(always)]
pub(crate) fn refused(syn: &Syn) -> Option<()> {
    // Of the pod itself: an application that calls its sidecar, say. Nobody's client.
    if (Ends { peer: syn.flow.client, own: syn.flow.server }).are_within_pod(|| syn.namespace as u32) {
        return None;
    }
    // SAFETY: a value is one word.
    let sent_at = unsafe { KUBELET_SYNS.get(syn.flow) }.copied().unwrap_or(0);
    if sent_at != 0 && state::now().saturating_sub(sent_at) < KUBELET_SYN_KEPT_NS {
        return None;
    }
    let key = PortKey { namespace: syn.namespace, port: u32::from(syn.flow.server_port), reserved: 0 };
    if let Some((owner, port)) = port(key) {
        if port.listening <= 0 {
            count(owner, syn);
        } else if is_for(port.address, syn) && state::now().saturating_sub(port.changed_at) < BEGINNING_NS {
            count_early(owner, 1);
            remember(syn, port.changed_at.saturating_sub(1));
        }
        return None;
    }
    // SAFETY: a value is one byte.
    unsafe { NAMESPACES.get(syn.namespace) }?;
    wait(key, syn)?;
    // Whoever has begun to listen meanwhile may have looked before this one waited.
    let (owner, port) = port(key)?;
    if port.listening > 0 { give(key, owner) } else { None }
}

/// Whether a listener at this address takes what is sent to where the SYN was.
#[inline(always)]
fn is_for([a, b, c, d]: Address, syn: &Syn) -> bool {
    let [e, f, g, h] = syn.flow.server;
    // Any address of IPv6 is any of IPv4 too, mostly.
    let is_any = a | b | d == 0 && (c == 0 || (e | f == 0 && g == c));
    is_any || (a ^ e | b ^ f | c ^ g | d ^ h) == 0
}

/// The container that listens at a place or has, and what is known of that.
#[inline(always)]
fn port(key: PortKey) -> Option<(Tracked, Port)> {
    // SAFETY: plain words; one that is being written reads as the old or the new one, word by word.
    let port: Port = *unsafe { PORTS.get(key) }?;
    Some((Tracked::of(port.owner)?, port))
}

#[inline(always)]
fn count(owner: Tracked, syn: &Syn) {
    let counters: *mut Counters = owner.counters();
    let at = state::now();
    // SAFETY: members of a map value; the times are one word each.
    let before = unsafe {
        let last = &raw mut (*counters).last_refused_at;
        let before = last.read_volatile();
        state::add(&raw mut (*counters).refused, 1);
        last.write_volatile(at);
        before
    };
    let _ = REFUSALS.insert(syn.flow, Refusal { owner: owner.id, namespace: syn.namespace, at, before }, 0);
    tally(TALLY_REFUSED, 1);
}

#[inline(always)]
fn wait(key: PortKey, syn: &Syn) -> Option<()> {
    let (slot, now) = (slot(key), state::now());
    let new = Waiting { port: u64::from(key.port), count: 1, given: 0, last_at: now };
    let mut waits = WAITING.get_ptr_mut(slot);
    if let Some(other) = waits {
        // SAFETY: as above.
        let other: Waiting = unsafe { other.read_volatile() };
        if other.port != new.port {
            let left = other.count.wrapping_sub(other.given);
            let is_kept = left != 0 && now.saturating_sub(other.last_at) < WAITING_KEPT_NS;
            if is_kept || WAITING.remove(slot).is_err() {
                tally(TALLY_LEFT_OUT, 1);
                return None;
            }
            tally(TALLY_LEFT_OUT, left);
            waits = None;
        }
    }
    if waits.is_none() {
        tally(TALLY_PLACES, 1);
        if WAITING.insert(slot, new, BPF_NOEXIST.into()).is_err() {
            // There is no room, or another CPU was first.
            waits = WAITING.get_ptr_mut(slot);
            if waits.is_none() {
                tally(TALLY_LEFT_OUT, 1);
                return None;
            }
        }
    }
    if let Some(waiting) = waits {
        // SAFETY: as above.
        unsafe {
            state::add(&raw mut (*waiting).count, 1);
            (&raw mut (*waiting).last_at).write_volatile(now);
        }
    }
    remember(syn, now);
    Some(())
}

/// Remembers a SYN from before anybody listened, in case it was the kubelet's.
#[inline(always)]
fn remember(syn: &Syn, at: u64) {
    let _ = REFUSALS.insert(syn.flow, Refusal { owner: 0, namespace: syn.namespace, at, before: 0 }, 0);
}

/// A connect of the kubelet has failed. If it was refused it was a probe, which is nobody's client. Where the kubelet's
/// packets are seen, that was known before ([`expect_kubelet`]); elsewhere it is taken off the count here. The reset answers
/// the SYN, and is what ends the kubelet's socket, though its process may be a while about it.
#[inline(always)]
pub(crate) fn take_back(sock: Sock<true>) -> Option<()> {
    let flow = sock.outbound_flow()?;
    // SAFETY: plain words.
    let refusal: Refusal = *unsafe { REFUSALS.get(flow) }?;
    // Only one can remove it.
    REFUSALS.remove(flow).ok()?;
    if refusal.owner == 0 {
        return take_back_early(flow, &refusal);
    }
    let counters: *mut Counters = Tracked::of(refusal.owner)?.counters();
    // SAFETY: as above.
    unsafe {
        state::add(&raw mut (*counters).refused, 1u64.wrapping_neg());
        let last = &raw mut (*counters).last_refused_at;
        if last.read_volatile() == refusal.at {
            last.write_volatile(refusal.before);
        }
    }
    tally(TALLY_REFUSED, 1);
    Some(())
}

/// The same of one that waited, or that a container has been given meanwhile: the kubelet's socket may end a while after.
#[inline(always)]
fn take_back_early(flow: Flow, refusal: &Refusal) -> Option<()> {
    let key = PortKey { namespace: refusal.namespace, port: u32::from(flow.server_port), reserved: 0 };
    if let Some(waiting) = WAITING.get_ptr_mut(slot(key)) {
        // SAFETY: a map value, which stays mapped while the program runs; a word is read whole.
        unsafe {
            if (&raw const (*waiting).port).read_volatile() == u64::from(key.port) {
                state::add(&raw mut (*waiting).count, 1u64.wrapping_neg());
                // It may have been given already.
                return give(key, port(key)?.0);
            }
        }
    }
    let (owner, port) = port(key)?;
    if port.changed_at > refusal.at {
        count_early(owner, 1u64.wrapping_neg());
    }
    Some(())
}

/// What is known of a place where a container's socket begins to listen or ends to.
#[inline(always)]
fn place_of<const TYPED: bool>(container: Tracked, sock: Sock<TYPED>, listening: i64) -> Option<Port> {
    Some(Port { owner: container.id, listening, changed_at: state::now(), address: sock.ends()?.own })
}

/// Where a socket listens. `None` for one that has no port yet: the kernel chooses one after it was told of
/// (`inet_csk_listen_start`).
#[inline(always)]
fn place<const TYPED: bool>(sock: Sock<TYPED>) -> Option<PortKey> {
    let port = u32::from(sock.own_port());
    if port == 0 || !sock.is_tcp() {
        return None;
    }
    Some(PortKey { namespace: sock.network().id(), port, reserved: 0 })
}

#[inline(always)]
fn slot(key: PortKey) -> PortKey {
    PortKey { port: key.port & (WAITING_SLOTS - 1), ..key }
}
