//! Who gets a processor when. A witness that waits for one tells a time that is too late, and so does a hook that waits
//! for one between its stamp and its first instruction: execve(2) is where the kernel moves a process to another processor
//! (`sched_exec`, kernel/sched/core.c), and there it stands in line.
//!
//! Where real-time scheduling is not allowed, nothing happens but that other load on the machine blurs the truth.

/// This process only waits for something and takes the clock: it runs as soon as that happens.
pub(super) fn be_a_witness() {
    set(0, libc::SCHED_RR, 2);
}

/// This process is about to execute a program: it goes before all but witnesses, until one of those takes that back.
pub(super) fn go_first() {
    set(0, libc::SCHED_RR, 1);
}

/// Takes [`go_first`] back.
pub(super) fn stand_in_line(pid: i32) {
    set(pid, libc::SCHED_OTHER, 0);
}

fn set(pid: i32, policy: i32, priority: i32) {
    // SAFETY: all of sched_param is integers, for which zero is valid.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: the pointer is good for the call, which only reads it.
    let _ = unsafe { libc::sched_setscheduler(pid, policy, &raw const parameters) };
}
