//! What the driver saw, by its own clock.

use crate::clock::BootTime;

/// A call, from right before it to right after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Before.
    pub from: BootTime,
    /// After.
    pub to: BootTime,
}

impl Call {
    /// Seconds that it took.
    pub fn seconds(self) -> f64 {
        std::time::Duration::from_nanos((self.to.0 - self.from.0).unsigned_abs()).as_secs_f64()
    }
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookEnd {
    /// The exit code of its command.
    Exit(i32),
    /// The status of the answer.
    Status(u16),
    /// It slept.
    Slept,
    /// The runtime or the container refused; what it said.
    Refused(String),
}

/// A hook that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    /// From the request to the answer, which can come after the grace period.
    pub call: Call,
    /// What the answer was.
    pub end: HookEnd,
}

/// What was done to a container, and what became of it.
#[derive(Debug, Clone)]
pub struct ContainerSeen {
    /// Its name in the pod.
    pub name: String,
    /// The runtime's.
    pub id: String,
    /// More than one if the runtime went away under the first.
    pub hooks: Vec<HookRun>,
    /// StopContainer; more than one for the same reason, the last one succeeded.
    pub stops: Vec<Call>,
    /// The timeout of the last one, seconds.
    pub stop_timeout: i64,
    /// As ContainerStatus has it.
    pub exit_code: i32,
}

/// The same of a pod.
#[derive(Debug, Clone)]
pub struct PodSeen {
    /// Right before the first call.
    pub from: BootTime,
    /// Right after the last container had been stopped.
    pub to: BootTime,
    /// In the order of the spec.
    pub containers: Vec<ContainerSeen>,
}

impl PodSeen {
    /// One of them.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn container(&self, name: &str) -> &ContainerSeen {
        let found = self.containers.iter().find(|container| container.name == name);
        found.unwrap_or_else(|| panic!("no container {name} in {self:#?}"))
    }
}
