//! `docs/metrics.md`, from the registry: `cargo xtask docs` has this test write it.

use std::fmt::Write;

use super::histogram::{GROWTH, MAX_NATIVE_BUCKETS};
use super::registry::{Registry, protobuf};
use super::tests::everything;
use super::{Metrics, PREFIX, Settings};

/// Set by `cargo xtask docs`.
const WRITE: &str = "GRACETRACE_WRITE_DOCS";
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

const HEAD: &str = "<!-- Written by `cargo xtask docs` from agent/src/metrics/. Do not change it by hand. -->\n\
    # Metrics\n\n\
    What `/metrics` shows. Series about pods come from what the kernel and Kubernetes told and from nothing else, so that\n\
    `gracetrace replay --metrics` prints the same for the same inputs. A series is there from its first value on.\n\
    What has no unit is a count, or 0 and 1.\n\n";

const SETTINGS: &str = "## Labels, and how many series there may be\n\n\
    `workload` is the name of the workload without its kind. `_unknown` stands for what no source has told of, `_unowned`\n\
    for all pods without an owner, `_overflow` for those that found no room; no name in Kubernetes begins like that. There\n\
    is never a pod's name in a label: its uid is the exemplar of the histograms' buckets and of\n\
    `gracetrace_pod_terminations_total`, in OpenMetrics and protobuf.\n\n\
    | setting of `run` and `replay` | default | what it does |\n\
    | --- | --- | --- |\n";

const FORMATS: &str = "## Formats\n\n\
    | `Accept` | histograms | exemplars | units |\n\
    | --- | --- | --- | --- |\n\
    | `text/plain;version=0.0.4`, `*/*`, none at all | classic | no | no |\n\
    | `application/openmetrics-text;version=1.0.0` | classic | yes | yes |\n\
    | `application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited` | classic and native | yes | yes |\n\n\
    The one with the highest `q` is sent, of equals the last in this table; with gzip for those whose `Accept-Encoding` has it.\n\n\
    Prometheus asks for protobuf with `--enable-feature=native-histograms`. It then keeps the native histograms and leaves\n\
    out the classic series (`_bucket`, `_sum`, `_count`), unless the scrape is configured with `scrape_classic_histograms` or,\n\
    in 3.x, `always_scrape_classic_histograms`; 2.42 has no such setting. The rules and dashboards that ship with gracetrace\n\
    need the classic ones.\n";

/// A Markdown page about every metric of `metrics`, each of which must have a value.
fn page(metrics: &Metrics) -> String {
    let mut page = HEAD.to_owned();
    let [pods, own, process] = &metrics.registries;
    let families =
        |registries: &[&Registry]| registries.iter().flat_map(|registry| families(registry)).collect::<Vec<_>>();
    let of_pods = families(&[pods]);
    page += "## Pods\n\n";
    table(&mut page, &of_pods);
    page += "## The agent\n\n";
    table(&mut page, &families(&[own, process]));
    buckets(&mut page, &of_pods);
    settings(&mut page);
    page + FORMATS.trim_end() + "\n"
}

/// All families of a registry.
fn families(registry: &Registry) -> Vec<protobuf::MetricFamily> {
    let families = registry.protobuf().unwrap();
    for name in registry.names() {
        let is_it = |family: &protobuf::MetricFamily| {
            let found =
                family.name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('_')).unwrap_or(&family.name);
            let bare = found.strip_suffix("_total").or_else(|| found.strip_suffix("_info"));
            found == name || bare == Some(name)
        };
        assert!(families.iter().any(is_it), "{name} has no value in `everything` of metrics/tests.rs: give it one");
    }
    families
}

fn table(page: &mut String, families: &[protobuf::MetricFamily]) {
    *page += "| name | type | unit | labels | what it is |\n| --- | --- | --- | --- | --- |\n";
    for family in families {
        let kind = family.r#type().as_str_name().to_lowercase();
        let unit = if family.unit.is_empty() { "" } else { &family.unit };
        let mut labels: Vec<String> = Vec::new();
        for label in family.metric.iter().flat_map(|metric| &metric.label) {
            let name = format!("`{}`", label.name);
            if !labels.contains(&name) {
                labels.push(name);
            }
        }
        writeln!(page, "| `{}` | {kind} | {unit} | {} | {} |", family.name, labels.join(", "), family.help).unwrap();
    }
    page.push('\n');
}

fn buckets(page: &mut String, families: &[protobuf::MetricFamily]) {
    *page += "## Buckets\n\nClassic, with `+Inf` after each list:\n\n";
    let mut lists: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
    for family in families {
        let Some(histogram) = family.metric.first().and_then(|metric| metric.histogram.as_ref()) else { continue };
        let bounds = histogram.bucket.iter().map(|bucket| bucket.upper_bound).filter(|bound| bound.is_finite());
        let bounds: Vec<String> = bounds.map(|bound| bound.to_string()).collect();
        match lists.iter_mut().find(|(known, _)| *known == bounds) {
            Some((_, names)) => names.push(&family.name),
            None => lists.push((bounds, vec![&family.name])),
        }
    }
    for (bounds, names) in lists {
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        writeln!(page, "- {}: {}", names.join(", "), bounds.join(", ")).unwrap();
    }
    writeln!(
        page,
        "\nNative: each bucket at most {GROWTH} times as wide as the one before, {MAX_NATIVE_BUCKETS} of them at most, after \
         which they get coarser.\n"
    )
    .unwrap();
}

fn settings(page: &mut String) {
    *page += SETTINGS;
    let Settings { labels, max_series, keep } = Settings::default();
    for (name, default, what) in [
        (
            "--metrics-labels LIST",
            labels.to_string(),
            "Which of `namespace`, `workload` and `container` series about pods have, or `none`. What differs only in a label \
             that is left out is counted together. The rules and dashboards that ship with gracetrace need `namespace` and \
             `workload`",
        ),
        (
            "--max-series COUNT",
            max_series.to_string(),
            "How many series about pods there may be. Then new workloads and containers share the labels `_overflow`, and \
             `gracetrace_series_overflow_total` counts how often. Who has series keeps them and gets all others too",
        ),
        (
            "--forget-workloads-after DURATION",
            format!("{}h", keep.as_secs() / 3600),
            "How long after its last termination the series of a workload go, and make room for others. Should it come back, \
             its counters begin at 0: a counter reset, as after a restart of the agent",
        ),
    ] {
        writeln!(page, "| `{name}` | `{default}` | {what} |").unwrap();
    }
    page.push('\n');
}

#[test]
fn the_page_is_up_to_date() {
    let page = page(&everything());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/metrics.md is not what the registry says: run `cargo xtask docs`");
}
