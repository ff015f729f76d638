//! The API says that a pod is terminating, and the kernel saw nothing of it.

use std::time::Duration;

use super::findings::Silence;
use super::pod::{Container, World};
use super::verdict::Verdict;
use crate::model::{BootTime, LifecycleHandler};

/// Whether nothing happens, or when that is to be said.
pub(super) struct Told {
    /// By then something should have been seen.
    pub(super) due: BootTime,
    /// Nothing was, by then.
    pub(super) silence: Option<Silence>,
}

/// What can be said of a pod whose deletion was asked for at `requested`, to the second. Nothing, if an act of the kubelet
/// may have gone by unseen: before the agent was there, in lost records, or for want of a hook in the kernel.
pub(super) fn tell<'a>(
    requested: BootTime,
    grace: Option<Duration>,
    lives: impl Iterator<Item = (&'a Container, &'a Verdict)> + Clone,
    world: World<'_>,
) -> Option<Told> {
    let sight = &world.config.sight;
    let watched = |(container, _): (&Container, &Verdict)| {
        let evidence = &container.evidence;
        container.known_at <= requested
            && evidence.losses.iter().all(|(at, _)| *at < requested)
            && evidence.unseen.iter().all(|it| it.to < requested)
    };
    let concerns = |(_, verdict): &(&Container, &Verdict)| verdict.alive || verdict.seen.is_some();
    let lives = lives.filter(concerns);
    if !(sight.signals && sight.exits) || lives.clone().next().is_none() || !lives.clone().all(watched) {
        return None;
    }
    let grace = grace.unwrap_or(world.config.default_grace);
    let unseen = lives.clone().map(|(container, _)| unseen_hook(container, grace)).max().unwrap_or_default();
    let limit = world.config.silence + unseen;
    // The request may have been made at the end of its second.
    let due = requested + Duration::from_secs(1) + limit;
    let seen = lives.filter_map(|(_, verdict)| verdict.seen).min();
    let silent = world.now >= due && seen.is_none_or(|seen| seen > due);
    let ended_after = seen.map(|seen| seen.since(requested));
    Some(Told { due, silence: silent.then_some(Silence { limit, ended_after }) })
}

/// How long a hook may take of which nothing is seen: an httpGet hook may not get through to the container.
fn unseen_hook(container: &Container, grace: Duration) -> Duration {
    let Some(spec) = container.identity.spec() else { return grace };
    match &spec.pre_stop {
        Some(LifecycleHandler::Sleep(sleep)) => (*sleep).min(grace),
        Some(LifecycleHandler::Http { .. }) => grace,
        Some(LifecycleHandler::Exec(_) | LifecycleHandler::Tcp) | None => Duration::ZERO,
    }
}
