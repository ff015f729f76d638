//! What is said of connections, against what clients and servers saw.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::{Comparison, Tolerance, container};
use crate::demo::Played;
use crate::kubelet::pod::CONTAINER;
use crate::truth::{Outcome, Truth};

/// Compares every count.
pub(super) fn compare(comparison: &mut Comparison, termination: &Value, played: &Played) {
    let truth = &played.truth;
    let connections = &container(termination, CONTAINER)["connections"];
    let mut verdict = |what: &str, truth: Option<u64>, said: &Value| match truth {
        Some(truth) => comparison.count(what, truth, said),
        None => comparison.verdict(what, &Value::Null, said),
    };
    verdict("zombie connections", Some(truth.zombie_inbound), &connections["zombie"]["inbound"]);
    verdict("zombie connections of its own", Some(truth.zombie_outbound), &connections["zombie"]["outbound"]);
    verdict("late connections", truth.late, &connections["late"]);
    let failed = truth.calls.failed_since(truth.start);
    if truth.outcome != Outcome::Crashed && truth.killed_at.is_none() {
        verdict("calls that failed", Some(failed), &connections["outbound_failed"]);
    }
    if let (Some(plan), Some(truth)) = (played.scenario.sidecar, &played.sidecar) {
        // Without a sidecar nobody's calls fail, so that all of them fail after it.
        let after = (truth.exit_at < played.truth.exit_at).then_some(failed);
        verdict("calls that failed after the sidecar", after, &connections["outbound_failed_after_sidecar"]);
        let connections = &container(termination, plan.name)["connections"];
        verdict("zombies of the sidecar", Some(truth.zombie_outbound), &connections["zombie"]["outbound"]);
        verdict("clients of the sidecar", Some(truth.zombie_inbound), &connections["zombie"]["inbound"]);
        verdict("late clients of the sidecar", truth.late, &connections["late"]);
    }
    refused(comparison, termination, truth);
    peers(comparison, connections, truth);
}

/// How long before the application's end its sidecar had ended. Only a lead is told. It is between two exits, each with the
/// tolerance of a time.
pub(super) fn lead(comparison: &mut Comparison, app: &Truth, sidecar: &Truth, said: &Value, tolerance: Tolerance) {
    let lead = (app.exit_at.0 - sidecar.exit_at.0) as f64 / 1e9;
    let said = &said["sidecar_lead_seconds"];
    let good = match said.as_f64() {
        Some(said) => (said - lead).abs() < 2.0 * tolerance.each.as_secs_f64(),
        None => lead <= 0.0,
    };
    if !good {
        comparison.differences.push(format!("lead of the sidecar: the agent says {said}, it was {lead:.3} s"));
    }
}

/// Those that were refused when the container was gone may have come too late to be told.
fn refused(comparison: &mut Comparison, termination: &Value, truth: &Truth) {
    let sum = |field: &str| {
        let containers = termination["containers"].as_array().into_iter().flatten();
        containers.map(|container| container["connections"][field].as_u64()).sum::<Option<u64>>()
    };
    let missed = comparison.missed;
    let mut check = |what: &str, at_least: u64, at_most: u64, said: Option<u64>| {
        let possible = at_least.saturating_sub(missed)..=at_most + missed;
        if !said.is_some_and(|said| possible.contains(&said)) {
            let said = said.map_or("nothing".to_owned(), |said| said.to_string());
            comparison.differences.push(format!("{what}: the agent says {said}, it were {at_least} to {at_most}"));
        }
    };
    check("refused clients", truth.refused_in_life, truth.refused, sum("refused"));
    check("clients refused at startup", truth.startup_refused, truth.startup_refused, sum("startup_refused"));
}

/// Whoever was cut is named, by address, and nobody else; the numbers add up.
fn peers(comparison: &mut Comparison, connections: &Value, truth: &Truth) {
    let peers = connections["peers"].as_array().into_iter().flatten();
    let cut: Vec<&Value> = peers.filter(|peer| peer["zombie"] == true && peer["direction"] == "inbound").collect();
    let named: BTreeSet<Option<IpAddr>> = cut.iter().map(|peer| address(peer["address"].as_str()?)).collect();
    let clients: BTreeSet<Option<IpAddr>> = truth.cut_clients.iter().map(|client| Some(client.ip())).collect();
    if named != clients && comparison.missed == 0 {
        comparison.differences.push(format!("clients that were cut: the agent names {named:?}, it were {clients:?}"));
    }
    let sum: Option<u64> = cut.iter().map(|peer| peer["cut"].as_u64()).sum();
    comparison.count("connections of those", truth.zombie_inbound, &sum.into());
}

/// With a port or without.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}
