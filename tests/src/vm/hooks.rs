//! Which hooks work, by the agent's own metrics.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::SuiteArgs;
use super::report::Report;

/// What the metrics say of a hook.
#[derive(Debug, Default, PartialEq)]
struct Hook {
    attached: bool,
    runs: f64,
    dropped: f64,
    malformed: f64,
    /// Runs that the kernel left out: no fault of the programs, which are to make up for it.
    missed: f64,
}

/// Tells of every hook: one that works has run and lost nothing; one that does not is expected not to.
pub(super) fn report(metrics: &str, args: &SuiteArgs, report: &mut Report) -> Result<()> {
    let hooks = parse(metrics);
    ensure!(!hooks.is_empty(), "the agent's metrics tell of no hook");
    for (name, hook) in &hooks {
        report.hook(name, hook.attached, &faults(hook, args.missing.contains(name)))?;
        if hook.missed > 0.0 {
            report.note(format_args!("{name}: the kernel left out {} of its program's runs", hook.missed))?;
        }
    }
    for name in args.missing.iter().filter(|name| !hooks.contains_key(*name)) {
        report.hook(name, false, &["the agent knows no such hook".to_owned()])?;
    }
    Ok(())
}

/// Whether the program of every hook that is attached is known to have run.
pub(super) fn all_have_run(metrics: &str) -> bool {
    parse(metrics).values().all(|hook| !hook.attached || hook.runs > 0.0)
}

fn faults(hook: &Hook, expected_missing: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |is_one: bool, what: String| {
        if is_one {
            faults.push(what);
        }
    };
    fault(!hook.attached && !expected_missing, "it is not attached, but this kernel has it".to_owned());
    fault(hook.attached && expected_missing, "it is attached, but expected to be missing".to_owned());
    fault(hook.attached && hook.runs == 0.0, "it is attached, but its program never ran".to_owned());
    fault(hook.dropped > 0.0, format!("{} of its records were dropped", hook.dropped));
    fault(hook.malformed > 0.0, format!("{} of its records were malformed", hook.malformed));
    faults
}

/// Reads the metrics of hooks out of an OpenMetrics text.
fn parse(metrics: &str) -> BTreeMap<String, Hook> {
    let mut hooks: BTreeMap<String, Hook> = BTreeMap::new();
    for line in metrics.lines() {
        let Some((metric, rest)) = line.split_once("{hook=\"") else { continue };
        let Some((name, value)) = rest.split_once("\"} ") else { continue };
        let Ok(value) = value.split(' ').next().unwrap_or_default().parse::<f64>() else { continue };
        let hook = hooks.entry(name.to_owned()).or_default();
        match metric {
            "gracetrace_hook_attached" => hook.attached = value == 1.0,
            "gracetrace_hook_runs_total" => hook.runs = value,
            "gracetrace_records_dropped_total" => hook.dropped = value,
            "gracetrace_records_malformed_total" => hook.malformed = value,
            "gracetrace_hook_missed_total" => hook.missed = value,
            _ => {}
        }
    }
    hooks
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# TYPE gracetrace_hook_attached gauge\n\
        gracetrace_hook_attached{hook=\"a\"} 1\n\
        gracetrace_hook_attached{hook=\"b\"} 0\n\
        gracetrace_hook_runs_total{hook=\"a\"} 12\n\
        gracetrace_records_dropped_total{hook=\"a\"} 2\n\
        gracetrace_hook_missed_total{hook=\"a\"} 5\n\
        gracetrace_other{container=\"a\"} 3\n";

    #[test]
    fn metrics_are_read_by_hook() {
        assert!(all_have_run(METRICS));
        assert!(!all_have_run(&METRICS.replace("} 12", "} 0")));
        let hooks = parse(METRICS);
        let a = Hook { attached: true, runs: 12.0, dropped: 2.0, malformed: 0.0, missed: 5.0 };
        assert_eq!(hooks, BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), Hook::default())]));
    }

    #[test]
    fn what_differs_from_the_table_is_a_fault() {
        let works = Hook { attached: true, runs: 1.0, ..Hook::default() };
        assert!(faults(&works, false).is_empty());
        assert!(faults(&Hook::default(), true).is_empty());
        assert_eq!(faults(&works, true).len(), 1);
        assert_eq!(faults(&Hook::default(), false).len(), 1);
        assert_eq!(faults(&Hook { runs: 0.0, dropped: 1.0, malformed: 1.0, ..works }, false).len(), 3);
    }
}
