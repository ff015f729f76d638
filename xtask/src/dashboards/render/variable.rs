//! Variables.

use serde_json::{Value, json};

use super::data_source;
use crate::dashboards::model::Variable;

/// What can be chosen to take ratios over, and its seconds.
const WINDOWS: [(&str, &str); 6] =
    [("10m", "600"), ("30m", "1800"), ("1h", "3600"), ("6h", "21600"), ("1d", "86400"), ("7d", "604800")];
const DEFAULT_WINDOW: usize = 2;

pub(super) fn value(variable: &Variable) -> Value {
    match variable {
        Variable::DataSource => json!({
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "regex": "",
            "current": {"selected": true, "text": "default", "value": "default"},
            "options": [],
            "hide": 0,
            "includeAll": false,
            "multi": false,
            "refresh": 1,
            "skipUrlSync": false,
        }),
        Variable::Label { name, title, of, multi } => {
            let query = format!("label_values({of}, {name})");
            // An array where several can be chosen.
            let (text, value) =
                if *multi { (json!(["All"]), json!(["$__all"])) } else { (json!("All"), json!("$__all")) };
            json!({
                "name": name,
                "label": title,
                "type": "query",
                "datasource": data_source(),
                "definition": query,
                // 1: values of a label.
                "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
                "regex": "",
                // 2: whenever the time shown changes. 1: by the alphabet.
                "refresh": 2,
                "sort": 1,
                "current": {"selected": true, "text": text, "value": value},
                "options": [],
                "hide": 0,
                "includeAll": true,
                "allValue": ".*",
                "multi": multi,
                "skipUrlSync": false,
            })
        }
        Variable::Window => {
            let options: Vec<Value> = (0..WINDOWS.len())
                .map(|index| {
                    let (text, value) = WINDOWS[index];
                    json!({"selected": index == DEFAULT_WINDOW, "text": text, "value": value})
                })
                .collect();
            json!({
                "name": "window",
                "label": "Averaged over",
                "type": "custom",
                "query": WINDOWS.map(|(text, value)| format!("{text} : {value}")).join(","),
                "current": options[DEFAULT_WINDOW],
                "options": options,
                "hide": 0,
                "includeAll": false,
                "multi": false,
                "skipUrlSync": false,
            })
        }
    }
}
