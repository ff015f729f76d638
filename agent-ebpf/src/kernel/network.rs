//! Members of the structures of the network: namespaces, sockets' ends, packets.

use gracetrace_ebpf::Flow;

use super::{Task, load, probe_read};
use crate::sock::Sock;

/// Of the flags of a TCP header (include/uapi/linux/tcp.h).
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// `struct net`: a network namespace. May be null. `TYPED` as of a [`Sock`].
#[derive(Clone, Copy)]
pub(crate) struct Net<const TYPED: bool>(pub(crate) *const u8);

impl<const TYPED: bool> Net<TYPED> {
    /// See [`gracetrace_ebpf::PortKey::namespace`]; 0 when there is none.
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        u64::from(self.member(global!(net_hash_mix))) << 32 | u64::from(self.number())
    }

    /// Inode number, as /proc shows it.
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        self.member(global!(net_inum))
    }

    #[inline(always)]
    fn member(self, offset: u32) -> u32 {
        if TYPED { load(self.0, offset) } else { probe_read(self.0.wrapping_add(offset as usize)) }
    }
}

impl Task {
    /// The network namespace it is in; 0 of one that is past its end.
    #[inline(always)]
    pub(crate) fn network_namespace(self) -> u64 {
        let proxy: *const u8 = load(self.0, global!(task_nsproxy));
        Net::<true>(load(proxy, global!(nsproxy_net_ns))).id()
    }
}

impl<const TYPED: bool> Sock<TYPED> {
    /// Its ends, as those of one that has connected. `None` for a socket of neither family.
    #[inline(always)]
    pub(crate) fn outbound_flow(self) -> Option<Flow> {
        let ends = self.ends()?;
        let (client_port, server_port) = (self.own_port(), self.peer_port());
        Some(Flow { client: ends.own, server: ends.peer, client_port, server_port })
    }
}

/// A SYN without an ACK.
#[derive(Clone, Copy)]
pub(crate) struct Syn {
    /// The network namespace that it has arrived in.
    pub(crate) namespace: u64,
    pub(crate) flow: Flow,
}

impl Syn {
    /// What a `struct sk_buff` carries, if it is one. The pointer must not be null.
    #[inline(always)]
    pub(crate) fn of(skb: *const u8) -> Option<Syn> {
        let head: u64 = load(skb, global!(skb_head));
        let transport: u16 = load(skb, global!(skb_transport_header));
        let tcp: [u32; 4] = probe_read((head + u64::from(transport)) as *const u8);
        let flags = u32::from_be(tcp[3]) >> 16;
        if flags & (SYN | ACK) != SYN {
            return None;
        }
        let network: u16 = load(skb, global!(skb_network_header));
        let ip: [u32; 10] = probe_read((head + u64::from(network)) as *const u8);
        // As long as an IPv6 header: behind an IPv4 header the rest of it is the TCP header.
        let (client, server) = match u32::from_be(ip[0]) >> 28 {
            4 => (mapped(ip[3]), mapped(ip[4])),
            6 => ([ip[2], ip[3], ip[4], ip[5]], [ip[6], ip[7], ip[8], ip[9]]),
            _ => return None,
        };
        let ports = u32::from_be(tcp[0]);
        let device: *const u8 = load(skb, global!(skb_dev));
        let namespace = Net::<true>(load(device, global!(net_device_net))).id();
        let flow = Flow { client, server, client_port: (ports >> 16) as u16, server_port: ports as u16 };
        Some(Syn { namespace, flow })
    }
}

#[inline(always)]
fn mapped(address: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), address]
}
