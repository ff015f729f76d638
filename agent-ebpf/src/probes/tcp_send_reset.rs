//! Hook: `tcp_send_reset(sk, skb, reason)`, before a reset is sent: in softirq, so that current is nobody in particular.
//!
//! Feeds: refused connections: SYNs that nobody listens for any more, and those from before anybody did.
//! Without it: nothing is said about refused connections.
//!
//! The tracepoint tells of SYNs without a socket since Linux 6.10 (commit 19822a980e19, "trace: tcp: fully support
//! trace_tcp_send_reset"), and has its third parameter since the same version (commit b533fb9cf4f7, "rstreason: make it
//! work in trace world"): the parameter stands for both. Where it is not there, `tcp_v4_send_reset` and
//! `tcp_v6_send_reset` take the place of this program.
//!
//! What netfilter rejects by itself (`nf_send_reset`: a Service without endpoints) does not come by here.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::kernel::Syn;
use crate::ports;

#[btf_tracepoint(function = "tcp_send_reset")]
fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
    handle(ctx.arg(0), ctx.arg(1));
    0
}

/// Takes note of a SYN that is refused. `skb` is null where a reset answers nothing.
#[inline(always)]
pub(super) fn handle(sock: *const u8, skb: *const u8) -> Option<()> {
    // Both may be null, and the verifier knows that from 6.12 or so on (`raw_tp_null_args` in kernel/bpf/btf.c).
    if !sock.is_null() || skb.is_null() {
        return None;
    }
    ports::refused(&Syn::of(skb)?)
}
