//! What Grafana makes of a dashboard before it asks: panels, and queries with everything put in that was chosen.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// The time that a dashboard shows when it is opened.
const SHOWN: Duration = Duration::from_secs(6 * 60 * 60);
/// What ratios are taken over, in seconds.
const WINDOW: &str = "600";
/// From one point to the next, where a panel asks for no more. A data source's own least time, unless it is told another.
const STEP: Duration = Duration::from_secs(15);
/// `$__rate_interval` for that: four scrapes of 15 s.
const RATE: &str = "1m0s";

/// A dashboard.
pub(crate) struct Dashboard {
    pub(crate) uid: String,
    pub(crate) queries: Vec<Query>,
    pub(crate) variables: Vec<Variable>,
    /// Expressions of its annotations.
    pub(crate) annotations: Vec<String>,
}

/// One query of a panel.
pub(crate) struct Query {
    pub(crate) panel: String,
    pub(crate) ref_id: String,
    expr: String,
    /// Over time, at these steps; else now.
    pub(crate) step: Option<Duration>,
}

/// A variable whose values are those of a label.
pub(crate) struct Variable {
    pub(crate) label: String,
    selector: String,
}

/// What was chosen for each variable, as it is put into a matcher.
#[derive(Debug, Clone)]
pub(crate) struct Chosen(pub(crate) Vec<(&'static str, String)>);

impl Chosen {
    /// "All" everywhere.
    pub(crate) fn all() -> Chosen {
        Chosen(["cluster", "namespace", "workload", "node"].map(|name| (name, ".*".to_owned())).to_vec())
    }

    fn put_into(&self, text: &str, interval: Duration) -> String {
        let seconds = |time: Duration| format!("{}s", time.as_secs());
        let built_in = [
            // A name that begins with another one's comes first.
            ("__range_s", SHOWN.as_secs().to_string()),
            ("__range", seconds(SHOWN)),
            ("__rate_interval", RATE.to_owned()),
            ("__interval_ms", interval.as_millis().to_string()),
            ("__interval", seconds(interval)),
            ("window", WINDOW.to_owned()),
        ];
        let chosen = self.0.iter().map(|(name, value)| (*name, value.clone()));
        let text = built_in.into_iter().chain(chosen).fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), &value).replace(&format!("${name}"), &value)
        });
        assert!(!text.contains('$'), "not known: {text}");
        text
    }
}

impl Query {
    pub(crate) fn expr(&self, chosen: &Chosen) -> String {
        chosen.put_into(&self.expr, self.step.unwrap_or(STEP))
    }
}

impl Variable {
    /// Of which series, when what comes before it is chosen so.
    pub(crate) fn selector(&self, chosen: &Chosen) -> String {
        chosen.put_into(&self.selector, STEP)
    }
}

/// All of them.
pub(crate) fn dashboards() -> Vec<Dashboard> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dashboards");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    paths.iter().map(|path| dashboard(&serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())).collect()
}

fn dashboard(json: &Value) -> Dashboard {
    let queries =
        list(&json["panels"]).flat_map(|panel| list(&panel["targets"]).map(move |target| query(panel, target)));
    let annotations = list(&json["annotations"]["list"]).filter_map(|each| each["expr"].as_str());
    Dashboard {
        uid: text(&json["uid"]),
        queries: queries.collect(),
        variables: list(&json["templating"]["list"]).filter_map(variable).collect(),
        annotations: annotations.map(str::to_owned).collect(),
    }
}

fn query(panel: &Value, target: &Value) -> Query {
    let least = panel["interval"].as_str().map(|text| match text.strip_suffix('m') {
        Some(minutes) => Duration::from_secs(60 * minutes.parse::<u64>().unwrap()),
        None => panic!("{text} is no number of minutes"),
    });
    Query {
        panel: text(&panel["title"]),
        ref_id: text(&target["refId"]),
        expr: text(&target["expr"]),
        step: (target["range"] == true).then(|| least.unwrap_or(STEP)),
    }
}

/// Of `label_values(selector, label)`.
fn variable(json: &Value) -> Option<Variable> {
    if json["type"] != "query" {
        return None;
    }
    let query = text(&json["query"]["query"]);
    let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    let (selector, label) = inner.rsplit_once(", ").unwrap();
    assert_eq!(label, json["name"]);
    Some(Variable { label: label.to_owned(), selector: selector.to_owned() })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
