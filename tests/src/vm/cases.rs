//! What is only tried where pods have limits: the OOM killer in all its ways, processes by the hundred, and the shortest
//! of grace periods.

use crate::scenario::{self, CLEAN, Ending, Expect, FORCED, Qos, Scenario};
use crate::truth::{Disposition, HookResult, Outcome};

/// Every scenario: the demo's and these.
pub(super) fn all() -> impl Iterator<Item = &'static Scenario> {
    scenario::ALL.iter().chain(LIMITED)
}

/// More than the application needs, less than a hog takes.
const MEMORY: (&str, &str) = ("memory.max", "50331648");

const OOM: Scenario = Scenario {
    name: "oom",
    about: "the application uses more memory than it may",
    hook: &[],
    limits: &[MEMORY],
    ending: Ending::OutOfMemory,
    expect: Expect {
        outcome: Outcome::Oom,
        hook: None,
        disposition: None,
        zombies: 3,
        oom_kills: true,
        findings: &["CONNECTIONS_CUT"],
        ..CLEAN.expect
    },
    ..CLEAN
};

const LIMITED: &[Scenario] = &[
    OOM,
    Scenario {
        name: "oom-group",
        about: "a child uses more memory than it may, and the whole container goes with it",
        application: &["--on-term", "drain", "--hog-in-child"],
        limits: &[MEMORY, ("memory.oom.group", "1")],
        ..OOM
    },
    Scenario {
        name: "oom-child",
        about: "a child uses more memory than it may; the application lives on, and is deleted later",
        application: &["--on-term", "drain", "--drain-ms", "500", "--hog-in-child"],
        limits: &[MEMORY],
        ending: Ending::DeletionAfterOom,
        expect: Expect { hook: None, oom_kills: true, ..CLEAN.expect },
        hook: &[],
        ..CLEAN
    },
    Scenario {
        name: "oom-of-hook",
        about: "the hook uses more memory than there is, and is killed; the application drains",
        grace_seconds: 30,
        hook: &["sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"],
        limits: &[MEMORY],
        expect: Expect {
            hook: Some(HookResult::Failed),
            oom_kills: true,
            findings: &["PRESTOP_FAILED", "OOM_DURING_TERMINATION"],
            ..CLEAN.expect
        },
        ..CLEAN
    },
    Scenario {
        name: "oom-in-hook",
        about: "the hook uses the memory that the application lacks: the application is killed",
        grace_seconds: 30,
        application: &["--on-term", "drain", "--hold-mib", "36"],
        // Some 20 MiB at most: too much beside the application, and not so much that the OOM killer takes the hook as
        // well, in what time is left until it ends with the container.
        hook: &["sh", "-c", "x=0123456789abcdef; while [ ${#x} -lt 8000000 ]; do x=$x$x; done; sleep 60"],
        limits: &[MEMORY],
        ending: Ending::Deletion { interrupted: false },
        expect: Expect { hook: Some(HookResult::Interrupted), findings: &["OOM_DURING_TERMINATION"], ..OOM.expect },
        ..CLEAN
    },
    Scenario {
        name: "oom-in-drain",
        about: "the application uses more memory than it may when it is told to leave",
        application: &["--on-term", "hog"],
        ending: Ending::Deletion { interrupted: false },
        expect: Expect {
            disposition: Some(Disposition::Handled),
            findings: &["OOM_DURING_TERMINATION", "CONNECTIONS_CUT"],
            ..OOM.expect
        },
        ..OOM
    },
    Scenario {
        name: "evicted",
        about: "a hard eviction: a grace period of 1 s, too short for hook and drain",
        grace_seconds: 1,
        application: &["--on-term", "drain", "--drain-ms", "60000"],
        hook: &["sleep", "60"],
        expect: Expect {
            hook: Some(HookResult::Timeout),
            disposition: Some(Disposition::Handled),
            zombies: 3,
            findings: &["NO_GRACE", "PRESTOP_TIMEOUT", "GRACE_EXHAUSTED"],
            ..FORCED
        },
        ..CLEAN
    },
    Scenario {
        name: "fork-storm",
        about: "a hook that starts 200 processes at once",
        qos: Qos::Guaranteed,
        grace_seconds: 20,
        hook: &["sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true & i=$((i+1)); done; wait"],
        expect: Expect { hook_processes: 201, findings: &["PRESTOP_COSTLY"], ..CLEAN.expect },
        ..CLEAN
    },
    Scenario {
        name: "fork-limit",
        about: "a hook that starts processes until it may not start more",
        grace_seconds: 20,
        hook: &["sh", "-c", "while :; do sleep 30 & done"],
        limits: &[("pids.max", "40")],
        expect: Expect { hook: Some(HookResult::Failed), findings: &["PRESTOP_FAILED"], ..CLEAN.expect },
        ..CLEAN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for scenario in all() {
            assert_eq!(all().filter(|other| other.name == scenario.name).count(), 1, "{}", scenario.name);
        }
    }
}
