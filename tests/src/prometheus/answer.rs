//! Answers of the query API.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A series: its labels, and its values with their times in seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels, the name as `__name__`.
    pub labels: BTreeMap<String, String>,
    /// By time.
    pub values: Vec<(f64, f64)>,
}

impl Series {
    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// The last value, and the only one of an instant.
    pub fn last(&self) -> Option<f64> {
        self.values.last().map(|(_, value)| *value)
    }
}

/// Whatever type it is of.
pub(super) fn series(data: &Value) -> Result<Vec<Series>> {
    let result = &data["result"];
    let all = || result.as_array().context("the result is no list");
    match data["resultType"].as_str() {
        Some("vector") => all()?.iter().map(|one| named(one, vec![point(&one["value"])?])).collect(),
        Some("matrix") => all()?
            .iter()
            .map(|one| {
                let values = one["values"].as_array().context("a series without values")?;
                named(one, values.iter().map(point).collect::<Result<_>>()?)
            })
            .collect(),
        Some("scalar") => Ok(vec![Series { labels: BTreeMap::new(), values: vec![point(result)?] }]),
        other => bail!("results of the type {other:?} are not known here"),
    }
}

fn named(one: &Value, values: Vec<(f64, f64)>) -> Result<Series> {
    Ok(Series { labels: serde_json::from_value(one["metric"].clone())?, values })
}

/// `[seconds, "value"]`; the value is text so that it can be NaN.
fn point(value: &Value) -> Result<(f64, f64)> {
    let number = value[1].as_str().context("a value that is no text")?;
    Ok((value[0].as_f64().context("a value without a time")?, number.parse()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_is_read() {
        let vector = json!({"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1.5, "NaN"]}]});
        let found = series(&vector).unwrap();
        assert!(found[0].label("a") == Some("b") && found[0].last().unwrap().is_nan());
        let matrix = json!({"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "2"], [2, "+Inf"]]}]});
        assert_eq!(series(&matrix).unwrap()[0].values, [(1.0, 2.0), (2.0, f64::INFINITY)]);
        assert_eq!(series(&json!({"resultType": "scalar", "result": [1, "2"]})).unwrap()[0].last(), Some(2.0));
        assert!(series(&json!({"resultType": "string", "result": [1, "2"]})).is_err());
    }
}
