//! What went wrong with connections: cut, late, refused, and a container that ended while clients still came.

use std::time::Duration;

use super::{Subject, plural, round_up, seconds};
use crate::model::{BootTime, Direction, Disposition, Finding, FindingId, Outcome, Peer, Tally};

impl Subject<'_> {
    pub(super) fn connections_cut(&self) -> Option<Finding> {
        let it = self.of;
        let zombie = it.connections.zombie.filter(|zombie| it.exit.is_some() && zombie.inbound > 0)?;
        let start = it.connections.at_start.unwrap_or_default().inbound;
        let opened = it.connections.opened.unwrap_or_default().inbound;
        let of = match self.verdict.kubelet {
            Some(_) => format!(" ({start} were open when the termination began, {opened} came later)"),
            None => String::new(),
        };
        let count = plural(zombie.inbound, "inbound connection was", "inbound connections were");
        let whose = self.peers(|tally| tally.cut).map(|peers| format!(": {peers}")).unwrap_or_default();
        let message = format!("{count} still open when {} ended{of}{whose}.", self.name());
        let disposition = it.stop_signal.and_then(|stop| stop.disposition);
        let advice = if it.outcome == Some(Outcome::Forced) {
            "Let the application close its connections on the stop signal: refuse new ones, end keep-alive ones after their \
             current answer, and set a limit below terminationGracePeriodSeconds for the rest."
        } else if disposition == Some(Disposition::Default) {
            "Install a handler for the stop signal: the application died of it on the spot. Let it stop accepting, answer \
             what is open, and only then leave."
        } else if self.verdict.kubelet.is_none() {
            "It left without being asked: find out why from its log and exit status; its clients saw these connections fail."
        } else {
            "Let the application wait for open connections before it leaves (http.Server.Shutdown, graceful shutdown of the \
             framework), and close keep-alive ones after their current answer."
        };
        self.found(FindingId::ConnectionsCut, message, advice.to_owned())
    }

    /// A fact first: where no other endpoint is ready, Kubernetes sends traffic to terminating ones that are (KEP-1669).
    pub(super) fn late_connections(&self) -> Option<Finding> {
        let it = self.of;
        let late = it.connections.late.filter(|late| *late > 0 && it.exit.is_some())?;
        let stop = it.stop_signal?;
        let tail = it.connections.traffic_tail.unwrap_or_default();
        let count = plural(late, "inbound connection", "inbound connections");
        let message = format!(
            "{} got {count} after {}{}; the last one came {} after the termination began{}.",
            self.capital(),
            stop.signal,
            self.peers(|tally| tally.late).map(|peers| format!(" ({peers})")).unwrap_or_default(),
            seconds(tail),
            self.waited(),
        );
        let wait = self.wait_for(tail);
        let cut = it.connections.zombie.is_some_and(|zombie| zombie.inbound > 0);
        let advice = if cut {
            format!(
                "{wait}, so that load balancers have let go of the pod before it is stopped; if no other endpoint was ready, \
                 Kubernetes sent this traffic on purpose, and all that helps is to serve it to its end."
            )
        } else {
            format!(
                "No client was cut off, and if no other endpoint was ready, Kubernetes sent this traffic on purpose; \
                 otherwise load balancers were slow to let go of the pod: {}.",
                uncapital(&wait),
            )
        };
        self.found(FindingId::LateConnections, message, advice)
    }

    pub(super) fn connections_refused(&self) -> Option<Finding> {
        let it = self.of;
        let refused = it.connections.refused.filter(|refused| *refused > 0 && it.exit.is_some())?;
        let count = plural(refused, "connection to", "connections to");
        let were = if refused == 1 { "was" } else { "were" };
        let tail = it.connections.refused_tail;
        let last = match (self.verdict.kubelet, tail) {
            (Some(_), Some(tail)) => {
                format!("; the last one came {} after the termination began{}", seconds(tail), self.waited())
            }
            _ => String::new(),
        };
        let message = format!("{count} {} {were} refused, because nothing listened there any more{last}.", self.name());
        let advice = match (self.verdict.kubelet, tail) {
            (Some(_), tail) => format!(
                "{}, and let the application go on accepting meanwhile: who is refused was sent there by a load balancer \
                 that had not heard of the end yet.",
                self.wait_for(tail.max(it.connections.traffic_tail).unwrap_or_default()),
            ),
            (None, _) => {
                "It left without being asked: find out why from its log and exit status; until its next start or the next \
                 failed readiness probe its clients are refused."
                    .to_owned()
            }
        };
        self.found(FindingId::ConnectionsRefused, message, advice)
    }

    /// The endpoint race: the application was gone before those who send traffic had heard that it would go. True if
    /// clients were refused after the end, or if new connections came up to it.
    pub(super) fn exited_during_traffic(&self) -> Option<Finding> {
        let it = self.of;
        let exit = it.exit.filter(|_| self.verdict.kubelet.is_some())?;
        let connections = &it.connections;
        let after = connections.refused_after_exit.filter(|after| *after > 0);
        let came_up_to = connections.opened.zip(self.traffic_up_to(exit.at));
        let (how, tail) = match (after, came_up_to) {
            (Some(after), _) => {
                let tail = connections.refused_tail.unwrap_or_default();
                let were = if after == 1 { "was" } else { "were" };
                (format!("{after} {were} refused after it, the last one"), tail)
            }
            (None, Some((opened, gap))) => {
                let tail = connections.traffic_tail.unwrap_or_default();
                let opened = opened.inbound;
                (
                    format!(
                        "{opened} had come since the termination began, the last one {} before the end,",
                        seconds(gap)
                    ),
                    tail,
                )
            }
            (None, None) => return None,
        };
        let message = format!(
            "{} ended while clients still connected: {how} {} after the termination began{}.",
            self.capital(),
            seconds(tail),
            self.waited(),
        );
        let advice = format!(
            "{} and see whether traffic ends before: endpoints are taken away at the same time as the pod is stopped, and \
             every load balancer needs its time to hear of it.",
            self.wait_for(tail),
        );
        self.found(FindingId::ExitedDuringTraffic, message, advice)
    }

    /// How long before `at` the last new connection came, if that was one of many that were still coming: a gap that is
    /// usual for the connections before it. One or two connections are no traffic.
    fn traffic_up_to(&self, at: BootTime) -> Option<Duration> {
        const MANY: u64 = 3;
        /// With connections at random, one gap in fifty is longer than so many usual ones (e⁻⁴).
        const USUAL: u32 = 4;
        let connections = &self.of.connections;
        let opened = connections.opened.filter(|opened| opened.inbound >= MANY)?.inbound;
        let tail = connections.traffic_tail?;
        let gap = at.since(self.verdict.start? + tail);
        let usual = tail / u32::try_from(opened).unwrap_or(u32::MAX);
        (gap <= self.config.traffic_window && gap <= usual.saturating_mul(USUAL)).then_some(gap)
    }

    /// What to wait in the hook so that traffic which came for `tail` has ended.
    fn wait_for(&self, tail: Duration) -> String {
        let wait = tail.as_secs().saturating_add(u64::from(tail.subsec_nanos() > 0)).saturating_add(2);
        let needed = Duration::from_secs(wait).saturating_add(self.of.stop_to_exit().unwrap_or_default());
        let grace = match self.grace {
            Some(grace) if self.grace_for(needed) > grace => {
                format!(" and set terminationGracePeriodSeconds to {}", round_up(self.grace_for(needed)))
            }
            _ => String::new(),
        };
        format!("Wait at least {wait} s in a preStop hook{grace}")
    }

    fn waited(&self) -> String {
        match self.of.hook.and_then(|hook| hook.duration()) {
            Some(took) => format!(", and the preStop hook had waited {}", seconds(took)),
            None => String::new(),
        }
    }

    /// Who they were, the first few of them, where that is known.
    fn peers(&self, count: impl Fn(&Tally) -> u64) -> Option<String> {
        const NAMED: usize = 3;
        let peers = self.of.connections.peers.as_ref()?;
        let mut of: Vec<&Peer> =
            peers.listed.iter().filter(|it| it.direction == Direction::Inbound && count(&it.tally) > 0).collect();
        of.sort_by_key(|peer| std::cmp::Reverse(count(&peer.tally)));
        let others = peers.others.iter().filter(|it| it.direction == Direction::Inbound).map(|it| count(&it.tally));
        let rest = of.iter().skip(NAMED).map(|peer| count(&peer.tally)).chain(others).fold(0, u64::saturating_add);
        let mut named: Vec<String> =
            of.iter().take(NAMED).map(|peer| format!("{} from {}", count(&peer.tally), peer.address)).collect();
        if rest > 0 {
            named.push(format!("{rest} from others"));
        }
        (!named.is_empty()).then(|| named.join(", "))
    }
}

fn uncapital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
