//! What went wrong with the pod as a whole.

use std::time::Duration;

use super::{seconds, whole};
use crate::correlator::Config;
use crate::model::{Finding, FindingId, Reason, Timeline};

/// What is known of the pod beyond its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::correlator) struct About {
    /// The kernel saw nothing of the termination for long.
    pub(in crate::correlator) silence: Option<Silence>,
    /// How many pods of the node began to terminate at about the same time, this one included.
    pub(in crate::correlator) wave: usize,
}

/// Kubernetes was asked to delete the pod, and nothing happened for longer than its hooks explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::correlator) struct Silence {
    /// How long that was waited for.
    pub(in crate::correlator) limit: Duration,
    /// When something was seen after all: so long after the request.
    pub(in crate::correlator) ended_after: Option<Duration>,
}

/// Everything found.
pub(super) fn find(timeline: &Timeline, about: &About, config: &Config) -> Vec<Finding> {
    let found = |id, message, advice: &str| Finding { id, container: None, message, advice: advice.to_owned() };
    let no_grace = timeline.grace_period.filter(|grace| timeline.grace_started && grace.as_secs() <= 1).map(|grace| {
        let message = format!(
            "The pod had a grace period of {}: its preStop hook gets about 1 s and its application about 2 s.",
            whole(grace)
        );
        let advice = "Do not delete with --force or --grace-period 0 or 1, and set terminationGracePeriodSeconds to 30 \
                      or more; a hard eviction does the same, so set requests for what the pod really uses.";
        found(FindingId::NoGrace, message, advice)
    });
    let silence = about.silence.map(|silence| {
        let message = match silence.ended_after {
            Some(after) => format!(
                "The first sign of the kubelet stopping the pod came {} after the request to delete it.",
                seconds(after)
            ),
            None => format!(
                "More than {} after the request to delete the pod there was no hook, no signal and no end of a container.",
                seconds(silence.limit)
            ),
        };
        let advice = "Look at the kubelet and the container runtime of this node (journalctl -u kubelet, crictl ps): one \
                      that is down, overloaded or stuck stops no pod, and what runs goes on running.";
        found(FindingId::TerminatingWithoutSignal, message, advice)
    });
    let wave = (about.wave >= config.mass_pods).then(|| {
        let message =
            format!("{} pods of this node began to terminate within {}.", about.wave, whole(config.mass_window));
        let advice = match timeline.reason {
            Reason::NodeShutdown => {
                "The node was shut down: drain nodes before (kubectl drain), so that PodDisruptionBudgets decide how many \
                 pods go at once and replacements are ready first."
            }
            Reason::Eviction => {
                "With kubectl drain this is normal, and PodDisruptionBudgets limit how many replicas go at once; if nobody \
                 drained the node, it ran out of memory or disk: set requests for what pods really use."
            }
            Reason::ProbeFailure => {
                "So many probes do not fail by themselves: look for what they share, such as a dependency that liveness \
                 probes ask for, or a node without CPU time to spare."
            }
            _ => {
                "If nobody drained the node, find out who deleted so many pods at once: a PodDisruptionBudget limits \
                 evictions, maxUnavailable rollouts, and topologySpreadConstraints keep replicas off a single node."
            }
        };
        found(FindingId::MassTermination, message, advice)
    });
    [no_grace, silence, wave].into_iter().flatten().collect()
}
