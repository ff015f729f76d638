//! Addresses of pods that have gone, and connects to them that fail: routes that are out of date.

use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use gracetrace_ebpf::{Gone, TALLY_STALE};

use crate::sock::Sock;
use crate::{ports, state};

/// Those addresses, in network byte order, IPv4 mapped into IPv6. Made and taken out by the agent.
#[map]
static GONE: HashMap<[u32; 4], Gone> = HashMap::with_max_entries(1_024, 0);

/// How many there are, as the agent says: mostly none, and then nobody looks for any.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.gone")]
static mut GONE_LEN: u64 = 0;

/// A connect of any process over TCP has failed.
#[inline(always)]
pub(crate) fn could_not_connect(sock: Sock<true>) -> Option<()> {
    if is_empty() {
        return None;
    }
    let gone = GONE.get_ptr_mut(sock.ends()?.peer)?;
    // SAFETY: a map value, which stays mapped while the program runs; a word is read whole.
    unsafe {
        if (&raw const (*gone).taken).read_volatile() != 0 {
            return None;
        }
        state::add(&raw mut (*gone).failed, 1);
    }
    ports::tally(TALLY_STALE, 1);
    Some(())
}

/// A container has connected, or was connected to: somebody is at that address.
#[inline(always)]
pub(crate) fn connected(sock: Sock<true>, inbound: bool) -> Option<()> {
    if is_empty() {
        return None;
    }
    let ends = sock.ends()?;
    let alive = if inbound { ends.own } else { ends.peer };
    let gone = GONE.get_ptr_mut(alive)?;
    // SAFETY: as above.
    unsafe { (&raw mut (*gone).taken).write_volatile(1) };
    Some(())
}

/// Whether there is none, as mostly.
#[inline(always)]
pub(crate) fn is_empty() -> bool {
    // SAFETY: data of the programs; a word is read whole.
    unsafe { (&raw const GONE_LEN).read_volatile() == 0 }
}
