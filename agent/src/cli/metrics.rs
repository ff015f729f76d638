//! Settings of the metrics, which `run` and `replay` share: with the same ones they show the same.

use std::time::Duration;

use clap::Args;

use crate::metrics::{Labels, Settings};

#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Metrics")]
pub(super) struct MetricsSettings {
    /// Labels of the series about pods: a list of namespace, workload and container, or none; what differs only in a
    /// label that is left out is counted together
    #[arg(long, value_name = "LIST", default_value_t, env = "GRACETRACE_METRICS_LABELS")]
    metrics_labels: Labels,
    /// How many series about pods there may be; then new workloads share the labels _overflow
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().max_series, env = "GRACETRACE_MAX_SERIES")]
    max_series: usize,
    /// How long after its last termination a workload's series go, such as 12h or 7d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration, env = "GRACETRACE_FORGET_WORKLOADS_AFTER")]
    forget_workloads_after: Duration,
}

impl From<MetricsSettings> for Settings {
    fn from(settings: MetricsSettings) -> Settings {
        Settings {
            labels: settings.metrics_labels,
            max_series: settings.max_series,
            keep: settings.forget_workloads_after,
        }
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    crate::http::duration(text).ok_or("not a duration like 24h or 1h30m: whole numbers with d, h, m, s")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: MetricsSettings,
    }

    fn read(arguments: &[&str]) -> Result<Settings, clap::Error> {
        Ok(Line::try_parse_from(["x"].iter().chain(arguments))?.settings.into())
    }

    #[test]
    fn defaults_are_those_of_the_metrics() {
        assert_eq!(read(&[]).unwrap(), Settings::default());
    }

    #[test]
    fn everything_can_be_set() {
        let settings =
            read(&["--metrics-labels", "namespace", "--max-series=5", "--forget-workloads-after", "1h30m"]).unwrap();
        let labels = Labels { namespace: true, workload: false, container: false };
        assert_eq!(settings, Settings { labels, max_series: 5, keep: Duration::from_secs(5_400) });
        for bad in ["--metrics-labels=pod", "--max-series=-1", "--forget-workloads-after=24"] {
            assert_eq!(read(&[bad]).unwrap_err().kind(), clap::error::ErrorKind::ValueValidation, "{bad}");
        }
    }
}
