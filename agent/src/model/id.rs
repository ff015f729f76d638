//! Identifiers, each a type of its own so that none can stand for another.

use std::fmt;
use std::sync::Arc;

/// A cgroup of the unified hierarchy: the inode number of its directory, 64 bits with the generation in the upper half
/// (`kernfs_node.id`). Not reused before the kernel's counter wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupId(pub u64);

/// A process id in the host's pid namespace. Reused by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub u32);

/// What a cgroup is to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CgroupKind {
    /// Above containers, or beside them without being one: only its children matter.
    Ancestor,
    /// A container.
    Container,
    /// Made inside a container by the container itself.
    Nested,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A container as its runtime names it: 64 hexadecimal digits, without the `containerd://` in front.
    ContainerId
}
text_id! {
    /// A pod as the kubelet names it: the API's uid, or the config hash of a static pod.
    PodUid
}
text_id! {
    /// A termination: the pod's uid and the boot time of its start in milliseconds, joined by a dash. Made once, at the
    /// first evidence, and the same in a replay.
    TerminationId
}

impl fmt::Display for CgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
