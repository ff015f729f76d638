//! Why containers were ended.

use super::*;

fn probe(kind: ProbeKind, command: Option<&str>) -> Probe {
    Probe { kind, command: command.map(|command| command.split(' ').map(str::to_owned).collect()) }
}

fn probed() -> Case {
    Case { probes: vec![probe(ProbeKind::Liveness, None)], ..Case::with(&[("app", Role::App)]) }
}

#[track_caller]
fn reason(case: &Case, script: &str, expect: Reason) -> Told {
    let told = case.run(script);
    assert_eq!(told.finished[0].reason, expect, "{script}");
    told
}

const STOP: &str = "1000 app term\n1001 app deliver TERM handler\n2000 app end 0";

#[test]
fn what_the_status_says_beats_the_deletion() {
    for word in ["eviction", "preemption", "node_shutdown"] {
        let expect = Reason::ALL.iter().copied().find(|it| it.as_str() == word).unwrap();
        for deleted in ["", "900 app deleted"] {
            let told =
                reason(&Case::default(), &format!("0 app start\n{deleted}\n950 app reason {word}\n{STOP}"), expect);
            assert!(told.asked.is_empty());
        }
        reason(&Case::default(), &format!("0 app start\n{STOP}\n2100 app reason {word}"), expect);
    }
}

#[test]
fn the_deletion_beats_a_failed_probe() {
    let script = format!("0 app start\n900 app deleted\n950 app reason probe_failure\n{STOP}");
    assert!(reason(&probed(), &script, Reason::Deletion).asked.is_empty());
}

#[test]
fn somebody_is_asked_and_answers() {
    let told = reason(&probed(), &format!("0 app start\n{STOP}\n3900 app reason probe_failure"), Reason::ProbeFailure);
    assert_eq!(told.asked, [1500], "once, and not before the deletion could be known");
    let told = reason(&probed(), &format!("0 app start\n{STOP}"), Reason::Unknown);
    assert_eq!(told.asked, [1500]);
    let settled = told.finished[0].end;
    assert_eq!(settled, Some(ms("2001")));
    // One that is gone at once is asked about while the report waits.
    let told = reason(
        &probed(),
        "0 app start\n1000 app term\n1010 app end 0\n1900 app reason probe_failure",
        Reason::ProbeFailure,
    );
    assert_eq!(told.asked, [1500]);
    // An answer of an earlier restart still stands, and nobody is asked again.
    let told = reason(&probed(), &format!("0 app start\n500 app reason probe_failure\n{STOP}"), Reason::ProbeFailure);
    assert!(told.asked.is_empty());
}

#[test]
fn a_deletion_that_is_known_a_moment_later_asks_nobody() {
    let told = reason(&probed(), "0 app start\n1000 app term\n1200 app deleted\n2000 app end 0", Reason::Deletion);
    assert!(told.asked.is_empty());
}

#[test]
fn nobody_is_asked_without_a_probe_or_without_the_kubelet() {
    let readiness = Case { probes: vec![probe(ProbeKind::Readiness, None)], ..Case::default() };
    for (case, script) in [(&Case::default(), STOP), (&readiness, STOP), (&probed(), "1000 app end SIGSEGV")] {
        assert!(reason(case, &format!("0 app start\n{script}"), Reason::Unknown).asked.is_empty());
    }
    // A probe that failed once does not explain a crash.
    let script = "0 app start\n500 app reason probe_failure\n1000 app end SIGSEGV";
    reason(&probed(), script, Reason::Unknown);
}

#[test]
fn a_probe_that_was_seen_failing() {
    let case = |kind| Case { probes: vec![probe(kind, Some("cat /ready"))], hook: None, ..Case::default() };
    let script = |at: u32, status: &str, command: &str| {
        format!(
            "0 app start
             {at} app exec 100 {command}
             {} app exit 100 {status}
             10000 app term
             11000 app end 0",
            at + 50
        )
    };
    for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
        let told = reason(&case(kind), &script(9900, "1", "cat /ready"), Reason::ProbeFailure);
        assert!(told.asked.is_empty());
        reason(&case(kind), &script(9900, "SIGKILL", "cat /ready"), Reason::ProbeFailure);
        reason(&case(kind), &script(9900, "0", "cat /ready"), Reason::Unknown);
        reason(&case(kind), &script(5000, "1", "cat /ready"), Reason::Unknown);
        reason(&case(kind), &script(9900, "1", "cat /other"), Reason::Unknown);
    }
    reason(&case(ProbeKind::Readiness), &script(9900, "1", "cat /ready"), Reason::Unknown);
    // The hook is what the kubelet does first.
    let hook = Case { hook: Some(HOOK.to_owned()), ..case(ProbeKind::Liveness) };
    let script = "0 app start\n900 app exec 99 cat /ready\n950 app exit 99 1\n1000 app hook 100\n4000 app exit 100 0
                  4010 app term\n5000 app end 0";
    reason(&hook, script, Reason::ProbeFailure);
}

#[test]
fn oom_by_itself() {
    reason(&probed(), "0 app start\n1000 app oom init\n1001 app end SIGKILL", Reason::Oom);
}
