use prost::Message;

use super::*;
use crate::model::{Connections, Directions, FindingId, Handler, HookResult, Outcome, SidecarLead, Timeline, Workload};
use crate::report::fixture::{at, full, in_progress, numbered, unknown_pod};

fn observed(timelines: &[Timeline]) -> Metrics {
    let metrics = Metrics::default();
    timelines.iter().for_each(|timeline| metrics.terminations.observe_finished(timeline));
    metrics
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.encode(Format::Text).unwrap()).unwrap()
}

fn value(metrics: &Metrics, series: &str) -> Option<String> {
    let text = text(metrics);
    text.lines().find_map(|line| Some(line.strip_prefix(series)?.strip_prefix(' ')?.to_owned()))
}

const APP: &str = r#"namespace="default",workload="web",container="app""#;
const POD: &str = r#"namespace="default",workload="web""#;

#[test]
fn one_termination() {
    let metrics = observed(&[full()]);
    for (series, expect) in [
        (format!(r#"gracetrace_pod_terminations_total{{{POD},outcome="forced",reason="deletion"}}"#), "1"),
        (format!("gracetrace_termination_duration_seconds_sum{{{POD}}}"), "32.012345678"),
        (format!(r#"gracetrace_termination_duration_seconds_bucket{{le="30.0",{POD}}}"#), "0"),
        (format!(r#"gracetrace_termination_duration_seconds_bucket{{le="35.0",{POD}}}"#), "1"),
        (format!(r#"gracetrace_grace_period_utilization_ratio_bucket{{le="1.0",{POD}}}"#), "0"),
        (format!(r#"gracetrace_grace_period_utilization_ratio_bucket{{le="1.1",{POD}}}"#), "1"),
        (format!(r#"gracetrace_prestop_hooks_total{{{APP},handler="exec",result="timeout"}}"#), "1"),
        (format!("gracetrace_prestop_duration_seconds_sum{{{APP}}}"), "32.01"),
        (format!(r#"gracetrace_stop_signals_total{{{APP},signal="SIGTERM",disposition="ignored"}}"#), "1"),
        (format!("gracetrace_sigterm_to_exit_seconds_sum{{{APP}}}"), "2.009999999"),
        (format!(r#"gracetrace_connections_at_termination_total{{{APP},direction="inbound"}}"#), "25"),
        (format!(r#"gracetrace_connections_at_termination_total{{{APP},direction="outbound"}}"#), "2"),
        (format!(r#"gracetrace_zombie_connections_total{{{APP},direction="inbound"}}"#), "20"),
        (format!(r#"gracetrace_zombie_connections_total{{{APP},direction="outbound"}}"#), "1"),
        (format!("gracetrace_late_connections_total{{{APP}}}"), "1"),
        (format!("gracetrace_aborted_connections_total{{{APP}}}"), "3"),
        (format!("gracetrace_refused_connections_total{{{APP}}}"), "4"),
        (format!("gracetrace_traffic_tail_seconds_sum{{{APP}}}"), "30.25"),
        (format!(r#"gracetrace_findings_total{{{POD},finding="GRACE_EXHAUSTED"}}"#), "1"),
    ] {
        assert_eq!(value(&metrics, &series).as_deref(), Some(expect), "{series}");
    }
}

#[test]
fn every_kind_of_hook_is_counted() {
    let of = |handler, result| {
        let mut timeline = full();
        let hook = timeline.containers[0].hook.as_mut().unwrap();
        (hook.handler, hook.result, hook.inferred) = (handler, result, handler != Handler::Exec);
        timeline
    };
    let metrics = observed(&[
        of(Handler::Http, Some(HookResult::Failed)),
        of(Handler::Http, None),
        of(Handler::Sleep, Some(HookResult::Success)),
    ]);
    for (handler, result) in [("http", "failed"), ("http", "unknown"), ("sleep", "success")] {
        let series = format!(r#"gracetrace_prestop_hooks_total{{{APP},handler="{handler}",result="{result}"}}"#);
        assert_eq!(value(&metrics, &series).as_deref(), Some("1"), "{series}");
    }
}

#[test]
fn what_is_not_measured_or_not_trusted_is_not_counted() {
    let mut unmeasured = full();
    unmeasured.containers[0].connections.at_start = None;
    let metrics = observed(&[unmeasured, unknown_pod()]);
    let text = text(&metrics);
    assert!(!text.contains("zombie") && !text.contains("connections_at_termination"), "{text}");
    assert!(!text.contains("sidecar"), "there is none: {text}");
    let unknown = r#"namespace="_unknown",workload="_unknown""#;
    let series = format!(r#"gracetrace_pod_terminations_total{{{unknown},outcome="incomplete",reason="unknown"}}"#);
    assert_eq!(value(&metrics, &series).as_deref(), Some("1"));
    assert!(!text.contains(&format!("seconds_count{{{unknown}")), "lost records: no duration");
}

#[test]
fn connections_that_nobody_measured_are_not_counted() {
    let mut blind = full();
    blind.containers[0].connections = Connections { late: Some(2), ..Connections::default() };
    let text = text(&observed(&[blind]));
    for name in ["aborted_connections", "refused_connections", "traffic_tail", "outbound_failures_after_sidecar"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    assert!(text.contains("gracetrace_late_connections_total"), "{text}");
}

#[test]
fn sidecars() {
    let metrics = observed(&[with_sidecar(110.0, 112.5, Some(9)), with_sidecar(113.0, 112.5, None)]);
    let proxy = r#"namespace="default",workload="web",container="proxy""#;
    for (series, expect) in [
        (format!("gracetrace_sidecar_lead_seconds_sum{{{proxy}}}"), "2.5"),
        (format!("gracetrace_sidecar_lead_seconds_count{{{proxy}}}"), "2"),
        (format!(r#"gracetrace_sidecar_lead_seconds_bucket{{le="0.0",{proxy}}}"#), "1"),
        (format!("gracetrace_outbound_failures_after_sidecar_total{{{APP}}}"), "9"),
    ] {
        assert_eq!(value(&metrics, &series).as_deref(), Some(expect), "{series}");
    }
    let lead = format!("gracetrace_sidecar_lead_seconds_count{{{APP}}}");
    assert_eq!(value(&metrics, &lead), None, "the application is none");
}

#[test]
fn a_crash_has_no_duration() {
    let mut crash = unknown_pod();
    (crash.outcome, crash.complete) = (Some(Outcome::Crashed), true);
    assert!(!text(&observed(&[crash])).contains("termination_duration"));
}

#[test]
fn pods_without_an_owner_share_their_labels() {
    let mut timelines = [numbered(1), numbered(2)];
    for timeline in &mut timelines {
        timeline.workload = Some(Workload { kind: "Pod".into(), name: timeline.pod.clone().unwrap() });
    }
    let series = r#"gracetrace_pod_terminations_total{namespace="default",workload="_unowned",outcome="forced",reason="deletion"}"#;
    assert_eq!(value(&observed(&timelines), series).as_deref(), Some("2"));
}

#[test]
fn what_goes_on_now() {
    let metrics = Metrics::default();
    let mut stopping = full();
    (stopping.end, stopping.phase, stopping.start) = (None, crate::model::Phase::Stopping, at(110.0));
    let at_time = |now, used, age| {
        metrics.terminations.set_in_progress([&in_progress(), &stopping], at(now));
        for (series, expect) in [
            (format!(r#"gracetrace_pods_terminating{{{POD},phase="in_hook"}}"#), "1"),
            (format!(r#"gracetrace_pods_terminating{{{POD},phase="stopping"}}"#), "1"),
            (format!("gracetrace_terminating_grace_used_ratio{{{POD}}}"), used),
            (format!("gracetrace_terminating_oldest_age_seconds{{{POD}}}"), age),
        ] {
            assert_eq!(value(&metrics, &series).as_deref(), Some(expect), "{series} at {now}");
        }
    };
    at_time(115.0, "0.5", "15.0");
    at_time(127.0, "0.9", "27.0");
    metrics.terminations.set_in_progress([], at(128.0));
    assert!(!text(&metrics).contains("terminating"));
}

#[test]
fn the_order_of_arrival_does_not_show() {
    let timelines: Vec<Timeline> = (0..50)
        .map(|number| {
            let mut timeline = numbered(number);
            timeline.workload = Some(Workload { kind: "Deployment".into(), name: format!("w-{}", number % 7).into() });
            timeline.uid = full().uid;
            timeline
        })
        .collect();
    let forward = observed(&timelines).encode_terminations().unwrap();
    let backward: Vec<Timeline> = timelines.into_iter().rev().collect();
    assert_eq!(forward, observed(&backward).encode_terminations().unwrap());
    assert!(forward.ends_with("# EOF\n"));
    assert!(forward.contains(r#" # {pod_uid="6f1f3f0e-52a5-4c1b-9d0a-0a4d6a1f9f11"} "#), "{forward}");
}

#[test]
fn series_are_capped() {
    let metrics = Metrics::new(&Settings { max_series: 1_000, ..Settings::default() });
    for number in 0..10_000 {
        let mut timeline = numbered(number);
        timeline.workload = Some(Workload { kind: "Deployment".into(), name: format!("w-{number}").into() });
        timeline.containers[0].name = Some(format!("c-{number}").into());
        metrics.terminations.observe_finished(&timeline);
    }
    let text = text(&metrics);
    assert!(text.lines().count() < 1_500, "{}", text.lines().count());
    let overflow = r#"gracetrace_pod_terminations_total{namespace="_overflow",workload="_overflow",outcome="forced",reason="deletion"}"#;
    let overflow: u64 = value(&metrics, overflow).unwrap().parse().unwrap();
    // The last workload that was let in may have taken the room that its container would have needed.
    let container = |line: &&str| {
        line.starts_with("gracetrace_late_connections_total{namespace=\"default\"")
            && line.contains("container=\"_overflow\"")
    };
    let containers = text.lines().filter(container).count() as u64;
    assert_eq!(value(&metrics, "gracetrace_series_overflow_total"), Some((overflow + containers).to_string()));
    let own = text.lines().filter(|line| line.contains("_pod_terminations_total{namespace=\"default\"")).count() as u64;
    assert_eq!(own + overflow, 10_000, "counted somewhere, every one");
    // One that was let in before stays, with all of its series.
    metrics.terminations.observe_finished(&{
        let mut timeline = full();
        timeline.workload = Some(Workload { kind: "Deployment".into(), name: "w-0".into() });
        timeline.containers[0].name = Some("c-0".into());
        timeline
    });
    let zombie = r#"gracetrace_zombie_connections_total{namespace="default",workload="w-0",container="c-0",direction="inbound"}"#;
    assert_eq!(value(&metrics, zombie).as_deref(), Some("40"));
}

#[test]
fn containers_of_one_workload_are_capped_too() {
    let metrics = Metrics::new(&Settings { max_series: 1_000, ..Settings::default() });
    for number in 0..1_000 {
        let mut timeline = full();
        timeline.containers[0].name = Some(format!("c-{number}").into());
        metrics.terminations.observe_finished(&timeline);
    }
    assert!(text(&metrics).lines().count() < 1_500);
    assert!(text(&metrics).contains(r#"workload="web",container="_overflow""#));
}

/// A finished termination of a workload of its own, `end` seconds after boot.
fn of_workload(name: &str, end: f64) -> Timeline {
    let mut timeline = full();
    timeline.workload = Some(Workload { kind: "Deployment".into(), name: name.into() });
    (timeline.start, timeline.end) = (at(end - 10.0), Some(at(end)));
    timeline
}

#[test]
fn workloads_are_forgotten_and_make_room() {
    let settings = Settings { max_series: 300, keep: std::time::Duration::from_secs(100), ..Settings::default() };
    let metrics = Metrics::new(&settings);
    let terminations = &metrics.terminations;
    let total = |workload: &str| {
        let labels = format!(r#"namespace="default",workload="{workload}",outcome="forced",reason="deletion""#);
        value(&metrics, &format!("gracetrace_pod_terminations_total{{{labels}}}"))
    };
    for (workload, end) in
        [("old", 1_000.0), ("older", 999.0), ("used", 1_000.0), ("third", 1_001.0), ("used", 1_090.0)]
    {
        terminations.observe_finished(&of_workload(workload, end));
    }
    assert_eq!(total("third"), None, "there was no room");
    let full = value(&metrics, "gracetrace_series");
    let forgotten = || value(&metrics, "gracetrace_workloads_forgotten_total").unwrap();
    assert_eq!(forgotten(), "0");
    terminations.set_in_progress([], at(1_150.0));
    assert_eq!(forgotten(), "2", "old and older");
    assert_eq!((total("old"), total("used").as_deref()), (None, Some("2")));
    assert!(!text(&metrics).contains(r#"workload="old""#), "not one series of it is left");
    assert!(text(&metrics).contains(r#"workload="_overflow""#), "these are of everybody");
    assert!(value(&metrics, "gracetrace_series") < full);
    // Its room goes to the next one, and it begins anew when it comes back.
    terminations.observe_finished(&of_workload("third", 1_160.0));
    assert_eq!(total("third").as_deref(), Some("1"));
    terminations.set_in_progress([], at(1_300.0));
    assert_eq!(forgotten(), "4");
    terminations.observe_finished(&of_workload("old", 1_301.0));
    assert_eq!((total("old").as_deref(), total("used"), total("third")), (Some("1"), None, None));
}

#[test]
fn a_workload_that_terminates_for_long_is_not_forgotten_meanwhile() {
    let settings = Settings { keep: std::time::Duration::from_secs(100), ..Settings::default() };
    let metrics = Metrics::new(&settings);
    metrics.terminations.observe_finished(&of_workload("web", 1_000.0));
    let mut open = in_progress();
    open.workload = Some(Workload { kind: "Deployment".into(), name: "web".into() });
    for now in (1_000..2_000).step_by(60) {
        metrics.terminations.set_in_progress([&open], at(f64::from(now)));
    }
    let series = format!(r#"gracetrace_pod_terminations_total{{{POD},outcome="forced",reason="deletion"}}"#);
    assert_eq!(value(&metrics, &series).as_deref(), Some("1"));
}

#[test]
fn what_goes_on_does_not_count_as_overflow_time_and_again() {
    let metrics = Metrics::new(&Settings { max_series: 0, ..Settings::default() });
    for now in 0..10 {
        metrics.terminations.set_in_progress([&in_progress()], at(115.0 + f64::from(now)));
    }
    let age = r#"gracetrace_terminating_oldest_age_seconds{namespace="_overflow",workload="_overflow"}"#;
    assert_eq!(value(&metrics, age).as_deref(), Some("24.0"));
    assert_eq!(value(&metrics, "gracetrace_series_overflow_total").as_deref(), Some("0"));
    metrics.terminations.observe_finished(&full());
    assert_eq!(value(&metrics, "gracetrace_series_overflow_total").as_deref(), Some("1"));
}

#[test]
fn labels_that_are_left_out_add_up() {
    let with = |labels: &str| {
        let settings = Settings { labels: labels.parse().unwrap(), ..Settings::default() };
        let metrics = Metrics::new(&settings);
        let mut other = of_workload("api", 1_000.0);
        other.namespace = Some("shop".into());
        other.containers[0].name = Some("server".into());
        [full(), other].iter().for_each(|timeline| metrics.terminations.observe_finished(timeline));
        metrics
    };
    let (web, api) = (r#"namespace="default",workload="web","#, r#"namespace="shop",workload="api","#);
    for (labels, pod, pods, container, containers) in [
        ("namespace,workload,container", web, "1", r#"namespace="default",workload="web",container="app","#, "1"),
        ("namespace,workload", api, "1", api, "1"),
        ("workload", r#"workload="web","#, "1", r#"workload="web","#, "1"),
        ("container", "", "2", r#"container="server","#, "1"),
        ("none", "", "2", "", "2"),
    ] {
        let metrics = with(labels);
        let series = format!(r#"gracetrace_pod_terminations_total{{{pod}outcome="forced",reason="deletion"}}"#);
        assert_eq!(value(&metrics, &series).as_deref(), Some(pods), "{labels}: {series}");
        let series = format!(r#"gracetrace_prestop_hooks_total{{{container}handler="exec",result="timeout"}}"#);
        assert_eq!(value(&metrics, &series).as_deref(), Some(containers), "{labels}: {series}");
        assert_eq!(value(&metrics, "gracetrace_series_overflow_total").as_deref(), Some("0"), "{labels}");
    }
    // With nothing to tell others by, all are one, and there is room for one.
    let settings = Settings { labels: "container".parse().unwrap(), max_series: 0, ..Settings::default() };
    let metrics = Metrics::new(&settings);
    [full(), full()].iter().for_each(|timeline| metrics.terminations.observe_finished(timeline));
    let series = r#"gracetrace_pod_terminations_total{outcome="forced",reason="deletion"}"#;
    assert_eq!(value(&metrics, series).as_deref(), Some("2"));
    assert_eq!(text(&metrics).matches(series).count(), 1, "no series is there twice");
    let series = r#"gracetrace_prestop_hooks_total{container="_overflow",handler="exec",result="timeout"}"#;
    assert_eq!(value(&metrics, series).as_deref(), Some("2"));
}

fn with_sidecar(ended: f64, application_ended: f64, failed: Option<u64>) -> Timeline {
    let mut timeline = full();
    let mut proxy = timeline.containers[0].clone();
    proxy.name = Some("proxy".into());
    proxy.sidecar_lead = Some(SidecarLead { ended: at(ended), application_ended: at(application_ended) });
    timeline.containers[0].connections.outbound_failed_after_sidecar = failed;
    timeline.containers.push(proxy);
    timeline
}

/// Everything there is, with hostile labels.
pub(super) fn everything() -> Metrics {
    let mut hostile = full();
    hostile.namespace = Some("a\"b\\c\nd\re # {x=\"1\"} 2\u{202e}\u{0}".into());
    hostile.workload = Some(Workload { kind: "Deployment".into(), name: "é".repeat(5_000).into() });
    hostile.uid = crate::model::PodUid::new("u".repeat(5_000));
    hostile.containers[0].connections.zombie = Some(Directions { inbound: u64::MAX, outbound: u64::MAX });
    hostile.findings = FindingId::ALL
        .iter()
        .map(|&id| crate::model::Finding { id, container: None, message: String::new(), advice: String::new() })
        .collect();
    let metrics = observed(&[with_sidecar(110.0, 112.5, Some(9)), unknown_pod(), hostile]);
    metrics.terminations.observe_startup_refused(None, 2);
    let workload = Workload { kind: "Deployment".into(), name: "web".into() };
    metrics.terminations.observe_stale_route(&"shop".into(), &workload, 3);
    metrics.terminations.set_in_progress([&in_progress()], at(115.0));
    let agent = &metrics.agent;
    for hook in ["sched_process_exec", "mark_victim"] {
        agent.kernel.observe_records(hook, 10, 1);
        agent.kernel.set_dropped(hook, 3);
        agent.kernel.set_missed(hook, 2);
        agent.kernel.set_attached(hook, hook != "mark_victim");
        agent.kernel.set_runs(hook, 1_000, std::time::Duration::from_nanos(123_456));
    }
    agent.kernel.set_map("CGROUPS", 12, 16_384);
    agent.kernel.observe_seeding(7, std::time::Duration::from_millis(240));
    agent.sources.set_age("file", std::time::Duration::from_millis(1_500));
    agent.sources.observe_error("file");
    agent.limits.set_left_out("pods", 1);
    agent.state.set(&Saving {
        age: Some(std::time::Duration::from_secs(3)),
        bytes: 1_234,
        took: std::time::Duration::from_millis(2),
        saves: 5,
        errors: 1,
    });
    agent.process.set(Usage { cpu: std::time::Duration::from_millis(1_234), resident: 12 << 20 });
    agent.process.set_start(crate::model::WallTime(1_800_000_000_500_000_000));
    agent.set_stored(2, 4_096, 7);
    agent.observe_request(200);
    agent.observe_closed("idle");
    metrics
}

#[test]
fn everything_is_exposed_in_both_text_formats() {
    let metrics = everything();
    let openmetrics = String::from_utf8(metrics.encode(Format::OpenMetrics).unwrap()).unwrap();
    let text = text(&metrics);
    assert!(openmetrics.ends_with("\n# EOF\n") && openmetrics.matches("# EOF").count() == 1);
    assert!(text.contains("\nprocess_start_time_seconds 1800000000.5\n"), "{text}");
    assert!(!text.contains("# EOF") && !text.contains("# UNIT") && !text.contains("pod_uid"));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let typed =
            |name: &str| text.contains(&format!("\n# TYPE {name} ")) || text.starts_with(&format!("# HELP {name} "));
        assert!(typed(name) || bare.is_some_and(typed), "{name}");
    }
    // For a look by other tools: `GRACETRACE_TEST_DUMP=DIR cargo test -p gracetrace everything_is`.
    if let Some(directory) = std::env::var_os("GRACETRACE_TEST_DUMP") {
        let directory = std::path::PathBuf::from(directory);
        std::fs::write(directory.join("metrics.txt"), &text).unwrap();
        std::fs::write(directory.join("openmetrics.txt"), &openmetrics).unwrap();
        std::fs::write(directory.join("metrics.binpb"), metrics.encode(Format::Protobuf).unwrap()).unwrap();
    }
}

#[test]
fn protobuf_has_both_kinds_of_histogram_and_exemplars() {
    let metrics = everything();
    let bytes = metrics.encode(Format::Protobuf).unwrap();
    let mut rest = bytes.as_slice();
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(registry::protobuf::MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    let text = text(&metrics);
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(families.iter().map(|family| family.name.as_str()).collect::<Vec<_>>(), names, "the same, in order");
    let family = families.iter().find(|family| family.name == "gracetrace_termination_duration_seconds").unwrap();
    assert_eq!((family.unit.as_str(), family.metric.len()), ("seconds", 2), "one per workload");
    let metric = family.metric.iter().find(|metric| metric.label[1].value == "web").unwrap();
    let histogram = metric.histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.sample_sum), (1, 32.012345678));
    let exemplars: Vec<_> = histogram.bucket.iter().filter_map(|bucket| bucket.exemplar.as_ref()).collect();
    assert_eq!((histogram.bucket.len(), exemplars.len()), (series::SECONDS.len() + 1, 1));
    assert_eq!(exemplars[0].label[0].value, full().uid.as_str());
    // 2^(41/8) and 2^(42/8) are 34.9 and 38.1: bucket 40 ends at 2^5, 41 after it.
    assert_eq!((histogram.schema, histogram.positive_span[0].offset, &histogram.positive_delta), (3, 41, &vec![1]));
    assert_eq!(histogram.start_timestamp, None);
    let counter = families.iter().find(|family| family.name == "gracetrace_pod_terminations_total").unwrap();
    assert!(counter.metric.iter().any(|metric| metric.counter.as_ref().unwrap().exemplar.is_some()));
}

#[test]
fn promtool_has_nothing_to_say() {
    let mut promtool = std::process::Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let spawned = promtool.stdout(std::process::Stdio::piped()).spawn();
    let mut child = spawned.expect("promtool is missing: `cargo xtask test` installs it, package prometheus");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text(&everything()).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && said.iter().all(String::is_empty), "{said:?}");
}
