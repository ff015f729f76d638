//! A program that does nothing, on the hook that sees connections: what being called costs by itself. As a raw tracepoint it
//! needs no types of the kernel; it is called as programs of typed tracepoints are (`__bpf_trace_run` in
//! kernel/trace/bpf_trace.c).

use std::ffi::{CStr, c_int, c_uint};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::{io, mem};

use anyhow::{Context, Result};

/// `r0 = 0; exit`.
const PROGRAM: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
/// How many bytes of `union bpf_attr` are given. The kernel takes the rest for 0.
const ATTR: usize = 48;
/// Commands and a type of include/uapi/linux/bpf.h.
const BPF_PROG_LOAD: c_int = 5;
const BPF_RAW_TRACEPOINT_OPEN: c_int = 17;
const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

/// What `BPF_PROG_LOAD` wants.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    rest: [u64; 3],
}

/// What `BPF_RAW_TRACEPOINT_OPEN` wants.
#[repr(C)]
struct Open {
    name: u64,
    program: u32,
    rest: [u32; 9],
}

/// Attached until it is dropped.
pub(super) struct Empty {
    _link: OwnedFd,
}

impl Empty {
    /// Attaches it to a tracepoint.
    pub(super) fn attach(tracepoint: &CStr) -> Result<Empty> {
        let load = Load {
            kind: BPF_PROG_TYPE_RAW_TRACEPOINT,
            instructions: PROGRAM.len() as u32,
            code: PROGRAM.as_ptr() as u64,
            license: c"Dual MIT/GPL".as_ptr() as u64,
            rest: [0; 3],
        };
        let program = bpf(BPF_PROG_LOAD, &load).context("cannot load the empty program")?;
        let open = Open { name: tracepoint.as_ptr() as u64, program: program.as_raw_fd().unsigned_abs(), rest: [0; 9] };
        let link = bpf(BPF_RAW_TRACEPOINT_OPEN, &open).context("cannot attach the empty program")?;
        Ok(Empty { _link: link })
    }
}

fn bpf<T>(command: c_int, attr: &T) -> io::Result<OwnedFd> {
    const { assert!(mem::size_of::<T>() == ATTR) };
    // SAFETY: the kernel reads as many bytes as `attr` has, and what its members point to, which outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attr, ATTR as c_uint) };
    match c_int::try_from(fd) {
        // SAFETY: a new descriptor, which nothing else knows of.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
