//! Sidecars and the application they serve: which ended first, and what the application could not reach after that.

use super::evidence::Evidence;
use crate::model::{BootTime, ContainerTimeline, Role, SidecarLead};

/// One container of a termination.
pub(super) struct Member<'a> {
    pub(super) timeline: &'a mut ContainerTimeline,
    pub(super) evidence: &'a Evidence,
    /// It runs again, in another life.
    pub(super) restarted: bool,
}

/// Measures sidecars against the application. `lives_on`: a main container takes no part in the termination and goes on,
/// so the application has not ended.
///
/// A sidecar has to outlive every main container. The first one to end is taken for the one that outbound connections
/// failed for: which of several it was, nobody can see.
pub(super) fn relate(members: &mut [Member<'_>], lives_on: bool) {
    let ends = |role: Role| {
        let of_role = members.iter().filter(move |it| it.timeline.role == role && !it.restarted);
        of_role.map(|it| it.timeline.exit.map(|exit| exit.at))
    };
    let application: Option<Vec<BootTime>> = ends(Role::App).collect();
    let application_ended = application.filter(|_| !lives_on).and_then(|ends| ends.into_iter().max());
    let first_sidecar = ends(Role::Sidecar).flatten().min();
    for Member { timeline, evidence, restarted } in members {
        let exit = timeline.exit.map(|exit| exit.at);
        match timeline.role {
            Role::Sidecar if !*restarted => {
                let lead = |(ended, application_ended)| SidecarLead { ended, application_ended };
                timeline.sidecar_lead = exit.zip(application_ended).map(lead);
            }
            Role::App => {
                let without_since = first_sidecar.filter(|at| exit.is_none_or(|exit| *at < exit));
                let measured = timeline.connections.outbound_failed.zip(without_since);
                timeline.connections.outbound_failed_after_sidecar = measured.map(|(failed, since)| {
                    let until = exit.map_or(evidence.latest.1.outbound_failed, |exit| evidence.failures.value_at(exit));
                    until.saturating_sub(evidence.failures.value_at(since)).min(failed)
                });
            }
            _ => {}
        }
    }
}
