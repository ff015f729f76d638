//! What the rules can be made for.

use anyhow::{Result, ensure};

/// Upper bounds of the agent's buckets of seconds (`SECONDS` in `agent/src/metrics/series.rs`), as text that has one
/// spelling. Nothing between two of them can be told from the outside. The test with a real Prometheus holds the rules'
/// buckets against those of a real agent.
const BUCKETS: [&str; 19] = [
    "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "15", "20", "25", "30", "35", "45", "60", "120", "300", "600", "1800",
    "3600",
];

/// The objective of the terminations' SLO, and what makes one a slow one.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Settings {
    /// Share of terminations that must be good, such as 0.9999
    #[arg(long, value_name = "SHARE", default_value = "0.9999")]
    pub(super) objective: String,

    /// Seconds within which a termination must end: a bound of the agent's buckets, such as 30
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub(super) threshold_seconds: String,

    /// Terminations in the window, at the least, before a share of them means something
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(super) minimum: u32,

    /// Of those, how many must be affected, at the least: one pod is no pattern
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub(super) minimum_affected: u32,

    /// Where runbooks are, in front of the alert's name
    #[arg(long, value_name = "URL", default_value = "docs/runbooks/")]
    pub(super) runbooks: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            objective: "0.9999".to_owned(),
            threshold_seconds: "30".to_owned(),
            minimum: 5,
            minimum_affected: 3,
            runbooks: "docs/runbooks/".to_owned(),
        }
    }
}

impl Settings {
    /// That rules can be made for them.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            BUCKETS.contains(&self.threshold_seconds.as_str()),
            "--threshold-seconds {}: the agent counts up to {} seconds, and nothing in between",
            self.threshold_seconds,
            BUCKETS.join(", ")
        );
        ensure!(self.budget().is_some(), "--objective {}: a share such as 0.9999, less than 1", self.objective);
        ensure!(self.minimum > 0 && self.minimum_affected > 0, "--minimum and --minimum-affected: at least 1");
        Ok(())
    }

    /// The share that may be bad: exact, since it is computed on the digits. `None` if the objective is none.
    pub(super) fn budget(&self) -> Option<String> {
        let digits = self.objective.strip_prefix("0.")?.trim_end_matches('0');
        if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let whole = 10_u64.pow(u32::try_from(digits.len()).ok()?);
        let bad = whole - digits.parse::<u64>().ok()?;
        Some(format!("0.{bad:0width$}", width = digits.len()))
    }

    /// The objective in percent, for people.
    pub(super) fn percent(&self) -> String {
        let digits = self.objective.trim_start_matches("0.");
        let (whole, rest) = digits.split_at_checked(2).unwrap_or((digits, ""));
        let whole = format!("{whole:0<2}");
        let rest = rest.trim_end_matches('0');
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        if rest.is_empty() { whole.to_owned() } else { format!("{whole}.{rest}") }
    }

    /// The counter of terminations that end within the threshold. Prometheus before 3 keeps it as the agent writes it, which is `30.0`; other clients
    /// and formats write `30`.
    pub(super) fn in_time(&self) -> String {
        format!("gracetrace_termination_duration_seconds_bucket{{{}}}", bucket(&self.threshold_seconds))
    }
}

/// A matcher of a bucket's label, in either spelling of its bound.
pub(super) fn bucket(bound: &str) -> String {
    match bound.contains('.') {
        true => format!("le=\"{bound}\""),
        false => format!("le=~\"{bound}|{bound}\\\\.0\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(objective: &str) -> Settings {
        Settings { objective: objective.to_owned(), ..Settings::default() }
    }

    #[test]
    fn budgets_are_exact() {
        for (objective, budget, percent) in [
            ("0.9999", "0.0001", "99.99"),
            ("0.999", "0.001", "99.9"),
            ("0.9", "0.1", "90"),
            ("0.995", "0.005", "99.5"),
        ] {
            assert_eq!(with(objective).budget().as_deref(), Some(budget), "{objective}");
            assert_eq!(with(objective).percent(), percent);
        }
        for objective in ["1", "0", "1.5", "0.", "0.00", "99.99", "0.99x", "-0.9", "0.99999999999999"] {
            assert_eq!(with(objective).budget(), None, "{objective}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        assert!(Settings::default().check().is_ok());
        for threshold_seconds in ["31", "30.0", "", "-1"] {
            let settings = Settings { threshold_seconds: threshold_seconds.to_owned(), ..Settings::default() };
            assert!(settings.check().is_err(), "{threshold_seconds}");
        }
        assert!(Settings { minimum: 0, ..Settings::default() }.check().is_err());
    }

    #[test]
    fn both_spellings_of_a_bound() {
        assert_eq!(bucket("0.8"), r#"le="0.8""#);
        assert_eq!(bucket("30"), r#"le=~"30|30\\.0""#);
    }
}
