//! Hook: `cgroup_notify_populated(cgrp, path, val)`, as a cgroup or one below it gets its first or loses its last
//! process.
//!
//! Feeds: the end of a container: its cgroup is empty.
//! Without it: a container ends with its init's exit.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gracetrace_ebpf::{CGROUP_KIND_NESTED, CgroupEvent, Hook};

use crate::kernel::Cgroup;
use crate::state::{self, Record, Tracked};

#[btf_tracepoint(function = "cgroup_notify_populated")]
fn cgroup_notify_populated(ctx: BtfTracePointContext) -> i32 {
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
    let entry = state::cgroup(id)?;
    if entry.kind == CGROUP_KIND_NESTED {
        return None; // a container's own affair, and its own event follows
    }
    let mut record =
        Record::<CgroupEvent>::new(Hook::CgroupNotifyPopulated, id, state::now(), 0, Tracked::of(entry.owner))?;
    let populated = record.body();
    let value: i32 = ctx.arg(2);
    // SAFETY: `populated` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*populated).populated).write(u32::from(value != 0));
        (&raw mut (*populated).reserved).write(0);
    }
    record.submit();
    Some(())
}
