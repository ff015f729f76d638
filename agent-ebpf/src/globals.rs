//! Read-only globals: what the agent learns from the kernel's BTF before it loads the programs.

/// `mark_victim` passes the victim's pid (before 6.8 or so).
pub const MARK_VICTIM_PID: u32 = 0;
/// `mark_victim` passes the victim's task.
pub const MARK_VICTIM_TASK: u32 = 1;

/// Offsets in bytes of kernel structure members, and which form an argument has. The verifier sees frozen constants,
/// so a member costs one direct load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Globals {
    /// `task_struct.tgid`
    pub task_tgid: u32,
}
