//! What `xtask tidy` asks of rules: that they are what the generator makes, of metrics that there are, and that each alert has
//! a runbook and a test.

use super::settings::Settings;
use super::{PLAIN, WRAPPED, alerts, files};

/// Where runbooks are.
const RUNBOOKS: &str = "docs/runbooks";
/// What each of them says.
const SECTIONS: [&str; 2] = ["\n## How to see it\n", "\n## What to change\n"];
/// The agent's metrics.
const METRICS: &str = "docs/metrics.md";
/// Where the alerts' tests are, a file each.
const TESTS: &str = "deploy/rules/tests";
/// The cases that each alert's tests have, as their names begin.
const CASES: [&str; 6] = ["positive", "negative", "no data", "counter reset", "few events", "flapping"];

/// What is wrong: a path, and why. `paths` are all files of the tree, `read` gives the text of one.
pub(crate) fn check(paths: &[String], read: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let files = files(&Settings::default());
    for (path, text) in &files {
        match read(path) {
            Some(found) if found == *text => {}
            Some(_) => wrong.push((path.clone(), "out of date: run `cargo xtask rules`".to_owned())),
            None => wrong.push((path.clone(), "missing: run `cargo xtask rules`".to_owned())),
        }
    }
    let made = |path: &str| files.iter().any(|(made, _)| made == path);
    let rules = |path: &str| {
        path.rsplit_once('/').is_some_and(|(folder, name)| {
            folder == PLAIN || (folder == WRAPPED && name.starts_with("prometheus-rule-"))
        })
    };
    for path in paths.iter().filter(|path| rules(path) && !made(path)) {
        wrong.push((path.clone(), "no rules of this name are made by `cargo xtask rules`".to_owned()));
    }
    let metrics = read(METRICS);
    if metrics.is_none() {
        wrong.push((METRICS.to_owned(), "missing: run `cargo xtask docs`".to_owned()));
    }
    let unknown = |path: &str, text: &str| -> Vec<(String, String)> {
        let unknown = metrics.iter().flat_map(|page| unknown_metrics(text, page));
        unknown.map(|name| (path.to_owned(), format!("{METRICS} has no {name}"))).collect()
    };
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with(PLAIN)) {
        wrong.extend(unknown(path, text));
    }
    let alerts = alerts();
    for alert in &alerts {
        let runbook = format!("{RUNBOOKS}/{alert}.md");
        match read(&runbook) {
            Some(text) if !text.starts_with(&format!("# {alert}\n")) => {
                wrong.push((runbook, "does not begin with the alert's name as its heading".to_owned()));
            }
            Some(text) => {
                let missing = SECTIONS.iter().filter(|section| !text.contains(*section));
                wrong
                    .extend(missing.map(|section| (runbook.clone(), format!("has no section \"{}\"", section.trim()))));
                wrong.extend(unknown(&runbook, &text));
            }
            None => wrong.push((runbook, "missing: the alert has no runbook".to_owned())),
        }
        let tests = format!("{TESTS}/{alert}.yaml");
        match read(&tests) {
            Some(text) => wrong.extend(missing_cases(alert, &text).map(|reason| (tests.clone(), reason))),
            None => wrong.push((tests, "missing: the alert has no tests".to_owned())),
        }
    }
    for (folder, ending) in [(RUNBOOKS, ".md"), (TESTS, ".yaml")] {
        for path in paths {
            let name = path.strip_prefix(folder).and_then(|path| path.strip_prefix('/')?.strip_suffix(ending));
            if name.is_some_and(|name| name != "README" && !alerts.contains(&name)) {
                wrong.push((path.clone(), "there is no alert of this name".to_owned()));
            }
        }
    }
    wrong
}

/// The agent's metrics that a text names and the page about them has not.
fn unknown_metrics<'a>(text: &'a str, page: &str) -> Vec<&'a str> {
    // With colons it is recorded by a rule, which is checked elsewhere.
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !['_', ':'].contains(&c));
    let named = words.filter(|word| word.starts_with("gracetrace_") && !word.contains(':'));
    let is_there = |name: &str| page.contains(&format!("`{name}`"));
    let of_histogram = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        parts.filter_map(|part| name.strip_suffix(part)).any(is_there)
    };
    named.filter(|name| !is_there(name) && !of_histogram(name)).collect()
}

fn missing_cases<'a>(alert: &'a str, text: &'a str) -> impl Iterator<Item = String> {
    let has = |case: &str| text.contains(&format!("  - name: \"{case}: "));
    let missing = CASES.into_iter().filter(move |case| !has(case)).map(|case| format!("no test named \"{case}: …\""));
    let other = text.lines().filter_map(|line| line.trim().strip_prefix("alertname: ")).any(|name| name != alert);
    missing.chain(other.then(|| "tests another alert".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree in which all is well.
    fn tree() -> Vec<(String, String)> {
        let cases: String = CASES.map(|case| format!("  - name: \"{case}: x\"\n")).concat();
        let mut tree = files(&Settings::default());
        tree.push((METRICS.to_owned(), include_str!("../../../docs/metrics.md").to_owned()));
        for alert in alerts() {
            tree.push((format!("{RUNBOOKS}/{alert}.md"), format!("# {alert}\n{}", SECTIONS.concat())));
            tree.push((format!("{TESTS}/{alert}.yaml"), cases.clone()));
        }
        tree
    }

    fn wrong(tree: &[(String, String)]) -> Vec<(String, String)> {
        let paths: Vec<String> = tree.iter().map(|(path, _)| path.clone()).collect();
        check(&paths, |path| tree.iter().find(|(it, _)| it == path).map(|(_, text)| text.clone()))
    }

    #[test]
    fn all_is_well() {
        assert_eq!(wrong(&tree()), Vec::new());
    }

    #[test]
    fn whatever_is_missing_or_too_much_is_found() {
        let whole = tree();
        for index in 0..whole.len() {
            let mut tree = whole.clone();
            let (path, _) = tree.remove(index);
            assert_eq!(wrong(&tree).len(), 1, "without {path}");
            let mut tree = whole.clone();
            tree[index].1 = "changed\n".to_owned();
            assert!(!wrong(&tree).is_empty(), "{path} changed");
        }
        for path in [
            "deploy/rules/x.yaml",
            "deploy/overlays/prometheus-operator/prometheus-rule-x.yaml",
            "docs/runbooks/GracetraceX.md",
            "deploy/rules/tests/GracetraceX.yaml",
        ] {
            let mut tree = whole.clone();
            tree.push((path.to_owned(), String::new()));
            assert_eq!(wrong(&tree).len(), 1, "with {path}");
        }
        let mut tree = whole;
        tree.push(("deploy/overlays/prometheus-operator/pod-monitor.yaml".to_owned(), String::new()));
        assert_eq!(wrong(&tree), Vec::new());
    }

    #[test]
    fn metrics_that_are_not_there_are_found() {
        let page = "| `gracetrace_a_total` | … |\n| `gracetrace_b_seconds` | … |";
        let text = "rate(gracetrace_a_total[1h]) + gracetrace_b_seconds_sum, x:gracetrace_c:y";
        assert_eq!(unknown_metrics(text, page), [""; 0]);
        assert_eq!(unknown_metrics("sum(gracetrace_a{x=\"y\"})", page), ["gracetrace_a"]);
    }

    #[test]
    fn a_test_is_of_its_own_alert() {
        let text = "      - alertname: A\n        alertname: B\n";
        assert!(missing_cases("A", text).any(|reason| reason == "tests another alert"));
        assert!(!missing_cases("B", text).any(|reason| reason == "tests another alert"));
    }
}
