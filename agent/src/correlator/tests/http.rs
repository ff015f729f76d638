//! Hooks that are requests of the kubelet.

use super::*;

fn http(path: &str) -> LifecycleHandler {
    LifecycleHandler::Http { https: false, host: None, port: "8080".to_owned(), path: path.to_owned() }
}

fn case() -> Case {
    Case { handler: Some(http("/prestop?sleep=2")), ..Case::default() }
}

fn with_post_start(path: &str) -> Case {
    Case { post_start: Some(http(path)), ..case() }
}

#[test]
fn answered() {
    for (status, result, finding) in [
        ("200", "success", ""),
        ("302", "success", ""),
        ("404", "failed", " PRESTOP_FAILED"),
        ("500", "failed", " PRESTOP_FAILED"),
    ] {
        for deleted in ["", "900 app deleted"] {
            let script = format!(
                "0 app start
                 {deleted}
                 1000 app ask /prestop?sleep=2
                 3000 app answer {status}
                 3012 app term
                 3013 app deliver TERM handler
                 4000 app end 0"
            );
            let reason = if deleted.is_empty() { "" } else { " deletion" };
            let expect = format!(
                "graceful 1000..4001{reason}{finding}
                 app: graceful hook 1000..3000 {result}={status} SIGTERM@3012 handled exit@4000=0"
            );
            let told = case().check(&script, &expect);
            let hook = told.finished[0].containers[0].hook.unwrap();
            assert_eq!((hook.handler, hook.processes, hook.cpu), (Handler::Http, None, None));
            if !deleted.is_empty() {
                assert_eq!(told.changed[0].phase, Phase::InHook, "with a known deletion it shows at once");
            }
        }
    }
}

#[test]
fn not_answered_until_grace_was_over() {
    case().check(
        "0 app start
         900 app deleted
         1000 app ask /prestop?sleep=2
         31000 app term
         31001 app deliver TERM handler
         31500 app end 0",
        "graceful 1000..31501 deletion PRESTOP_TIMEOUT GRACE_NEARLY_EXHAUSTED
         app: graceful hook 1000..31500 timeout SIGTERM@31000 handled exit@31500=0",
    );
    case().check(
        "0 app start
         1000 app ask /prestop?sleep=2
         31000 app term
         31200 app answer 200
         31500 app end 0",
        "graceful 1000..31501 PRESTOP_TIMEOUT GRACE_NEARLY_EXHAUSTED
         app: graceful hook 1000..31200 timeout=200 SIGTERM@31000 handled exit@31500=0",
    );
}

#[test]
fn a_connection_that_breaks_is_a_failure() {
    case().check(
        "0 app start
         900 app deleted
         1000 app ask /prestop?sleep=2
         4000 app term
         5000 app end 0",
        "graceful 1000..5001 deletion PRESTOP_FAILED
         app: graceful hook 1000..4000 failed SIGTERM@4000 handled exit@5000=0",
    );
}

#[test]
fn interrupted() {
    for deleted in ["", "900 app deleted"] {
        let script = format!("0 app start\n{deleted}\n1000 app ask /prestop?sleep=2\n1500 app end SIGSEGV");
        let told = case().run(&script);
        let container = &told.finished[0].containers[0];
        let hook = container.hook.unwrap();
        assert_eq!((hook.result, hook.end), (Some(HookResult::Interrupted), Some(ms("1500"))));
        assert_eq!(container.outcome, Some(Outcome::Crashed));
    }
}

/// As recorded: the kubelet asks over the connection of the postStart hook.
#[test]
fn the_connection_of_the_post_start_hook_is_used_again() {
    with_post_start("/poststart").check(
        "0 app start
         5 app ask /poststart
         6 app answer 200
         900 app deleted
         1000 app ask /prestop?sleep=2
         3000 app answer 204
         3012 app term
         4000 app end 0",
        "graceful 1000..4001 deletion
         app: graceful hook 1000..3000 success=204 SIGTERM@3012 handled exit@4000=0",
    );
}

#[test]
fn an_answer_over_another_connection_is_none() {
    case().check(
        "0 app start
         900 app deleted
         1000 app ask /prestop?sleep=2 flow=1
         1500 app answer 500 flow=2
         3000 app answer 200 flow=1
         3012 app term
         4000 app end 0",
        "graceful 1000..4001 deletion
         app: graceful hook 1000..3000 success=200 SIGTERM@3012 handled exit@4000=0",
    );
}

#[test]
fn the_post_start_hook_with_the_same_path() {
    let same = with_post_start("/prestop?sleep=2");
    same.check(
        "0 app start
         5 app ask /prestop?sleep=2
         6 app answer 500
         900 app deleted
         1000 app ask /prestop?sleep=2
         3000 app answer 200
         3012 app term
         4000 app end 0",
        "graceful 1000..4001 deletion
         app: graceful hook 1000..3000 success=200 SIGTERM@3012 handled exit@4000=0",
    );
    // Deleted before the postStart hook was there, and stopped by nobody.
    let told = same.run("0 app start\n1 app deleted\n5 app ask /prestop?sleep=2\n6 app answer 200\n9000 app end 0");
    assert_eq!(told.finished[0].containers[0].hook, None);
    // The postStart hook found nobody who listens, so the only request was the preStop's.
    same.check(
        "0 app start
         1000 app ask /prestop?sleep=2
         3000 app answer 200
         3012 app term
         4000 app end 0",
        "graceful 1000..4001
         app: graceful hook 1000..3000 success=200 SIGTERM@3012 handled exit@4000=0",
    );
}

#[test]
fn another_path_is_no_hook() {
    let script = |path: &str| {
        format!(
            "0 app start
             900 app deleted
             1000 app ask {path}
             1001 app answer 200
             1012 app term
             2000 app end 0"
        )
    };
    // What it was for nobody knows: so nobody knows either that the hook did not get through.
    with_post_start("/other").check(
        &script("/prestop"),
        "graceful 1012..2001 deletion
         app: graceful SIGTERM@1012 handled exit@2000=0",
    );
    with_post_start("/other").check(
        &script("/other"),
        "graceful 1012..2001 deletion PRESTOP_FAILED
         app: graceful hook ~1012..1012 failed SIGTERM@1012 handled exit@2000=0",
    );
}

#[test]
fn a_path_that_was_cut() {
    case().check(
        "0 app start
         1000 app ask /presto cut
         3000 app answer 200
         3012 app term
         4000 app end 0",
        "graceful 1000..4001
         app: graceful hook 1000..3000 success=200 SIGTERM@3012 handled exit@4000=0",
    );
}

#[test]
fn a_restarted_kubelet_asks_again() {
    case().check(
        "0 app start
         900 app deleted
         1000 app ask /prestop?sleep=2 flow=1
         9000 app ask /prestop?sleep=2 flow=2
         11000 app answer 200 flow=2
         11012 app term
         12000 app end 0",
        "graceful 1000..12001 deletion
         app: graceful hook 1000..11000 success=200 SIGTERM@11012 handled exit@12000=0",
    );
}

/// Nothing listens: the kubelet gives up, and its stop signal follows within milliseconds.
#[test]
fn refused() {
    for deleted in ["", "900 app deleted"] {
        let reason = if deleted.is_empty() { "" } else { " deletion" };
        let script = format!("0 app start\n{deleted}\n40000 app term\n40001 app deliver TERM handler\n41000 app end 0");
        let script = script.replace("900", "39800");
        case().check(
            &script,
            &format!(
                "graceful 40000..41001{reason} PRESTOP_FAILED
                 app: graceful hook ~40000..40000 failed SIGTERM@40000 handled exit@41000=0"
            ),
        );
    }
}

/// The agent came after the kubelet had begun: whether it asked, nobody knows.
#[test]
fn what_came_before_the_agent_is_not_refused() {
    let told = case().run_from(5000, 900, "9000 app term\n9500 app end 0");
    let hook = told.finished[0].containers[0].hook.unwrap();
    assert_eq!((hook.start, hook.end, hook.result, hook.inferred), (ms("1900"), Some(ms("9000")), None, true));
    assert!(!told.finished[0].complete);
}

/// The kubelet was started anew in another cgroup, and asked before it was found there: nobody knows.
#[test]
fn what_came_while_the_kubelet_was_not_watched_is_not_refused() {
    let script = |kubelet: &str| {
        format!(
            "0 app start\n39000 app deleted\n{kubelet}\n42000 app term\n42001 app deliver TERM handler\n43000 app end 0"
        )
    };
    case().check(
        &script("40500 app kubelet gone\n41000 app kubelet watched"),
        "graceful 40000..43001 deletion
         app: graceful hook ~40000..42000 - SIGTERM@42000 handled exit@43000=0",
    );
    case().check(
        &script("30000 app kubelet watched"),
        "graceful 42000..43001 deletion PRESTOP_FAILED
         app: graceful hook ~42000..42000 failed SIGTERM@42000 handled exit@43000=0",
    );
}

#[test]
fn what_nobody_can_see_is_concluded() {
    let https = LifecycleHandler::Http { https: true, host: None, port: "8443".to_owned(), path: "/bye".to_owned() };
    let elsewhere = LifecycleHandler::Http {
        https: false,
        host: Some("lb".to_owned()),
        port: "80".to_owned(),
        path: "/x".to_owned(),
    };
    let blind = Case { sight: Sight::without(["cgroup_skb_ingress"]), ..case() };
    for case in [Case { handler: Some(https), ..case() }, Case { handler: Some(elsewhere), ..case() }, blind] {
        let told = case.check(
            "0 app start
             900 app deleted
             4012 app term
             5000 app end 0",
            "graceful 1900..5001 deletion
             app: graceful hook ~1900..4012 - SIGTERM@4012 handled exit@5000=0",
        );
        assert_eq!(told.changed[0].phase, Phase::InHook);
        case.check(
            "0 app start
             900 app deleted
             31000 app term
             31500 app end 0",
            "graceful 1900..31501 deletion PRESTOP_TIMEOUT GRACE_NEARLY_EXHAUSTED
             app: graceful hook ~1900..31000 timeout SIGTERM@31000 handled exit@31500=0",
        );
        case.check(
            "0 app start
             900 app deleted
             4000 app end 1",
            "completed 1900..4001 deletion
             app: completed hook ~1900..4000 interrupted exit@4000=1",
        );
        // Without a known deletion there is nothing to conclude from.
        case.check(
            "0 app start
             4012 app term
             5000 app end 0",
            "graceful 4012..5001
             app: graceful SIGTERM@4012 handled exit@5000=0",
        );
    }
}

#[test]
fn connections_are_counted_from_the_first_record_in_the_container() {
    let counted = |before: &str, after: &str| {
        let script = format!(
            "0 app start
             900 app deleted
             {before}
             1000 app ask /prestop?sleep=2
             {after}
             3000 app answer 200
             3012 app term
             3500 app conns in=3 total=104
             4000 app end 0"
        );
        let connections = case().run(&script).finished[0].containers[0].connections.clone();
        (connections.at_start, connections.partial)
    };
    let twenty = Some(Directions { inbound: 20, outbound: 0 });
    assert_eq!(counted("", "2000 app conns in=20 total=100"), (twenty, true));
    assert_eq!(counted("950 app conns in=20 total=100", ""), (twenty, false), "the request came with counts");
}

/// The kubelet was started after the agent, say.
#[test]
fn what_was_seen_counts_though_not_everything_can_be_seen() {
    let blind = Case { sight: Sight::without(["cgroup_skb_egress"]), ..case() };
    let script = |answer: &str| {
        format!("0 app start\n900 app deleted\n1000 app ask /prestop?sleep=2\n{answer}\n3012 app term\n4000 app end 0")
    };
    blind.check(
        &script("3000 app answer 200"),
        "graceful 1000..4001 deletion
         app: graceful hook 1000..3000 success=200 SIGTERM@3012 handled exit@4000=0",
    );
    blind.check(
        &script(""),
        "graceful 1900..4001 deletion
         app: graceful hook ~1900..3012 - SIGTERM@3012 handled exit@4000=0",
    );
}
