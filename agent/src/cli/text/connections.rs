//! The connections of a container as text for people: the numbers, a few of the peers, and which sidecar left too early.

use std::fmt::{self, Formatter};

use super::Escaped;
use crate::report::{Connections, Container, Peer, Tally};

/// Peers that are shown; the others are in the JSON.
const SHOWN: usize = 5;

pub(super) fn write(f: &mut Formatter<'_>, of: &Container, name: &str) -> fmt::Result {
    let facts = facts(&of.connections);
    if !facts.is_empty() {
        writeln!(f, "    connections of {}: {}", Escaped(name), facts.join(", "))?;
    }
    write_peers(f, &of.connections)?;
    if let Some(lead) = of.sidecar_lead_seconds {
        let order = if lead > 0.0 { "before" } else { "after" };
        writeln!(f, "    sidecar {} ended {:.3} s {order} the application", Escaped(name), lead.abs())?;
    }
    Ok(())
}

/// What there was of it; what was 0 or not measured is left out.
fn facts(of: &Connections) -> Vec<String> {
    let some = |count: Option<u64>, what: &str| count.filter(|count| *count > 0).map(|count| format!("{count} {what}"));
    let inbound = |count: Option<crate::report::Count>| count.map(|count| count.inbound);
    let both = |count: Option<crate::report::Count>| count.map(|count| count.inbound.saturating_add(count.outbound));
    let tail = of.traffic_tail_seconds.map(|tail| format!("new ones for {tail:.3} s"));
    let facts = [
        some(inbound(of.at_start), "inbound at the start"),
        some(inbound(of.opened), "came later"),
        some(both(of.zombie), "cut"),
        some(of.late, "late"),
        some(of.aborted, "aborted"),
        some(of.refused, "refused"),
        tail,
        some(of.outbound_failed, "outbound failed"),
        some(of.outbound_failed_after_sidecar, "of those after its sidecar's end"),
        some(of.startup_refused, "refused before it listened"),
        Some("counted in part".to_owned()).filter(|_| of.partial),
    ];
    let counted = facts.into_iter().flatten().collect::<Vec<_>>();
    if of.at_start.is_none() { Vec::new() } else { counted }
}

/// Those that something went wrong with, or that came late.
fn write_peers(f: &mut Formatter<'_>, of: &Connections) -> fmt::Result {
    let Some(peers) = &of.peers else { return Ok(()) };
    let matters = |of: &Tally| [of.cut, of.late_connections, of.aborted, of.failed].iter().any(|count| *count > 0);
    let (shown, rest): (Vec<(usize, &Peer)>, Vec<_>) =
        peers.iter().filter(|peer| matters(&peer.tally)).enumerate().partition(|(index, _)| *index < SHOWN);
    for (_, peer) in shown {
        let to = if peer.direction == "outbound" { "to " } else { "" };
        writeln!(f, "      {to}{}: {}", Escaped(&peer.address), tally(&peer.tally).join(", "))?;
    }
    let others = of.other_peers.iter().map(|others| others.peers).fold(rest.len() as u64, u64::saturating_add);
    if others > 0 {
        writeln!(f, "      and {others} more")?;
    }
    Ok(())
}

fn tally(of: &Tally) -> Vec<String> {
    let connections = if of.connections == 1 { "connection" } else { "connections" };
    let facts = [
        (of.connections, connections),
        (of.cut, "cut"),
        (of.late_connections, "late"),
        (of.aborted, "aborted"),
        (of.failed, "failed"),
    ];
    facts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}
