//! Hook: `cgroup_rmdir(cgrp, path)`, in the context of whoever removed the directory.
//!
//! Feeds: the end of a container, when the agent can stop tracking it.
//! Without it: what is gone is found by the next walk of the tree.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::{CgroupEvent, Hook};

use crate::kernel::Cgroup;
use crate::state::{self, Record, Tracked};

#[btf_tracepoint(function = "cgroup_rmdir")]
fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx);
    0
}

#[inline(always)]
fn handle(ctx: &BtfTracePointContext) -> Option<()> {
    let cgroup = Cgroup(ctx.arg(0));
    if !cgroup.is_unified() {
        return None;
    }
    let id = cgroup.id();
    // The entry stays: sockets outlive the cgroup, and the agent takes it out when it is done.
    let owner = state::cgroup(id)?.owner;
    let mut record = Record::<CgroupEvent>::new(Hook::CgroupRmdir, id, state::now(), 0, Tracked::of(owner))?;
    let removed = record.body();
    // SAFETY: `removed` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*removed).populated).write(0);
        (&raw mut (*removed).reserved).write(0);
    }
    record.submit();
    Some(())
}
