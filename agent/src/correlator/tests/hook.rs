//! Which process was the hook, and how it ended.

use super::*;

#[test]
fn failed() {
    let told = Case::default().check(
        "0 app start
         1000 app hook 100
         1500 app exit 100 3 cpu=40 processes=7
         1505 app term
         1506 app deliver TERM handler
         2000 app end 0",
        "graceful 1000..2001 PRESTOP_FAILED
         app: graceful hook 1000..1500 failed SIGTERM@1505 handled exit@2000=0",
    );
    let hook = told.finished[0].containers[0].hook.unwrap();
    assert_eq!(hook.status, Some(WaitStatus(0x300)));
    assert_eq!((hook.processes, hook.cpu), (Some(7), Some(Duration::from_millis(40))));
}

#[test]
fn killed_while_its_container_lived_is_failed() {
    Case::default().check(
        "0 app start
         1000 app hook 100
         1500 app exit 100 SIGKILL
         1505 app term
         2000 app end 0",
        "graceful 1000..2001 PRESTOP_FAILED
         app: graceful hook 1000..1500 failed SIGTERM@1505 handled exit@2000=0",
    );
}

#[test]
fn timeout() {
    Case::default().check(
        "0 app start
         1000 app hook 100
         31000 app term
         31001 app deliver TERM handler
         33000 app kill
         33001 app dead SIGKILL
         33001.1 app exit 100 SIGKILL
         33002 app empty
         33010 app removed",
        "forced 1000..33002 PRESTOP_TIMEOUT GRACE_EXHAUSTED
         app: forced hook 1000..33001 timeout SIGTERM@31000 handled killed@33000 exit@33001=137",
    );
}

#[test]
fn timeout_though_it_ends_well_after_the_stop_signal() {
    Case::default().check(
        "0 app start
         1000 app hook 100
         31000 app term
         31500 app exit 100 0
         32000 app end 0",
        "graceful 1000..32001 PRESTOP_TIMEOUT GRACE_NEARLY_EXHAUSTED
         app: graceful hook 1000..31500 timeout SIGTERM@31000 handled exit@32000=0",
    );
}

#[test]
fn interrupted() {
    for deleted in ["", "900 app deleted"] {
        let script = format!(
            "0 app start
             {deleted}
             1000 app hook 100
             1500 app dead SIGSEGV
             1500.1 app exit 100 SIGKILL
             1501 app empty
             1510 app removed",
        );
        let told = Case::default().run(&script);
        let container = &told.finished[0].containers[0];
        assert_eq!(container.hook.unwrap().result, Some(HookResult::Interrupted));
        assert_eq!(container.outcome, Some(Outcome::Crashed));
        assert_eq!(told.finished[0].start, ms("1000"));
    }
}

#[test]
fn interrupted_with_its_own_end_lost() {
    Case::default().check(
        "0 app start
         1000 app hook 100
         1500 app end 0",
        "completed 1000..1501
         app: completed hook 1000..1500 interrupted exit@1500=0",
    );
}

#[test]
fn another_command_is_no_hook() {
    Case::default().check(
        "0 app start
         900 app exec 99 cat /tmp/ready
         1000 app exec 100 sleep 30
         1500 app exit 100 0
         1505 app term
         2000 app end 0",
        "graceful 1505..2001
         app: graceful SIGTERM@1505 handled exit@2000=0",
    );
}

#[test]
fn a_probe_with_the_hooks_command_is_none_without_a_stop_signal() {
    let told = Case::default().check(
        "0 app start
         1000 app hook 100
         1100 app exit 100 0
         11000 app hook 101
         11100 app exit 101 0
         15000 app end 0",
        "completed 15000..15001 no-grace-used
         app: completed exit@15000=0",
    );
    assert!(told.changed.iter().all(|timeline| timeline.start == ms("15000")), "{:?}", told.changed);
}

#[test]
fn a_probe_with_the_hooks_command_before_the_hook() {
    Case::default().check(
        "0 app start
         1000 app hook 100
         1100 app exit 100 0
         11000 app hook 101
         11900 app exit 101 0
         11950 app term
         12000 app end 0",
        "graceful 11000..12001
         app: graceful hook 11000..11900 success SIGTERM@11950 handled exit@12000=0",
    );
}

#[test]
fn a_probe_before_the_deletion_is_no_hook() {
    let told = Case::default().check(
        "0 app start
         1000 app hook 100
         1100 app exit 100 1
         20000 app deleted
         20100 app hook 101
         23100 app exit 101 0
         23110 app term
         24000 app end 0",
        "graceful 20100..24001 deletion
         app: graceful hook 20100..23100 success SIGTERM@23110 handled exit@24000=0",
    );
    assert_eq!(told.changed[0].phase, Phase::InHook, "with a known deletion the hook shows at once");
}

#[test]
fn a_stop_signal_long_after_the_commands_end() {
    Case::default().check(
        "0 app start
         1000 app hook 100
         1100 app exit 100 0
         4000 app term
         5000 app end 0",
        "graceful 4000..5001
         app: graceful SIGTERM@4000 handled exit@5000=0",
    );
}

/// It is stopped only when the main containers have ended.
#[test]
fn a_sidecars_hook_ends_long_before_its_stop_signal() {
    for deleted in ["", "900 app deleted"] {
        let reason = if deleted.is_empty() { "" } else { " deletion" };
        let script = format!(
            "0 proxy start
             0 app start
             {deleted}
             1000 app hook 100
             1000 proxy hook 101
             4000 app exit 100 0
             4000 proxy exit 101 0
             4005 app term
             12000 app end 0
             14500 proxy term
             14600 proxy end 0"
        );
        let expect = format!(
            "graceful 1000..14601{reason}
             app: graceful hook 1000..4000 success SIGTERM@4005 handled exit@12000=0
             proxy: graceful hook 1000..4000 success SIGTERM@14500 handled exit@14600=0"
        );
        Case::with(&[("app", Role::App), ("proxy", Role::Sidecar)]).check(&script, &expect);
    }
}

#[test]
fn a_restarted_kubelet_runs_it_again() {
    let told = Case::default().check(
        "0 app start
         1000 app hook 100
         2000 app exit 100 SIGKILL cpu=5
         9000 app hook 101
         12000 app exit 101 0 cpu=6 processes=2
         12005 app term
         13000 app end 0",
        "graceful 1000..13001
         app: graceful hook 1000..12000 success SIGTERM@12005 handled exit@13000=0",
    );
    let hook = told.finished[0].containers[0].hook.unwrap();
    assert_eq!((hook.processes, hook.cpu), (Some(3), Some(Duration::from_millis(11))));
}

#[test]
fn a_restarted_runtime_does_all_again() {
    for deleted in ["", "900 app deleted"] {
        let reason = if deleted.is_empty() { "" } else { " deletion" };
        let script = format!(
            "0 app start
             {deleted}
             1000 app hook 100
             4000 app exit 100 0
             4005 app term
             4006 app deliver TERM handler
             6000 app hook 101
             9000 app exit 101 0
             9005 app term
             9006 app deliver TERM handler
             9500 app end 0"
        );
        let expect = format!(
            "graceful 1000..9501{reason}
             app: graceful hook 1000..9000 success SIGTERM@4005 handled exit@9500=0"
        );
        Case::default().check(&script, &expect);
    }
}

#[test]
fn a_missing_binary_is_a_failed_hook() {
    for runc in ["", "1000 app runc 100"] {
        let script = format!(
            "0 app start
             {runc}
             1002 app fail 100 1
             1005 app term
             2000 app end 0"
        );
        Case::default().check(
            &script,
            "graceful 1002..2001 PRESTOP_FAILED
             app: graceful hook 1002..1002 failed SIGTERM@1005 handled exit@2000=0",
        );
    }
}

#[test]
fn the_runtimes_stages_are_not_the_hook() {
    Case::default().check(
        "0 app start
         1000 app runc 100
         1003 app hook 100
         2000 app exit 100 0
         2005 app term
         3000 app end 0",
        "graceful 1003..3001
         app: graceful hook 1003..2000 success SIGTERM@2005 handled exit@3000=0",
    );
}

#[test]
fn a_hook_that_execs_stays_the_hook() {
    Case::default().check(
        "0 app start
         1000 app hook 100
         1001 app exec 100 /bin/real
         2000 app exit 100 2
         2005 app term
         3000 app end 0",
        "graceful 1000..3001 PRESTOP_FAILED
         app: graceful hook 1000..2000 failed SIGTERM@2005 handled exit@3000=0",
    );
}

#[test]
fn without_an_exec_hook_nothing_matches() {
    Case { hook: None, ..Case::default() }.check(
        "0 app start
         1000 app hook 100
         2000 app exit 100 0
         2005 app term
         3000 app end 0",
        "graceful 2005..3001
         app: graceful SIGTERM@2005 handled exit@3000=0",
    );
}

#[test]
fn many_probes_do_not_push_the_hook_out() {
    let mut script = "0 app start\n1000 app hook 100\n2000 app exit 100 0\n2005 app term\n".to_owned();
    for i in 0..200 {
        let at = 2100 + i * 100;
        script += &format!("{at} app exec {} cat /ready\n{} app exit {} 0\n", 200 + i, at + 50, 200 + i);
    }
    script += "23000 app end 0";
    Case::default().check(
        &script,
        "graceful 1000..23001
         app: graceful hook 1000..2000 success SIGTERM@2005 handled exit@23000=0",
    );
}

/// A readiness probe with the hook's command goes on during the hook, and after the stop signal.
fn probed() -> Case {
    let command = HOOK.split(' ').map(str::to_owned).collect();
    Case { probes: vec![Probe { kind: ProbeKind::Readiness, command: Some(command) }], ..Case::default() }
}

#[test]
fn a_probe_with_the_hooks_command_during_the_hook() {
    for deleted in ["", "20000 app deleted"] {
        let reason = if deleted.is_empty() { "" } else { " deletion" };
        let script = format!(
            "0 app start
             18000 app hook 90
             18300 app exit 90 1
             {deleted}
             20100 app hook 100
             21000 app hook 101
             21200 app exit 101 1
             23100 app exit 100 0
             23110 app term
             24000 app hook 102
             24200 app exit 102 1
             25000 app end 0"
        );
        let told = probed().check(
            &script,
            &format!(
                "graceful 20100..25001{reason}
                 app: graceful hook 20100..23100 success SIGTERM@23110 handled exit@25000=0"
            ),
        );
        assert_eq!(told.finished[0].containers[0].hook.unwrap().processes, Some(1));
        if !deleted.is_empty() {
            assert_eq!((told.changed[0].phase, told.changed[0].start), (Phase::InHook, ms("20100")));
        }
    }
}

#[test]
fn a_probe_with_the_hooks_command_while_the_hook_hangs() {
    probed().check(
        "0 app start
         900 app deleted
         1000 app hook 100
         30500 app hook 101
         30700 app exit 101 0
         31000 app term
         31001 app deliver TERM handler
         32000 app end 0",
        "graceful 1000..32001 deletion PRESTOP_TIMEOUT GRACE_NEARLY_EXHAUSTED
         app: graceful hook 1000..32000 timeout SIGTERM@31000 handled exit@32000=0",
    );
}

#[test]
fn a_probe_with_the_hooks_command_and_a_restarted_kubelet() {
    probed().check(
        "0 app start
         900 app deleted
         1000 app hook 100
         2000 app exit 100 SIGKILL
         9000 app hook 101
         12000 app exit 101 0
         12005 app term
         13000 app hook 102
         13100 app exit 102 1
         14000 app end 0",
        "graceful 1000..14001 deletion
         app: graceful hook 1000..12000 success SIGTERM@12005 handled exit@14000=0",
    );
}

#[test]
fn a_probe_with_the_hooks_command_in_a_sidecar() {
    let case = Case { containers: vec![("app", Role::App), ("proxy", Role::Sidecar)], ..probed() };
    let told = case.run(
        "0 app start
         0 proxy start
         900 app deleted
         1000 app hook 100
         1000 proxy hook 100
         4000 app exit 100 0
         4000 proxy exit 100 0
         4010 app term
         11000 proxy hook 101
         11900 proxy exit 101 1
         11990 app end 0
         12000 proxy term
         12500 proxy end 0",
    );
    let hooks: Vec<_> = told.finished[0].containers.iter().map(|it| it.hook.unwrap()).collect();
    assert!(hooks.iter().all(|hook| (hook.start, hook.end) == (ms("1000"), Some(ms("4000")))), "{hooks:?}");
}

/// What the runtime could not execute was the probe, as long as no stop signal follows.
#[test]
fn a_probe_whose_program_is_missing() {
    let command = vec!["nowhere".to_owned()];
    let case = Case { probes: vec![Probe { kind: ProbeKind::Readiness, command: Some(command) }], ..Case::default() };
    let told = case.run("0 app start\n900 app deleted\n1000 app fail 90 1\n9000 app end 0");
    assert_eq!(told.finished[0].containers[0].hook, None);
    let told = case.run("0 app start\n900 app deleted\n1000 app fail 90 1\n1010 app term\n9000 app end 0");
    assert_eq!(told.finished[0].containers[0].hook.unwrap().result, Some(HookResult::Failed));
}

#[test]
fn the_post_start_hook_with_the_same_command() {
    let command = LifecycleHandler::Exec(HOOK.split(' ').map(str::to_owned).collect());
    let case = Case { post_start: Some(command), ..Case::default() };
    case.check(
        "0 app start
         50 app hook 90
         3050 app exit 90 0
         3900 app deleted
         4000 app hook 100
         7000 app exit 100 0
         7010 app term
         8000 app end 0",
        "graceful 4000..8001 deletion
         app: graceful hook 4000..7000 success SIGTERM@7010 handled exit@8000=0",
    );
    let told = case.run("0 app start\n50 app hook 90\n60 app deleted\n3050 app exit 90 0\n20000 app end 0");
    assert_eq!(told.finished[0].containers[0].hook, None);
    // Long after the start it is no postStart hook.
    let told = case.run("0 app start\n20000 app hook 90\n23000 app exit 90 0\n23010 app term\n24000 app end 0");
    assert_eq!(told.finished[0].start, ms("20000"));
}
