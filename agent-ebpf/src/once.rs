//! Events that more than one program, or run of a program, may be about to handle, so that each is handled once.
//!
//! Where a hook has a standby ([`gracetrace_ebpf::Hook::standby`]) the kernel runs the first program and right after it the
//! standby, for the same event and in the same context, and leaves out either of them now and then. So what the first does is
//! done before the standby looks. What it leaves behind for that may be of any kind that tells this event from all others.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use gracetrace_ebpf::Hook;

use crate::kernel;
use crate::sock::Sock;

/// What was handled: an object of the kernel, and hook and what has become of it.
#[map]
static TOLD: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(4_096, 0);

/// What happens to an object of the kernel, told from all else that happens to it or to the next one in its place.
#[derive(Clone, Copy)]
pub(crate) enum Once {
    /// What a hook tells of a process, by its start time and id.
    Process(Hook, u64, u32),
    /// The state that a socket changes to.
    Socket(Sock<true>, i32),
}

impl Once {
    /// Its key in [`TOLD`]. Made only where it is looked for, since it costs something.
    #[inline(always)]
    fn key(self) -> [u64; 2] {
        let tag = |hook: Hook| (hook as u64 + 1) << 56;
        match self {
            Once::Process(hook, start_time, tgid) => [start_time, tag(hook) | u64::from(tgid)],
            Once::Socket(sock, new) => {
                // The next one at its address goes through the same states, but hardly between the same ports.
                let ports = u64::from(sock.peer_port()) << 16 | u64::from(sock.own_port());
                [sock.key(), tag(Hook::InetSockSetState) | (new as u64 & 0xff) << 32 | ports]
            }
        }
    }

    /// Whether this is the first time, where several runs of one program may see the same.
    #[inline(always)]
    pub(crate) fn is_first(self) -> bool {
        TOLD.insert(self.key(), 0, u64::from(BPF_NOEXIST)).is_ok()
    }

    /// Whether this program is to handle it: the first always is, the standby if the first has not. A mark that stays because
    /// the standby was left out makes room in the end: the same thing hardly happens again before that.
    #[inline(always)]
    pub(crate) fn is_mine<const STANDBY: bool>(self) -> bool {
        if STANDBY {
            return !self.is_handled();
        }
        self.set_handled::<STANDBY>();
        true
    }

    /// Has the standby know that the first program has handled it.
    #[inline(always)]
    pub(crate) fn set_handled<const STANDBY: bool>(self) {
        if !STANDBY && kernel::has_standbys() {
            let _ = TOLD.insert(self.key(), 0, 0);
        }
    }

    /// Whether the first program has handled it; asked by the standby, once.
    #[inline(always)]
    pub(crate) fn is_handled(self) -> bool {
        TOLD.remove(self.key()).is_ok()
    }
}
