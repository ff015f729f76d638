use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{
    ContainerId, ContainerSpec, LifecycleHandler, Probe, ProbeKind, Reason, Role, Signal, WallTime, Workload,
};

fn one(text: &str) -> Pod {
    let mut list = PodList::parse(text).unwrap();
    assert!(list.skipped.is_empty(), "{:?}", list.skipped);
    assert_eq!(list.pods.len(), 1);
    list.pods.remove(0)
}

macro_rules! fixture {
    ($name:literal) => {
        one(include_str!(concat!("../testdata/", $name)))
    };
}

/// A pod of this much JSON after its name and uid.
fn with(metadata: &str, rest: &str) -> Pod {
    one(&format!(r#"{{"kind":"Pod","metadata":{{"name":"web-1","namespace":"shop","uid":"u1"{metadata}}}{rest}}}"#))
}

fn wall(text: &str) -> Option<WallTime> {
    let at: jiff::Timestamp = text.parse().unwrap();
    Some(WallTime(i64::try_from(at.as_nanosecond()).unwrap()))
}

fn command(words: &[&str]) -> Option<LifecycleHandler> {
    Some(LifecycleHandler::Exec(words.iter().map(|word| (*word).to_owned()).collect()))
}

#[test]
fn exec_hook_as_the_kubelet_serves_it() {
    let pod = fixture!("exec-prestop/kubelet-pods-terminating.json");
    assert_eq!(pod.uid.as_str(), "8c577ce9-7ba8-49d7-bb86-02e0dd29498b");
    assert_eq!((&*pod.namespace, &*pod.name, pod.node.as_deref()), ("default", "exec-prestop", Some("node1")));
    assert_eq!(pod.requested, wall("2026-11-20T21:01:38Z"));
    assert_eq!(pod.grace_period, Some(Duration::from_secs(10)));
    assert_eq!(pod.workload, Workload { kind: "Pod".into(), name: "exec-prestop".into() });
    let [main] = &pod.containers[..] else { panic!("{pod:?}") };
    assert_eq!((&*main.name, &*main.image, main.role), ("main", "k8s.local/busybox:1", Role::App));
    let id = "4cbdc819cbb113038777254d8d1d2bbcee101a9fd39800b59513bec015a69602";
    assert_eq!(main.id, Some(ContainerId::new(id)));
    let script = "echo prestop-start > /proc/1/fd/1; sleep 3; echo prestop-end > /proc/1/fd/1";
    assert_eq!(main.pre_stop, command(&["sh", "-c", script]));
    let before = fixture!("exec-prestop/kubelet-pods-running.json");
    assert_eq!((before.requested, before.grace_period), (None, pod.grace_period));
}

#[test]
fn other_real_pods() {
    let http = fixture!("http-prestop/kubelet-pods-running.json");
    assert!(matches!(http.containers[0].pre_stop, Some(LifecycleHandler::Http { .. })), "{http:?}");
    let sleep = fixture!("sleep-prestop/kubelet-pods-running.json");
    assert!(
        matches!(sleep.containers[0].pre_stop, Some(LifecycleHandler::Sleep(time)) if !time.is_zero()),
        "{sleep:?}"
    );
    for pod in [
        fixture!("guaranteed/kubelet-pods-running.json"),
        fixture!("burstable/kubelet-pods-terminating.json"),
        fixture!("fail-prestop/kubelet-pods-terminating.json"),
    ] {
        assert!(pod.containers.iter().all(|container| container.id.is_some()));
    }
}

#[test]
fn graces() {
    let requested = |metadata: &str, rest: &str| {
        let pod = with(metadata, rest);
        (pod.requested, pod.grace_period.map(|grace| grace.as_secs()))
    };
    let deleted = |grace: &str| format!(r#","deletionTimestamp":"2026-11-20T21:01:48Z"{grace}"#);
    let spec = r#","spec":{"terminationGracePeriodSeconds":10}"#;
    assert_eq!(requested("", ""), (None, Some(30)), "the default");
    assert_eq!(requested("", spec), (None, Some(10)));
    assert_eq!(requested("", r#","spec":{"terminationGracePeriodSeconds":-5}"#), (None, Some(1)));
    let four = requested(&deleted(r#","deletionGracePeriodSeconds":4"#), spec);
    assert_eq!(four, (wall("2026-11-20T21:01:44Z"), Some(4)));
    assert_eq!(requested(&deleted(""), spec), (wall("2026-11-20T21:01:38Z"), Some(10)));
    // A force delete, while containers run.
    let zero = deleted(r#","deletionGracePeriodSeconds":0"#);
    assert_eq!(requested(&zero, spec), (wall("2026-11-20T21:01:48Z"), Some(1)), "the kubelet grants one");
    assert_eq!(requested("", r#","spec":{"terminationGracePeriodSeconds":0}"#), (None, Some(1)));
    // The kubelet's last write, as 1.36 does it and as older ones.
    let ended = format!(r#"{spec},"status":{{"phase":"Succeeded"}}"#);
    assert_eq!(requested(&zero, &ended), (None, Some(10)));
    let ended =
        format!(r#"{spec},"status":{{"phase":"Running","containerStatuses":[{{"state":{{"terminated":{{}}}}}}]}}"#);
    assert_eq!(requested(&zero, &ended), (None, Some(10)));
    let running = |init: &str| {
        let waiting = r#"{"state":{"waiting":{"reason":"CrashLoopBackOff"}}}"#;
        requested(
            &zero,
            &format!(r#"{spec},"status":{{"containerStatuses":[{waiting}],"initContainerStatuses":[{init}]}}"#),
        )
    };
    assert_eq!(running(""), (None, Some(10)), "it waited to be started again");
    assert_eq!(running(r#"{"state":{"running":{}}}"#).1, Some(1));
    assert_eq!(requested(r#","deletionTimestamp":"soon""#, spec), (None, Some(10)));
    let extremes = format!(r#"{},"deletionGracePeriodSeconds":{}"#, deleted(""), i64::MAX);
    assert_eq!(requested(&extremes, spec).0, None, "does not overflow");
}

#[test]
fn roles_ids_hooks_and_signals() {
    let pod = with(
        "",
        r#","spec":{
        "containers":[
            {"name":"app","image":"a","lifecycle":{"stopSignal":"SIGUSR1","preStop":{"httpGet":{"port":"web","path":null}}}},
            {"name":"tcp","lifecycle":{"preStop":{"tcpSocket":{"port":1}},"stopSignal":"nonsense"}},
            {"name":"none","lifecycle":{"preStop":{}}},
            {"name":""}, {}],
        "initContainers":[{"name":"mesh","restartPolicy":"Always","lifecycle":{"preStop":{"httpGet":{"port":80,"path":"/x?y"}}}},
            {"name":"setup"}],
        "ephemeralContainers":[{"name":"debug","lifecycle":null}]},
        "status":{"containerStatuses":[{"name":"app","containerID":"cri-o://abc"},{"name":"tcp","containerID":""},{"containerID":"x"}],
            "initContainerStatuses":[{"name":"mesh","containerID":"def"},{"name":"app","containerID":"not its"}],
            "ephemeralContainerStatuses":null}"#,
    );
    let got: Vec<_> = pod
        .containers
        .iter()
        .map(|c| (&*c.name, c.role, c.id.as_ref().map(ContainerId::as_str), c.stop_signal, c.pre_stop.clone()))
        .collect();
    let http = |path: &str, port: &str| {
        Some(LifecycleHandler::Http { https: false, host: None, path: path.into(), port: port.into() })
    };
    assert_eq!(
        got,
        [
            ("app", Role::App, Some("abc"), Some(Signal(10)), http("/", "web")),
            ("tcp", Role::App, None, None, Some(LifecycleHandler::Tcp)),
            ("none", Role::App, None, None, None),
            ("mesh", Role::Sidecar, Some("def"), None, http("/x?y", "80")),
            ("setup", Role::Init, None, None, None),
            ("debug", Role::Ephemeral, None, None, None),
        ]
    );
}

#[test]
fn workloads() {
    let check = |metadata: &str, kind: &str, name: &str| {
        assert_eq!(with(metadata, "").workload, Workload { kind: kind.into(), name: name.into() }, "{metadata}");
    };
    let owner = |kind: &str, name: &str| {
        format!(
            r#","ownerReferences":[{{"kind":"X","name":"x"}},{{"kind":"{kind}","name":"{name}","controller":true}}]"#
        )
    };
    let hash = r#","labels":{"pod-template-hash":"777df7488f"}"#;
    check("", "Pod", "web-1");
    check(r#","ownerReferences":[{"kind":"X","name":"x"}]"#, "Pod", "web-1");
    check(&(owner("ReplicaSet", "web-777df7488f") + hash), "Deployment", "web");
    check(&owner("ReplicaSet", "web-777df7488f"), "ReplicaSet", "web-777df7488f");
    check(&(owner("ReplicaSet", "by-hand") + hash), "ReplicaSet", "by-hand");
    check(&(owner("ReplicaSet", "-777df7488f") + hash), "ReplicaSet", "-777df7488f");
    check(&owner("Job", "report-29401920"), "CronJob", "report");
    check(&owner("Job", "report-1"), "Job", "report-1");
    check(&owner("Job", "report-2940192x"), "Job", "report-2940192x");
    check(&owner("StatefulSet", "db"), "StatefulSet", "db");
    check(&owner("Node", "1"), "Pod", "web");
    check(&owner("Node", "web-1"), "Pod", "web-1");
    check(&owner("Node", "node1"), "Pod", "web-1");
    let rollout = r#","labels":{"rollouts-pod-template-hash":"6fb8","pod-template-hash":null}"#;
    check(&(owner("ReplicaSet", "web-6fb8") + rollout), "Rollout", "web");
    check(&(owner("ReplicaSet", "web-") + r#","labels":{"pod-template-hash":""}"#), "ReplicaSet", "web-");
}

#[test]
fn reasons() {
    let check = |status: &str, expect: Option<Reason>| {
        let pod = with("", &format!(r#","status":{{{status}}}"#));
        assert_eq!(pod.reason, expect, "{status}");
    };
    let target = |reason: &str, holds: &str| {
        format!(
            r#""conditions":[{{"type":"Ready","status":"True","reason":"PreemptionByScheduler"}},
                {{"type":"DisruptionTarget","status":"{holds}","reason":"{reason}"}}]"#
        )
    };
    check("", None);
    check(r#""conditions":null,"reason":null"#, None);
    check(&target("PreemptionByScheduler", "True"), Some(Reason::Preemption));
    check(&target("PreemptionByScheduler", "False"), None);
    check(&target("EvictionByEvictionAPI", "True"), Some(Reason::Eviction));
    check(&target("DeletionByTaintManager", "True"), Some(Reason::Eviction));
    check(&target("DeletionByPodGC", "True"), Some(Reason::Deletion));
    check(&target("TerminationByKubelet", "True"), Some(Reason::Eviction));
    check(&target("Else", "True"), None);
    check(r#""reason":"Evicted""#, Some(Reason::Eviction));
    check(r#""reason":"NodeAffinity""#, None);
    for (reason, expect) in [
        ("Terminated", Reason::NodeShutdown),
        ("NodeShutdown", Reason::NodeShutdown),
        ("Preempting", Reason::Preemption),
        ("Evicted", Reason::Eviction),
    ] {
        check(&format!(r#""reason":"{reason}",{}"#, target("TerminationByKubelet", "True")), Some(expect));
    }
}

#[test]
fn addresses() {
    let check = |spec: &str, status: &str, expect: &[&str]| {
        let pod = with("", &format!(r#","spec":{{{spec}}},"status":{{{status}}}"#));
        let got: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(got, expect, "{spec} {status}");
        assert_eq!(pod.host_network, !spec.is_empty());
    };
    let host = r#""hostIP":"10.87.0.2","hostIPs":[{"ip":"10.87.0.2"},{"ip":"fd00::2"}]"#;
    check("", host, &[]);
    check(
        "",
        r#""podIP":"10.88.0.26","podIPs":[{"ip":"10.88.0.26"},{"ip":"fd00::26"},{},{"ip":"x"}]"#,
        &["10.88.0.26", "fd00::26"],
    );
    check("", r#""podIP":"10.88.0.26","podIPs":null"#, &["10.88.0.26"]);
    check(r#""hostNetwork":true"#, host, &["10.87.0.2", "fd00::2"]);
    check(r#""hostNetwork":true"#, r#""hostIP":"10.87.0.2""#, &["10.87.0.2"]);
}

#[test]
fn handlers_and_probes() {
    let pod = with(
        "",
        r#","spec":{"containers":[{"name":"web",
            "ports":[{"containerPort":9},{"name":"http","containerPort":8080},{"name":"odd"}],
            "lifecycle":{
                "postStart":{"httpGet":{"path":"up","port":"http","scheme":"HTTPS","host":"10.0.0.9"}},
                "preStop":{"httpGet":{"port":"odd","host":"","scheme":"HTTP"}}},
            "livenessProbe":{"exec":{"command":["test","-e","/ok"]},"periodSeconds":1},
            "readinessProbe":{"httpGet":{"path":"/ready","port":"http"}},
            "startupProbe":null},
            {"name":"odd","lifecycle":{"preStop":{"httpGet":{"port":70000}}},"startupProbe":{"exec":{}}}]}"#,
    );
    let [web, odd] = &pod.containers[..] else { panic!("{pod:?}") };
    let http = |https, host: Option<&str>, port: &str, path: &str| {
        Some(LifecycleHandler::Http { https, host: host.map(Into::into), port: port.into(), path: path.into() })
    };
    assert_eq!(web.post_start, http(true, Some("10.0.0.9"), "8080", "/up"));
    assert_eq!(web.pre_stop, http(false, None, "odd", "/"));
    let exec = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(
        web.probes,
        [
            Probe { kind: ProbeKind::Liveness, command: exec(&["test", "-e", "/ok"]) },
            Probe { kind: ProbeKind::Readiness, command: None }
        ]
    );
    assert_eq!(odd.pre_stop, http(false, None, "70000", "/"));
    assert_eq!(odd.probes, [Probe { kind: ProbeKind::Startup, command: exec(&[]) }]);
}

#[test]
fn sidecars_by_name_have_an_app_beside_them() {
    let roles = |names: &[&str]| {
        let containers: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        let pod = with(
            "",
            &format!(
                r#","spec":{{"containers":[{}],"initContainers":[{{"name":"istio-proxy"}}]}}"#,
                containers.join(",")
            ),
        );
        pod.containers.iter().map(|container| container.role).collect::<Vec<_>>()
    };
    assert_eq!(roles(&["istio-proxy", "app"]), [Role::Sidecar, Role::App, Role::Init]);
    assert_eq!(roles(&["istio-proxy"]), [Role::App, Role::Init]);
    assert_eq!(roles(&["istio-proxy", "daprd"]), [Role::App, Role::App, Role::Init]);
}

#[test]
fn the_instance_before_is_one_of_its_own() {
    let of = |status: &str| {
        let pod = with(
            "",
            &format!(
                r#","spec":{{"containers":[{{"name":"app","image":"a"}},{{"name":"b"}}]}},"status":{{"containerStatuses":[{{"name":"app",{status}}}]}}"#
            ),
        );
        let id = |spec: &ContainerSpec| spec.id.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        pod.containers
            .iter()
            .map(|spec| format!("{}:{}:{}", spec.name, id(spec), spec.image))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let before = r#""lastState":{"terminated":{"containerID":"containerd://1"}}"#;
    assert_eq!(
        of(&format!(r#""containerID":"containerd://2","state":{{"running":{{}}}},{before}"#)),
        "app:2:a app:1:a b:-:"
    );
    assert_eq!(of(&format!(r#""containerID":"containerd://1","state":{{"waiting":{{}}}},{before}"#)), "app:1:a b:-:");
    assert_eq!(of(r#""state":{"terminated":{"containerID":"containerd://3"}}"#), "app:3:a b:-:");
    assert_eq!(of(r#""state":null,"lastState":{"terminated":null}"#), "app:-:a b:-:");
}

#[test]
fn watch_events() {
    let parse = |line: &str| WatchEvent::parse(line).unwrap();
    let pod = r#"{"metadata":{"name":"a","uid":"1","resourceVersion":"7"}}"#;
    let (WatchEvent::Applied(read), version) = parse(&format!(r#"{{"type":"ADDED","object":{pod}}}"#)) else {
        panic!()
    };
    assert_eq!((&*read.name, version.as_deref()), ("a", Some("7")));
    let deleted = parse(&format!(r#"{{"object":{pod},"type":"DELETED"}}"#));
    assert!(matches!(deleted.0, WatchEvent::Deleted(pod) if pod.uid.as_str() == "1"));
    let bookmark = parse(r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"}}}"#);
    assert!(matches!(bookmark, (WatchEvent::Bookmark, Some(version)) if version == "9"));
    let error = parse(r#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#);
    assert!(matches!(error, (WatchEvent::Error(status), None) if status.contains("410")));
    let skipped = parse(r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"8"}}}"#);
    assert!(matches!(skipped, (WatchEvent::Skipped { name, .. }, Some(version)) if name == "?/a" && version == "8"));
    assert!(matches!(parse(&format!(r#"{{"type":"NEW","object":{pod}}}"#)).0, WatchEvent::Other));
    for line in ["", "{", "[]", "{}", r#"{"type":"ADDED"}"#, r#"{"type":7,"object":{}}"#] {
        assert!(WatchEvent::parse(line).is_err(), "{line}");
    }
}

#[test]
fn lists_of_the_api_server_say_where_to_go_on() {
    let list = PodList::parse(r#"{"kind":"PodList","metadata":{"resourceVersion":"70","continue":"abc"},"items":[]}"#);
    let list = list.unwrap();
    assert_eq!((list.version.as_deref(), list.next.as_deref()), (Some("70"), Some("abc")));
    let list =
        PodList::parse(r#"{"kind":"PodList","metadata":{"resourceVersion":"","continue":""},"items":[]}"#).unwrap();
    assert_eq!((list.version, list.next), (None, None));
}

#[test]
fn static_pods_go_by_their_config_hash() {
    assert_eq!(with(r#","annotations":{"kubernetes.io/config.mirror":"abc123"}"#, "").uid.as_str(), "abc123");
    assert_eq!(with(r#","annotations":{"kubernetes.io/config.hash":"abc123"}"#, "").uid.as_str(), "u1");
    let pod = one(r#"{"metadata":{"name":"etcd","annotations":{"kubernetes.io/config.hash":"abc123","x":null}}}"#);
    assert_eq!((pod.uid.as_str(), &*pod.namespace), ("abc123", "default"));
    let deleted =
        r#","deletionTimestamp":"2026-11-20T21:01:48Z","annotations":{"kubernetes.io/config.mirror":"abc123"}"#;
    assert_eq!(with(deleted, "").requested, None, "only the mirror is deleted");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_used() {
    let list = PodList::parse(
        r#"{"kind":"List","items":[
            {"metadata":{"name":"a","namespace":"n","uid":"1"}},
            {"metadata":{"name":"b","namespace":"n"}},
            {"metadata":{"name":"c","uid":"3"},"spec":{"terminationGracePeriodSeconds":"ten"}},
            {"metadata":{"uid":"4"}}, 7, null,
            {"kind":"Service","metadata":{"name":"d","uid":"5"}}]}"#,
    )
    .unwrap();
    assert_eq!(list.pods.len(), 1);
    let skipped: Vec<String> = list.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(
        skipped,
        [
            "items[1] (n/b): has no metadata.uid",
            "items[2] (?/c): invalid type: string \"ten\", expected i64",
            "items[3] (?/?): has no metadata.name",
            "items[4] (?): invalid type: integer `7`, expected struct Pod",
            "items[5] (?): invalid type: null, expected struct Pod",
            "items[6] (?/d): is a Service, not a Pod",
        ]
    );
}

#[test]
fn empty_lists() {
    for text in [
        r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}"#,
        r#"{"kind":"PodList"}"#,
        "\u{feff} {\"items\":[]}",
        include_str!("../testdata/none.json"),
    ] {
        assert_eq!(PodList::parse(text).unwrap().pods, []);
    }
}

#[test]
fn what_is_not_a_list() {
    let message = |text: &str| PodList::parse(text).unwrap_err().to_string();
    assert!(message(" \n").starts_with("empty; expected a Kubernetes PodList"));
    assert_eq!(
        message("{\n \"kind\": \"PodList\", \"items\": [{}"),
        "line 2, column 32: cannot be read as JSON: EOF while parsing a list"
    );
    assert!(message("kind: PodList\nitems: []\n").contains("it looks like YAML: convert it"));
    assert!(message(r#"{"kind":"ConfigMap","metadata":{}}"#).contains("got the kind ConfigMap; the kubelet serves"));
    assert!(message("[]").contains("got a JSON array"));
    assert!(message("{}").contains("neither kind nor items"));
    assert!(message(r#"{"kind":"PodList","items":{}}"#).contains("invalid type: map, expected a sequence"));
}

#[test]
fn every_prefix_of_a_real_file_is_an_error_and_no_panic() {
    let text = include_str!("../testdata/exec-prestop/kubelet-pods-terminating.json");
    let text = text.trim_end();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        assert!(PodList::parse(&text[..end]).is_err(), "{end}");
    }
}

proptest! {
    #[test]
    fn never_panics(text in ".*") {
        let _ = PodList::parse(&text);
    }

    #[test]
    fn never_panics_on_changed_files(at in 0..4800_usize, with in "[\\x20-\\x7e]{0,4}") {
        let text = include_str!("../testdata/exec-prestop/kubelet-pods-terminating.json");
        let changed = format!("{}{with}{}", &text[..at.min(text.len())], &text[(at + 2).min(text.len())..]);
        let _ = PodList::parse(&changed);
    }
}
