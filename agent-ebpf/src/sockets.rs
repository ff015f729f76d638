//! Where the connections that are counted are kept, by the address of their socket.
//!
//! Nearly all have a place in an array to themselves: nothing is searched, and no lock is taken. Another connection whose
//! address means the same place goes to a map.
//!
//! A place is taken by adding 1 to how many have claimed it: whoever then finds 1 more there than have left has it, and
//! whoever finds more takes the 1 back. Of two at once at most one has it, and that one alone writes down that it has left,
//! which so needs no lock. Old kernels know no atomic operation that gives back a value (before 5.12); this needs none. But
//! what is written must be seen in the order in which it was written, as on x86-64. Elsewhere only the map is used
//! ([`gracetrace_ebpf::Globals::socket_places`]).

use core::arch::asm;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use gracetrace_ebpf::{Place, SOCKET_PLACES, Socket};

use crate::kernel::global;
use crate::state;

/// Connections that have a place to themselves.
#[map]
static PLACES: Array<Place> = Array::with_max_entries(SOCKET_PLACES, 0);

/// The others. [`state::sockets`] says how many.
#[map]
static SOCKETS: HashMap<u64, Socket> = HashMap::with_max_entries(65_536, 0);

/// Makes an entry. False when there is one at this address already, or no room.
#[inline(always)]
pub(crate) fn insert(key: u64, socket: Socket) -> bool {
    if let Some(place) = place(key) {
        if place.is_of(key) || is_in_map(key) {
            return false;
        }
        if place.take() {
            place.write(key, socket);
            return true;
        }
    }
    insert_into_map(key, socket)
}

/// The same, for who may be at it while another CPU sees the same socket being established or closed: of two of them that
/// make an entry, only one can.
#[inline(always)]
pub(crate) fn insert_into_map(key: u64, socket: Socket) -> bool {
    // First: who finds none looks no further.
    count(1);
    let is_new = SOCKETS.insert(key, socket, BPF_NOEXIST.into()).is_ok();
    if !is_new {
        count(1_u64.wrapping_neg());
    }
    is_new
}

/// Whether there is an entry.
#[inline(always)]
pub(crate) fn has(key: u64) -> bool {
    place(key).is_some_and(|place| place.is_of(key)) || is_in_map(key)
}

#[inline(always)]
fn is_in_map(key: u64) -> bool {
    // SAFETY: only whether it is there is asked.
    may_be_in_map() && unsafe { SOCKETS.get(key) }.is_some()
}

/// Takes an entry out. Of two at once only one gets it: a search has its entries in the map, and one socket's changes, which
/// are all that a place is used for, come one after the other.
#[inline(always)]
pub(crate) fn remove(key: u64) -> Option<Socket> {
    if let Some(place) = place(key)
        && place.is_of(key)
    {
        return Some(place.leave());
    }
    if !may_be_in_map() {
        return None;
    }
    // SAFETY: plain words; nobody writes to an entry after it was made.
    let socket: Socket = *unsafe { SOCKETS.get(key) }?;
    // Only one can remove it.
    SOCKETS.remove(key).ok()?;
    count(1_u64.wrapping_neg());
    Some(socket)
}

/// The place of a socket: its own, free, or of another. `None` where places are not used.
#[inline(always)]
fn place(key: u64) -> Option<PlaceAt> {
    /// 2^32 divided by the golden ratio: spreads addresses, which differ in some bits in the middle.
    const SPREAD: u32 = 0x9e37_79b9;
    if global!(socket_places) == 0 {
        return None;
    }
    let low: u32;
    // In assembly: the verifier takes it for an address as long as it is not moved as half of one.
    // SAFETY: a move.
    unsafe { asm!("{low} = {key}", low = lateout(wreg) low, key = in(wreg) key as u32, options(pure, nomem, nostack)) };
    let index = low.wrapping_mul(SPREAD) >> (u32::BITS - SOCKET_PLACES.ilog2());
    Some(PlaceAt(PLACES.get_ptr_mut(index)?))
}

/// Whether anything is: mostly not, when few connections are open.
#[inline(always)]
fn may_be_in_map() -> bool {
    // SAFETY: data of the programs; a word is read whole.
    unsafe { state::sockets().read_volatile() != 0 }
}

#[inline(always)]
fn count(by: u64) {
    state::add(state::sockets(), by);
}

/// A place in [`PLACES`], which stays mapped while a program runs. Its words are read and written whole.
#[derive(Clone, Copy)]
struct PlaceAt(*mut Place);

impl PlaceAt {
    /// How many have it, or look whether they may.
    #[inline(always)]
    fn claims(self) -> u32 {
        // SAFETY: see `PlaceAt`. In this order: whoever leaves in between has left.
        unsafe {
            let claimed = (&raw const (*self.0).claimed).read_volatile();
            claimed.wrapping_sub((&raw const (*self.0).left).read_volatile())
        }
    }

    /// False when another has it.
    #[inline(always)]
    fn take(self) -> bool {
        if self.claims() != 0 {
            return false;
        }
        // SAFETY: only the address is taken.
        let claimed = unsafe { &raw mut (*self.0).claimed };
        state::add_to_half(claimed, 1);
        if self.claims() == 1 {
            return true;
        }
        state::add_to_half(claimed, 1_u32.wrapping_neg());
        false
    }

    #[inline(always)]
    fn write(self, key: u64, socket: Socket) {
        // SAFETY: see `PlaceAt`.
        unsafe {
            (&raw mut (*self.0).socket).write_volatile(socket);
            (&raw mut (*self.0).key).write_volatile(key);
        }
    }

    #[inline(always)]
    fn is_of(self, key: u64) -> bool {
        // SAFETY: see `PlaceAt`.
        unsafe { (&raw const (*self.0).key).read_volatile() == key }
    }

    #[inline(always)]
    fn leave(self) -> Socket {
        // SAFETY: see `PlaceAt`. It is another's from the moment on in which it is left, so that is last.
        unsafe {
            let socket = (&raw const (*self.0).socket).read_volatile();
            (&raw mut (*self.0).key).write_volatile(0);
            let left = &raw mut (*self.0).left;
            left.write_volatile(left.read_volatile().wrapping_add(1));
            socket
        }
    }
}
