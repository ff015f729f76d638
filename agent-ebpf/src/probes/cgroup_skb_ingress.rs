//! Hook: a packet that a socket of the kubelet's cgroup is about to receive (`BPF_CGROUP_RUN_PROG_INET_INGRESS` in
//! `sk_filter_trim_cap`). In softirq.
//!
//! Feeds: end and result of httpGet hooks: the status of the response to a request that `cgroup_skb_egress` saw.
//! Without it: what became of an httpGet hook is not known, nor when it ended.

use aya_ebpf::helpers::generated::bpf_skb_cgroup_id;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use gracetrace_ebpf::{Hook, HookResponse, Request};

use crate::segment::{self, PASS, Segment};
use crate::state::{self, REQUESTS, Record};

const HOOK: Hook = Hook::CgroupSkbIngress;

/// `HTTP/1.1 200`
const SHORTEST: u32 = 12;
/// The status of a response that came instead of an interim one: the last of its connection.
const SWITCHING_PROTOCOLS: u32 = 101;

#[cgroup_skb(ingress)]
fn cgroup_skb_ingress(ctx: SkBuffContext) -> i32 {
    handle(&ctx);
    PASS
}

#[inline(always)]
fn handle(ctx: &SkBuffContext) -> Option<()> {
    // Before anything else: hardly any socket has sent a hook's request.
    let request: *mut Request = REQUESTS.get_ptr_mut(segment::socket(ctx))?;
    // SAFETY: a map value, which stays mapped while the program runs. The request's packet left before this one came.
    let sent = unsafe { *request };
    let segment = Segment::of(ctx, SHORTEST)?;
    if sent.answered != 0 || segment.sequence != sent.response_sequence {
        return None;
    }
    let status = status(segment.read(ctx, 0)?)?;
    if status < 200 && status != SWITCHING_PROTOCOLS {
        // The real one follows.
        // SAFETY: as above; a word is written whole.
        unsafe { (&raw mut (*request).response_sequence).write_volatile(segment.sequence.wrapping_add(segment.len)) };
        return None;
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*request).answered).write_volatile(1) };

    // SAFETY: the context is this program's own.
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    let mut record = Record::<HookResponse>::new(HOOK, cgroup, state::now(), 0, None)?;
    let body = record.body();
    // SAFETY: `body` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*body).flow).write(sent.flow);
        (&raw mut (*body).status).write(status);
    }
    record.submit();
    Some(())
}

/// The status in `HTTP/1.1 200`, of any minor version.
#[inline(always)]
fn status(line: [u8; SHORTEST as usize]) -> Option<u32> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', hundreds @ b'1'..=b'9', tens, ones] = line else {
        return None;
    };
    let digit = |byte: u8| u32::from(byte).wrapping_sub(u32::from(b'0'));
    (digit(tens) < 10 && digit(ones) < 10).then_some(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
}
