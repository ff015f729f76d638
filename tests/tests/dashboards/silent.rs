//! Queries that find nothing here, and why. A query that finds something must not be among them.

use std::path::Path;

/// Dashboard, panel, reference, and the reason.
const SILENT: &[(&str, &str, &str, &str)] = &[
    ("gracetrace-agents", "Hooks", "B", "no hook is missing"),
    ("gracetrace-workload", "What went wrong with connections", "F", "nobody here calls a pod that has gone"),
];

/// Why a query finds nothing, if it is one of those.
pub(crate) fn why(dashboard: &str, panel: &str, ref_id: &str) -> Option<&'static str> {
    let listed = SILENT.iter().find(|(of, title, id, _)| *of == dashboard && *title == panel && *id == ref_id);
    listed.map(|(.., why)| *why).or_else(|| machine(panel))
}

/// What this machine does not have.
fn machine(panel: &str) -> Option<&'static str> {
    let is_missing = |path: &str| !Path::new(path).exists();
    match panel {
        "Waiting for memory" if is_missing("/proc/pressure/memory") => {
            Some("the kernel has no pressure stall information")
        }
        _ => None,
    }
}

/// That each is one that there is.
pub(crate) fn unknown(dashboard: &str, queries: &[(&str, &str)]) -> Vec<&'static str> {
    let of_it = SILENT.iter().filter(|(of, ..)| *of == dashboard);
    of_it.filter(|(_, title, id, _)| !queries.contains(&(title, id))).map(|(_, title, ..)| *title).collect()
}
