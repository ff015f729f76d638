//! Hooks that are nothing but waiting.

use super::*;

fn sleep(seconds: u64) -> Case {
    Case { handler: Some(LifecycleHandler::Sleep(Duration::from_secs(seconds))), ..Case::default() }
}

/// The times are those of the recording `sleep-prestop`, from its first second on.
#[test]
fn before_the_stop_signal() {
    let case = Case { grace: Some(10), ..sleep(3) };
    let told = case.check(
        "0 app start
         33000 app deleted
         37028 app term
         37029 app deliver TERM handler
         38030 app end 0",
        "graceful 34028..38031 deletion
         app: graceful hook ~34028..37028 success SIGTERM@37028 handled exit@38030=0",
    );
    let timeline = &told.finished[0];
    assert_eq!(timeline.containers[0].hook.unwrap().handler, Handler::Sleep);
    assert_eq!(timeline.grace_used(ms("0")), Some(Duration::from_millis(4003)), "the sleep counts");
    // It shows from the moment on when the kubelet must have begun.
    assert_eq!((told.changed[0].phase, told.changed[0].start), (Phase::InHook, ms("34000")));
    assert!(told.changed[0].utilization(ms("37000")).is_some_and(|used| (used - 0.3).abs() < 1e-9));
    assert!(told.changed.iter().all(|it| it.id == timeline.id));
}

#[test]
fn without_a_known_deletion() {
    let told = sleep(3).check(
        "0 app start
         37028 app term
         38030 app end 0",
        "graceful 34028..38031
         app: graceful hook ~34028..37028 success SIGTERM@37028 handled exit@38030=0",
    );
    assert_eq!(told.changed[0].start, ms("34028"));
}

#[test]
fn cut_off_by_grace() {
    Case { grace: Some(5), ..sleep(20) }.check(
        "0 app start
         900 app deleted
         6500 app term
         7000 app end 0",
        "graceful 1500..7001 deletion PRESTOP_TIMEOUT GRACE_NEARLY_EXHAUSTED
         app: graceful hook ~1500..6500 timeout SIGTERM@6500 handled exit@7000=0",
    );
}

#[test]
fn cut_off_by_something_else() {
    sleep(20).check(
        "0 app start
         50000 app deleted
         54000 app term
         55000 app end 0",
        "graceful 51000..55001 deletion PRESTOP_TIMEOUT
         app: graceful hook ~51000..54000 timeout SIGTERM@54000 handled exit@55000=0",
    );
}

#[test]
fn its_container_dies_under_it() {
    sleep(10).check(
        "0 app start
         900 app deleted
         5000 app end SIGSEGV",
        "crashed 1900..5001 deletion
         app: crashed hook ~1900..5000 interrupted exit@5000=139",
    );
    sleep(10).check(
        "0 app start
         900 app deleted
         5000 app kill
         5001 app end SIGKILL",
        "forced 1900..5002 deletion
         app: forced hook ~1900..5000 interrupted killed@5000 exit@5001=137",
    );
    // The kubelet may not have begun, or nobody knows that it had to.
    for deleted in ["900 app deleted", ""] {
        let told = sleep(10).run(&format!("0 app start\n{deleted}\n1500 app end SIGSEGV"));
        assert_eq!(told.finished[0].containers[0].hook, None);
    }
}

#[test]
fn a_container_that_is_younger_than_the_sleep_did_not_sleep() {
    let told = sleep(10).run("0 app start\n4000 app term\n5000 app end 0");
    assert_eq!(told.finished[0].containers[0].hook, None);
    let told = sleep(0).run("0 app start\n4000 app term\n5000 app end 0");
    assert_eq!(told.finished[0].containers[0].hook, None, "no sleep at all");
}

/// Native sidecars sleep with the others and are stopped after them; those that are sidecars by name with them.
#[test]
fn sidecars() {
    let case = Case { containers: vec![("app", Role::App), ("proxy", Role::Sidecar)], ..sleep(3) };
    for (stop, start) in [("4020", 1020), ("15000", 1900)] {
        let script = format!(
            "0 app start
             0 proxy start
             900 app deleted
             4010 app term
             4015 app end 0
             {stop} proxy term
             16000 proxy end 0"
        );
        let told = case.run(&script);
        let timeline = &told.finished[0];
        let proxy = timeline.containers.iter().find(|it| it.role == Role::Sidecar).unwrap();
        let hook = proxy.hook.unwrap();
        assert_eq!((hook.start, hook.result), (ms(&start.to_string()), Some(HookResult::Success)), "{stop}");
        assert!(timeline.containers.iter().all(|it| it.hook.unwrap().start >= timeline.start));
    }
}

#[test]
fn an_agent_that_comes_in_the_middle() {
    let told = sleep(10).run_from(5000, 900, "11010 app term\n11500 app end 0");
    assert_eq!(told.changed[0].phase, Phase::InHook);
    let hook = told.finished[0].containers[0].hook.unwrap();
    assert_eq!((hook.start, hook.end, hook.result), (ms("1010"), Some(ms("11010")), Some(HookResult::Success)));
    assert_eq!(told.finished[0].start, hook.start);
    assert!(told.finished[0].complete);
}

#[test]
fn a_deletion_that_becomes_known_late_changes_nothing() {
    let early = sleep(3).run("0 app start\n33000 app deleted\n37028 app term\n38030 app end 0");
    let late = sleep(3).run("0 app start\n37028 app term\n37500 app conns late=0\n38030 app end 0");
    let of = |told: &Told| told.finished[0].containers[0].clone();
    assert_eq!(of(&early), of(&late));
}

#[test]
fn connections_before_the_first_record_are_missing_and_that_is_said() {
    let told = sleep(3).run(
        "0 app start
         5000 app conns in=20 total=100
         8000 app term
         8500 app conns in=3 total=104
         9000 app end 0",
    );
    let counted = &told.finished[0].containers[0].connections;
    assert_eq!(counted.at_start, Some(Directions { inbound: 20, outbound: 0 }));
    assert_eq!(counted.opened, Some(Directions { inbound: 4, outbound: 0 }));
    assert!(counted.partial);
}
