//! Containers of one pod, and its one termination.

use super::*;

const TWO: [(&str, Role); 2] = [("app", Role::App), ("other", Role::App)];

#[test]
fn a_deleted_pod_waits_for_all() {
    let told = Case::with(&TWO).check(
        "0 app start
         0 other start
         900 app deleted
         1000 app term
         1001 app deliver TERM handler
         2000 app end 0
         9000 other term ignored
         30000 other kill
         30001 other end SIGKILL",
        "forced 1000..30002 deletion STOP_SIGNAL_IGNORED GRACE_EXHAUSTED
         app: graceful SIGTERM@1000 handled exit@2000=0
         other: forced SIGTERM@9000 ignored killed@30000 exit@30001=137",
    );
    assert_eq!(told.forgotten, [10, 11]);
    assert!(told.changed.iter().all(|timeline| timeline.id.as_str() == "uid-1000"));
}

#[test]
fn without_a_deletion_those_that_end_together_belong_together() {
    Case::with(&TWO).check(
        "0 app start
         0 other start
         1000 app term
         1010 other term
         1100 app end 0
         3000 other end 0",
        "graceful 1000..3001
         app: graceful SIGTERM@1000 handled exit@1100=0
         other: graceful SIGTERM@1010 handled exit@3000=0",
    );
}

#[test]
fn a_container_in_its_hook_is_waited_for() {
    Case::with(&TWO).check(
        "0 app start
         0 other start
         1000 other hook 100
         1005 app term
         1100 app end 0
         9000 other exit 100 0
         9010 other term
         9500 other end 0",
        "graceful 1000..9501
         other: graceful hook 1000..9000 success SIGTERM@9010 handled exit@9500=0
         app: graceful SIGTERM@1005 handled exit@1100=0",
    );
}

#[test]
fn a_container_alone_is_done_by_itself() {
    Case::with(&TWO).check(
        "0 app start
         0 other start
         1000 app end SIGSEGV
         2000 other end 0",
        "crashed 1000..1001 no-grace-used
         app: crashed exit@1000=139
         completed 2000..2001 no-grace-used
         other: completed exit@2000=0",
    );
}

#[test]
fn a_failed_probe_restarts_one_container() {
    let case = Case { known: false, ..Case::with(&TWO) };
    let script = "0 app known
         0 other known
         0 app start
         0 other start
         1000 app term
         2000 app end 0";
    case.check(
        script,
        "graceful 1000..2001
         app: graceful SIGTERM@1000 handled exit@2000=0",
    );
}

#[test]
fn sidecar_after_the_application() {
    let case = Case::with(&[("app", Role::App), ("proxy", Role::Sidecar)]);
    let told = case.check(
        "0 proxy start
         0 app start
         1000 app term
         1100 app end 0
         2500 proxy term
         2600 proxy end 0",
        "graceful 1000..2601
         app: graceful SIGTERM@1000 handled exit@1100=0
         proxy: graceful SIGTERM@2500 handled exit@2600=0",
    );
    let last = told.changed.iter().map(|it| it.phase).collect::<Vec<_>>();
    assert_eq!(last, [Phase::Stopping, Phase::Exited, Phase::Empty, Phase::Stopping, Phase::Exited, Phase::Empty]);
}

#[test]
fn the_sandbox_takes_no_part() {
    let case = Case::with(&[("pause", Role::Sandbox), ("app", Role::App)]);
    let told = case.check(
        "0 pause start
         0 app start
         900 app deleted
         1000 app term
         1001 app deliver TERM handler
         2000 app end 0
         2500 pause kill
         2501 pause end SIGKILL",
        "graceful 1000..2001 deletion
         app: graceful SIGTERM@1000 handled exit@2000=0",
    );
    assert_eq!(told.forgotten, [11, 10]);
}

#[test]
fn an_init_container_that_is_done_is_no_termination() {
    let case = Case::with(&[("setup", Role::Init), ("app", Role::App)]);
    let told = case.check("0 setup start\n500 setup end 0\n600 app start", "");
    assert_eq!(told.forgotten, [10]);
    let told = case.run("0 setup start\n500 setup end 1");
    assert_eq!(told.finished[0].outcome, Some(Outcome::Completed));
}

#[test]
fn a_container_that_turns_up_after_the_report_makes_no_second_one() {
    let case = Case { known: false, ..Case::default() };
    case.check(
        "0 app known
         0 app deleted
         0 app start
         1000 app term
         1001 app deliver TERM handler
         2000 app end 0
         2900 late start
         3000 late term
         3100 late end 0
         9000 late known",
        "graceful 1000..2001 deletion
         app: graceful SIGTERM@1000 handled exit@2000=0",
    );
}

#[test]
fn a_deleted_pod_does_not_wait_for_ever() {
    Case::with(&TWO).check(
        "0 app start
         0 other start
         900 app deleted
         1000 app term
         2000 app end 0",
        "graceful 1000..2001 deletion
         app: graceful SIGTERM@1000 handled exit@2000=0",
    );
}

#[test]
fn the_deletion_is_latched_and_grace_only_shrinks() {
    let case = Case::default();
    let mut sim = Sim::new(&case);
    for line in ["0 app start", "900 app deleted", "1000 app term"] {
        sim.line(line);
    }
    let tell = |sim: &mut Sim<'_>, grace: u64, requested: i64| {
        let changed = Case { grace: Some(grace), ..case.clone() };
        sim.correlator.handle_container(changed.identity("app", 10, Some(WallTime(requested))));
        sim.drain();
        let last = sim.told.changed.last().unwrap().clone();
        (last.requested, last.grace_period.map(|grace| grace.as_secs()))
    };
    let requested = Some(WallTime(900_000_000 + OFFSET));
    assert_eq!(tell(&mut sim, 60, 5), (requested, Some(30)));
    assert_eq!(tell(&mut sim, 0, 5), (requested, Some(30)), "the kubelet rewrites it at the end");
    assert_eq!(tell(&mut sim, 5, 5), (requested, Some(5)), "a second deletion with less");
}

#[test]
fn an_unknown_pod_is_reported_without_names() {
    let mut correlator = Correlator::new(Config::default());
    let mut identity = Arc::unwrap_or_clone(Case::default().identity("app", 10, None));
    identity.pod = None;
    correlator.handle_container(Arc::new(identity));
    let cgroups = BTreeMap::new();
    for (at, words) in [("1000", &["term"][..]), ("2000", &["dead", "0"]), ("2001", &["empty"])] {
        let event =
            Event { at: ms(at), cgroup: CgroupId(10), counters: Counters::default(), kind: kind(10, words, &cgroups) };
        correlator.handle_event(&event);
    }
    correlator.handle_tick(ms("9000"), OFFSET);
    let outputs: Vec<Output> = std::iter::from_fn(|| correlator.poll_output()).collect();
    let [.., Output::Finished(timeline)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((&timeline.pod, &timeline.containers[0].name, timeline.grace_period), (&None, &None, None));
    assert_eq!(timeline.outcome, Some(Outcome::Graceful));
    assert_eq!(timeline.id.as_str(), "uid-1000");
}

#[test]
fn connections() {
    let told = Case::default().run(
        "0 app start
         500 app conns in=20 out=3 total=100
         1000 app hook 100
         1500 app conns in=22 total=108
         2000 app exit 100 0
         2005 app conns late=1
         2005 app term
         2006 app deliver TERM handler
         4000 app conns in=7 out=2 total=113 late=4
         32000 app kill
         32001 app conns in=5
         32001 app end SIGKILL",
    );
    let expect = Connections {
        at_start: Some(Directions { inbound: 20, outbound: 3 }),
        opened: Some(Directions { inbound: 13, outbound: 0 }),
        zombie: Some(Directions { inbound: 7, outbound: 2 }),
        late: Some(3),
        traffic_tail: Some(Duration::from_millis(3000)),
        curve: Some(vec![(ms("1000"), 20), (ms("2000"), 22), (ms("32000"), 7), (ms("32001"), 5), (ms("32002"), 5)]),
        // Nobody told who they were.
        peers: None,
        ..nothing()
    };
    assert_eq!(told.finished[0].containers[0].connections, expect);
}

/// Measured, and there was none.
fn nothing() -> Connections {
    Connections {
        aborted: Some(0),
        refused: Some(0),
        refused_after_exit: Some(0),
        startup_refused: Some(0),
        outbound_failed: Some(0),
        internal: Some(0),
        kubelet: Some(0),
        ..Connections::default()
    }
}

#[test]
fn connections_of_a_crash() {
    let told = Case::default().run("0 app start\n500 app conns in=9 total=9\n1000 app end SIGSEGV");
    let nine = Some(Directions { inbound: 9, outbound: 0 });
    let expect = Connections {
        at_start: nine,
        opened: Some(Directions::default()),
        zombie: nine,
        curve: Some(vec![(ms("1000"), 9), (ms("1001"), 9)]),
        ..nothing()
    };
    assert_eq!(told.finished[0].containers[0].connections, expect);
}

#[test]
fn a_container_that_never_ran_is_not_waited_for() {
    let case = Case::with(&TWO);
    let mut sim = Sim::new(&case);
    for line in ["0 app start", "0 other populated", "900 app deleted", "950 other removed", "1000 app end 0"] {
        sim.line(line);
    }
    sim.wait(ms("1300"));
    assert_eq!(sim.told.finished.len(), 1);
    assert_eq!(sim.told.forgotten, [11, 10]);
}

#[test]
fn a_restarted_container_that_dies_at_once_is_a_second_termination() {
    let case = Case { known: false, ..Case::with(&[("app", Role::App), ("again", Role::App)]) };
    case.check(
        "0 app known
         0 app start
         1000 app term
         2000 app end 0
         2100 again known
         2100 again start
         2150 again end SIGSEGV",
        "graceful 1000..2001
         app: graceful SIGTERM@1000 handled exit@2000=0
         crashed 2150..2151 no-grace-used
         again: crashed exit@2150=139",
    );
}
