//! A socket of the kernel: whose it is, and between whom.

use gracetrace_ebpf::SOCK_CGROUP_TAGGED;

use crate::kernel::{Cgroup, Net, global, load, probe_read};
use crate::state;

/// States of include/net/tcp_states.h.
pub(crate) const TCP_ESTABLISHED: i32 = 1;
pub(crate) const TCP_SYN_SENT: i32 = 2;
pub(crate) const TCP_SYN_RECV: i32 = 3;
pub(crate) const TCP_CLOSE: i32 = 7;
pub(crate) const TCP_CLOSE_WAIT: i32 = 8;
pub(crate) const TCP_LISTEN: i32 = 10;

const IPPROTO_TCP: u16 = 6;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The third word of an IPv4 address that is mapped into IPv6.
const MAPPED: u32 = 0xffff_u32.to_be();

/// An IP address in network byte order, IPv4 mapped into IPv6.
pub(crate) type Address = [u32; 4];

/// Whether data can still be sent on it.
#[inline(always)]
pub(crate) fn is_open(state: i32) -> bool {
    state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT
}

/// `struct sock`. `TYPED` when the verifier knows that it is one, as it does of a tracepoint's argument: then its members
/// are loaded. Else they are read through a helper.
#[derive(Clone, Copy)]
pub(crate) struct Sock<const TYPED: bool>(pub(crate) *const u8);

/// The addresses of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) peer: Address,
    pub(crate) own: Address,
}

impl<const TYPED: bool> Sock<TYPED> {
    /// What tells it from other sockets as long as it is there.
    #[inline(always)]
    pub(crate) fn key(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    fn member<T: Copy + Default>(self, offset: u32) -> T {
        if TYPED { load(self.0, offset) } else { probe_read(self.0.wrapping_add(offset as usize)) }
    }

    #[inline(always)]
    pub(crate) fn state(self) -> i32 {
        i32::from(self.member::<u8>(global!(sock_state)))
    }

    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        self.member::<u16>(global!(sock_protocol)) == IPPROTO_TCP
    }

    /// Id of the cgroup it was made in; an accepted one has its listener's. 0 when it has none.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> u64 {
        if TYPED && global!(sock_cgroup_form) != SOCK_CGROUP_TAGGED {
            let cgroup: *const u8 = load(self.0, global!(sock_cgroup));
            return if cgroup.is_null() { 0 } else { Cgroup(cgroup).id() };
        }
        let value: u64 = probe_read(self.0.wrapping_add(global!(sock_cgroup) as usize));
        if value & 3 != 0 || value == 0 {
            return 0;
        }
        let kn: u64 = probe_read((value + u64::from(global!(cgroup_kn))) as *const u8);
        probe_read((kn + u64::from(global!(kernfs_node_id))) as *const u8)
    }

    /// The network namespace it was made in.
    #[inline(always)]
    pub(crate) fn network(self) -> Net<TYPED> {
        Net(self.address(global!(sock_net)))
    }

    #[inline(always)]
    fn address(self, offset: u32) -> *const u8 {
        if TYPED { load(self.0, offset) } else { probe_read::<u64>(self.0.wrapping_add(offset as usize)) as *const u8 }
    }

    /// Its own port. Not `skc_num`: that of a socket with a port of the kernel's choice is 0 again when its end is told
    /// (`inet_put_port` in `tcp_set_state`).
    #[inline(always)]
    pub(crate) fn own_port(self) -> u16 {
        // A socket of TCP is an `inet_sock`, which the verifier does not know.
        u16::from_be(probe_read(self.0.wrapping_add(global!(inet_sport) as usize)))
    }

    #[inline(always)]
    pub(crate) fn peer_port(self) -> u16 {
        u16::from_be(self.member(global!(sock_dport)))
    }

    /// `None` for a socket of another family, and for IPv6 where the kernel has none.
    #[inline(always)]
    pub(crate) fn ends(self) -> Option<Ends> {
        match self.member::<u16>(global!(sock_family)) {
            AF_INET => Some(Ends {
                peer: [0, 0, MAPPED, self.member(global!(sock_daddr))],
                own: [0, 0, MAPPED, self.member(global!(sock_rcv_saddr))],
            }),
            AF_INET6 if global!(sock_v6_daddr) != 0 && global!(sock_v6_rcv_saddr) != 0 => {
                Some(Ends { peer: self.long(global!(sock_v6_daddr)), own: self.long(global!(sock_v6_rcv_saddr)) })
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn long(self, offset: u32) -> Address {
        [self.member(offset), self.member(offset + 4), self.member(offset + 8), self.member(offset + 12)]
    }

    /// Whether its other end is in the same pod: by the loopback device, or by the pod's own address; or sent to its
    /// loopback address by a redirection, as meshes do. In the host's network namespace those are of any process of the node.
    #[inline(always)]
    pub(crate) fn is_within_pod(self, ends: &Ends) -> bool {
        ends.are_within_pod(|| self.network().number())
    }

    /// Bytes of data received, and sent and acknowledged; 0 where the kernel does not count them. Its counts have the FIN
    /// of the peer and the SYN of a client in them (`tcp_rcv_nxt_update` and `tcp_snd_una_update` in net/ipv4/tcp_input.c).
    #[inline(always)]
    pub(crate) fn bytes(self, state: i32, inbound: bool) -> (u64, u64) {
        let count = |offset: u32| -> u64 {
            // Of `struct tcp_sock`, which starts with the `struct sock`: the verifier does not know how long this one is.
            if offset == 0 { 0 } else { probe_read(self.0.wrapping_add(offset as usize)) }
        };
        let (received, sent) = (count(global!(tcp_bytes_received)), count(global!(tcp_bytes_acked)));
        let fin = u64::from(state == TCP_CLOSE_WAIT);
        (received.saturating_sub(fin), sent.saturating_sub(u64::from(!inbound)))
    }
}

impl Ends {
    /// The same of ends in any network namespace, by its inode number.
    #[inline(always)]
    pub(crate) fn are_within_pod(&self, network: impl FnOnce() -> u32) -> bool {
        (self.is_loopback() || self.is_to_itself()) && {
            let host = state::host_netns();
            host == 0 || network() != host
        }
    }

    #[inline(always)]
    fn is_loopback(&self) -> bool {
        is_loopback(self.peer) || is_loopback(self.own)
    }

    #[inline(always)]
    fn is_to_itself(&self) -> bool {
        // Word by word: a comparison of arrays becomes a call.
        let ([a, b, c, d], [e, f, g, h]) = (self.peer, self.own);
        (a ^ e | b ^ f | c ^ g | d ^ h) == 0
    }
}

/// Whether an address is of the loopback device.
#[inline(always)]
fn is_loopback([a, b, c, d]: Address) -> bool {
    a | b == 0 && ((c == MAPPED && u32::from_be(d) >> 24 == 127) || (c == 0 && d == 1_u32.to_be()))
}
