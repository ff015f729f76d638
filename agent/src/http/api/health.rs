//! `health`.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use hyper::header::HeaderMap;

use super::super::body::Chunks;
use super::super::{State, query, reply};
use super::{Answer, Refusal};
use crate::report::{Health, HttpHealth, StoreHealth, Vitals};

pub(super) async fn answer(state: &Arc<State>, query: &str, headers: &HeaderMap) -> Answer {
    query::nothing(query)?;
    let vitals = *state.inquiries.vitals().await?;
    let ready = state.health.ready();
    let health = Health {
        version: env!("CARGO_PKG_VERSION").into(),
        arch: std::env::consts::ARCH.into(),
        ready: ready.is_ok(),
        not_ready: ready.err(),
        problems: problems(&vitals),
        vitals,
        store: store(state),
        http: HttpHealth {
            connections: state.slots.taken() as u64,
            max_connections: state.slots.max() as u64,
            streams: state.feed.readers() as u64,
            max_streams: state.limits.streams as u64,
        },
    };
    let json = serde_json::to_vec(&health).map_err(|_| Refusal::Failed("the answer could not be encoded"))?;
    Ok(reply::json(&state.aside, headers, Chunks::from(Bytes::from(json))).await)
}

fn store(state: &State) -> StoreHealth {
    let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
    let limits = store.limits();
    StoreHealth {
        terminations: store.len() as u64,
        max_terminations: limits.terminations as u64,
        bytes: store.bytes() as u64,
        max_bytes: limits.bytes as u64,
        evicted: store.evicted(),
        in_progress: store.in_progress().count() as u64,
    }
}

/// What is not as it should be, a sentence each.
fn problems(of: &Vitals) -> Vec<String> {
    let mut problems = Vec::new();
    for hook in &of.hooks {
        if let Some(cause) = &hook.missing {
            problems.push(format!("The hook {} is missing ({cause}): {}.", hook.hook, hook.without));
        }
        let lost = hook.dropped + hook.malformed;
        if lost > 0 {
            problems.push(format!("{lost} records of the hook {} were lost.", hook.hook));
        }
    }
    for source in of.sources.iter().filter(|source| source.failing && !source.unused) {
        let age =
            source.age_seconds.map_or("has never answered".to_owned(), |age| format!("last answered {age:.0} s ago"));
        problems.push(format!("The source {} fails; it {age}.", source.source));
    }
    for source in of.sources.iter().filter(|source| source.skipped > 0) {
        problems.push(format!("{} pods of the source {} cannot be read.", source.skipped, source.source));
    }
    for map in of.maps.iter().filter(|map| map.max_entries > 0 && map.entries >= map.max_entries) {
        problems.push(format!("The map {} is full.", map.map));
    }
    for left in of.left_out.iter().filter(|left| left.count > 0) {
        problems.push(format!("{} {} were left out.", left.count, left.what.replace('_', " ")));
    }
    if let Some(state) = of.state.as_ref().filter(|state| state.errors > 0) {
        problems.push(format!("The state could not be saved {} times.", state.errors));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{HookHealth, LeftOut, MapUse, SourceHealth, Time};

    fn well() -> Vitals {
        let hook = HookHealth {
            hook: "mark_victim".into(),
            attached: true,
            missing: None,
            without: "an OOM kill looks like a crash".into(),
            received: 1,
            dropped: 0,
            malformed: 0,
            missed: Some(0),
            runs: None,
            run_seconds: None,
        };
        let source = SourceHealth {
            source: "cri".into(),
            age_seconds: Some(12.4),
            failing: false,
            errors: 3,
            skipped: 0,
            unused: false,
        };
        let time = Time(crate::model::WallTime(0));
        Vitals {
            kernel: None,
            node: None,
            started: time,
            uptime_seconds: 1.0,
            now: time,
            hooks: vec![hook],
            sources: vec![source],
            maps: vec![MapUse { map: "sockets".into(), entries: 1, max_entries: 2 }],
            left_out: vec![LeftOut { what: "cgroups_without_identity".into(), count: 0 }],
            pods: 0,
            containers: 0,
            state: None,
            process: None,
        }
    }

    #[test]
    fn nothing_is_wrong_until_something_is() {
        assert_eq!(problems(&well()), Vec::<String>::new());
        let mut ill = well();
        ill.hooks[0].missing = Some("no such function".into());
        ill.hooks[0].dropped = 2;
        ill.sources[0].failing = true;
        ill.sources[0].skipped = 4;
        ill.maps[0].entries = 2;
        ill.left_out[0].count = 5;
        assert_eq!(
            problems(&ill),
            [
                "The hook mark_victim is missing (no such function): an OOM kill looks like a crash.",
                "2 records of the hook mark_victim were lost.",
                "The source cri fails; it last answered 12 s ago.",
                "4 pods of the source cri cannot be read.",
                "The map sockets is full.",
                "5 cgroups without identity were left out.",
            ]
        );
    }
}
