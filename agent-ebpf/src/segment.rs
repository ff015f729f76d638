//! A packet as a `cgroup_skb` program sees it: from the IP header on, whatever carries it.
//!
//! Bytes are copied out by a helper. Direct access would show what is in the packet's first buffer only, and TCP puts
//! what it sends into pages behind that (`tcp_sendmsg_locked` in net/ipv4/tcp.c).

use core::hint::black_box;

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skb_load_bytes};
use aya_ebpf::programs::SkBuffContext;

/// What a `cgroup_skb` program returns to let the packet pass (`__cgroup_bpf_run_filter_skb` in kernel/bpf/cgroup.c).
pub(crate) const PASS: i32 = 1;

/// Length of an IPv4 and of a TCP header without options.
const HEADER_LEN: u32 = 20;
const IPV6_HEADER_LEN: u32 = 40;
const IPPROTO_TCP: u32 = 6;
/// `IP_MF | IP_OFFSET` in include/net/ip.h.
const FRAGMENT: u32 = 0x3fff;

/// Of the third word of a TCP header behind its ports: SYN and ACK, and the first alone.
const SYN_AND_ACK: u32 = 0x12 << 16;
const SYN: u32 = 0x02 << 16;

/// A TCP segment.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// IP addresses in network byte order, IPv4 mapped into IPv6.
    pub(crate) source: [u32; 4],
    pub(crate) destination: [u32; 4],
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Sequence number of its first byte.
    pub(crate) sequence: u32,
    /// Sequence number of the next byte that its sender expects.
    pub(crate) acknowledged: u32,
    /// Where its data begins.
    data: u32,
    /// How long they are.
    pub(crate) len: u32,
    /// Whether it is the first of a connection.
    pub(crate) is_syn: bool,
}

impl Segment {
    /// The segment in a packet, if it carries `shortest` bytes or more. After one look at the packet's length for those
    /// that cannot: acknowledgements, which are half of all.
    #[inline(always)]
    pub(crate) fn of(ctx: &SkBuffContext, shortest: u32) -> Option<Segment> {
        let packet_len = ctx.len();
        if packet_len < 2 * HEADER_LEN + shortest {
            return None;
        }
        // As long as an IPv6 header; an IPv4 packet is longer than that too.
        let ip: [u32; 10] = load(ctx, 0)?;
        let first = u32::from_be(ip[0]);
        let (tcp_at, source, destination) = match first >> 28 {
            4 => {
                let is_tcp = u32::from_be(ip[2]) >> 16 & 0xff == IPPROTO_TCP;
                if !is_tcp || u32::from_be(ip[1]) & FRAGMENT != 0 {
                    return None;
                }
                ((first >> 24 & 0xf) * 4, mapped(ip[3]), mapped(ip[4]))
            }
            6 => {
                // Extension headers are for others: the kubelet's connections have none.
                if u32::from_be(ip[1]) >> 8 & 0xff != IPPROTO_TCP {
                    return None;
                }
                (IPV6_HEADER_LEN, [ip[2], ip[3], ip[4], ip[5]], [ip[6], ip[7], ip[8], ip[9]])
            }
            _ => return None,
        };
        let tcp: [u32; 4] = load(ctx, tcp_at)?;
        let ports = u32::from_be(tcp[0]);
        let tcp_len = (u32::from_be(tcp[3]) >> 28) * 4;
        let data = tcp_at + tcp_len;
        if tcp_at < HEADER_LEN || tcp_len < HEADER_LEN || packet_len < data + shortest {
            return None;
        }
        Some(Segment {
            source,
            destination,
            source_port: (ports >> 16) as u16,
            destination_port: ports as u16,
            sequence: u32::from_be(tcp[1]),
            acknowledged: u32::from_be(tcp[2]),
            data,
            len: packet_len - data,
            is_syn: u32::from_be(tcp[3]) & SYN_AND_ACK == SYN,
        })
    }

    /// Bytes of its data. `None` if it has not that many.
    #[inline(always)]
    pub(crate) fn read<T: Copy + Default>(&self, ctx: &SkBuffContext, at: u32) -> Option<T> {
        load(ctx, self.data + at)
    }

    /// Copies what there is of its data from `at` on, up to `ROOM` bytes, and returns how many. `None` if there is
    /// nothing.
    ///
    /// # Safety
    /// `to` must be writable for `ROOM` bytes, and every one of them must have been written already. `ROOM` is a power
    /// of two.
    #[inline(always)]
    pub(crate) unsafe fn copy<const ROOM: u32>(&self, ctx: &SkBuffContext, at: u32, to: *mut u8) -> Option<u32> {
        if at >= self.len {
            return None;
        }
        // The verifier must see a length of 1 to `ROOM`, and the compiler, which knows it, must leave the mask.
        let len = (black_box((self.len - at).min(ROOM) - 1) & (ROOM - 1)) + 1;
        // SAFETY: the caller vouches for `to`; the helper checks the source.
        let result = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), self.data + at, to.cast(), len) };
        (result == 0).then_some(len)
    }
}

/// The number of the socket that the packet belongs to, never to be given out again; 0 when there is none.
#[inline(always)]
pub(crate) fn socket(ctx: &SkBuffContext) -> u64 {
    // SAFETY: the context is this program's own.
    unsafe { bpf_get_socket_cookie(ctx.skb.skb.cast()) }
}

#[inline(always)]
fn load<T: Copy + Default>(ctx: &SkBuffContext, at: u32) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the destination is a local of that size; the helper checks the source.
    let result = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), at, (&raw mut value).cast(), size_of::<T>() as u32) };
    (result == 0).then_some(value)
}

#[inline(always)]
fn mapped(address: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), address]
}
