//! What is found, and in which words.

use super::*;

/// The findings of a script's only termination, a message and an advice each.
fn findings(case: &Case, script: &str) -> String {
    let told = case.run(script);
    assert_eq!(told.finished.len(), 1);
    let line = |it: &Finding| format!("{}: {}\n  -> {}\n", it.id.as_str(), it.message, it.advice);
    told.finished[0].findings.iter().map(line).collect()
}

/// Clients that still come: one each 100 ms after `from`, `count` of them, each closed at once. Times are milliseconds.
fn clients(from: u64, count: u64) -> String {
    let line = |number: u64| {
        let (at, client) = (from + 100 * number, 7 + number % 5);
        let (total, late) = (91 + number, number + 1);
        format!(
            "{at} app conns in=0 total={total} late={late}\n{at} app open 10.0.0.{client}:{} late opened={at}\n\
             {at}.2 app close 10.0.0.{client}:{} late opened={at}\n",
            4_000 + number,
            4_000 + number,
        )
    };
    (0..count).map(line).collect()
}

#[test]
fn words_of_connections() {
    let default = Case::default();
    let pod = Case { hook: None, ..Case::with(&[("app", Role::App), ("istio-proxy", Role::Sidecar)]) };
    let stopped = "0 app start\n500 app conns total=90\n1000 app term\n1001 app deliver TERM handler\n";
    let hooked = "0 app start\n500 app conns total=90\n1000 app hook 9\n6000 app exit 9 0\n6005 app term\n6006 app deliver TERM handler\n";
    let scripts = [
        (
            "clients are cut, and it is known whose they are",
            &default,
            "0 app start\n500 app conns in=6 total=6\n1000 app term\n2000 app dead 0
             2000.1 app close 10.0.0.9:1\n2000.1 app close 10.0.0.9:2\n2000.1 app close 10.0.0.9:3
             2000.2 app close 10.0.0.8:1\n2000.3 app close 10.0.0.7:1\n2000.4 app close [fd00::1]:1
             2001 app empty\n2010 app removed"
                .to_owned(),
        ),
        (
            "late clients, served to their end, after a hook that is too short; quiet before the end",
            &default,
            format!("{hooked}{}14000 app end 0", clients(7_000, 14)),
        ),
        (
            "endpoint race: new clients up to the end",
            &default,
            format!("{stopped}{}2005 app end 0", clients(1_010, 10)),
        ),
        (
            "endpoint race: clients that are refused after the end",
            &default,
            "0 app start\n1000 app term\n1005 app dead SIGTERM\n1006 app conns refused=1\n1007 app empty
             1020 app conns refused=3\n1020 app removed"
                .to_owned(),
        ),
        (
            "clients that are refused while it drains, and none after it",
            &default,
            format!("{stopped}1500 app conns refused=1\n1500 app exec 7 x\n1501 app exit 7 0\n9000 app end 0"),
        ),
        (
            "refused by a crash",
            &default,
            "0 app start\n1000 app dead SIGSEGV\n1000.5 app conns refused=4\n1001 app empty\n1002 app removed"
                .to_owned(),
        ),
        ("two late clients are no traffic", &default, format!("{stopped}{}1150 app end 0", clients(1_010, 2))),
        ("traffic that ended well before the end", &default, format!("{stopped}{}2500 app end 0", clients(1_010, 10))),
        (
            "a sidecar that is stopped with its application",
            &pod,
            "0 app start\n0 istio-proxy start\n900 app deleted\n1000 app term\n1000 istio-proxy term
             1200 istio-proxy end 0\n1300 app conns failed=1\n1300 app refusal 10.9.0.1:443
             2300 app conns failed=2\n2300 app refusal 10.9.0.1:443\n4400 app end 0"
                .to_owned(),
        ),
        (
            "a sidecar that crashes first",
            &pod,
            "0 app start\n0 istio-proxy start\n900 app deleted\n1000 app term
             1200 istio-proxy end SIGSEGV\n4400 app end 0"
                .to_owned(),
        ),
        (
            "a native sidecar",
            &pod,
            "0 app start\n0 istio-proxy start\n900 app deleted\n1000 app term\n3000 app end 0
             3100 istio-proxy term\n3200 istio-proxy end 0"
                .to_owned(),
        ),
    ];
    let all: Vec<String> =
        scripts.iter().map(|(name, case, script)| format!("# {name}\n{}", findings(case, script))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn words() {
    let default = Case::default();
    let http = Case {
        handler: Some(LifecycleHandler::Http {
            https: false,
            host: None,
            port: "8080".to_owned(),
            path: "/bye".to_owned(),
        }),
        ..Case::default()
    };
    let sleep = Case { handler: Some(LifecycleHandler::Sleep(Duration::from_secs(60))), ..Case::default() };
    let no_grace = Case { grace: Some(1), ..Case::default() };
    let scripts = [
        (
            "failed hook",
            &default,
            "0 app start\n1000 app hook 100\n1500 app exit 100 3\n1505 app term\n2000 app end 0",
        ),
        ("missing hook", &default, "0 app start\n1002 app fail 100 1\n1005 app term\n2000 app end 0"),
        (
            "hanging, costly hook and cut connections",
            &default,
            "0 app start\n500 app conns in=20 total=20\n1000 app hook 100\n31000 app term\n31001 app deliver TERM handler
             33000 app kill\n33001 app exit 100 SIGKILL cpu=9000 processes=1500\n33001 app end SIGKILL",
        ),
        (
            "no handler",
            &default,
            "0 app start\n1000 app term ignored comm=node\n31000 app kill\n31001 app end SIGKILL",
        ),
        ("no handler, but left", &default, "0 app start\n1000 app term ignored comm=node\n3000 app end 0"),
        ("shell", &default, "0 app start\n1000 app term ignored comm=sh\n31000 app kill\n31001 app end SIGKILL"),
        (
            "shell with a trap that does not forward",
            &default,
            "0 app start\n1000 app term comm=bash\n1001 app deliver TERM handler\n27000 app end 0",
        ),
        (
            "shell with a trap that is quick after a hook that is not",
            &default,
            "0 app start\n1000 app hook 100\n31000 app term comm=sh\n31001 app deliver TERM handler
             32000 app end 0\n32000 app exit 100 SIGKILL",
        ),
        (
            "shell with a trap that does not forward, after a hook",
            &default,
            "0 app start\n1000 app hook 100\n21000 app exit 100 0\n21001 app term comm=sh
             21002 app deliver TERM handler\n30500 app end 0",
        ),
        (
            "shell that forwards",
            &default,
            "0 app start\n1000 app term comm=bash\n1001 app deliver TERM handler\n1002 app conns forwarded=1
             31000 app kill\n31001 app end SIGKILL",
        ),
        (
            "slow drain",
            &default,
            "0 app start\n1000 app term\n1001 app deliver TERM handler\n28000 app end 0",
        ),
        ("restarted kubelet", &default, "0 app start\n1000 app term\n41000 app term\n90000 app end 0"),
        (
            "killed early",
            &default,
            "0 app start\n1000 app term\n1001 app deliver TERM handler\n5000 app kill\n5001 app end SIGKILL",
        ),
        (
            "late clients of one that dies at once",
            &default,
            "0 app start\n1000 app term\n7000 app conns in=1 total=4 late=4\n8000 app end SIGTERM",
        ),
        ("crash", &default, "0 app start\n1 app conns in=2 total=2\n1000 app end SIGSEGV"),
        ("oom", &default, "0 app start\n1000 app term\n2000 app oom init\n2001 app end SIGKILL"),
        ("no grace", &no_grace, "0 app start\n1000 app term\n1001 app deliver TERM handler\n1200 app end 0"),
        (
            "httpGet hook that says no",
            &http,
            "0 app start\n1000 app ask /bye\n3000 app answer 500\n3010 app term\n4000 app end 0",
        ),
        ("httpGet hook that nobody hears", &http, "0 app start\n1000 app term\n2000 app end 0"),
        ("httpGet hook that is hung up on", &http, "0 app start\n1000 app ask /bye\n3010 app term\n4000 app end 0"),
        ("httpGet hook that hangs", &http, "0 app start\n1000 app ask /bye\n31000 app term\n31500 app end 0"),
        ("sleep hook that is too long", &sleep, "0 app start\n40000 app term\n40500 app end 0"),
        ("late kubelet", &default, "0 app start\n1000 app deleted\n50000 app term\n50500 app end 0"),
        ("nothing", &default, "0 app start\n1000 app term\n1001 app deliver TERM handler\n1200 app end 0"),
    ];
    let all: Vec<String> =
        scripts.iter().map(|(name, case, script)| format!("# {name}\n{}", findings(case, script))).collect();
    insta::assert_snapshot!(all.join("\n"));
}
