//! The verdict on one container: a function of what was seen of it and of what is known about it, nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use super::evidence::{Evidence, Sent};
use super::stop::Stop;
use super::{Config, connections, hook, outcome, stop};
use crate::model::{
    BootTime, CgroupId, Comm, ContainerIdentity, ContainerTimeline, ExitTimeline, LifecycleHandler, Phase, Signal,
    StopSignal, Unseen, WallClock, WallTime,
};

/// What a verdict rests on.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) config: &'a Config,
    pub(super) now: BootTime,
    pub(super) clock: &'a WallClock,
    pub(super) evidence: &'a Evidence,
    pub(super) identity: &'a ContainerIdentity,
    /// Since when the container is watched.
    pub(super) known_at: BootTime,
    /// Since when all of its connections are counted, if it is older than the agent.
    pub(super) seeded_at: Option<BootTime>,
    /// Whether requests of the kubelet are seen, and since when; `None` as it was at the start.
    pub(super) kubelet_watched: Option<(bool, BootTime)>,
    /// When the pod's deletion was asked for, as first seen.
    pub(super) requested: Option<WallTime>,
    pub(super) grace: Option<Duration>,
    /// Every cgroup that was ever a container of the pod.
    pub(super) pod_cgroups: &'a BTreeSet<CgroupId>,
}

/// What is concluded about one container.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// What everybody sees.
    pub(super) timeline: ContainerTimeline,
    /// When it began to end; `None` while it runs.
    pub(super) start: Option<BootTime>,
    /// When the kubelet began to act on it.
    pub(super) kubelet: Option<BootTime>,
    /// When the kernel first saw something of that, or of its end.
    pub(super) seen: Option<BootTime>,
    /// It ran a program, and nothing of its end was seen.
    pub(super) alive: bool,
    /// A probe that makes the kubelet stop the container failed shortly before.
    pub(super) probe_failed: bool,
    /// Nothing was lost since shortly before the start.
    pub(super) complete: bool,
    /// When nobody watched, as far as that matters to it.
    pub(super) unseen: Vec<Unseen>,
    /// When nothing more is expected of it: then the verdict is final.
    pub(super) final_at: Option<BootTime>,
    /// When the verdict changes without a further event.
    pub(super) wake: Option<BootTime>,
    /// An exec of the hook's command may still turn out to be the hook, at most until then.
    pub(super) pending_until: Option<BootTime>,
    /// The init's name when the stop signal came, else when it ended.
    pub(super) comm: Option<Comm>,
    /// It passed the stop signal on to others.
    pub(super) forwarded: bool,
    /// OOM kills in the container since the start.
    pub(super) oom_kills: usize,
}

impl<'a> Scene<'a> {
    /// Whether a sender is outside the pod.
    pub(super) fn is_outside(&self, sent: &Sent) -> bool {
        sent.sender_cgroup.is_none_or(|cgroup| cgroup != self.identity.cgroup && !self.pod_cgroups.contains(&cgroup))
    }

    /// Whether a moment is after the request for the pod's deletion; never, when there was none.
    pub(super) fn is_since_request(&self, at: BootTime) -> bool {
        let skew = i64::try_from(self.config.clock_skew.as_nanos()).unwrap_or(i64::MAX);
        self.requested.is_some_and(|requested| self.clock.at(at).0 >= requested.0.saturating_sub(skew))
    }

    /// How long a stop may take.
    pub(super) fn stop_limit(&self) -> Duration {
        self.grace.unwrap_or(self.config.default_grace).saturating_add(self.config.margin)
    }

    /// Whether records of the container were lost since a moment.
    pub(super) fn lost_since(&self, at: BootTime) -> bool {
        self.evidence.losses.iter().any(|(seen, _)| *seen >= at)
    }

    /// Whether a moment is after the request for the pod's deletion, by the API server's clock and to the second.
    pub(super) fn is_after_request(&self, at: BootTime) -> bool {
        self.requested.is_some_and(|requested| self.clock.at(at) >= requested)
    }

    /// When the pod's deletion was asked for, at the earliest: it is known in whole seconds.
    pub(super) fn requested_at(&self) -> Option<BootTime> {
        self.requested.map(|requested| self.clock.boot(requested))
    }

    /// When the kubelet has begun to act on the request for deletion, where nobody saw it: by then the request has been
    /// made for sure, and a kubelet acts within fractions of a second.
    pub(super) fn acted_at(&self) -> Option<BootTime> {
        Some(self.requested_at()? + Duration::from_secs(1))
    }

    /// The grace period, and Kubernetes' default where it is not known. The kubelet makes 1 s of none
    /// (pkg/kubelet/pod_workers.go, `calculateEffectiveGracePeriod`).
    pub(super) fn grace_or_default(&self) -> Duration {
        self.grace.unwrap_or(self.config.default_grace).max(Duration::from_secs(1))
    }

    /// The container's preStop handler.
    pub(super) fn spec_hook(&self) -> Option<&'a LifecycleHandler> {
        self.identity.spec()?.pre_stop.as_ref()
    }

    /// Whether the container has a handler whose runs can be seen.
    pub(super) fn sees_hook(&self) -> bool {
        match self.spec_hook() {
            Some(LifecycleHandler::Exec(_)) => true,
            Some(LifecycleHandler::Http { https, host, .. }) => {
                !https
                    && host.is_none()
                    && self.kubelet_watched.map_or(self.config.sight.http_hooks, |(watched, _)| watched)
            }
            Some(LifecycleHandler::Sleep(_) | LifecycleHandler::Tcp) | None => false,
        }
    }

    /// When nothing more is to come of a container that is gone: whoever is refused before its cgroup is removed is its
    /// client.
    fn settled_at(&self, gone: BootTime) -> BootTime {
        let removed = self.evidence.removed_at.map_or(gone + self.config.removal_wait, |removed| removed.max(gone));
        removed + self.config.settle
    }

    /// Draws the conclusions.
    pub(super) fn judge(&self) -> Verdict {
        let evidence = self.evidence;
        // Nothing of what was done to one that never ran is a termination.
        let lived = evidence.lived() || self.identity.older_than_agent && !evidence.failed_to_start();
        let ended = evidence.exit.filter(|_| lived);
        let kill = evidence.kills.iter().find(|sent| lived && self.is_outside(sent));
        let kill = kill.filter(|sent| ended.is_none_or(|ended| sent.at <= ended.at + self.config.skew));
        let stop = stop::find(self, kill).filter(|_| lived);
        let hook = hook::find(self, stop.as_ref(), kill.map(|sent| sent.at)).filter(|_| lived);
        let gone = evidence.emptied().filter(|_| lived);

        let first_stop = stop.as_ref().map(|stop| *stop.first());
        let acts = [hook.as_ref().map(|hook| hook.timeline.start), first_stop.map(|it| it.at), kill.map(|it| it.at)];
        // Without a deletion or a stop signal, a hook alone is one only when its container is gone.
        let kubelet = acts.into_iter().flatten().min();
        let start = kubelet.or(ended.map(|ended| ended.at)).or(gone);
        let seen_hook = hook.as_ref().is_some_and(|hook| !hook.timeline.inferred);
        let seen = [acts[0].filter(|_| seen_hook), acts[1], acts[2], ended.map(|ended| ended.at), gone];

        // A hook may have been lost in its whole length before the first evidence that got through.
        let lost = start.is_some_and(|start| self.lost_since(earlier(start, self.blind())));
        let unseen = self.unseen(start, hook.as_ref(), first_stop.as_ref(), gone.filter(|_| ended.is_some()));
        let unseen_end = ended.is_none() || gone.is_none();
        let last_act =
            [stop.as_ref().and_then(|stop| stop.sent.last()), kill].into_iter().flatten().map(|it| it.at).max();
        let given_up = last_act.filter(|at| self.lost_since(*at)).map(|at| at + self.stop_limit());
        let final_at = match (gone, ended) {
            (Some(gone), _) => Some(self.settled_at(gone)),
            (None, Some(ended)) => Some(ended.at + self.config.empty_wait),
            (None, None) => given_up,
        };
        let is_final = final_at.is_some_and(|at| at <= self.now);
        let sight = &self.config.sight;
        let blind = is_final && !(sight.signals && sight.exits);
        let late = start.is_some() && self.began_unseen(seen_hook, stop.is_some());
        let complete = !(lost
            || !unseen.is_empty()
            || blind
            || late
            || is_final && unseen_end
            || gone.is_some() && ended.is_none());

        let exit = ended.map(|ended| ExitTimeline {
            at: ended.at,
            status: ended.status,
            oom: outcome::oom(self, ended.at, ended.status).is_some(),
        });
        let over = ended.is_some() || gone.is_some() || is_final;
        let phase = phase(hook.is_some(), first_stop.is_some(), kill.is_some(), ended.is_some(), gone.is_some());
        let facts = outcome::Facts { kill, stop: first_stop.as_ref(), complete };
        let pending_until = hook::pending_until(self).filter(|_| start.is_none());
        let wake = [final_at, stop.as_ref().and_then(|stop| stop.expires), pending_until, hook::wake(self)];
        let timeline = ContainerTimeline {
            name: self.identity.spec().map(|spec| spec.name.clone()),
            id: self.identity.id.clone(),
            image: self.identity.spec().map(|spec| spec.image.clone()),
            role: self.identity.role,
            outcome: over.then(|| outcome::outcome(self, &facts, ended.as_ref())),
            phase: if start.is_some() { phase } else { Phase::Running },
            stop_signal: stop.as_ref().map(|stop| self.stop_signal(stop, kill.is_some())),
            killed_at: kill.map(|sent| sent.at),
            exit,
            empty_at: gone,
            connections: connections::measure(self, start, &acts, hook.as_ref(), first_stop.as_ref(), kill),
            hook: hook.map(|hook| hook.timeline),
            sidecar_lead: None,
        };
        Verdict {
            start,
            kubelet,
            seen: seen.into_iter().flatten().min(),
            alive: lived && ended.is_none() && gone.is_none(),
            probe_failed: kubelet.is_some_and(|at| hook::probe_failed(self, at)),
            complete,
            unseen,
            final_at: final_at.filter(|_| start.is_some()),
            wake: wake.into_iter().flatten().filter(|at| *at > self.now).min(),
            pending_until,
            comm: first_stop.map(|sent| sent.comm).or(ended.map(|ended| ended.comm)),
            forwarded: stop.as_ref().is_some_and(|stop| stop::forwarded(self, stop)),
            oom_kills: evidence.victims.iter().filter(|(at, _)| start.is_some_and(|start| *at >= start)).count(),
            timeline,
        }
    }

    fn stop_signal(&self, stop: &Stop, killed: bool) -> StopSignal {
        let first = stop.first();
        let disposition = stop::disposition(self, stop, killed);
        StopSignal { signal: first.signal, at: first.at, disposition, sender: first.sender }
    }

    /// Whether the kubelet may have begun before the agent: the container is older than the agent, its pod's deletion was
    /// asked for before it was watched, and the first act on it was not seen. Request times are whole seconds.
    fn began_unseen(&self, hook: bool, stop: bool) -> bool {
        const SECOND: i64 = 1_000_000_000;
        let watched = self.clock.at(self.known_at).0;
        let before = self.requested.is_some_and(|requested| requested.0.saturating_add(SECOND) <= watched);
        self.identity.older_than_agent && before && !hook && (self.may_have_hook() || !stop)
    }

    /// How long a hook may have run before the first that was seen of a termination.
    pub(super) fn blind(&self) -> Duration {
        if self.may_have_hook() { self.grace.unwrap_or(self.config.default_grace) } else { Duration::ZERO }
    }

    /// Whether the container has a hook that can be seen, or nobody has said that it has none.
    fn may_have_hook(&self) -> bool {
        self.identity.spec().is_none() || self.sees_hook()
    }
}

impl Verdict {
    /// Ended by SIGKILL from outside.
    pub(super) fn was_forced(&self) -> bool {
        let killed = self.timeline.exit.is_none_or(|exit| exit.status.signal() == Some(Signal::KILL));
        self.timeline.killed_at.is_some() && killed
    }
}

/// Where a container stands: the most advanced step there is evidence for. A hook that runs again after the stop signal
/// does not lead back.
fn phase(hook: bool, stop: bool, kill: bool, exit: bool, empty: bool) -> Phase {
    let steps = [
        (empty, Phase::Empty),
        (exit, Phase::Exited),
        (kill, Phase::Killed),
        (stop, Phase::Stopping),
        (hook, Phase::InHook),
    ];
    steps.into_iter().find(|(seen, _)| *seen).map_or(Phase::Running, |(_, phase)| phase)
}

pub(super) fn earlier(at: BootTime, by: Duration) -> BootTime {
    BootTime(at.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
}
