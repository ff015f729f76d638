//! Runs that the kernel left out: a program is not run again on a CPU where it runs already, interrupted or preempted
//! (`__bpf_trace_run()` in kernel/trace/bpf_trace.c). What it would have seen is lost, and it cannot tell whose it was.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

/// How often the kernel left a program out since it was loaded; `None` where it does not count (before 5.12,
/// `bpf_prog_show_fdinfo()` in kernel/bpf/syscall.c).
pub(super) fn of(program: BorrowedFd<'_>) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).ok()?)
}

fn parse(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_a_program() {
        let text = "pos:\t0\nprog_type:\t26\nrun_cnt:\t12\nrecursion_misses:\t3\nverified_insns:\t96\n";
        assert_eq!(parse(text), Some(3));
        assert_eq!(parse("pos:\t0\nprog_type:\t26\n"), None);
    }
}
