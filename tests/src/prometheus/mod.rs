//! A real Prometheus, as Debian packages it, on a port and in a folder of its own. For tests that are not asynchronous.

mod answer;
mod http;
mod page;
mod program;

pub use answer::Series;
pub use page::Page;
pub use program::Program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cri_node::packages;
use crate::wait;

/// A running Prometheus. Ended, and its folder removed, when dropped.
pub struct Prometheus {
    program: Program,
    folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A target: the name of the job, its address, whether its own labels win over those of the target, and labels of the target.
pub type Target<'a> = (&'a str, &'a str, bool, &'a [(&'a str, &'a str)]);

/// A configuration that asks targets every second at `/metrics`, with files of rules that are evaluated every second.
pub fn configuration(targets: &[Target<'_>], rules: &[&Path]) -> Value {
    let jobs = targets.iter().map(|(job, address, honor_labels, labels)| {
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "job_name": job,
            "honor_labels": honor_labels,
            "static_configs": [{"targets": [address], "labels": labels}],
        })
    });
    json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": rules,
        "scrape_configs": jobs.collect::<Vec<_>>(),
    })
}

impl Prometheus {
    /// Starts it, and waits until it answers and has the metrics of every target that the configuration names.
    ///
    /// # Errors
    /// When it is not there or does not take the configuration, with what it says.
    ///
    /// # Panics
    /// When a target does not answer it within 20 s.
    pub fn start(configuration: &Value) -> Result<Prometheus> {
        Prometheus::with_features(configuration, &[])
    }

    /// The same with features such as `native-histograms`.
    ///
    /// # Errors
    /// As [`Prometheus::start`].
    ///
    /// # Panics
    /// As [`Prometheus::start`].
    pub fn with_features(configuration: &Value, features: &[&str]) -> Result<Prometheus> {
        let name = format!("gracetrace-prometheus-{}-{:x}", std::process::id(), fastrand::u64(..));
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).with_context(|| format!("cannot make {}", folder.0.display()))?;
        let file = folder.0.join("prometheus.yml");
        // JSON is YAML.
        fs::write(&file, configuration.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(packages::find("prometheus", "prometheus")?);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.0.join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"]);
        command.arg(format!("--enable-feature={}", [&["exemplar-storage"], features].concat().join(",")));
        let program = Program::start(command)?;
        let prometheus = Prometheus { program, folder };
        wait::until("Prometheus is ready", || {
            matches!(http::get(prometheus.program.address(), "/-/ready"), Ok((200, _)))
        });
        let targets = targets(configuration) as f64;
        wait::until("every target has been asked", || {
            let up = prometheus.instant("count(up == 1) or vector(0)");
            up.is_ok_and(|up| up.first().and_then(Series::last) == Some(targets))
        });
        Ok(prometheus)
    }

    /// Where it answers: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.program.address()
    }

    /// Its folder, for files that go with it.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// What an expression has for values now.
    ///
    /// # Errors
    /// When Prometheus does not take it, with what it says.
    pub fn instant(&self, expr: &str) -> Result<Vec<Series>> {
        answer::series(&self.ask("/api/v1/query", &[("query", expr)])?)
    }

    /// What an expression has for values from a time ago until now, at steps.
    ///
    /// # Errors
    /// When Prometheus does not take it, with what it says.
    pub fn range(&self, expr: &str, ago: Duration, step: Duration) -> Result<Vec<Series>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let [start, end, step] = [now.saturating_sub(ago), now, step].map(|time| format!("{:.3}", time.as_secs_f64()));
        let parameters = [("query", expr), ("start", &start), ("end", &end), ("step", &step)];
        answer::series(&self.ask("/api/v1/query_range", &parameters)?)
    }

    /// The values of a label, of the series that a selector matches.
    ///
    /// # Errors
    /// When Prometheus does not take it, with what it says.
    pub fn label_values(&self, label: &str, selector: &str) -> Result<Vec<String>> {
        let path = format!("/api/v1/label/{label}/values?match[]={}", http::encode(selector));
        let data = data(http::get(self.address(), &path)?)?;
        Ok(serde_json::from_value(data)?)
    }

    /// Alerts that are pending or firing, as the API has them.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let mut data = data(http::get(self.address(), "/api/v1/alerts")?)?;
        Ok(serde_json::from_value(data["alerts"].take())?)
    }

    /// Rules that could not be evaluated, with the reason.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub fn failed_rules(&self) -> Result<Vec<String>> {
        let data = data(http::get(self.address(), "/api/v1/rules")?)?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let rules = list(&data["groups"]).into_iter().flat_map(|group| list(&group["rules"]));
        let failed = rules.filter(|rule| rule["health"] == "err");
        Ok(failed.map(|rule| format!("{}: {}", rule["name"], rule["lastError"])).collect())
    }

    /// Exemplars of the last hour, of the series that a selector matches: as the API has them.
    ///
    /// # Errors
    /// When Prometheus does not take it, with what it says.
    pub fn exemplars(&self, selector: &str) -> Result<Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (start, end) = ((now - 3_600).to_string(), (now + 3_600).to_string());
        self.ask("/api/v1/query_exemplars", &[("query", selector), ("start", &start), ("end", &end)])
    }

    /// Has it read its files again, rules that have changed among them.
    ///
    /// # Errors
    /// When it does not take them, with what it says.
    pub fn reload(&self) -> Result<()> {
        match http::post(self.address(), "/-/reload", &[])? {
            (200, _) => Ok(()),
            (status, body) => bail!("Prometheus answers {status}: {body}"),
        }
    }

    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        data(http::post(self.address(), path, parameters)?)
    }
}

/// How many there are.
fn targets(configuration: &Value) -> usize {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let groups = list(&configuration["scrape_configs"]).into_iter().flat_map(|job| list(&job["static_configs"]));
    groups.map(|group| list(&group["targets"]).len()).sum()
}

/// What is in an answer of the API.
fn data((status, body): (u16, String)) -> Result<Value> {
    let mut answer: Value =
        serde_json::from_str(&body).with_context(|| format!("Prometheus answers {status}: {body}"))?;
    if answer["status"] != "success" {
        bail!("{}", answer["error"].as_str().unwrap_or("Prometheus tells no error"));
    }
    Ok(answer["data"].take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_can_be_asked_for() {
        let page = Page::serve("# TYPE a_total counter\na_total{name=\"x y\"} 2\na_total{name=\"z\"} 3\n").unwrap();
        let target = [("job", page.address(), false, [("node", "n")].as_slice())];
        let prometheus = Prometheus::start(&configuration(&target, &[])).unwrap();
        let found = prometheus.instant(r#"a_total{name="x y"} + 1"#).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label("name"), found[0].label("node")), (Some("x y"), Some("n")));
        assert_eq!(found[0].last(), Some(3.0));
        assert_eq!(prometheus.instant("sum(a_total)").unwrap()[0].last(), Some(5.0));
        let minute = prometheus.range("a_total", Duration::from_secs(60), Duration::from_secs(1)).unwrap();
        assert!(minute.len() == 2 && minute[0].last().is_some());
        assert_eq!(prometheus.label_values("name", r#"a_total{node="n"}"#).unwrap(), ["x y", "z"]);
        assert_eq!(prometheus.instant("vector(1)").unwrap().len(), 1);
        assert_eq!(prometheus.alerts().unwrap(), Vec::<Value>::new());
        let error = prometheus.instant("sum(").unwrap_err().to_string();
        assert!(error.contains("parse error"), "{error}");
        let folder = prometheus.folder().to_owned();
        drop(prometheus);
        assert!(!folder.exists());
    }
}
