//! Which signal was the stop signal, and what became of it.

use super::*;

/// The disposition of a stop signal, and what the container's end looked like.
#[track_caller]
fn disposition(script: &str, expect: Option<Disposition>) {
    let told = Case::default().run(script);
    assert_eq!(told.finished[0].containers[0].stop_signal.unwrap().disposition, expect, "{script}");
}

#[test]
fn dispositions() {
    let table = [
        ("1000 app term\n1001 app deliver TERM handler\n2000 app end 0", Disposition::Handled),
        ("1000 app term\n1001 app deliver TERM handler\n31000 app kill\n31001 app end SIGKILL", Disposition::Handled),
        ("1000 app term\n1001 app deliver TERM handler\n1100 app end SIGTERM", Disposition::Handled),
        // Without a handler the first thread turns the signal into SIGKILL for the others.
        ("1000 app term\n1001 app deliver KILL default\n1001 app end SIGTERM", Disposition::Default),
        ("1000 app term\n1001 app end SIGTERM", Disposition::Default),
        ("1000 app term ignored\n31000 app kill\n31001 app end SIGKILL", Disposition::Ignored),
        ("1000 app term ignored\n2000 app end 0", Disposition::Ignored),
        ("1000 app term\n1001 app deliver TERM ignore\n2000 app end 0", Disposition::Ignored),
        ("1000 app term\n1001 app deliver TERM default\n2000 app end 0", Disposition::Ignored),
        // Blocked: fetched with sigwait or a signalfd, as tini does, or never.
        ("1000 app term\n2000 app end 143", Disposition::Handled),
        ("1000 app term\n31000 app kill\n31001 app end SIGKILL", Disposition::Ignored),
        ("1000 app term\n1001 app conns forwarded=1\n31000 app kill\n31001 app end SIGKILL", Disposition::Handled),
        // A handler that comes before the kubelet asks again.
        ("1000 app term ignored\n3000 app term\n3001 app deliver TERM handler\n4000 app end 0", Disposition::Handled),
    ];
    for (script, expect) in table {
        disposition(&format!("0 app start\n{script}"), Some(expect));
    }
}

#[test]
fn a_disposition_shows_as_soon_as_it_is_certain() {
    let told = Case::default().run("0 app start\n1000 app term\n1001 app deliver TERM handler\n9000 app end 0");
    let shown = |index: usize| told.changed[index].containers[0].stop_signal.unwrap().disposition;
    assert_eq!((shown(0), shown(1)), (None, Some(Disposition::Handled)));
}

#[test]
fn the_specs_signal_wins() {
    let case = Case { stop_signal: Signal::parse("QUIT"), ..Case::default() };
    case.check(
        "0 app start
         1000 app term
         2000 app sig QUIT
         2001 app deliver QUIT handler
         3000 app end 0",
        "graceful 2000..3001
         app: graceful SIGQUIT@2000 handled exit@3000=0",
    );
    case.check(
        "0 app start
         1000 app term
         1001 app deliver TERM handler
         3000 app end 0",
        "graceful 1000..3001
         app: graceful SIGTERM@1000 handled exit@3000=0",
    );
}

#[test]
fn an_images_stop_signal_shows_by_what_follows() {
    Case::default().check(
        "0 app start
         1000 app sig SIGRTMIN+3
         1001 app deliver SIGRTMIN+3 handler
         3000 app end 0",
        "graceful 1000..3001
         app: graceful SIGRTMIN+3@1000 handled exit@3000=0",
    );
    let told = Case::default().run("0 app start\n900 app deleted\n1000 app sig QUIT\n3000 app end 0");
    assert_eq!(told.changed[0].phase, Phase::Stopping, "with a known deletion it shows at once");
}

#[test]
fn a_reload_is_no_termination() {
    let told = Case::default().check("0 app start\n1000 app sig HUP\n1001 app deliver HUP handler", "");
    assert_eq!(told.changed.len(), 0);
}

#[test]
fn a_reload_long_before_the_end() {
    Case::default().check(
        "0 app start
         1000 app sig HUP
         80000 app sig QUIT
         81000 app end 0",
        "graceful 80000..81001
         app: graceful SIGQUIT@80000 handled exit@81000=0",
    );
    Case::default().check(
        "0 app start
         1000 app sig USR1
         80000 app end SIGSEGV",
        "crashed 80000..80001 no-grace-used
         app: crashed exit@80000=139",
    );
}

#[test]
fn a_reload_just_before_the_stop_signal() {
    for stop in ["TERM", "QUIT"] {
        let script = format!("0 app start\n19000 app sig HUP\n20000 app sig {stop}\n21000 app end 0");
        Case::default()
            .check(&script, &format!("graceful 20000..21001\napp: graceful SIG{stop}@20000 handled exit@21000=0"));
    }
}

#[test]
fn a_reload_before_the_deletion() {
    Case::default().check(
        "0 app start
         1000 app sig HUP
         20000 app deleted
         20100 app sig QUIT
         21000 app end 0",
        "graceful 20100..21001 deletion
         app: graceful SIGQUIT@20100 handled exit@21000=0",
    );
}

#[test]
fn sigterm_by_hand_that_nothing_follows_is_withdrawn() {
    let told = Case::default().check("0 app start\n1000 app term\n1001 app deliver TERM handler", "withdrawn uid-1000");
    assert_eq!(told.changed.len(), 2);

    Case::default().check(
        "0 app start
         1000 app term
         100000 app term
         100001 app deliver TERM handler
         101000 app end 0",
        "graceful 100000..101001
         app: graceful SIGTERM@100000 handled exit@101000=0
         withdrawn uid-1000",
    );
}

#[test]
fn in_a_deleted_pod_nothing_is_withdrawn() {
    let told = Case::default().run("0 app start\n900 app deleted\n1000 app term\n1001 app deliver TERM handler");
    assert_eq!((told.withdrawn.len(), told.finished.len()), (0, 0));
    assert_eq!(told.changed.last().unwrap().phase, Phase::Stopping);
}

#[test]
fn repeats_extend() {
    Case::default().check(
        "0 app start
         1000 app term
         41000 app term
         81000 app term
         90000 app end 0",
        "graceful 1000..90001 GRACE_NEARLY_EXHAUSTED
         app: graceful SIGTERM@1000 handled exit@90000=0",
    );
}

#[test]
fn a_signal_from_the_same_pod_is_not_the_kubelets() {
    let case = Case::with(&[("app", Role::App), ("helper", Role::App)]);
    case.check(
        "0 app start
         0 helper start
         1000 app term from=helper
         2000 app end 0",
        "completed 2000..2001 no-grace-used
         app: completed exit@2000=0",
    );
}

#[test]
fn signals_that_never_stop_anything() {
    for signal in ["CHLD", "CONT", "URG", "TSTP"] {
        let told = Case::default().run(&format!("0 app start\n1000 app sig {signal}\n2000 app end 0"));
        assert_eq!(told.finished[0].containers[0].stop_signal, None, "{signal}");
    }
}

#[test]
fn a_storm_of_signals_keeps_the_first() {
    let mut script = "0 app start\n".to_owned();
    for i in 0..1000 {
        script += &format!("{} app term\n", 1000 + i * 10);
    }
    script += "12000 app end 0";
    Case::default().check(
        &script,
        "graceful 1000..12001
         app: graceful SIGTERM@1000 handled exit@12000=0",
    );
}

#[test]
fn what_the_oom_killer_ends_leaves_the_disposition_open() {
    disposition("0 app start\n1000 app term\n2000 app oom init\n2001 app end SIGKILL", None);
}

#[test]
fn the_specs_signal_beats_the_images_and_that_beats_sigterm() {
    let script = "0 app start\n1000 app term\n1500 app sig WINCH\n2000 app sig QUIT\n3000 app end 0";
    let stop = |case: &Case, deleted: &str| {
        let told = case.run(&script.replacen('\n', &format!("\n{deleted}\n"), 1));
        told.finished[0].containers[0].stop_signal.unwrap().signal.to_string()
    };
    let image = Case { image_stop_signal: Signal::parse("WINCH"), ..Case::default() };
    let spec = Case { stop_signal: Signal::parse("QUIT"), ..image.clone() };
    for deleted in ["", "900 app deleted"] {
        assert_eq!(stop(&Case::default(), deleted), "SIGTERM");
        assert_eq!(stop(&image, deleted), "SIGWINCH");
        assert_eq!(stop(&spec, deleted), "SIGQUIT");
    }
}

/// Before the request, but within what clocks may differ by; and during the hook.
#[test]
fn a_reload_close_to_the_deletion() {
    let sleep = Case { hook: None, ..Case::default() };
    for (at, signal) in [("19000", "HUP"), ("20500", "HUP"), ("20500", "USR1"), ("19000", "QUIT"), ("20500", "USR2")] {
        let script = format!(
            "0 app start
             {at} app sig {signal}
             20000 app deleted
             29000 app term
             29001 app deliver TERM handler
             30000 app end 0"
        );
        let lines: Vec<&str> = script.lines().map(str::trim).collect();
        let mut lines = lines;
        lines.sort_by_key(|line| line.split(' ').next().unwrap().parse::<u32>().unwrap());
        let told = sleep.check(
            &lines.join("\n"),
            "graceful 29000..30001 deletion
             app: graceful SIGTERM@29000 handled exit@30000=0",
        );
        assert!(told.changed.iter().all(|it| it.start == ms("29000")), "{signal}@{at}: {:#?}", told.changed[0]);
    }
}

/// haproxy stops on SIGUSR1: without an image's word for it, what follows tells.
#[test]
fn a_reload_signal_that_ends_it() {
    Case::default().check(
        "0 app start
         900 app deleted
         1000 app sig USR1
         1001 app deliver SIGUSR1 handler
         4000 app end 0",
        "graceful 1000..4001 deletion
         app: graceful SIGUSR1@1000 handled exit@4000=0",
    );
    let image = Case { image_stop_signal: Signal::parse("USR1"), ..Case::default() };
    let told = image.run("0 app start\n900 app deleted\n1000 app sig USR1\n4000 app end 0");
    assert_eq!(told.changed[0].phase, Phase::Stopping, "known, it shows at once");
}
