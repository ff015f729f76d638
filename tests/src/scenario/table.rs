//! Every scenario of the demo.

use super::{Ending, Expect, Init, Qos, Scenario, Sidecar};
use crate::truth::{Disposition, HookResult, Outcome};

/// A pod that does everything right; the others say where they differ.
pub(crate) const CLEAN: Scenario = Scenario {
    name: "clean",
    about: "a hook of one second, then a drain within the grace period",
    qos: Qos::Burstable,
    grace_seconds: 5,
    init: Init::Application,
    application: &["--on-term", "drain", "--drain-ms", "500"],
    hook: &["sleep", "1"],
    clients: 3,
    late_clients: 0,
    sidecar: None,
    limits: &[],
    ending: Ending::Deletion { interrupted: false },
    expect: Expect {
        outcome: Outcome::Graceful,
        hook: Some(HookResult::Success),
        disposition: Some(Disposition::Handled),
        zombies: 0,
        killed: false,
        hook_processes: 0,
        oom_kills: false,
        startup_refused: 0,
        refused: false,
        failed_calls: false,
        findings: &[],
    },
};

pub(crate) const FORCED: Expect = Expect {
    outcome: Outcome::Forced,
    hook: None,
    disposition: Some(Disposition::Ignored),
    killed: true,
    ..CLEAN.expect
};

/// Every scenario.
pub const ALL: &[Scenario] = &[
    CLEAN,
    Scenario {
        name: "no-hook",
        about: "only a stop signal, and a drain within the grace period",
        qos: Qos::BestEffort,
        hook: &[],
        expect: Expect { hook: None, ..CLEAN.expect },
        ..CLEAN
    },
    Scenario {
        name: "hook-fails",
        about: "a hook that exits with 3",
        hook: &["sh", "-c", "sleep 0.3; exit 3"],
        expect: Expect { hook: Some(HookResult::Failed), findings: &["PRESTOP_FAILED"], ..CLEAN.expect },
        ..CLEAN
    },
    Scenario {
        name: "hook-hangs",
        about: "a hook that looks for open connections again and again, and outlives the grace period",
        grace_seconds: 3,
        application: &["--on-term", "drain", "--drain-ms", "1000"],
        hook: &["sh", "-c", "while cat /proc/net/tcp | grep -q ' 01 '; do sleep 0.05; done"],
        expect: Expect {
            hook: Some(HookResult::Timeout),
            findings: &["PRESTOP_TIMEOUT", "PRESTOP_COSTLY"],
            ..CLEAN.expect
        },
        ..CLEAN
    },
    Scenario {
        name: "ignores-sigterm",
        about: "pid 1 without a handler: the stop signal does nothing",
        grace_seconds: 3,
        application: &["--on-term", "nothing"],
        hook: &[],
        expect: Expect { zombies: 3, findings: &["STOP_SIGNAL_IGNORED", "GRACE_EXHAUSTED"], ..FORCED },
        ..CLEAN
    },
    Scenario {
        name: "shell-pid1",
        about: "a shell as pid 1 that does not pass the stop signal on",
        qos: Qos::BestEffort,
        grace_seconds: 3,
        init: Init::Shell,
        hook: &[],
        expect: Expect { zombies: 3, findings: &["STOP_SIGNAL_NOT_FORWARDED", "GRACE_EXHAUSTED"], ..FORCED },
        ..CLEAN
    },
    Scenario {
        name: "slow-drain",
        about: "a drain that needs most of the grace period",
        qos: Qos::Guaranteed,
        grace_seconds: 6,
        application: &["--on-term", "drain", "--drain-ms", "5000"],
        hook: &[],
        expect: Expect { hook: None, findings: &["GRACE_NEARLY_EXHAUSTED"], ..CLEAN.expect },
        ..CLEAN
    },
    Scenario {
        name: "cut-connections",
        about: "a drain that is too long: killed with 20 clients connected",
        grace_seconds: 3,
        application: &["--on-term", "drain", "--drain-ms", "60000"],
        hook: &[],
        clients: 20,
        expect: Expect {
            disposition: Some(Disposition::Handled),
            zombies: 20,
            findings: &["CONNECTIONS_CUT", "GRACE_EXHAUSTED"],
            ..FORCED
        },
        ..CLEAN
    },
    Scenario {
        name: "late-clients",
        about: "clients still come after the stop signal",
        application: &["--on-term", "drain", "--drain-ms", "2000"],
        hook: &[],
        late_clients: 8,
        expect: Expect { hook: None, findings: &["LATE_CONNECTIONS"], ..CLEAN.expect },
        ..CLEAN
    },
    Scenario {
        name: "crash",
        about: "dies by itself",
        qos: Qos::BestEffort,
        hook: &["sleep", "1"],
        ending: Ending::Crash,
        expect: Expect {
            outcome: Outcome::Crashed,
            hook: None,
            disposition: None,
            zombies: 3,
            findings: &["CONNECTIONS_CUT"],
            ..CLEAN.expect
        },
        ..CLEAN
    },
    Scenario {
        name: "restarted-runtime",
        about: "the kubelet dies during the hook and the runtime after the stop signal: both are done twice",
        qos: Qos::Guaranteed,
        application: &["--on-term", "drain", "--drain-ms", "1000"],
        ending: Ending::Deletion { interrupted: true },
        ..CLEAN
    },
    Scenario {
        name: "endpoint-race",
        about: "clients still come when the application has stopped listening, and when it has gone",
        application: &["--on-term", "drain", "--drain-ms", "1000", "--linger-ms", "250"],
        hook: &[],
        late_clients: 20,
        expect: Expect {
            hook: None,
            refused: true,
            findings: &["EXITED_DURING_TRAFFIC", "CONNECTIONS_REFUSED", "LATE_CONNECTIONS"],
            ..CLEAN.expect
        },
        ..CLEAN
    },
    Scenario {
        name: "long-lived",
        about: "clients that stay connected, as WebSockets do: an application that leaves at once cuts them",
        application: &["--on-term", "drop"],
        hook: &["sleep", "1"],
        clients: 12,
        expect: Expect { zombies: 12, findings: &["CONNECTIONS_CUT"], ..CLEAN.expect },
        ..CLEAN
    },
    Scenario {
        name: "startup-race",
        about: "clients come before the application listens; its end is a clean one",
        application: &["--listen-after-ms", "700", "--on-term", "drain", "--drain-ms", "500"],
        hook: &[],
        expect: Expect { hook: None, startup_refused: 10, ..CLEAN.expect },
        ..CLEAN
    },
    Scenario {
        name: "sidecar-first",
        about: "the proxy leaves at once, while the application still drains: its calls fail",
        application: &["--on-term", "drain", "--drain-ms", "1500"],
        hook: &[],
        sidecar: Some(Sidecar { name: "istio-proxy", native: false, application: &["--on-term", "drop"] }),
        expect: Expect {
            hook: None,
            failed_calls: true,
            findings: &["SIDECAR_EXITED_FIRST", "OUTBOUND_FAILED_AFTER_SIDECAR"],
            ..CLEAN.expect
        },
        ..CLEAN
    },
    Scenario {
        name: "native-sidecar",
        about: "a sidecar that Kubernetes stops after the application: no call fails",
        application: &["--on-term", "drain", "--drain-ms", "1000"],
        hook: &[],
        sidecar: Some(Sidecar { name: "proxy", native: true, application: &["--on-term", "drain"] }),
        expect: Expect { hook: None, ..CLEAN.expect },
        ..CLEAN
    },
];
