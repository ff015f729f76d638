//! Hook: the function `tcp_v4_send_reset(sk, skb[, reason])` as it is entered (fentry), in softirq.
//!
//! Feeds: what `tcp_send_reset` feeds, of IPv4. That tracepoint does not tell of SYNs without a socket before Linux 6.10.
//! Without it: as without `tcp_send_reset`.
//!
//! The function returns without a reset when the packet was not for this machine alone (broadcast), which has been
//! dropped before (`tcp_v4_rcv` lets `PACKET_HOST` through only).

use aya_ebpf::macros::fentry;
use aya_ebpf::programs::FEntryContext;

use super::tcp_send_reset::handle;

#[fentry(function = "tcp_v4_send_reset")]
fn tcp_v4_send_reset(ctx: FEntryContext) -> i32 {
    handle(ctx.arg(0), ctx.arg(1));
    0
}
