//! Iterator: `bpf_iter_task_file(meta, task, fd, file)`, called for each open file of each process when the agent reads the
//! iterator's file, in the agent's context (kernel/bpf/task_iter.c). The file stays open meanwhile.
//!
//! Feeds: connections that are older than the agent, by two programs one after the other. Which way one went is told by
//! whether anything listens on its port, so that listeners come first.
//! Without it: what was open before the agent came is not counted; numbers of such containers are `partial`.
//!
//! What has no file is not found: a connection that nobody has accepted yet, or that was passed to a process and not taken.

use core::ffi::c_void;

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use gracetrace_ebpf::{CGROUP_KIND_ANCESTOR, CGROUP_KIND_KUBELET, CONNECTION_INBOUND, Cgroup, Hook, Listener, Socket};

use crate::kernel;
use crate::sock::{Sock, TCP_LISTEN, is_open};
use crate::state::{self, Tracked};
use crate::{connections, ports};

/// Ports that something listens on, as the first program has found.
#[map]
static LISTENERS: LruHashMap<Listener, u64> = LruHashMap::with_max_entries(16_384, 0);

/// Goes on with the next file.
const NEXT: i32 = 0;
/// Has the reader told EAGAIN (`bpf_iter_run_prog` in kernel/bpf/bpf_iter.c): the agent reads no further.
const ENOUGH: i32 = 1;

/// The first program: listeners, and connections of the kubelet. Without a seeding it looks for the host's network namespace
/// and nothing else.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn seed_listeners(ctx: *mut c_void) -> i32 {
    let visit = Visit(ctx);
    let seeding = state::seeding();
    if seeding == 0 {
        find_host_netns();
        return ENOUGH;
    }
    listener(visit, seeding);
    NEXT
}

/// The second program: connections.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn seed_connections(ctx: *mut c_void) -> i32 {
    connection(Visit(ctx), state::seeding());
    NEXT
}

/// The context: a `struct bpf_iter__task_file`.
#[derive(Clone, Copy)]
struct Visit(*mut c_void);

impl Visit {
    #[inline(always)]
    fn file(self) -> *const u8 {
        kernel::load(self.0.cast(), 24)
    }

    /// The socket behind the file, and its cgroup's entry in the filter.
    #[inline(always)]
    fn socket(self) -> Option<(Sock<false>, Cgroup)> {
        let file = self.file();
        if file.is_null() {
            return None; // all files of all processes were visited
        }
        let sock = Sock::<false>(kernel::socket_of_file(file)?);
        let entry = state::any_cgroup(sock.cgroup_id())?;
        if entry.kind == CGROUP_KIND_ANCESTOR || !sock.is_tcp() {
            return None;
        }
        Some((sock, entry))
    }
}

/// The host's network namespace is that of the first task of all, the ancestor of whoever reads.
#[inline(always)]
fn find_host_netns() {
    state::set_host_netns(kernel::first_task_netns());
}

#[inline(always)]
fn listener(visit: Visit, seeding: u64) -> Option<()> {
    let (sock, entry) = visit.socket()?;
    let tcp_state = sock.state();
    if entry.kind == CGROUP_KIND_KUBELET {
        return if is_open(tcp_state) { connections::set_kubelet(sock) } else { None };
    }
    if tcp_state == TCP_LISTEN {
        let port = Listener { netns: sock.network().number(), port: u32::from(sock.own_port()) };
        let _ = LISTENERS.insert(port, seeding, 0);
        ports::listens_already(sock, Tracked::of(entry.owner)?);
    }
    Some(())
}

#[inline(always)]
fn connection(visit: Visit, seeding: u64) -> Option<()> {
    let (sock, entry) = visit.socket()?;
    if !is_open(sock.state()) || entry.kind == CGROUP_KIND_KUBELET {
        return None;
    }
    let container = Tracked::of(entry.owner)?;
    let ends = sock.ends()?;
    if sock.is_within_pod(&ends) {
        return None;
    }
    let port = Listener { netns: sock.network().number(), port: u32::from(sock.own_port()) };
    // SAFETY: a value is one word.
    let inbound = unsafe { LISTENERS.get(port) }.is_some_and(|number| *number == seeding);
    if inbound && connections::is_kubelet(sock, &ends, state::now()) {
        return None;
    }
    let flags = if inbound { u64::from(CONNECTION_INBOUND) } else { 0 };
    let socket = Socket { cgroup: container.id, opened_at: 0, flags };
    match connections::open_found(container, sock.key(), socket)? {
        // Its end may have been before the programs were there to see it.
        true if !is_open(sock.state()) => drop(connections::close(sock.key())),
        true => state::add(state::seeded(), 1),
        false => container.count_lost(Hook::IterTaskFile),
    }
    Some(())
}
