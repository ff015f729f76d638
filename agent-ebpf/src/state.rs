//! The maps, and what every program does with them: find the container, count, write a record.

use core::arch::asm;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::ring_buf::RingBufEntry;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray, RingBuf};
use gracetrace_ebpf::{
    CGROUP_FLAG_WATCHED, CGROUP_KIND_ANCESTOR, CGROUP_KIND_KUBELET, Cgroup, Container, Counters, FromAgent,
    FromPrograms, Header, Hook, Request,
};

use crate::kernel;

/// Records for the agent. Its size is set at load.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Records that did not fit, connections and processes that found no place in a map, by [`Hook`].
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Hook::ALL.len() as u32, 0);

/// What is tracked, by cgroup id. The filter: programs look here first, or into [`CONTAINERS`] where that saves a look.
#[map]
pub(crate) static CGROUPS: HashMap<u64, Cgroup> = HashMap::with_max_entries(16_384, 0);

/// State of containers, by their cgroup id.
#[map]
static CONTAINERS: HashMap<u64, Container> = HashMap::with_max_entries(8_192, 0);

/// The init of each container, by the container's cgroup id. Not in [`CONTAINERS`], because the agent may know it
/// better and must not write there.
#[map]
static INITS: HashMap<u64, u32> = HashMap::with_max_entries(8_192, 0);

/// What the agent says.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.agent")]
static mut FROM_AGENT: FromAgent = FromAgent { watched: 0, seeding: 0 };

/// What programs say.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.programs")]
static mut FROM_PROGRAMS: FromPrograms = FromPrograms { seeded: 0, host_netns: 0, sockets: 0 };

/// Containers of processes that the kernel has just sent SIGKILL, by thread id: where `mark_victim` tells no more.
#[map]
pub(crate) static VICTIMS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(256, 0);

/// Requests of httpGet hooks, by the cookie of the socket that sent them. Cookies are never reused; what is answered or
/// never will be makes room when others come.
#[map]
pub(crate) static REQUESTS: LruHashMap<u64, Request> = LruHashMap::with_max_entries(1_024, 0);

/// A container as a program sees it.
#[derive(Clone, Copy)]
pub(crate) struct Tracked {
    /// Its cgroup's id.
    pub(crate) id: u64,
    state: *mut Container,
}

/// Once a container has told as many connections as it may, one in this many nanoseconds.
const SLOW_PACE: u64 = 100_000_000;

/// Boot time in nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Process id of whoever runs, in the host's pid namespace.
#[inline(always)]
pub(crate) fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The entry of a cgroup in the filter, be it pods' or the kubelet's.
#[inline(always)]
pub(crate) fn any_cgroup(id: u64) -> Option<Cgroup> {
    // SAFETY: entries are plain bytes; one that is being replaced reads as the old or the new one, word by word.
    unsafe { CGROUPS.get(id) }.copied()
}

/// The entry of a pods' cgroup in the filter.
#[inline(always)]
pub(crate) fn cgroup(id: u64) -> Option<Cgroup> {
    any_cgroup(id).filter(|entry| entry.kind != CGROUP_KIND_KUBELET)
}

/// The id of the container that a cgroup belongs to. `None`, after one lookup, for all that is not a container's.
#[inline(always)]
pub(crate) fn container_id(cgroup_id: u64) -> Option<u64> {
    let entry = cgroup(cgroup_id)?;
    if entry.kind == CGROUP_KIND_ANCESTOR { None } else { Some(entry.owner) }
}

/// The container that a cgroup belongs to.
#[inline(always)]
pub(crate) fn container(cgroup_id: u64) -> Option<Tracked> {
    Tracked::of(container_id(cgroup_id)?)
}

/// Adds to a word that other CPUs add to as well. In assembly, because `core` has no such operation for this target, and
/// so that it is the one instruction that kernels before 5.12 know: the old value is not fetched.
#[inline(always)]
pub(crate) fn add(word: *mut u64, by: u64) {
    // SAFETY: callers pass members of map values, which are aligned and stay mapped while a program runs.
    unsafe { asm!("lock *(u64 *)({word} + 0) += {by}", word = in(reg) word, by = in(reg) by) };
}

/// The same for half a word.
#[inline(always)]
pub(crate) fn add_to_half(word: *mut u32, by: u32) {
    // SAFETY: as for `add`.
    unsafe { asm!("lock *(u32 *)({word} + 0) += {by}", word = in(reg) word, by = in(wreg) by) };
}

/// Whether any container is to be watched.
#[inline(always)]
fn is_any_watched() -> bool {
    // SAFETY: the programs' data is mapped as long as they are; a word is read whole. The same below.
    unsafe { (&raw const FROM_AGENT.watched).read_volatile() != 0 }
}

/// Number of the seeding that goes on, 0 while none does.
#[inline(always)]
pub(crate) fn seeding() -> u64 {
    // SAFETY: see `is_any_watched`.
    unsafe { (&raw const FROM_AGENT.seeding).read_volatile() }
}

/// How many connections were seeded.
#[inline(always)]
pub(crate) fn seeded() -> *mut u64 {
    // SAFETY: only the address is taken.
    unsafe { &raw mut FROM_PROGRAMS.seeded }
}

/// How many entries the map of connections has.
#[inline(always)]
pub(crate) fn sockets() -> *mut u64 {
    // SAFETY: only the address is taken.
    unsafe { &raw mut FROM_PROGRAMS.sockets }
}

/// The host's network namespace; 0 while it is not known.
#[inline(always)]
pub(crate) fn host_netns() -> u32 {
    // SAFETY: see `is_any_watched`.
    unsafe { (&raw const FROM_PROGRAMS.host_netns).read_volatile() as u32 }
}

/// Takes note of it.
#[inline(always)]
pub(crate) fn set_host_netns(number: u32) {
    // SAFETY: see `is_any_watched`.
    unsafe { (&raw mut FROM_PROGRAMS.host_netns).write_volatile(u64::from(number)) };
}

/// Counts one loss of a hook.
#[inline(always)]
pub(crate) fn count_drop(hook: Hook) {
    if let Some(drops) = DROPS.get_ptr_mut(hook as u32) {
        // SAFETY: the entry is this CPU's own; an interrupt may add in between, hence the atomic.
        add(drops, 1);
    }
}

impl Tracked {
    /// The container with this id.
    #[inline(always)]
    pub(crate) fn of(id: u64) -> Option<Tracked> {
        Some(Tracked { id, state: CONTAINERS.get_ptr_mut(id)? })
    }

    /// Makes the state of a new container; what is there already stays.
    #[inline(always)]
    pub(crate) fn create(id: u64) {
        let _ = CONTAINERS.insert(id, Container::default(), u64::from(BPF_NOEXIST));
    }

    /// Process id of its init; 0 before it is known.
    #[inline(always)]
    pub(crate) fn init_pid(self) -> u32 {
        // SAFETY: as for `cgroup`.
        unsafe { INITS.get(self.id) }.copied().unwrap_or(0)
    }

    /// Takes note of its init.
    #[inline(always)]
    pub(crate) fn set_init_pid(self, pid: u32) {
        let _ = INITS.insert(self.id, pid, 0);
    }

    /// When the stop signal was sent; 0 before that.
    #[inline(always)]
    pub(crate) fn stop_at(self) -> u64 {
        // SAFETY: `state` is a map value; a word is read whole.
        unsafe { (&raw const (*self.state).stop_at).read_volatile() }
    }

    /// Number of that signal.
    #[inline(always)]
    pub(crate) fn stop_signal(self) -> u32 {
        // SAFETY: as for `stop_at`.
        unsafe { (&raw const (*self.state).stop_signal).read_volatile() }
    }

    /// Takes note of the stop signal.
    #[inline(always)]
    pub(crate) fn set_stop(self, signal: u32, at: u64) {
        // SAFETY: as for `stop_at`. Readers look at `stop_at` first, so that it is written last.
        unsafe {
            (&raw mut (*self.state).stop_signal).write_volatile(signal);
            (&raw mut (*self.state).stop_at).write_volatile(at);
        }
    }

    /// Takes note that its init is being killed from outside or exits.
    #[inline(always)]
    pub(crate) fn set_ending(self) {
        // SAFETY: as for `stop_at`.
        unsafe { (&raw mut (*self.state).ending).write_volatile(1) };
        self.tell_anew();
    }

    /// Lets its connections be told at the full pace again.
    #[inline(always)]
    pub(crate) fn tell_anew(self) {
        // SAFETY: as for `stop_at`.
        unsafe { (&raw mut (*self.state).told).write_volatile(0) };
    }

    /// Whether its connections are to be told one by one.
    #[inline(always)]
    pub(crate) fn is_watched(self) -> bool {
        // SAFETY: as for `stop_at`.
        let ending = unsafe { (&raw const (*self.state).ending).read_volatile() };
        // Hardly ever is a container watched: a lookup is saved.
        self.stop_at() != 0
            || ending != 0
            || (is_any_watched() && any_cgroup(self.id).is_some_and(|own| own.flags & CGROUP_FLAG_WATCHED != 0))
    }

    /// Whether one more connection may be told now; it counts as told then. Two CPUs at once may both be the last one.
    #[inline(always)]
    pub(crate) fn may_tell(self, now: u64) -> bool {
        // SAFETY: as for `stop_at`.
        unsafe {
            let (told, told_at) = (&raw mut (*self.state).told, &raw mut (*self.state).told_at);
            if told.read_volatile() >= kernel::connection_records()
                && now.saturating_sub(told_at.read_volatile()) < SLOW_PACE
            {
                return false;
            }
            told_at.write_volatile(now);
            add(told, 1);
        }
        true
    }

    /// The counters.
    #[inline(always)]
    pub(crate) fn counters(self) -> *mut Counters {
        // SAFETY: `state` is a map value; only the address is taken.
        unsafe { &raw mut (*self.state).counters }
    }

    /// Counts something of this container that a hook has lost.
    #[inline(always)]
    pub(crate) fn count_lost(self, hook: Hook) {
        // In this order: the agent looks for what containers have lost when it sees that hooks did.
        // SAFETY: only the address is taken.
        add(unsafe { &raw mut (*self.counters()).lost }, 1);
        count_drop(hook);
    }
}

/// A record to be filled in. `T` starts with a [`Header`].
pub(crate) struct Record<T: 'static>(RingBufEntry<T>);

impl<T: 'static> Record<T> {
    /// Takes room for a record in the ring buffer and writes its header. Counts it as lost if there is none.
    #[inline(always)]
    pub(crate) fn new(hook: Hook, cgroup: u64, at: u64, flags: u32, container: Option<Tracked>) -> Option<Record<T>> {
        let Some(mut entry) = EVENTS.reserve::<T>(0) else {
            match container {
                Some(container) => container.count_lost(hook),
                None => count_drop(hook),
            }
            return None;
        };
        let header = entry.as_mut_ptr().cast::<Header>();
        // SAFETY: the ring buffer gave out `size_of::<T>()` bytes, and every record starts with its header. Counters
        // are copied word by word; each is whole.
        unsafe {
            (&raw mut (*header).at).write(at);
            (&raw mut (*header).cgroup).write(cgroup);
            (&raw mut (*header).hook).write(hook as u32);
            (&raw mut (*header).flags).write(flags);
            match container {
                Some(container) => (&raw mut (*header).counters).write(container.counters().read()),
                None => (&raw mut (*header).counters).write(Counters::default()),
            }
        }
        Some(Record(entry))
    }

    /// Where to write the rest. All of it must be written before [`Self::submit`].
    #[inline(always)]
    pub(crate) fn body(&mut self) -> *mut T {
        self.0.as_mut_ptr()
    }

    /// Hands it to the agent.
    #[inline(always)]
    pub(crate) fn submit(self) {
        self.0.submit(0);
    }
}
