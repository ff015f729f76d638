//! The scenarios: what a pod is made of, how it is ended, and what must come of it.

use std::path::Path;

use crate::truth::{Disposition, HookResult, Outcome, Truth};

/// One scenario.
#[derive(Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// The pod's class, which decides where its cgroup is.
    pub qos: Qos,
    /// `terminationGracePeriodSeconds`.
    pub grace_seconds: u64,
    /// Pid 1 of the container.
    pub init: Init,
    /// What the application does when it is told to leave.
    pub application: &'static [&'static str],
    /// The exec preStop hook.
    pub hook: &'static [&'static str],
    /// Connections that are open when the end begins.
    pub clients: u32,
    /// Connections that are opened after the stop signal.
    pub late_clients: u32,
    /// Files of the container's cgroup and what the runtime writes to them, such as `memory.max`.
    pub limits: &'static [(&'static str, &'static str)],
    /// How it is ended.
    pub ending: Ending,
    /// What must come of it.
    pub expect: Expect,
}

/// Pid 1 of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// The application.
    Application,
    /// A shell that started the application and keeps signals to itself.
    Shell,
}

/// How a pod is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By the kubelet.
    Deletion {
        /// The kubelet dies during the hook and the runtime after the stop signal; both begin again.
        interrupted: bool,
    },
    /// By itself.
    Crash,
    /// By the OOM killer: the application, or a child of it, uses more memory than its container may have.
    OutOfMemory,
    /// By the kubelet, some time after the OOM killer has taken a child of the application.
    DeletionAfterOom,
}

impl Ending {
    /// Whether somebody deletes the pod.
    pub fn is_deletion(self) -> bool {
        matches!(self, Ending::Deletion { .. } | Ending::DeletionAfterOom)
    }
}

/// A pod's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Requests equal to limits.
    Guaranteed,
    /// Some requests.
    Burstable,
    /// No requests.
    BestEffort,
}

impl Qos {
    /// As the pod's status says it.
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

/// What must come of a scenario.
#[derive(Debug, PartialEq, Eq)]
pub struct Expect {
    /// How the container ended.
    pub outcome: Outcome,
    /// How the hook ended.
    pub hook: Option<HookResult>,
    /// What the init did with the stop signal.
    pub disposition: Option<Disposition>,
    /// Connections that were cut.
    pub zombies: u64,
    /// Whether it was ended by SIGKILL of the runtime.
    pub killed: bool,
    /// How many processes the hook has at least; 0 where nobody counts.
    pub hook_processes: u64,
    /// Whether the OOM killer takes a process of the container.
    pub oom_kills: bool,
    /// Findings that must be there. None means that there must be none.
    pub findings: &'static [&'static str],
}

impl Scenario {
    /// The container's command.
    pub fn argv(&self, application: &Path) -> Vec<String> {
        let words = ["play", "workload"].iter().chain(self.application).map(|word| (*word).to_owned());
        let argv: Vec<String> = std::iter::once(application.display().to_string()).chain(words).collect();
        match self.init {
            Init::Application => argv,
            Init::Shell => vec!["sh".to_owned(), "-c".to_owned(), format!("{} & wait", argv.join(" "))],
        }
    }

    /// The hook's command.
    pub fn hook_command(&self) -> Option<Vec<String>> {
        (!self.hook.is_empty()).then(|| self.hook.iter().map(|word| (*word).to_owned()).collect())
    }

    /// How the truth differs from the script: the scenario itself went wrong.
    pub fn deviations(&self, truth: &Truth) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |what: &str, expected: String, actual: String| {
            if expected != actual {
                found.push(format!("{what} is {actual}, scripted {expected}"));
            }
        };
        let expect = &self.expect;
        check("outcome", format!("{}", expect.outcome), format!("{}", truth.outcome));
        check("hook result", format!("{:?}", expect.hook), format!("{:?}", truth.hook_result));
        check("disposition", format!("{:?}", expect.disposition), format!("{:?}", truth.disposition));
        check("cut connections", expect.zombies.to_string(), truth.zombie_inbound.to_string());
        check("late connections", self.late_clients.to_string(), truth.late.unwrap_or(0).to_string());
        check("OOM kills", expect.oom_kills.to_string(), (truth.oom_kills > 0).to_string());
        check("killed", expect.killed.to_string(), truth.killed_at.is_some().to_string());
        found
    }
}

/// Finds a scenario by name.
pub fn by_name(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

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
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for scenario in ALL {
            assert_eq!(ALL.iter().filter(|other| other.name == scenario.name).count(), 1, "{}", scenario.name);
            assert_eq!(by_name(scenario.name), Some(scenario));
        }
    }

    #[test]
    fn a_shell_gets_one_command() {
        let shell = by_name("shell-pid1").unwrap();
        let argv = shell.argv(Path::new("/x/app"));
        assert_eq!(argv[..2], ["sh", "-c"]);
        assert_eq!(argv[2], "/x/app play workload --on-term drain --drain-ms 500 & wait");
    }
}
