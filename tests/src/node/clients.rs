//! A pod and its clients in one network namespace: connections that are nobody's own, without a second namespace.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::route::{RouteScope, RouteType};

use super::network::{self, LOOPBACK};

/// Where the pod listens.
pub const POD: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The same for IPv6. It is nobody's address, so that nothing can listen there but at all addresses.
pub const POD_V6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1);

/// Who connects there has this address.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 2);
/// `RT_TABLE_LOCAL` in include/uapi/linux/rtnetlink.h: what the kernel delivers to itself.
const LOCAL: u32 = 255;

/// Raises the loopback device of the calling thread's namespace, and makes the pod's addresses ones that are reached from
/// those of the clients: a route to oneself may name the address to come from, while an address is reached from itself.
pub fn make_addresses() -> Result<()> {
    network::raise_loopback()?;
    network::netlink(|handle| async move {
        handle.address().add(LOOPBACK, CLIENT.into(), 32).execute().await?;
        // To be used at once.
        let mut address = handle.address().add(LOOPBACK, CLIENT_V6.into(), 128);
        address.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        address.execute().await?;
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(POD, 32).pref_source(CLIENT);
        let v4 = v4.output_interface(LOOPBACK).table_id(LOCAL).kind(RouteType::Local).scope(RouteScope::Host).build();
        handle.route().add(v4).execute().await?;
        let v6 = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(POD_V6, 128).pref_source(CLIENT_V6);
        let v6 = v6.output_interface(LOOPBACK).table_id(LOCAL).kind(RouteType::Local).scope(RouteScope::Host).build();
        handle.route().add(v6).execute().await
    })
    .context("cannot make the addresses of a pod and its clients")
}
