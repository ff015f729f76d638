//! Rules as YAML: a file for Prometheus, and the same as a PrometheusRule for its operator.

use std::fmt::Write;

use super::rule::{Alert, Group, Kind, Rule};
use super::settings::Settings;

/// Texts are folded where they would get longer.
const WIDTH: usize = 110;
const HEADER: &str =
    "# Made by `cargo xtask rules`, which also has the options. Do not edit: change xtask/src/rules/ instead.\n";

/// A file for `rule_files` of Prometheus.
pub(super) fn plain(groups: &[Group], settings: &Settings) -> String {
    format!("{HEADER}{}", body(groups, settings))
}

/// The same as an object for the operator.
pub(super) fn wrapped(name: &str, groups: &[Group], settings: &Settings) -> String {
    format!(
        "{HEADER}apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: gracetrace-{name}
  namespace: gracetrace
  labels:
    app.kubernetes.io/name: gracetrace
    app.kubernetes.io/part-of: gracetrace
spec:
{}",
        indented(2, &body(groups, settings))
    )
}

fn body(groups: &[Group], settings: &Settings) -> String {
    let mut text = "groups:\n".to_owned();
    for Group { name, about, rules } in groups {
        text += &indented(2, &comment(about));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  - name: {name}\n    rules:");
        for rule in rules {
            text += &item(6, &self::rule(rule, settings));
        }
    }
    text
}

fn rule(rule: &Rule, settings: &Settings) -> String {
    let mut text = match &rule.kind {
        Kind::Record(name) => format!("record: {name}\n"),
        Kind::Alert(alert) => format!("alert: {}\n", alert.name),
    };
    let _ = writeln!(text, "expr: |-\n{}", indented(2, &rule.expr).trim_end());
    if let Kind::Alert(Alert { hold, .. }) = &rule.kind
        && !hold.is_empty()
    {
        let _ = writeln!(text, "for: {hold}");
    }
    if !rule.labels.is_empty() {
        text += "labels:\n";
        for (name, value) in &rule.labels {
            let _ = writeln!(text, "  {name}: \"{value}\"");
        }
    }
    if let Kind::Alert(alert) = &rule.kind {
        let _ = write!(
            text,
            "annotations:\n  summary: >-\n{}  description: >-\n{}  runbook_url: {}{}.md\n",
            indented(4, &folded(&alert.summary)),
            indented(4, &folded(&alert.description)),
            settings.runbooks,
            alert.name
        );
    }
    text
}

/// A text over several lines, which YAML's `>-` puts together again.
fn folded(text: &str) -> String {
    let (mut folded, mut width) = (String::new(), 0);
    for word in text.split(' ') {
        if width > 0 && width + 1 + word.len() > WIDTH {
            folded.push('\n');
            width = 0;
        } else if width > 0 {
            folded.push(' ');
            width += 1;
        }
        folded.push_str(word);
        width += word.len();
    }
    folded.push('\n');
    folded
}

fn comment(text: &str) -> String {
    folded(text).lines().map(|line| format!("# {line}\n")).collect()
}

fn indented(by: usize, text: &str) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// A text as an item of a list.
fn item(at: usize, text: &str) -> String {
    let text = indented(at + 2, text);
    format!("{:at$}- {}", "", text.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::Severity;

    #[test]
    fn a_rule_as_a_person_would_write_it() {
        let record = Rule::record("a:b:c", "sum(\n  x\n)").with("quantile", "0.5");
        let alert = Alert {
            name: "A",
            hold: "5m",
            summary: "What {{ $value }} is: \"x\"".to_owned(),
            description: "word ".repeat(30).trim_end().to_owned(),
        };
        let groups =
            [Group { name: "g", about: "Why.", rules: vec![record, Rule::alert(Severity::Info, alert, "a:b:c > 1")] }];
        let text = plain(&groups, &Settings::default());
        let expected = format!(
            "groups:
  # Why.
  - name: g
    rules:
      - record: a:b:c
        expr: |-
          sum(
            x
          )
        labels:
          quantile: \"0.5\"
      - alert: A
        expr: |-
          a:b:c > 1
        for: 5m
        labels:
          severity: \"info\"
        annotations:
          summary: >-
            What {{{{ $value }}}} is: \"x\"
          description: >-
            {}
            {}
          runbook_url: docs/runbooks/A.md
",
            "word ".repeat(22).trim_end(),
            "word ".repeat(8).trim_end(),
        );
        assert_eq!(text.strip_prefix(HEADER), Some(expected.as_str()));
        let wrapped = wrapped("x", &groups, &Settings::default());
        assert!(wrapped.ends_with(&format!("spec:\n{}", indented(2, &expected))));
    }
}
