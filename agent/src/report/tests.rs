use super::fixture::{at, full, in_progress, unknown_pod};
use super::*;

#[test]
fn a_full_timeline() {
    insta::assert_json_snapshot!(termination(&full(), at(1e6)));
}

#[test]
fn one_in_progress() {
    insta::assert_json_snapshot!(termination(&in_progress(), at(112.3)));
}

#[test]
fn a_pod_nobody_told_of() {
    insta::assert_json_snapshot!(termination(&unknown_pod(), at(200.0)));
}

#[test]
fn reads_back() {
    for timeline in [full(), in_progress(), unknown_pod()] {
        let report = termination(&timeline, at(150.0));
        assert_eq!(serde_json::from_str::<Termination>(&json_line(&report)).unwrap(), report);
    }
}

#[test]
fn a_reader_passes_over_fields_and_words_of_later_versions() {
    let mut json = serde_json::to_value(termination(&full(), at(0.0))).unwrap();
    json["novelty"] = 1.into();
    json["outcome"] = "teleported".into();
    let container = json["containers"][0].as_object_mut().unwrap();
    container.remove("phase");
    container.remove("empty_at");
    let report: Termination = serde_json::from_value(json).unwrap();
    assert_eq!(report.outcome.as_deref(), Some("teleported"));
    assert_eq!(report.containers[0].phase, "");
}

#[test]
fn grace_used_grows_with_now_and_stops_at_the_end() {
    let used = |timeline: &Timeline, now| termination(timeline, at(now)).grace_used_seconds;
    assert_eq!(used(&in_progress(), 101.5), Some(1.5));
    assert_eq!(used(&in_progress(), 145.0), Some(45.0));
    assert_eq!(used(&in_progress(), 1.0), Some(0.0), "a clock read on another CPU may be behind");
    assert_eq!(used(&full(), 500.0), Some(32.012345678));
    assert_eq!(termination(&in_progress(), at(112.3)).utilization, Some(0.41));
}

#[test]
fn a_clock_step_moves_times_and_no_duration() {
    let mut timeline = full();
    let before = termination(&timeline, at(500.0));
    timeline.clock.observe(at(120.0), 1_600_000_000_000_000_000);
    let after = termination(&timeline, at(500.0));
    assert_eq!(after.start, before.start);
    assert!(after.end < before.end);
    assert_eq!(after.grace_used_seconds, before.grace_used_seconds);
    assert_eq!(after.containers[0].stop_to_exit_seconds, before.containers[0].stop_to_exit_seconds);
}

#[test]
fn hostile_text_stays_in_its_line() {
    let mut timeline = full();
    timeline.pod = Some("a\n\"},{\u{202e}<script>\u{0}\u{1b}[2J".into());
    let line = json_line(&termination(&timeline, at(0.0)));
    assert!(!line.contains(['\n', '\u{0}', '\u{1b}']), "{line}");
    assert_eq!(serde_json::from_str::<Termination>(&line).unwrap().pod.as_deref(), timeline.pod.as_deref());
}
