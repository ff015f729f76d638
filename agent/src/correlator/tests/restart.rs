//! A restart of the agent: what was seen before it is not lost, and what was not seen is said.

use super::*;
use crate::correlator::evidence::Evidence;

impl<'a> Sim<'a> {
    /// The agent has saved its state, is away from now on, and comes back at `until`. `gone` are the containers that it
    /// does not find any more. The kernel side counts from 0 again.
    pub(super) fn restart(&mut self, until: &str, gone: &[&str]) {
        let saved = self.correlator.save(self.now);
        let config = self.correlator.config.clone();
        self.correlator = Correlator::new(config);
        self.counters.clear();
        self.tick(ms(until));
        let identity = |name: &str| {
            let identity = self.case.identity(name, self.cgroups[name], self.requested);
            ContainerIdentity { older_than_agent: true, ..Arc::unwrap_or_clone(identity) }
        };
        for (name, _) in self.case.containers.iter().filter(|(name, _)| !gone.contains(name)) {
            self.correlator.handle_container(Arc::new(identity(name)));
        }
        let pod = identity(self.case.containers[0].0).pod;
        self.correlator.handle_restored(&saved, |_| pod.clone());
        self.drain();
    }

    fn lines(&mut self, script: &str) {
        script.trim().lines().for_each(|line| self.line(line.trim()));
    }
}

/// Plays what was seen before, a restart, what was seen after.
fn play(case: &Case, before: &str, back: &str, gone: &[&str], after: &str) -> Told {
    let mut sim = Sim::new(case);
    sim.lines(before);
    sim.restart(back, gone);
    sim.lines(after);
    sim.wait(sim.now + Duration::from_secs(1000));
    sim.told
}

#[track_caller]
fn check(case: &Case, before: &str, back: &str, gone: &[&str], after: &str, expect: &str) -> Told {
    let told = play(case, before, back, gone, after);
    let trim = |text: &str| text.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n");
    assert_eq!(trim(&told.text()), trim(expect));
    told
}

fn unseen(timeline: &Timeline) -> Vec<(u64, u64)> {
    timeline.unseen.iter().map(|it| (it.from.0 / 1_000_000, it.to.0 / 1_000_000)).collect()
}

const RUNS: &str = "0 app start\n10 app populated";

#[test]
fn in_the_hook() {
    let told = check(
        &Case::default(),
        &format!("{RUNS}\n1000 app deleted\n1500 app hook 50"),
        "2500",
        &[],
        "4500 app term\n4501 app deliver TERM handler\n5000 app end 0",
        "incomplete 1500..5001 deletion\napp: incomplete hook 1500..- - SIGTERM@4500 handled exit@5000=0",
    );
    let timeline = &told.finished[0];
    assert_eq!(timeline.id, told.changed[0].id, "one termination, before and after");
    assert_eq!(unseen(timeline), [(1500, 2500)]);
    assert!(!timeline.complete && timeline.containers[0].connections.partial);
    assert_eq!(timeline.requested, told.changed[0].requested);
}

#[test]
fn in_a_hook_whose_end_is_seen() {
    let told = check(
        &Case::default(),
        &format!("{RUNS}\n1000 app deleted\n1500 app hook 50"),
        "2500",
        &[],
        "4499 app exit 50 0 cpu=5\n4500 app term\n4501 app deliver TERM handler\n5000 app end 0",
        "incomplete 1500..5001 deletion\napp: incomplete hook 1500..4499 success SIGTERM@4500 handled exit@5000=0",
    );
    let hook = told.finished[0].containers[0].hook.unwrap();
    assert_eq!((hook.processes, hook.cpu), (None, None), "counted from the restart on alone");
}

#[test]
fn in_a_hook_that_is_not_known_to_be_one_yet() {
    check(
        &Case::default(),
        &format!("{RUNS}\n1500 app hook 50"),
        "2500",
        &[],
        "4500 app term\n5000 app end 0",
        "incomplete 1500..5001\napp: incomplete hook 1500..- - SIGTERM@4500 handled exit@5000=0",
    );
}

#[test]
fn in_a_hook_that_is_a_request() {
    let path = "/prestop".to_owned();
    let http = LifecycleHandler::Http { https: false, host: None, port: "8080".to_owned(), path };
    let case = Case { handler: Some(http), ..Case::default() };
    let before = format!("{RUNS}\n1000 app deleted\n1500 app ask /prestop");
    let after = "3012 app term\n3013 app deliver TERM handler\n4000 app end 0";
    check(
        &case,
        &before,
        "2500",
        &[],
        &format!("3000 app answer 200\n{after}"),
        "incomplete 1500..4001 deletion\napp: incomplete hook 1500..3000 success=200 SIGTERM@3012 handled exit@4000=0",
    );
    // Without its answer nobody knows whether there was one.
    check(
        &case,
        &before,
        "2500",
        &[],
        after,
        "incomplete 1500..4001 deletion\napp: incomplete hook 1500..- - SIGTERM@3012 handled exit@4000=0",
    );
}

#[test]
fn in_a_sleep_hook() {
    let case = Case { handler: Some(LifecycleHandler::Sleep(Duration::from_secs(3))), ..Case::default() };
    let told = check(
        &case,
        &format!("{RUNS}\n1000 app deleted\n2100 app conns in=1"),
        "2500",
        &[],
        "4510 app term\n4511 app deliver TERM handler\n5000 app end 0",
        "incomplete 1510..5001 deletion\napp: incomplete hook ~1510..4510 success SIGTERM@4510 handled exit@5000=0",
    );
    assert_eq!(told.changed[0].phase, Phase::InHook);
    assert_eq!(told.finished[0].id, told.changed[0].id);
}

#[test]
fn silence_while_away_says_nothing() {
    let told = play(&Case::default(), &format!("{RUNS}\n1000 app deleted"), "1500", &[], "");
    assert!(told.changed.is_empty() && told.finished.is_empty(), "{}", told.text());
}

#[test]
fn after_the_stop_signal() {
    let case = Case { hook: None, ..Case::default() };
    let told = check(
        &case,
        &format!(
            "{RUNS}\n1000 app conns in=3 total=40\n1000 app term\n1001 app deliver TERM handler\n1002 app conns late=2"
        ),
        "2500",
        &[],
        "2600 app conns in=0 total=1\n5000 app end 0",
        "incomplete 1000..5001\napp: incomplete SIGTERM@1000 handled exit@5000=0",
    );
    let connections = &told.finished[0].containers[0].connections;
    assert_eq!(connections.at_start, Some(Directions { inbound: 3, outbound: 0 }));
    assert_eq!((connections.opened, connections.late), (None, None), "nobody counted in between");
    assert_eq!(connections.traffic_tail, Some(Duration::from_millis(1600)), "the last one came after");
}

#[test]
fn a_termination_after_the_restart_is_whole_when_its_hook_is_seen() {
    let told = check(
        &Case::default(),
        &format!("{RUNS}\n500 app conns total=7\n500 app exec 7 probe\n501 app exit 7 0"),
        "2500",
        &[],
        "3000 app conns in=2 total=3\n3000 app hook 50\n5999 app exit 50 0 processes=4\n6000 app term\n\
         6001 app deliver TERM handler\n6500 app conns in=0 total=5\n6500 app end 0",
        "graceful 3000..6501\napp: graceful hook 3000..5999 success SIGTERM@6000 handled exit@6500=0",
    );
    let timeline = &told.finished[0];
    assert!(timeline.complete && timeline.unseen.is_empty());
    assert_eq!(timeline.containers[0].hook.unwrap().processes, Some(4));
    assert_eq!(timeline.containers[0].connections.opened, Some(Directions { inbound: 2, outbound: 0 }));
}

#[test]
fn what_may_have_begun_unseen_is_not_whole() {
    let stop = "3000 app term\n3001 app deliver TERM handler\n4000 app end 0";
    let late = "40000 app term\n40001 app deliver TERM handler\n41000 app end 0";
    let alone = "3000 app end 0";
    let outcome = |case: &Case, after: &str| play(case, RUNS, "2500", &[], after).finished[0].outcome.unwrap();
    let plain = Case { hook: None, ..Case::default() };
    assert_eq!(outcome(&Case::default(), stop), Outcome::Incomplete, "a hook may have run");
    assert_eq!(outcome(&Case::default(), late), Outcome::Graceful, "none can have");
    assert_eq!(outcome(&plain, stop), Outcome::Graceful, "there is none");
    assert_eq!(outcome(&plain, alone), Outcome::Incomplete, "the stop signal may have been sent");
    let deleted = format!("9000 app deleted\n{}", stop.replace("3000", "9500").replace("3001", "9501"));
    let deleted = deleted.replace("4000", "9800");
    assert_eq!(outcome(&Case::default(), &deleted), Outcome::Graceful, "asked for long after");
}

#[test]
fn an_end_while_away() {
    let told = check(
        &Case::default(),
        &format!("{RUNS}\n1000 app deleted\n1500 app hook 50"),
        "9000",
        &["app"],
        "",
        "incomplete 1500..9000 deletion\napp: incomplete hook 1500..- -",
    );
    assert_eq!(told.finished[0].id, told.changed[0].id);
    // Also when nothing had begun: the pod has ended, and all that is known is when it had.
    let told =
        check(&Case::default(), RUNS, "9000", &["app"], "", "incomplete 9000..9000 no-grace-used\napp: incomplete");
    assert_eq!(unseen(&told.finished[0]), [(10, 9000)]);
    assert_eq!(told.forgotten, [10]);
}

#[test]
fn what_was_reported_is_not_reported_again() {
    for (gone, after) in [(&["app"][..], ""), (&[][..], "9500 app removed")] {
        let before = format!("{RUNS}\n1000 app deleted\n1500 app term\n2000 app dead 0\n2001 app empty\n3000 app lost");
        let told = play(&Case { hook: None, ..Case::default() }, &before, "9000", gone, after);
        assert_eq!(told.finished.len(), 1, "{}", told.text());
    }
}

#[test]
fn of_two_containers_one_had_ended_before() {
    let case = Case { hook: None, ..Case::with(&[("app", Role::App), ("side", Role::Sidecar)]) };
    let told = check(
        &case,
        "0 app start\n0 side start\n1000 app deleted\n1500 app term\n1501 app deliver TERM handler\n2000 app end 0\n2500 app lost",
        "3000",
        &["app"],
        "3500 side term\n3501 side deliver TERM handler\n3600 side end 0",
        "graceful 1500..3601 deletion\n\
         app: graceful SIGTERM@1500 handled exit@2000=0\nside: graceful SIGTERM@3500 handled exit@3600=0",
    );
    assert!(told.finished[0].complete, "nobody was needed in between");
}

#[test]
fn a_container_that_was_restarted_while_away() {
    let case = Case { hook: None, known: false, ..Case::with(&[("app", Role::App), ("next", Role::App)]) };
    let told = check(
        &case,
        "0 app known\n0 app start",
        "3000",
        &["app"],
        "90000 next term\n90001 next deliver TERM handler\n90500 next end 0",
        "incomplete 3000..3000 no-grace-used\napp: incomplete\n\
         graceful 90000..90501\nnext: graceful SIGTERM@90000 handled exit@90500=0",
    );
    assert!(told.finished[1].unseen.is_empty());
}

#[test]
fn an_init_container_that_ended_while_away_had_done_its_work() {
    let case = Case { hook: None, ..Case::with(&[("app", Role::App), ("setup", Role::Init)]) };
    let told = play(&case, "0 setup start", "3000", &["setup"], "4000 app start");
    assert!(told.finished.is_empty(), "{}", told.text());
}

#[test]
fn a_reload_before_the_restart_stays_none() {
    let case = Case { hook: None, grace: Some(2), ..Case::default() };
    let told = play(&case, &format!("{RUNS}\n1000 app term\n1001 app deliver TERM handler"), "2500", &[], "");
    assert!(told.finished.is_empty(), "{}", told.text());
    assert_eq!(told.withdrawn.len(), 1);
}

#[test]
fn losses_are_counted_on() {
    let case = Case { hook: None, ..Case::default() };
    let before = format!("{RUNS}\n20 app conns lost=5\n20 app lost");
    let told = play(&case, &before, "2500", &[], "90000 app conns lost=1\n90000 app term\n91000 app end 0");
    assert_eq!(told.finished[0].outcome, Some(Outcome::Incomplete), "fewer than before are more all the same");
}

#[test]
fn twice() {
    let case = Case { hook: None, ..Case::default() };
    let mut sim = Sim::new(&case);
    sim.lines(&format!("{RUNS}\n1000 app deleted\n1500 app term\n1501 app deliver TERM handler"));
    sim.restart("2500", &[]);
    sim.wait(ms("3000"));
    sim.restart("3500", &[]);
    sim.lines("4000 app end 0");
    sim.wait(ms("9000"));
    assert_eq!(sim.told.finished.len(), 1);
    assert_eq!(unseen(&sim.told.finished[0]), [(1501, 2500), (3000, 3500)]);
}

#[test]
fn a_restart_that_nobody_can_see() {
    // Saved and taken up again in one moment, after each line: all facts are the same, whatever is said of sight.
    let script = [
        "0 app created",
        "0 app start",
        "10 app populated",
        "100 app exec 7 probe",
        "101 app exit 7 1",
        "1000 app deleted",
        "1500 app conns in=4 total=9",
        "1500 app hook 50",
        "2000 app oom other",
        "3500 app exit 50 0",
        "4000 app term",
        "4001 app deliver TERM handler",
        "4100 app sig USR1",
        "20000 app kill",
        "20001 app dead SIGKILL",
        "20002 app empty",
        "20013 app removed",
    ];
    let run = |restart: Option<usize>| {
        let case = Case::default();
        let mut sim = Sim::new(&case);
        for (index, line) in script.iter().enumerate() {
            sim.line(line);
            if restart == Some(index) {
                let now = format!("{}", sim.now.0 as f64 / 1e6);
                sim.restart(&now, if index + 1 == script.len() { &["app"] } else { &[] });
            }
        }
        sim.wait(ms("60000"));
        assert_eq!(sim.told.finished.len(), 1, "{restart:?}");
        let mut timeline = sim.told.finished.remove(0);
        timeline.unseen.clear();
        timeline.findings.clear();
        timeline.complete = true;
        timeline.outcome = None;
        let container = &mut timeline.containers[0];
        container.outcome = None;
        container.connections = Connections::default();
        if let Some(hook) = &mut container.hook {
            (hook.processes, hook.cpu) = (None, None);
        }
        timeline
    };
    let whole = run(None);
    for (index, line) in script.iter().enumerate() {
        assert_eq!(run(Some(index)), whole, "after {line}");
    }
}

#[test]
fn evidence_comes_back_as_it_was() {
    let config = Config::default();
    let cgroups = BTreeMap::from([("app".to_owned(), 10)]);
    let mut evidence = Evidence::default();
    let script = "created|start|populated|exec 7 probe|exit 7 1|hook 50|oom other|exit 50 0|term|deliver TERM handler|\
                  sig USR1|kill from=kernel|ask /x flow=1|answer 200 flow=1|kill|dead SIGKILL|lost|empty|removed";
    for (index, words) in script.split('|').enumerate() {
        let words: Vec<&str> = words.trim().split(' ').collect();
        let at = BootTime(5 + index as u64);
        let counters = Counters { inbound_total: index as u64, ..Counters::default() };
        let event = Event { at, cgroup: CgroupId(10), counters, kind: kind(10, &words, &cgroups) };
        evidence.record(&event, None, &config);
        let again = evidence.reborn(&config);
        assert_eq!(format!("{again:?}"), format!("{evidence:?}"), "after {words:?}");
    }
}
