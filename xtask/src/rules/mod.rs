//! `xtask rules`: recording rules, alerts and SLOs for Prometheus, from one source: plain files in `deploy/rules`, and the
//! same for the operator in its overlay. They are checked in; `xtask tidy` fails when they are out of date.

mod rule;
mod promql;
mod settings;
mod golden;
mod slo;
mod workload;
mod node;
mod agent;
mod render;
mod check;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::rule::Group;
use self::settings::Settings;
use crate::command;

pub(crate) use self::check::check;

/// Where plain files are.
const PLAIN: &str = "deploy/rules";
/// Where the operator's are.
const WRAPPED: &str = "deploy/overlays/prometheus-operator";

const EXAMPLES: &str = "\
Examples:
  cargo xtask rules                                      write those in deploy/ anew
  cargo xtask rules --runbooks https://wiki.example/runbooks/ --out my-rules
                                                         alerts that link to where your runbooks are
  cargo xtask rules --objective 0.999 --threshold-seconds 60 --out my-rules
                                                         another SLO
my-rules/rules is for rule_files of Prometheus, my-rules/prometheus-operator for kubectl apply -f.
";

/// Make the rules for Prometheus.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rules {
    #[command(flatten)]
    settings: Settings,

    /// Put them there, and not into `deploy/`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Rules {
    /// Writes the files and prints their paths.
    pub(crate) fn run(&self) -> Result<()> {
        self.settings.check()?;
        let folder = self.out.as_deref().unwrap_or(command::workspace());
        for (path, text) in files(&self.settings) {
            let path = folder.join(if self.out.is_some() { outside(&path) } else { path.as_str() });
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            println!("{}", command::short(&path).display());
        }
        Ok(())
    }
}

/// Elsewhere the folders are named after whom they are for.
fn outside(path: &str) -> &str {
    path.strip_prefix("deploy/").map_or(path, |path| path.strip_prefix("overlays/").unwrap_or(path))
}

/// Every file that is made: its path in the workspace, and its text.
fn files(settings: &Settings) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (name, groups) in topics(settings) {
        let header = Path::new(PLAIN).join(format!("{name}.yaml"));
        files.push((header.display().to_string(), render::plain(&groups, settings)));
        files.push((format!("{WRAPPED}/prometheus-rule-{name}.yaml"), render::wrapped(name, &groups, settings)));
    }
    files
}

/// A file each.
fn topics(settings: &Settings) -> [(&'static str, Vec<Group>); 5] {
    [
        ("golden", vec![golden::group(settings)]),
        ("slo", slo::groups(settings)),
        ("workloads", vec![workload::group(settings)]),
        ("nodes", vec![node::group(settings)]),
        ("agents", vec![agent::group()]),
    ]
}

/// The names of all alerts, each once, in the order of their files.
fn alerts() -> Vec<&'static str> {
    let topics = topics(&Settings::default());
    let rules = topics.iter().flat_map(|(_, groups)| groups).flat_map(|group| &group.rules);
    let mut names: Vec<&str> = rules.filter_map(rule::Rule::alert_name).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_outside_of_the_workspace() {
        assert_eq!(outside("deploy/rules/golden.yaml"), "rules/golden.yaml");
        assert_eq!(outside("deploy/overlays/prometheus-operator/x.yaml"), "prometheus-operator/x.yaml");
    }

    #[test]
    fn objective_and_threshold_are_in_the_rules() {
        let settings =
            Settings { objective: "0.99".to_owned(), threshold_seconds: "60".to_owned(), ..Settings::default() };
        let slo = &files(&settings)[2];
        assert!(slo.0.ends_with("rules/slo.yaml"));
        for part in ["> 14.4 * 0.01\n", r#"le=~"60|60\\.0""#, "end within 60 s", "that 99 % do"] {
            assert!(slo.1.split_whitespace().collect::<Vec<_>>().join(" ").contains(part.trim()), "no {part}");
        }
        assert!(!slo.1.contains("0.0001"));
    }

    #[test]
    fn every_series_that_is_used_is_recorded() {
        let topics = topics(&Settings::default());
        let rules: Vec<&rule::Rule> =
            topics.iter().flat_map(|(_, groups)| groups).flat_map(|group| &group.rules).collect();
        let recorded =
            |name: &str| rules.iter().any(|rule| matches!(&rule.kind, rule::Kind::Record(record) if record == name));
        let texts = rules.iter().map(|rule| match &rule.kind {
            rule::Kind::Record(_) => rule.expr.clone(),
            rule::Kind::Alert(alert) => format!("{} {}", rule.expr, alert.description),
        });
        let mut used = 0;
        for text in texts {
            let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            for word in text.split(|c| !name(c)).filter(|word| word.matches(':').count() == 2) {
                assert!(recorded(word), "{word} is used, and no rule records it:\n{text}");
                used += 1;
            }
        }
        assert!(used > 50, "{used}");
    }
}
