//! The network: a bridge in a namespace of its own, and a namespace per pod joined to it by a veth pair. The host's own
//! namespace is not touched, and each namespace goes with the last process in it.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Address of the bridge, where the clients are.
pub(crate) const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
const PREFIX: u8 = 16;
const PREFIX_V6: u8 = 64;
/// Every new namespace has `lo` with index 1.
pub(super) const LOOPBACK: u32 = 1;
/// Index of the bridge, and of `eth0` in a pod: chosen, so that nothing has to be looked up.
const FIRST: u32 = 2;

/// Moves the calling process into a new network namespace with a bridge.
pub fn make_bridge() -> Result<()> {
    leave_network()?;
    netlink(|handle| async move {
        handle.link().add(LinkBridge::new("br0").index(FIRST).up().build()).execute().await?;
        handle.address().add(FIRST, BRIDGE.into(), PREFIX).execute().await?;
        add_v6(&handle, BRIDGE).await?;
        handle.link().set(LinkUnspec::new_with_index(LOOPBACK).up().build()).execute().await
    })
    .context("cannot make a bridge: the kernel needs CONFIG_BRIDGE and CONFIG_VETH")
}

/// A connect to an address in the network of [`make_bridge`] that nobody has, from a namespace of its own with such a bridge.
///
/// # Panics
/// When it cannot be tried, or somebody answers.
pub fn connect_to_nobody(address: Ipv4Addr) {
    let connect = move || {
        make_bridge().expect("a network can be made");
        let error = TcpStream::connect((address, 80)).expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::HostUnreachable, "{error}");
    };
    thread::spawn(connect).join().expect("it is tried");
}

/// Moves the calling process into a new network namespace that is joined to the bridge of another.
pub fn join_bridge(bridge_pid: u32, number: u32, address: Ipv4Addr) -> Result<()> {
    let bridge = of(bridge_pid)?;
    leave_network()?;
    let own = of(std::process::id())?;
    let port = FIRST + 1 + number;

    netlink(|handle| async move {
        let peer =
            LinkMessageBuilder::<LinkUnspec>::new().name(format!("pod{number}")).index(port).setns_by_pid(bridge_pid);
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name("eth0")
            .index(FIRST)
            .up()
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())));
        handle.link().add(pair.build()).execute().await?;
        handle.address().add(FIRST, address.into(), PREFIX).execute().await?;
        add_v6(&handle, address).await?;
        handle.link().set(LinkUnspec::new_with_index(LOOPBACK).up().build()).execute().await
    })
    .context("cannot make the pod's network")?;

    enter(&bridge)?;
    netlink(|handle| async move {
        handle.link().set(LinkUnspec::new_with_index(port).controller(FIRST).up().build()).execute().await
    })
    .context("cannot join the pod to the bridge")?;
    enter(&own)
}

/// Raises `lo`, which every new namespace has, and has it down.
pub fn raise_loopback() -> Result<()> {
    netlink(
        |handle| async move { handle.link().set(LinkUnspec::new_with_index(LOOPBACK).up().build()).execute().await },
    )
    .context("cannot raise the loopback device")
}

/// Moves the calling process into the network namespace of another.
pub fn enter_network_of(pid: u32) -> Result<()> {
    enter(&of(pid)?)
}

/// Moves the calling process into a new network namespace, where even the loopback device is down.
pub fn leave_network() -> Result<()> {
    // SAFETY: NEWNET leaves memory and file descriptors as they are; only FILES and the like are delicate.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("cannot make a network namespace")
}

/// The network namespace of a process.
pub fn of(pid: u32) -> Result<File> {
    File::open(format!("/proc/{pid}/ns/net")).with_context(|| format!("cannot open the network namespace of {pid}"))
}

/// Moves the calling thread into a network namespace.
pub fn enter(namespace: &File) -> Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("cannot enter a network namespace")
}

/// Talks to the kernel in the namespace in which the calling thread is now.
pub(super) fn netlink<F>(talk: impl FnOnce(Handle) -> F) -> Result<()>
where
    F: Future<Output = Result<(), rtnetlink::Error>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        let result = talk(handle).await;
        connection.abort();
        Ok(result?)
    })
}

/// The IPv6 address of who has this IPv4 address.
pub fn v6(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = address.octets().map(u16::from);
    Ipv6Addr::new(0xfd10, 0x88, 0, 0, 0, 0, a << 8 | b, c << 8 | d)
}

/// Gives `eth0` or the bridge its IPv6 address, to be used at once: nobody else can have it. Nothing where there is no IPv6.
async fn add_v6(handle: &Handle, address: Ipv4Addr) -> Result<(), rtnetlink::Error> {
    if !Path::new("/proc/net/if_inet6").exists() {
        return Ok(());
    }
    let mut request = handle.address().add(FIRST, v6(address).into(), PREFIX_V6);
    request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    request.execute().await
}
