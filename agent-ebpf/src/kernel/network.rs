//! Members of the structures of the network: namespaces, sockets' ends, packets.

use gracetrace_ebpf::Flow;

use super::{Sock, Task, load, probe_read};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;

/// Of the flags of a TCP header (include/uapi/linux/tcp.h).
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// `struct net`: a network namespace. May be null.
#[derive(Clone, Copy)]
struct Net(*const u8);

impl Net {
    /// See [`gracetrace_ebpf::PortKey::namespace`]; 0 when there is none.
    #[inline(always)]
    fn id(self) -> u64 {
        let number: u32 = load(self.0, global!(net_inum));
        let random: u32 = load(self.0, global!(net_hash_mix));
        u64::from(random) << 32 | u64::from(number)
    }
}

impl Task {
    /// The network namespace it is in; 0 of one that is past its end.
    #[inline(always)]
    pub(crate) fn network_namespace(self) -> u64 {
        let proxy: *const u8 = load(self.0, global!(task_nsproxy));
        Net(load(proxy, global!(nsproxy_net_ns))).id()
    }
}

impl Sock {
    /// The network namespace it was made in.
    #[inline(always)]
    pub(crate) fn network_namespace(self) -> u64 {
        Net(load(self.0, global!(sock_net))).id()
    }

    /// Its own port. Not `skc_num`: that of a socket with a port of the kernel's choice is 0 again when its end is told
    /// (`inet_put_port` in `tcp_set_state`).
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        // A socket of TCP is an `inet_sock`, which the verifier does not know.
        u16::from_be(probe_read(self.0.wrapping_add(global!(inet_sport) as usize)))
    }

    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        self.protocol() == IPPROTO_TCP
    }

    /// Its own address, as [`Self::peer_address`].
    #[inline(always)]
    pub(crate) fn local_address(self) -> Option<[u32; 4]> {
        self.address(global!(sock_rcv_saddr), global!(sock_v6_rcv_saddr))
    }

    /// The other end's address in network byte order, IPv4 mapped into IPv6. `None` for a socket of neither.
    #[inline(always)]
    pub(crate) fn peer_address(self) -> Option<[u32; 4]> {
        self.address(global!(sock_daddr), global!(sock_v6_daddr))
    }

    /// Its ends, as those of one that has connected. `None` for a socket of neither family.
    #[inline(always)]
    pub(crate) fn outbound_flow(self) -> Option<Flow> {
        Some(Flow {
            client: self.local_address()?,
            server: self.peer_address()?,
            client_port: self.local_port(),
            server_port: u16::from_be(load(self.0, global!(sock_dport))),
        })
    }

    #[inline(always)]
    fn address(self, v4: u32, v6: u32) -> Option<[u32; 4]> {
        match load::<u16>(self.0, global!(sock_family)) {
            AF_INET => Some(mapped(load(self.0, v4))),
            // Without IPv6 in the kernel there are no such sockets, and no such member.
            AF_INET6 if v6 != 0 => Some(probe_read(self.0.wrapping_add(v6 as usize))),
            _ => None,
        }
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
        let namespace = Net(load(device, global!(net_device_net))).id();
        let flow = Flow { client, server, client_port: (ports >> 16) as u16, server_port: ports as u16 };
        Some(Syn { namespace, flow })
    }
}

#[inline(always)]
fn mapped(address: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), address]
}
