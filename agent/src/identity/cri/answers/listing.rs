//! What a runtime has, as it lists it: bounded, the most important first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gracetrace_cri_api::{Container, ContainerState, PodSandbox, PodSandboxState};

/// As many as the index takes; a node runs some 500 pods at most, and each leaves a few dead ones behind.
const MAX_SANDBOXES: usize = 4096;
/// See [`MAX_SANDBOXES`].
const MAX_CONTAINERS: usize = 16_384;

/// Sandboxes and containers: those that run first, and of these the newest first.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(super) sandboxes: Vec<PodSandbox>,
    pub(super) containers: Vec<Container>,
    /// How many there was no room for.
    pub(super) left_out: u64,
}

impl Listing {
    pub(crate) fn new(mut sandboxes: Vec<PodSandbox>, mut containers: Vec<Container>) -> Listing {
        sandboxes.sort_by_key(|sandbox| (!is_ready(sandbox), Reverse(sandbox.created_at)));
        containers.sort_by_key(|container| (!is_alive(container), Reverse(container.created_at)));
        let left_out = truncate(&mut sandboxes, MAX_SANDBOXES) + truncate(&mut containers, MAX_CONTAINERS);
        Listing { sandboxes, containers, left_out }
    }

    /// Whether the runtime serves no pods.
    pub(crate) fn is_empty(&self) -> bool {
        self.sandboxes.is_empty() && self.containers.is_empty()
    }

    /// Sandboxes by their ids.
    pub(super) fn by_id(&self) -> BTreeMap<&str, &PodSandbox> {
        self.sandboxes.iter().map(|sandbox| (sandbox.id.as_str(), sandbox)).collect()
    }
}

fn truncate<T>(all: &mut Vec<T>, most: usize) -> u64 {
    let over = all.len().saturating_sub(most);
    all.truncate(most);
    u64::try_from(over).unwrap_or(u64::MAX)
}

pub(super) fn is_ready(sandbox: &PodSandbox) -> bool {
    sandbox.state == PodSandboxState::SandboxReady as i32
}

/// Made but not started is alive, too.
pub(super) fn is_alive(container: &Container) -> bool {
    [ContainerState::ContainerCreated, ContainerState::ContainerRunning]
        .map(|state| state as i32)
        .contains(&container.state)
}
