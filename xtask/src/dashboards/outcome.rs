//! Colours that mean the same everywhere.

const GREEN: &str = "green";
const RED: &str = "red";
const ORANGE: &str = "orange";
const PURPLE: &str = "purple";
const BLUE: &str = "blue";
const YELLOW: &str = "yellow";
const GREY: &str = "#8e8e8e";

/// How a termination ended.
pub(super) const OUTCOMES: &[(&str, &str)] = &[
    ("graceful", GREEN),
    ("completed", BLUE),
    ("forced", RED),
    ("oom", PURPLE),
    ("crashed", ORANGE),
    ("incomplete", GREY),
    ("unknown", GREY),
];

/// How a hook ended.
pub(super) const HOOK_RESULTS: &[(&str, &str)] =
    &[("success", GREEN), ("failed", RED), ("timeout", ORANGE), ("interrupted", PURPLE), ("unknown", GREY)];

/// What became of a stop signal.
pub(super) const DISPOSITIONS: &[(&str, &str)] =
    &[("handled", GREEN), ("default", YELLOW), ("ignored", RED), ("unknown", GREY)];

/// Where a termination is.
pub(super) const PHASES: &[(&str, &str)] =
    &[("running", GREY), ("in_hook", BLUE), ("stopping", YELLOW), ("killed", RED), ("exited", GREEN), ("empty", GREEN)];

/// Parts of a grace period.
pub(super) const BUDGET: &[(&str, &str)] = &[("hook", BLUE), ("drain", YELLOW), ("margin", GREEN)];

/// What went wrong with connections.
pub(super) const CONNECTIONS: &[(&str, &str)] = &[
    ("zombie", RED),
    ("refused", ORANGE),
    ("late", YELLOW),
    ("aborted", PURPLE),
    ("refused at start", BLUE),
    ("stale route", GREY),
];

/// 1 or 0 of something that should not be.
pub(super) const TROUBLE: &str = RED;
