//! Hook: a packet that a process of the kubelet's cgroup sends, before it leaves (`BPF_CGROUP_RUN_PROG_INET_EGRESS` in
//! `ip_finish_output`). In the sender's context or in softirq.
//!
//! Feeds: start of httpGet hooks: the request's first bytes, told from probes and all else by the kubelet's
//! `User-Agent: kube-lifecycle/…` (`NewRequestForHTTPGetAction` in pkg/probe/http/request.go). A hook whose spec sets a
//! `User-Agent` of its own is not told apart and not seen, and neither is one over TLS. And the kubelet's SYNs: one that is
//! refused is a probe, no client.
//! Without it: httpGet hooks are inferred from the spec and the stop signal.

use aya_ebpf::helpers::generated::bpf_skb_cgroup_id;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use gracetrace_ebpf::{Flow, HEAD_LEN, Hook, HookRequest, Request};

use crate::ports;
use crate::segment::{self, PASS, Segment};
use crate::state::{self, REQUESTS, Record};

const HOOK: Hook = Hook::CgroupSkbEgress;

/// How far the header is looked for. Go writes `Host` and `User-Agent` first and the others after them
/// (`Request.write` in net/http/request.go), so that only a long path can push it out of sight.
const SEARCHED: u32 = 512;
/// What is searched at once.
const CHUNK: usize = 64;
/// `GET / HTTP/1.1`, `Host: x` and the header: the shortest request there can be.
const SHORTEST: u32 = 16 + 9 + HEADER.len() as u32;
/// A line of its own, in Go's spelling.
const HEADER: &[u8; 29] = b"\r\nUser-Agent: kube-lifecycle/";
/// The first eight bytes of it, as the search has them: the first one lowest.
const HEADER_START: u64 =
    u64::from_le_bytes([HEADER[0], HEADER[1], HEADER[2], HEADER[3], HEADER[4], HEADER[5], HEADER[6], HEADER[7]]);

#[cgroup_skb(egress)]
fn cgroup_skb_egress(ctx: SkBuffContext) -> i32 {
    handle(&ctx);
    PASS
}

#[inline(always)]
fn handle(ctx: &SkBuffContext) -> Option<()> {
    let segment = Segment::of(ctx, 0)?;
    let flow = Flow {
        client: segment.source,
        server: segment.destination,
        client_port: segment.source_port,
        server_port: segment.destination_port,
    };
    if segment.is_syn {
        ports::expect_kubelet(flow);
        return None;
    }
    if segment.len < SHORTEST || segment.read::<[u8; 4]>(ctx, 0)? != *b"GET " || !is_hook(ctx, &segment)? {
        return None;
    }
    let socket = segment::socket(ctx);
    // SAFETY: plain words; a socket's packets are sent one after another.
    if unsafe { REQUESTS.get(socket) }.is_some_and(|sent| sent.sequence == segment.sequence) {
        // Nobody has acknowledged it, so that it is sent again.
        return None;
    }
    let request = Request { flow, sequence: segment.sequence, response_sequence: segment.acknowledged, answered: 0 };
    if socket == 0 || REQUESTS.insert(socket, request, 0).is_err() {
        state::count_drop(Hook::CgroupSkbIngress);
    }

    // SAFETY: the context is this program's own.
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    let mut record = Record::<HookRequest>::new(HOOK, cgroup, state::now(), 0, None)?;
    let body = record.body();
    // SAFETY: `body` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*body).flow).write(flow);
        let head = (&raw mut (*body).head).cast::<u8>();
        for word in 0..HEAD_LEN / 8 {
            head.cast::<u64>().add(word).write_volatile(0);
        }
        let len = segment.copy::<{ HEAD_LEN as u32 }>(ctx, 0, head);
        (&raw mut (*body).head_len).write(len.unwrap_or(0));
    }
    record.submit();
    Some(())
}

/// Whether the kubelet's own header is there. The first `User-Agent` counts.
#[inline(always)]
fn is_hook(ctx: &SkBuffContext, segment: &Segment) -> Option<bool> {
    let at = find_header(ctx, segment)?;
    // The last word overlaps the one before it.
    for begin in [8, 16, HEADER.len() - 8] {
        if segment.read::<u64>(ctx, at + begin as u32)? != header_word(begin) {
            return Some(false);
        }
    }
    Some(true)
}

/// Eight bytes of [`HEADER`] as they lie in memory.
const fn header_word(begin: usize) -> u64 {
    let mut word = [0; 8];
    let mut index = 0;
    while index < 8 {
        word[index] = HEADER[begin + index];
        index += 1;
    }
    u64::from_ne_bytes(word)
}

/// Where the line begins that starts like [`HEADER`].
#[inline(always)]
fn find_header(ctx: &SkBuffContext, segment: &Segment) -> Option<u32> {
    let mut window = 0;
    let mut at = 0;
    while at < SEARCHED {
        let mut chunk = [0u8; CHUNK];
        // SAFETY: the array is that long, and written.
        unsafe { segment.copy::<{ CHUNK as u32 }>(ctx, at, chunk.as_mut_ptr()) }?;
        for byte in chunk {
            // Byte by byte, with the last eight in one word.
            window = window >> 8 | u64::from(byte) << 56;
            at += 1;
            if window == HEADER_START {
                return Some(at - 8);
            }
        }
    }
    None
}
