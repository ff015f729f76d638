//! Records out of order, late identity, ids used again: the verdict stays.

use super::*;

const SCRIPT: &str = "0 app start
    1000 app hook 100
    3000 app exit 100 0
    3000.2 app term
    3000.4 app deliver TERM handler
    3001 app conns in=3 total=7 late=2 forwarded=1
    33000 app kill
    33000.1 app dead SIGKILL
    33000.2 app empty
    33000.9 app removed";

/// Runs the lines, time taken from the first of each pair.
fn verdict(case: &Case, lines: &[&str]) -> (String, Vec<Connections>) {
    let told = case.run(&lines.join("\n"));
    let connections =
        told.finished.iter().flat_map(|it| it.containers.iter().map(|it| it.connections.clone())).collect();
    (told.text(), connections)
}

/// The answer and the stop signal, the request and the postStart's answer come within less than a millisecond.
const HTTP: &str = "0 app start
    999.2 app ask /poststart
    999.6 app answer 500
    1000 app ask /prestop
    3000 app answer 200
    3000.2 app term
    3000.4 app deliver TERM handler
    33000 app kill
    33000.1 app dead SIGKILL
    33000.2 app empty
    33000.9 app removed";

fn http() -> Case {
    let handler = |path: &str| {
        Some(LifecycleHandler::Http { https: false, host: None, port: "8080".to_owned(), path: path.to_owned() })
    };
    Case { handler: handler("/prestop"), post_start: handler("/poststart"), ..Case::default() }
}

const SLEEP: &str = "0 app start
    2900 app exec 90 cat /ready
    2900.5 app exit 90 1
    2901 app term
    2901.4 app deliver TERM handler
    5000 app dead 0
    5000.2 app empty
    5000.9 app removed";

fn sleep() -> Case {
    Case { handler: Some(LifecycleHandler::Sleep(Duration::from_secs(2))), ..Case::default() }
}

#[test]
fn neighbours_may_overtake_each_other() {
    overtake(&Case::default(), SCRIPT, "forced 1000..33000 GRACE_EXHAUSTED");
    overtake(&http(), HTTP, "forced 1000..33000 GRACE_EXHAUSTED\napp: forced hook 1000..3000 success=200");
    overtake(&sleep(), SLEEP, "graceful 901..5000\napp: graceful hook ~901..2901 success");
}

#[track_caller]
fn overtake(case: &Case, script: &str, start: &str) {
    let lines: Vec<&str> = script.lines().map(str::trim).collect();
    let expect = verdict(case, &lines);
    assert!(expect.0.starts_with(start), "{}", expect.0);
    let at = |line: &str| line.split(' ').next().unwrap().parse::<f64>().unwrap();
    let counters = |line: &str| line.contains("conns");
    for i in 1..lines.len() {
        for j in i + 1..lines.len() {
            let close = at(lines[j]) - at(lines[i]) <= 1.0 && !lines[i..=j].iter().any(|line| counters(line));
            if close {
                let mut swapped = lines.clone();
                swapped.swap(i, j);
                assert_eq!(verdict(case, &swapped), expect, "{swapped:#?}");
            }
        }
    }
}

#[test]
fn identity_may_come_late() {
    for (case, script) in [(Case::default(), SCRIPT), (http(), HTTP), (sleep(), SLEEP)] {
        come_late(&case, script);
    }
}

fn come_late(case: &Case, script: &str) {
    let expect = verdict(case, &script.lines().map(str::trim).collect::<Vec<_>>());
    let lines: Vec<&str> = script.lines().map(str::trim).collect();
    for i in 0..=lines.len() {
        let mut late = lines.clone();
        let at = lines[i.saturating_sub(1)].split(' ').next().unwrap();
        let known = format!("{at} app known");
        late.insert(i, &known);
        let case = Case { known: false, ..case.clone() };
        assert_eq!(verdict(&case, &late), expect, "known at {i}");
    }
}

/// The API's watch is slower than the kernel, and faster.
#[test]
fn the_deletion_may_come_late() {
    for (case, script, kubelet) in [(Case::default(), SCRIPT, 1000.0), (http(), HTTP, 1000.0), (sleep(), SLEEP, 901.0)]
    {
        let lines: Vec<&str> = script.lines().map(str::trim).collect();
        let at = |line: &str| line.split(' ').next().unwrap().parse::<f64>().unwrap();
        let mut seen = Vec::new();
        let first = lines.iter().position(|line| at(line) >= kubelet).unwrap();
        for i in first..=lines.len() {
            let mut sim = Sim::new(&case);
            for (index, line) in lines.iter().enumerate() {
                if index == i {
                    sim.requested = Some(WallTime(OFFSET));
                    sim.know_all();
                }
                sim.line(line);
            }
            if i == lines.len() {
                sim.requested = Some(WallTime(OFFSET));
                sim.know_all();
            }
            sim.wait(ms("900000"));
            seen.push(sim.told.text());
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        assert!(seen[0].contains(" deletion"), "{seen:#?}");
    }
}

#[test]
fn identity_may_never_come() {
    let told = Case { known: false, ..Case::default() }.check(SCRIPT, "");
    assert_eq!(told.forgotten, [] as [u64; 0]);
}

#[test]
fn a_pid_used_again_is_another_process() {
    Case::default().check(
        "0 app start
         500 app exec 100 cat /ready
         600 app exit 100 1
         1000 app hook 100
         3000 app exit 100 0
         3005 app term
         3100 app exec 100 cat /ready
         3200 app exit 100 1
         4000 app end 0",
        "graceful 1000..4001
         app: graceful hook 1000..3000 success SIGTERM@3005 handled exit@4000=0",
    );
}

#[test]
fn a_cgroup_id_used_again_is_another_container() {
    let case = Case::with(&[("app", Role::App)]);
    case.check(
        "0 app start
         1000 app term
         2000 app end 0
         9000 app created
         9001 app known
         9002 app start
         10000 app end SIGSEGV",
        "graceful 1000..2001
         app: graceful SIGTERM@1000 handled exit@2000=0
         crashed 10000..10001 no-grace-used
         app: crashed exit@10000=139",
    );
}

#[test]
fn a_cgroup_id_used_again_before_the_end_was_seen() {
    let told = Case::default().check(
        "0 app start
         1000 app term
         9000 app created
         9001 app known
         9002 app start
         10000 app end SIGSEGV",
        "incomplete 1000..9000
         app: incomplete SIGTERM@1000 -
         crashed 10000..10001 no-grace-used
         app: crashed exit@10000=139",
    );
    assert_eq!(told.forgotten, [10], "the first life's id is the second's");
}

#[test]
fn a_new_init_in_the_same_cgroup_is_a_new_life() {
    Case::default().check(
        "0 app start
         1000 app dead 1
         1001 app empty
         5000 app populated
         5000 app start
         6000 app term
         7000 app end 0",
        "completed 1000..1001 no-grace-used
         app: completed exit@1000=1
         graceful 6000..7001
         app: graceful SIGTERM@6000 handled exit@7000=0",
    );
}

#[test]
fn a_wall_clock_step_does_not_move_anything() {
    let case = Case::default();
    let mut sim = Sim::new(&case);
    for line in ["0 app start", "1000 app term"] {
        sim.line(line);
    }
    sim.correlator.handle_tick(ms("1500"), OFFSET - 3_600_000_000_000);
    sim.line("2000 app end 0");
    sim.wait(ms("9000"));
    let timeline = &sim.told.finished[0];
    assert_eq!(timeline.grace_used(ms("9000")), Some(Duration::from_millis(1001)));
    assert_eq!(timeline.clock.at(timeline.start), WallTime(1_000_000_000 + OFFSET));
}
