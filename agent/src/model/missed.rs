//! What the kernel left out.

/// Events of the whole node that hooks have missed at most: the kernel does not run a program again on a CPU where it runs
/// already, interrupted or preempted, and nobody can tell whose event it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missed {
    /// Changes of connections, and clients that were refused.
    pub connections: u64,
    /// Whatever happened to processes and cgroups.
    pub processes: u64,
}

impl Missed {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Missed) -> Missed {
        Missed {
            connections: self.connections.saturating_add(other.connections),
            processes: self.processes.saturating_add(other.processes),
        }
    }
}
