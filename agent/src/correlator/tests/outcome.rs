//! How containers end.

use super::*;

#[test]
fn graceful() {
    let told = Case::default().check(
        "0 app start
         1000 app hook 100
         4000 app exit 100 0
         4005 app term
         4006 app deliver TERM handler
         6000 app end 0",
        "graceful 1000..6001
         app: graceful hook 1000..4000 success SIGTERM@4005 handled exit@6000=0",
    );
    assert_eq!(told.forgotten, [10]);
    assert_eq!(told.finished[0].id.as_str(), "uid-1000");
    assert!(told.finished[0].complete);
    let phases: Vec<Phase> = told.changed.iter().map(|timeline| timeline.phase).collect();
    assert_eq!(phases, [Phase::Stopping, Phase::Stopping, Phase::Exited, Phase::Empty]);
}

#[test]
fn every_phase_of_a_known_deletion() {
    let told = Case::default().run(
        "0 app start
         900 app deleted
         1000 app hook 100
         4000 app exit 100 0
         4005 app term
         34000 app kill
         34001 app end SIGKILL",
    );
    let phases: Vec<Phase> = told.changed.iter().map(|timeline| timeline.phase).collect();
    let expect = [Phase::InHook, Phase::InHook, Phase::Stopping, Phase::Killed, Phase::Exited, Phase::Empty];
    assert_eq!(phases, expect);
    assert_eq!(told.finished[0].requested, Some(WallTime(900_000_000 + OFFSET)));
}

#[test]
fn forced() {
    Case::default().check(
        "0 app start
         1000 app term
         1001 app deliver TERM handler
         31000 app kill
         31001 app dead SIGKILL
         31002 app empty
         31005 app kill
         31014 app removed",
        "forced 1000..31002 GRACE_EXHAUSTED
         app: forced SIGTERM@1000 handled killed@31000 exit@31001=137",
    );
}

#[test]
fn forced_without_a_stop_signal() {
    Case::default().check(
        "0 app start
         1000 app kill
         1001 app end SIGKILL",
        "forced 1000..1002
         app: forced killed@1000 exit@1001=137",
    );
}

#[test]
fn the_kill_that_follows_an_exit_is_none() {
    Case::default().check(
        "0 app start
         1000 app term
         2000 app dead 0
         2001 app empty
         2004 app kill
         2014 app removed",
        "graceful 1000..2001
         app: graceful SIGTERM@1000 handled exit@2000=0",
    );
}

#[test]
fn crashed_and_completed() {
    for (status, expect) in [("SIGSEGV", "crashed"), ("SIGTERM", "crashed"), ("0", "completed"), ("3", "completed")] {
        let told = Case::default().run(&format!("0 app start\n5000 app end {status}"));
        let timeline = &told.finished[0];
        assert_eq!(timeline.outcome.unwrap().as_str(), expect, "{status}");
        assert_eq!((timeline.start, timeline.grace_started), (ms("5000"), false));
        assert_eq!(timeline.utilization(timeline.start), None);
    }
}

#[test]
fn a_crash_while_stopping_is_a_crash() {
    Case::default().check(
        "0 app start
         1000 app term
         1001 app deliver TERM handler
         1500 app end SIGSEGV",
        "crashed 1000..1501
         app: crashed SIGTERM@1000 handled exit@1500=139",
    );
}

#[test]
fn killed_by_its_own_pod_is_a_crash() {
    let case = Case::with(&[("app", Role::App), ("helper", Role::App)]);
    case.check(
        "0 app start
         0 helper start
         1000 app kill from=helper
         1001 app end SIGKILL",
        "crashed 1001..1002 no-grace-used
         app: crashed exit@1001=137",
    );
}

#[test]
fn oom() {
    Case::default().check(
        "0 app start
         1000 app kill from=kernel
         1000.1 app oom init
         1003 app end SIGKILL",
        "oom 1003..1004 oom no-grace-used
         app: oom exit@1003=137",
    );
}

#[test]
fn oom_during_the_termination() {
    Case::default().check(
        "0 app start
         1000 app term
         1001 app deliver TERM handler
         2000 app oom init
         2001 app end SIGKILL",
        "oom 1000..2002 oom OOM_DURING_TERMINATION
         app: oom SIGTERM@1000 handled exit@2001=137",
    );
}

#[test]
fn oom_of_a_child_that_the_init_reports() {
    Case::default().check(
        "0 app start
         1000 app oom child
         1001 app end 137",
        "oom 1001..1002 oom no-grace-used
         app: oom exit@1001=137",
    );
    Case::default().check(
        "0 app start
         1000 app oom child
         90000 app end 1",
        "completed 90000..90001 no-grace-used
         app: completed exit@90000=1",
    );
}

#[test]
fn killed_before_the_oom_killer_came_is_forced() {
    Case::default().check(
        "0 app start
         1000 app kill
         1001 app oom init
         1002 app end SIGKILL",
        "forced 1000..1003 OOM_DURING_TERMINATION
         app: forced killed@1000 exit@1002=137",
    );
}

#[test]
fn killed_after_the_oom_killer_took_a_child_is_forced() {
    Case::default().check(
        "0 app start
         1000 app term
         1001 app deliver TERM handler
         25000 app oom child
         31000 app kill
         31001 app end SIGKILL",
        "forced 1000..31002 GRACE_EXHAUSTED OOM_DURING_TERMINATION
         app: forced SIGTERM@1000 handled killed@31000 exit@31001=137",
    );
}

/// With `shareProcessNamespace` the sandbox's process is the init of all containers' pid namespace.
#[test]
fn killed_by_the_end_of_a_shared_pid_namespace_is_no_oom() {
    let case = Case::with(&[("pause", Role::Sandbox), ("app", Role::App)]);
    case.check(
        "0 pause start
         0 app start
         1000 pause end SIGKILL
         1000 app kill from=pause zap
         1001 app end SIGKILL",
        "crashed 1001..1002 no-grace-used
         app: crashed exit@1001=137",
    );
}

#[test]
fn the_last_sigkill_of_a_pid_namespace_is_no_kill() {
    Case::default().check(
        "0 app start
         1000 app term
         2000 app kill from=kernel ignored
         2000 app end 0",
        "graceful 1000..2001
         app: graceful SIGTERM@1000 handled exit@2000=0",
    );
}

#[test]
fn lost_records_are_never_graceful() {
    let told = Case::default().check(
        "0 app start
         1000 app term
         1500 app conns lost=2
         2000 app end 0",
        "incomplete 1000..2001
         app: incomplete SIGTERM@1000 - exit@2000=0",
    );
    assert!(!told.finished[0].complete);
}

#[test]
fn records_lost_long_before_do_not_count() {
    Case::default().check(
        "0 app start
         500 app conns lost=2
         500 app lost
         60000 app term
         60001 app deliver TERM handler
         61000 app end 0",
        "graceful 60000..61001
         app: graceful SIGTERM@60000 handled exit@61000=0",
    );
}

#[test]
fn a_hook_may_be_among_records_lost_just_before() {
    let script = "0 app start
         50000 app conns lost=2
         50000 app lost
         60000 app term
         60001 app deliver TERM handler
         61000 app end 0";
    assert_eq!(Case::default().run(script).finished[0].outcome, Some(Outcome::Incomplete));
    let without_hook = Case { hook: None, ..Case::default() };
    assert_eq!(without_hook.run(script).finished[0].outcome, Some(Outcome::Graceful));
}

#[test]
fn a_lost_exit_still_finishes() {
    let told = Case::default().check(
        "0 app start
         1000 app term
         2000 app empty
         2010 app removed",
        "incomplete 1000..2000
         app: incomplete SIGTERM@1000 -",
    );
    assert_eq!(told.forgotten, [10]);
}

#[test]
fn removed_without_any_evidence_of_its_end_is_incomplete() {
    Case::default().check(
        "0 app start
         2010 app removed",
        "incomplete 2010..2010 no-grace-used
         app: incomplete",
    );
    let told = Case { older: true, ..Case::default() }.run("2010 app removed");
    assert_eq!(told.finished[0].outcome, Some(Outcome::Incomplete));
}

#[test]
fn a_container_that_never_ran_is_only_forgotten() {
    let scripts = [
        "0 app created\n5 app removed",
        "0 app populated\n5 app unborn 1\n6 app empty\n7 app removed",
        // Its init is not known before it executes a program.
        "0 app populated\n5 app fail 100 1\n6 app empty\n7 app removed",
        "0 app populated\n1 app deleted\n5 app fail 100 SIGKILL\n6 app empty\n7 app removed",
    ];
    for script in scripts {
        let told = Case::default().check(script, "");
        assert_eq!(told.forgotten, [10], "{script}");
    }
    // A walk has found its init: until that dies, it may be any container's.
    for older in [false, true] {
        let script = "0 app populated\n5 app kill\n5 app unborn SIGKILL\n6 app empty\n7 app removed";
        let told = Case { older, ..Case::default() }.check(script, "withdrawn uid-5");
        assert_eq!(told.forgotten, [10]);
    }
}

#[test]
fn a_cgroup_whose_end_is_never_seen_is_given_up() {
    let told = Case::default().check(
        "0 app start
         1000 app term
         2000 app dead 0",
        "incomplete 1000..2000
         app: incomplete SIGTERM@1000 handled exit@2000=0",
    );
    assert_eq!(told.forgotten, [10]);
}

/// An agent that starts in the middle: what it has not seen may have been the hook or the stop signal.
#[test]
fn a_termination_that_began_before_the_agent_is_incomplete() {
    let run = |case: &Case, script: &str| {
        let case = Case { known: false, ..case.clone() };
        let mut sim = Sim::new(&case);
        sim.wait(ms("20000"));
        // Asked for 10 s before.
        sim.requested = Some(WallTime(10_000_000_000 + OFFSET));
        for line in script.lines().chain(["90000 app populated"]) {
            sim.line(line.trim());
        }
        sim.told.finished[0].outcome
    };
    let older = Case { older: true, ..Case::default() };
    let no_hook = Case { hook: None, ..older.clone() };
    let killed = "20000 app known\n31000 app kill\n31001 app end SIGKILL";
    let stopped = "20000 app known\n21000 app term\n21001 app deliver TERM handler\n22000 app end 0";
    let hooked = "20000 app known\n20500 app hook 100\n20900 app exit 100 0\n21000 app term\n22000 app end 0";
    assert_eq!(run(&older, killed), Some(Outcome::Incomplete));
    assert_eq!(run(&no_hook, killed), Some(Outcome::Incomplete));
    assert_eq!(run(&older, stopped), Some(Outcome::Incomplete));
    assert_eq!(run(&no_hook, stopped), Some(Outcome::Graceful));
    assert_eq!(run(&older, hooked), Some(Outcome::Graceful));
    let younger = Case::default();
    assert_eq!(run(&younger, stopped), Some(Outcome::Graceful), "seen from its beginning");
}

#[test]
fn everything_lost_after_the_stop_signal() {
    Case::default().check(
        "0 app start
         1000 app term
         1500 app conns lost=5
         1500 app lost",
        "incomplete 1000..1000
         app: incomplete SIGTERM@1000 -",
    );
}
