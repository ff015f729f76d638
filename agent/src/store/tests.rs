use super::*;
use crate::model::{FindingId, Outcome, Phase, Reason, WallTime};
use crate::report::Termination;
use crate::report::fixture::{at, full, in_progress, numbered, unknown_pod};

const MANY: usize = 10_000;

fn ids(store: &Store) -> Vec<String> {
    ids_of(store.list(&Filter::default(), None, MANY))
}

fn ids_of(page: Page) -> Vec<String> {
    page.found.into_iter().map(|found| read(found).id).collect()
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
    assert_eq!(ids(&store_of([2, 3, 1])), ["uid-3", "uid-2", "uid-1"]);
}

#[test]
fn a_list_in_parts_has_everything_once() {
    let mut store = store_of(1..=7);
    let part = |store: &Store, after: Option<&Cursor>| store.list(&Filter::default(), after, 3);
    let first = part(&store, None);
    assert_eq!(ids_of(first.clone()), ["uid-7", "uid-6", "uid-5"]);
    // What comes, and what goes, does not move the place.
    store.handle_timeline(numbered(8));
    store.withdraw(&TerminationId::new("uid-5"));
    let second = part(&store, first.next.as_ref());
    assert_eq!(ids_of(second.clone()), ["uid-4", "uid-3", "uid-2"]);
    let third = part(&store, second.next.as_ref());
    assert_eq!((ids_of(third.clone()), third.next), (vec!["uid-1".to_owned()], None));
    let exactly = store.list(&Filter::default(), None, 7);
    assert_eq!((exactly.found.len(), exactly.next), (7, None));
}

#[test]
fn a_list_has_another_digest_when_something_in_it_has_changed() {
    let mut store = store_of(1..=3);
    let list = |store: &Store, pod: &str| {
        let whose = Whose { pod: Some(pod.to_owned()), ..Whose::default() };
        store.list(&Filter { whose, ..Filter::default() }, None, MANY)
    };
    let before = list(&store, "web-1").digest;
    store.handle_timeline(numbered(2));
    assert_eq!(list(&store, "web-1").digest, before, "another one's news");
    assert_ne!(list(&store, "web-2").digest, before);
    store.handle_timeline(numbered(1));
    assert_ne!(list(&store, "web-1").digest, before);
    store.handle_timeline(in_progress());
    assert!(list(&store, full().pod.as_deref().unwrap()).in_progress && !list(&store, "web-1").in_progress);
}

#[test]
fn a_new_state_takes_the_place_of_the_one_before() {
    let mut store = Store::default();
    store.handle_timeline(in_progress());
    assert_eq!(read(store.get(full().id.as_str()).unwrap().0).grace_used_seconds, Some(100.0), "as of now");
    assert_eq!(store.in_progress().count(), 1);
    let mut moved = in_progress();
    moved.start = at(99.0);
    store.handle_timeline(moved);
    store.handle_timeline(full());
    assert_eq!((store.len(), store.in_progress().count(), store.by_start.len(), store.by_end.len()), (1, 0, 1, 1));
    assert_eq!(read(store.get(full().id.as_str()).unwrap().0).outcome.as_deref(), Some("forced"));
    assert!(store.get("nobody").is_none());
    assert_eq!(store.evicted(), 0);
}

#[test]
fn bounded_in_count_and_what_goes_on_stays() {
    let mut store = Store::new(Limits { terminations: 3, ..Limits::default() });
    store.handle_timeline(in_progress()); // The oldest of all: start 100.
    (200..300).for_each(|number| store.handle_timeline(numbered(number)));
    assert_eq!(ids(&store), ["uid-299", "uid-298", full().id.as_str()]);
    assert_eq!(store.evicted(), 98);
    for number in 300..310 {
        let mut timeline = numbered(number);
        timeline.end = None;
        store.handle_timeline(timeline);
    }
    assert_eq!(ids(&store), ["uid-309", "uid-308", "uid-307"], "never grows without bound");
    assert_eq!((store.by_start.len(), store.by_end.len()), (3, 0));
}

#[test]
fn bounded_in_bytes() {
    let mut store = Store::new(Limits { bytes: 20_000, ..Limits::default() });
    for number in 0..100 {
        store.handle_timeline(numbered(number));
        assert!(store.bytes() <= 20_000);
    }
    assert!(store.len() > 2 && store.len() < 20, "{}", store.len());
    assert_eq!(store.evicted() as usize + store.len(), 100);
    let mut huge = numbered(100);
    huge.findings[0].message = "x".repeat(20_000);
    let before = ids(&store);
    store.handle_timeline(huge);
    assert_eq!(ids(&store), before, "one that is over the limit alone does not push out the rest");
    assert_eq!(store.evicted() as usize + store.len(), 101);
}

#[test]
fn filters() {
    let mut store = store_of([1, 2]);
    store.handle_timeline(unknown_pod());
    store.handle_timeline(in_progress());
    let count = |filter: Filter| store.list(&filter, None, MANY).found.len();
    let all = Filter::default;
    let of = |whose: Whose| Filter { whose, ..all() };
    let anybody = Whose::default;
    assert_eq!(count(all()), 4);
    assert_eq!(count(of(Whose { namespace: Some("default".into()), ..anybody() })), 3);
    assert_eq!(count(of(Whose { namespace: Some("kube-system".into()), ..anybody() })), 0);
    assert_eq!(count(of(Whose { pod: Some("web-1".into()), ..anybody() })), 1);
    for (text, expect) in [
        ("web", 3),
        ("Deployment/web", 3),
        ("deployment/web", 3),
        ("StatefulSet/web", 0),
        ("Deployment/", 0),
        ("we", 0),
    ] {
        assert_eq!(count(of(Whose { workload: Some(WorkloadFilter::parse(text)), ..anybody() })), expect, "{text}");
    }
    assert_eq!(count(Filter { outcomes: vec![Outcome::Incomplete], ..all() }), 1);
    assert_eq!(count(Filter { outcomes: vec![Outcome::Incomplete, Outcome::Forced], ..all() }), 3);
    assert_eq!(count(Filter { findings: vec![FindingId::GraceExhausted], ..all() }), 2);
    assert_eq!(count(Filter { findings: vec![FindingId::NoGrace, FindingId::PrestopTimeout], ..all() }), 2);
    assert_eq!(count(Filter { findings: vec![FindingId::NoGrace], ..all() }), 0);
    assert_eq!(count(Filter { reasons: vec![Reason::Unknown], ..all() }), 1);
    assert_eq!(count(Filter { phases: vec![Phase::InHook], ..all() }), 1);
    assert_eq!(count(Filter { in_progress: Some(true), ..all() }), 1);
    assert_eq!(count(Filter { in_progress: Some(false), ..all() }), 3);
    // Ends: 11, 12, 100.002 seconds after boot, and one goes on. Starts: 1, 2, 100 and 100.
    assert_eq!(count(Filter { since: Some(Moment::Boot(at(12.0))), ..all() }), 3);
    assert_eq!(count(Filter { since: Some(Moment::Boot(at(1e6))), ..all() }), 1);
    assert_eq!(count(Filter { since: Some(Moment::Wall(WallTime(1_700_000_012_000_000_001))), ..all() }), 2);
    assert_eq!(count(Filter { until: Some(Moment::Boot(at(2.0))), ..all() }), 2);
    assert_eq!(count(Filter { until: Some(Moment::Boot(at(0.5))), ..all() }), 0);
    let between = Filter { since: Some(Moment::Boot(at(11.5))), until: Some(Moment::Boot(at(50.0))), ..all() };
    assert_eq!(count(between), 1, "what was going on meanwhile");
}

fn changes(store: &Store, since: Revision) -> Option<Vec<(String, &'static str)>> {
    let (changes, _) = store.changes(&Whose::default(), since, MANY)?;
    let word = |change: Change| {
        let news = match change.news {
            News::Changed(found) if found.is_finished() => "finished",
            News::Changed(_) => "changed",
            News::Gone(why) => why.as_str(),
        };
        (change.id.to_string(), news)
    };
    Some(changes.into_iter().map(word).collect())
}

#[test]
fn changes_since_a_revision_are_told_once_and_as_they_are_now() {
    let mut store = Store::new(Limits { terminations: 2, ..Limits::default() });
    let said = |changes: &[(&str, &'static str)]| {
        Some(changes.iter().map(|(id, word)| ((*id).to_owned(), *word)).collect::<Vec<_>>())
    };
    assert_eq!((store.revision(), changes(&store, 0)), (0, said(&[])));
    store.handle_timeline(in_progress());
    let id = in_progress().id;
    store.handle_timeline(numbered(1));
    let then = store.revision();
    assert_eq!(changes(&store, 0), said(&[(id.as_str(), "changed"), ("uid-1", "finished")]));
    store.handle_timeline(full());
    assert_eq!(changes(&store, 0), said(&[("uid-1", "finished"), (id.as_str(), "finished")]), "its latest state alone");
    assert_eq!(changes(&store, then), said(&[(id.as_str(), "finished")]));
    store.handle_timeline(numbered(2)); // Pushes out the one that ended first.
    store.withdraw(&id);
    assert_eq!(changes(&store, then), said(&[("uid-2", "finished"), ("uid-1", "evicted"), (id.as_str(), "withdrawn")]));
    assert_eq!(changes(&store, store.revision()), said(&[]));
    assert_eq!(changes(&store, store.revision() + 1), None, "nobody can have been told that");
}

#[test]
fn what_has_left_is_forgotten_and_that_is_said() {
    let mut store = Store::new(Limits { terminations: 1, ..Limits::default() });
    let gone = Changes::GONE as u64;
    for number in 1..=gone + 2 {
        store.handle_timeline(numbered(number));
    }
    // Each but the first takes two: its own, and the end of the one before.
    assert_eq!(store.revision(), 2 * (gone + 2) - 1);
    assert_eq!(changes(&store, 0), None);
    assert_eq!(changes(&store, 2), None, "one end is not known any more");
    let left = changes(&store, 3).unwrap();
    assert_eq!(left.len() as u64, gone + 1, "all that have left, and the one that is there");
}

#[test]
fn changes_of_one_pod_and_in_small_steps() {
    let mut store = store_of(1..=100);
    store.withdraw(&TerminationId::new("uid-7"));
    let whose = Whose { pod: Some("web-90".into()), ..Whose::default() };
    let (mut seen, mut told, mut looks) = (0, Vec::new(), 0);
    while seen < store.revision() {
        let (changes, next) = store.changes(&whose, seen, 2).unwrap();
        assert!(changes.len() <= 2 && next > seen);
        told.extend(changes.into_iter().map(|change| change.id.to_string()));
        (seen, looks) = (next, looks + 1);
    }
    assert_eq!(told, ["uid-90", "uid-7"], "that one is gone concerns whoever may have seen it");
    assert!(looks <= 14, "{looks}");
}

#[test]
fn one_that_goes_on_is_encoded_now_and_then() {
    let mut store = Store::default();
    store.handle_timeline(in_progress());
    let json = |now| store.get(full().id.as_str()).unwrap().0.into_json(at(now));
    let first = json(200.0);
    assert_eq!(json(200.2).as_ptr(), first.as_ptr(), "the same bytes");
    let later: Termination = serde_json::from_slice(&json(200.5)).unwrap();
    assert_eq!(later.grace_used_seconds, Some(100.5));
    let earlier: Termination = serde_json::from_slice(&json(199.0)).unwrap();
    assert_eq!(earlier.grace_used_seconds, Some(99.0));
}

#[test]
fn workloads_are_summed_up() {
    let mut store = store_of(1..=3);
    let mut incomplete = numbered(4);
    incomplete.complete = false;
    store.handle_timeline(incomplete);
    store.handle_timeline(unknown_pod());
    store.handle_timeline(in_progress());
    let summaries = store.collect().summaries();
    let names: Vec<_> =
        summaries.iter().map(|it| (it.namespace.as_deref(), it.workload.as_ref().map(|it| it.name.as_str()))).collect();
    assert_eq!(names, [(None, None), (Some("default"), Some("web"))]);
    let web = &summaries[1];
    assert_eq!((web.terminations, web.in_progress), (4, 1));
    assert_eq!((web.outcomes.get("forced"), web.outcomes.len()), (Some(&4), 1));
    assert_eq!(web.findings.get("GRACE_EXHAUSTED"), Some(&4));
    let used = web.grace_used_seconds.unwrap();
    assert_eq!((used.count, used.p50, used.max), (3, 10.0, 10.0), "an incomplete one's times are not taken");
    assert_eq!(web.recent.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["uid-4", "uid-3", "uid-2", "uid-1"]);
    insta::assert_json_snapshot!(web);
}
