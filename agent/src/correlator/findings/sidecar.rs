//! What went wrong between a sidecar and the application that it serves.

use super::{Subject, plural, seconds};
use crate::model::{Finding, FindingId, Role};

impl Subject<'_> {
    pub(super) fn sidecar_exited_first(&self) -> Option<Finding> {
        let without = self.of.sidecar_lead.filter(|_| self.timeline.grace_started)?.without();
        if without < self.config.sidecar_lead_min {
            return None;
        }
        let message = format!(
            "The sidecar {} ended {} before the application: for so long the application had to do without it.",
            self.of.name.as_deref().unwrap_or("of the pod"),
            seconds(without),
        );
        // Kubernetes stops native sidecars after the main containers; an ordinary container gets the stop signal with
        // them.
        let asked = self.of.stop_signal.is_some() || self.of.killed_at.is_some();
        let advice = if asked {
            "Make it a native sidecar, if it is none yet (an init container with restartPolicy: Always), which Kubernetes \
             stops only after the main containers; where that cannot be, give it a preStop hook that waits until they have \
             gone."
        } else {
            "It left before it was to go: find out why from its log and exit status; a native sidecar is stopped only after \
             the main containers, but nothing keeps it from leaving by itself."
        };
        self.found(FindingId::SidecarExitedFirst, message, advice.to_owned())
    }

    pub(super) fn outbound_failed_after_sidecar(&self) -> Option<Finding> {
        let failed = self.of.connections.outbound_failed_after_sidecar.filter(|failed| *failed > 0)?;
        let exit = self.of.exit?;
        let sidecars = self.timeline.containers.iter().filter(|it| it.role == Role::Sidecar);
        let ended = sidecars.filter_map(|it| Some((it.exit?.at, it.name.as_deref())));
        let (at, name) = ended.min_by_key(|(at, _)| *at)?;
        let message = format!(
            "{} {} could not be established in the {} between the end of the sidecar{} and its own.",
            plural(failed, "outbound connection of", "outbound connections of"),
            self.name(),
            seconds(exit.at.since(at)),
            name.map(|name| format!(" {name}")).unwrap_or_default(),
        );
        let advice = "Keep the sidecar until the application has ended: a native sidecar (an init container with \
                      restartPolicy: Always) is stopped last, and until then what the application flushes or reports at \
                      its end gets through.";
        self.found(FindingId::OutboundFailedAfterSidecar, message, advice.to_owned())
    }
}
