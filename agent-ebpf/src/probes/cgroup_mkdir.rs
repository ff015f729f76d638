//! Hook: `cgroup_mkdir(cgrp, path)`, in the context of whoever made the directory, before anybody can be moved there.
//!
//! Feeds: new containers, tracked from their first moment: a cgroup inherits from the one above it here and now, and the
//! agent finds out later what it is.
//! Without it: what a container does before the agent has found it is missed.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use gracetrace_ebpf::{
    CGROUP_KIND_CONTAINER, CGROUP_KIND_NESTED, CGROUP_KIND_PENDING, Cgroup as Entry, CgroupMkdir, FLAG_TRUNCATED, Hook,
    PATH_LEN,
};

use crate::kernel::{self, Cgroup};
use crate::state::{self, CGROUPS, Record, Tracked};

const HOOK: Hook = Hook::CgroupMkdir;

#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
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
    let parent = cgroup.parent_id();
    let mut container = None;
    if let Some(above) = state::cgroup(parent) {
        let nested = above.kind == CGROUP_KIND_CONTAINER || above.kind == CGROUP_KIND_NESTED;
        let (owner, kind) = if nested { (above.owner, CGROUP_KIND_NESTED) } else { (id, CGROUP_KIND_PENDING) };
        if !nested {
            Tracked::create(id);
        }
        container = Tracked::of(owner);
        if CGROUPS.insert(id, Entry { owner, kind, flags: 0 }, 0).is_err() || container.is_none() {
            state::count_drop(HOOK);
        }
        debug!(ctx, "cgroup {} below {}: kind {}", id, parent, kind);
    } else if !is_root_of_pods(cgroup) {
        return None;
    }

    let path: *const u8 = ctx.arg(1);
    let mut record = Record::<CgroupMkdir>::new(HOOK, id, state::now(), 0, container)?;
    let made = record.body();
    // SAFETY: `made` is a record's room in the ring buffer; every member is written.
    unsafe {
        (&raw mut (*made).parent).write(parent);
        let to = (&raw mut (*made).path).cast::<u8>();
        for word in 0..PATH_LEN / 8 {
            to.cast::<u64>().add(word).write_volatile(0);
        }
        let len = kernel::read_string(to, PATH_LEN, path);
        if len == PATH_LEN as i64 && kernel::read_byte(path, PATH_LEN - 1) != 0 {
            (&raw mut (*made).header.flags).write(FLAG_TRUNCATED);
        }
    }
    record.submit();
    Some(())
}

/// Whether its name has `kubepods` in it, as every kubelet's root of pods has, with either driver of cgroups.
#[inline(always)]
fn is_root_of_pods(cgroup: Cgroup) -> bool {
    const NAME_LEN: usize = 64;
    const WANTED: u64 = u64::from_le_bytes(*b"kubepods");
    let mut name = [0u8; NAME_LEN];
    // SAFETY: the array is that long.
    unsafe { kernel::read_string(name.as_mut_ptr(), NAME_LEN, cgroup.name()) };
    let mut window = 0;
    for byte in name {
        window = window >> 8 | u64::from(byte) << 56;
        if window == WANTED {
            return true;
        }
    }
    false
}
