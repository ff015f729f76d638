//! Findings: what went wrong in a termination, and what to change.

use std::sync::Arc;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub id: FindingId,
    /// The container it is about; `None` for the pod, or when its name is not known.
    pub container: Option<Arc<str>>,
    /// One sentence: what happened, with its numbers.
    pub message: String,
    /// One sentence: what to change.
    pub advice: String,
}

macro_rules! findings {
    ($($(#[$doc:meta])* $item:ident = $word:literal),+ $(,)?) => {
        /// What was found. The words are stable: people alert on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingId { $($(#[$doc])* $item),+ }

        impl FindingId {
            /// Every one.
            pub const ALL: &'static [FindingId] = &[$(FindingId::$item),+];

            /// The stable id.
            pub fn as_str(self) -> &'static str {
                match self { $(FindingId::$item => $word),+ }
            }
        }
    };
}

findings! {
    /// The hook failed.
    PrestopFailed = "PRESTOP_FAILED",
    /// The hook still ran when the stop signal came.
    PrestopTimeout = "PRESTOP_TIMEOUT",
    /// The hook used much CPU or many processes.
    PrestopCostly = "PRESTOP_COSTLY",
    /// PID 1 has no handler for the stop signal.
    StopSignalIgnored = "STOP_SIGNAL_IGNORED",
    /// PID 1 is a shell that kept the stop signal to itself.
    StopSignalNotForwarded = "STOP_SIGNAL_NOT_FORWARDED",
    /// The grace period ran out and the container was killed.
    GraceExhausted = "GRACE_EXHAUSTED",
    /// More than 80 % of the grace period was used.
    GraceNearlyExhausted = "GRACE_NEARLY_EXHAUSTED",
    /// Connections were open when the container ended.
    ConnectionsCut = "CONNECTIONS_CUT",
    /// New connections came after the stop signal.
    LateConnections = "LATE_CONNECTIONS",
    /// Connections were refused because nothing listened any more.
    ConnectionsRefused = "CONNECTIONS_REFUSED",
    /// The container ended while clients still connected: the endpoint race.
    ExitedDuringTraffic = "EXITED_DURING_TRAFFIC",
    /// A sidecar ended before the application that it serves.
    SidecarExitedFirst = "SIDECAR_EXITED_FIRST",
    /// The application's outbound connections failed after a sidecar had ended.
    OutboundFailedAfterSidecar = "OUTBOUND_FAILED_AFTER_SIDECAR",
    /// The OOM killer struck during the termination.
    OomDuringTermination = "OOM_DURING_TERMINATION",
    /// The grace period was 0 or 1 seconds.
    NoGrace = "NO_GRACE",
    /// Kubernetes was asked to delete the pod, and the kernel saw nothing of it for long.
    TerminatingWithoutSignal = "TERMINATING_WITHOUT_SIGNAL",
    /// Many pods of the node began to terminate at about the same time.
    MassTermination = "MASS_TERMINATION",
}
