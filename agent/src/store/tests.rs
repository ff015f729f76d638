use super::*;
use crate::model::{FindingId, Outcome, WallTime};
use crate::report::Termination;
use crate::report::fixture::{at, full, in_progress, numbered, unknown_pod};

fn ids(store: &Store, filter: &Filter) -> Vec<String> {
    store.list(filter).into_iter().map(|found| read(found).id).collect()
}

fn read(found: Found) -> Termination {
    serde_json::from_slice(&found.into_json(at(200.0))).unwrap()
}

fn store_of(numbers: impl IntoIterator<Item = u64>) -> Store {
    let mut store = Store::default();
    numbers.into_iter().for_each(|number| store.handle_timeline(numbered(number)));
    store
}

#[test]
fn newest_first_whatever_the_order_of_arrival() {
    assert_eq!(ids(&store_of([2, 3, 1]), &Filter::default()), ["uid-3", "uid-2", "uid-1"]);
    let two = Filter { limit: 2, ..Filter::default() };
    assert_eq!(ids(&store_of([2, 3, 1]), &two), ["uid-3", "uid-2"]);
}

#[test]
fn a_new_state_takes_the_place_of_the_one_before() {
    let mut store = Store::default();
    store.handle_timeline(in_progress());
    assert_eq!(read(store.get(full().id.as_str()).unwrap()).grace_used_seconds, Some(100.0), "as of now");
    assert_eq!(store.in_progress().count(), 1);
    let mut moved = in_progress();
    moved.start = at(99.0);
    store.handle_timeline(moved);
    store.handle_timeline(full());
    assert_eq!((store.len(), store.in_progress().count(), store.by_start.len(), store.by_end.len()), (1, 0, 1, 1));
    assert_eq!(read(store.get(full().id.as_str()).unwrap()).outcome.as_deref(), Some("forced"));
    assert!(store.get("nobody").is_none());
    assert_eq!(store.evicted(), 0);
}

#[test]
fn bounded_in_count_and_what_goes_on_stays() {
    let mut store = Store::new(Limits { terminations: 3, ..Limits::default() });
    store.handle_timeline(in_progress()); // The oldest of all: start 100.
    (200..300).for_each(|number| store.handle_timeline(numbered(number)));
    assert_eq!(ids(&store, &Filter::default()), ["uid-299", "uid-298", full().id.as_str()]);
    assert_eq!(store.evicted(), 98);
    for number in 300..310 {
        let mut timeline = numbered(number);
        timeline.end = None;
        store.handle_timeline(timeline);
    }
    assert_eq!(ids(&store, &Filter::default()), ["uid-309", "uid-308", "uid-307"], "never grows without bound");
    assert_eq!((store.by_start.len(), store.by_end.len()), (3, 0));
}

#[test]
fn bounded_in_bytes() {
    let mut store = Store::new(Limits { bytes: 10_000, ..Limits::default() });
    for number in 0..100 {
        store.handle_timeline(numbered(number));
        assert!(store.bytes() <= 10_000);
    }
    assert!(store.len() > 2 && store.len() < 20, "{}", store.len());
    assert_eq!(store.evicted() as usize + store.len(), 100);
    let mut huge = numbered(100);
    huge.findings[0].message = "x".repeat(10_000);
    let before = ids(&store, &Filter::default());
    store.handle_timeline(huge);
    assert_eq!(ids(&store, &Filter::default()), before, "one that is over the limit alone does not push out the rest");
    assert_eq!(store.evicted() as usize + store.len(), 101);
}

#[test]
fn filters() {
    let mut store = store_of([1, 2]);
    store.handle_timeline(unknown_pod());
    store.handle_timeline(in_progress());
    let count = |filter: Filter| store.list(&filter).len();
    let all = Filter::default;
    assert_eq!(count(all()), 4);
    assert_eq!(count(Filter { namespace: Some("default".into()), ..all() }), 3);
    assert_eq!(count(Filter { namespace: Some("kube-system".into()), ..all() }), 0);
    assert_eq!(count(Filter { pod: Some("web-1".into()), ..all() }), 1);
    for (text, expect) in [
        ("web", 3),
        ("Deployment/web", 3),
        ("deployment/web", 3),
        ("StatefulSet/web", 0),
        ("Deployment/", 0),
        ("we", 0),
    ] {
        assert_eq!(count(Filter { workload: Some(WorkloadFilter::parse(text)), ..all() }), expect, "{text}");
    }
    assert_eq!(count(Filter { outcome: Some(Outcome::Incomplete), ..all() }), 1);
    assert_eq!(count(Filter { finding: Some(FindingId::GraceExhausted), ..all() }), 2);
    assert_eq!(count(Filter { finding: Some(FindingId::NoGrace), ..all() }), 0);
    // Ends: 11, 12, 100.002 seconds after boot, and one goes on.
    assert_eq!(count(Filter { since: Some(Since::Boot(at(12.0))), ..all() }), 3);
    assert_eq!(count(Filter { since: Some(Since::Boot(at(1e6))), ..all() }), 1);
    assert_eq!(count(Filter { since: Some(Since::Wall(WallTime(1_700_000_012_000_000_001))), ..all() }), 2);
}
