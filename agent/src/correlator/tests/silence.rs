//! Pods that are terminating, as the API says, and nothing happens; and pods that terminate together.

use super::*;

#[test]
fn a_deletion_that_nothing_follows() {
    let told = Case::default().run("0 app start\n1000 app deleted");
    assert_eq!((told.finished.len(), told.withdrawn.len()), (0, 0));
    let [shown] = &told.changed[..] else { panic!("{:#?}", told.changed) };
    assert_eq!((shown.start, shown.phase, shown.grace_started), (ms("1000"), Phase::Running, false));
    assert_eq!(shown.utilization(ms("90000")), None, "no grace is used");
    let [finding] = &shown.findings[..] else { panic!("{:#?}", shown.findings) };
    assert_eq!(finding.id, FindingId::TerminatingWithoutSignal);
}

#[test]
fn a_stop_that_comes_late() {
    let told = Case::default().check(
        "0 app start
         1000 app deleted
         44000 app hook 100
         47000 app exit 100 0
         47010 app term
         48000 app end 0",
        "graceful 44000..48001 deletion TERMINATING_WITHOUT_SIGNAL
         app: graceful hook 44000..47000 success SIGTERM@47010 handled exit@48000=0",
    );
    assert_eq!(told.finished[0].id, told.changed[0].id);
    assert!(told.finished[0].findings[0].message.contains("43.0 s after"), "{:?}", told.finished[0].findings);
    assert_eq!(told.finished[0].grace_used(ms("0")), Some(Duration::from_millis(4001)));
}

#[test]
fn an_end_that_comes_late() {
    Case::default().check(
        "0 app start
         1000 app deleted
         60000 app end 0",
        "completed 60000..60001 deletion no-grace-used TERMINATING_WITHOUT_SIGNAL
         app: completed exit@60000=0",
    );
}

#[test]
fn a_kubelet_that_takes_its_time() {
    let told = Case::default().run("0 app start\n1000 app deleted\n16000 app term\n17000 app end 0");
    assert_eq!(told.finished[0].findings, []);
}

#[test]
fn one_container_is_enough() {
    let case = Case::with(&[("app", Role::App), ("proxy", Role::Sidecar)]);
    let told =
        case.run("0 app start\n0 proxy start\n1000 app deleted\n1500 app term\n28000 app end 0\n29000 proxy end 0");
    assert!(told.finished[0].findings.iter().all(|it| it.id != FindingId::TerminatingWithoutSignal));
}

#[test]
fn hooks_that_nobody_sees_take_their_time() {
    let handler = Some(LifecycleHandler::Sleep(Duration::from_secs(25)));
    let case = Case { handler, grace: Some(60), ..Case::default() };
    let told = case.run("0 app start\n1000 app deleted\n26100 app term\n27000 app end 0");
    assert_eq!(told.finished[0].findings, []);
    let told = case.run("0 app start\n1000 app deleted\n50000 app term\n51000 app end 0");
    assert_eq!(told.finished[0].findings[0].id, FindingId::TerminatingWithoutSignal);
}

#[test]
fn nothing_is_said_by_one_who_could_not_see() {
    let script = "0 app start\n1000 app deleted";
    for case in [
        Case { sight: Sight::without(["signal_generate"]), ..Case::default() },
        Case { sight: Sight::without(["sched_process_exit"]), ..Case::default() },
    ] {
        assert_eq!(case.run(script).changed, []);
    }
    // Records were lost.
    assert_eq!(Case::default().run(&format!("{script}\n1500 app conns lost=1\n1500 app lost")).changed, []);
    // The agent came later.
    assert_eq!(Case::default().run_from(5000, 1000, "").changed, []);
}

/// One that was made and never started is taken away without a signal.
#[test]
fn a_container_that_never_ran_is_not_terminating() {
    let told = Case::default().run("0 app populated\n1000 app deleted\n90000 app removed");
    assert!(told.changed.is_empty() && told.finished.is_empty());
    assert_eq!(told.forgotten, [10]);
    // Its neighbour is, and alone.
    let case = Case::with(&[("app", Role::App), ("other", Role::App)]);
    let told = case.run("0 app start\n0 other populated\n1000 app deleted\n90000 other removed\n95000 app end 0");
    assert_eq!(told.finished.len(), 1);
    assert_eq!((told.finished[0].containers.len(), told.forgotten), (1, vec![11, 10]));
}

/// Pods with one container each, and the stop signal of each.
fn many(stops: &[u64]) -> Vec<Timeline> {
    let mut correlator = Correlator::new(Config::default());
    let cgroups = BTreeMap::new();
    let mut finished = Vec::new();
    let mut drain = |correlator: &mut Correlator| {
        while let Some(output) = correlator.poll_output() {
            if let Output::Finished(timeline) = output {
                finished.push(timeline);
            }
        }
    };
    let mut steps: Vec<(u64, usize, &[&str])> = Vec::new();
    for (pod, second) in stops.iter().enumerate() {
        let mut identity = Arc::unwrap_or_clone(Case::default().identity("app", 100 + pod as u64, None));
        identity.pod_uid = PodUid::new(format!("uid{pod}"));
        correlator.handle_container(Arc::new(identity));
        let ms = second * 1000;
        steps.push((ms, pod, &["term"]));
        steps.push((ms + 5000, pod, &["dead", "0"]));
        steps.push((ms + 5001, pod, &["empty"]));
        steps.push((ms + 5013, pod, &["removed"]));
    }
    steps.sort();
    for (at, pod, words) in steps {
        let cgroup = 100 + pod as u64;
        let at = BootTime(at * 1_000_000);
        correlator.handle_tick(at, OFFSET);
        drain(&mut correlator);
        let kind = kind(cgroup, words, &cgroups);
        correlator.handle_event(&Event { at, cgroup: CgroupId(cgroup), counters: Counters::default(), kind });
        drain(&mut correlator);
    }
    correlator.handle_tick(BootTime(10_000_000_000_000), OFFSET);
    drain(&mut correlator);
    finished
}

fn is_mass(timeline: &Timeline) -> bool {
    timeline.findings.iter().any(|it| it.id == FindingId::MassTermination)
}

#[test]
fn many_at_once_are_a_mass() {
    let finished = many(&[10; 12]);
    assert_eq!(finished.len(), 12);
    assert!(finished.iter().all(is_mass));
    assert!(finished[0].findings.iter().any(|it| it.message.starts_with("12 pods of this node")), "{finished:#?}");
    assert!(!many(&[10; 9]).iter().any(is_mass));
}

#[test]
fn those_that_are_done_before_the_threshold_do_not_know() {
    let stops: Vec<u64> = (0..12).map(|pod| 10 + pod * 2).collect();
    let finished = many(&stops);
    // The tenth begins 18 s after the first; each takes 5 s.
    let mass: Vec<bool> = finished.iter().map(is_mass).collect();
    assert_eq!(mass.iter().position(|mass| *mass), Some(7), "{mass:?}");
    assert!(mass[7..].iter().all(|mass| *mass));
}

#[test]
fn a_slow_stream_is_no_mass() {
    let stops: Vec<u64> = (0..30).map(|pod| 10 + pod * 8).collect();
    assert!(!many(&stops).iter().any(is_mass));
}
