//! The scenarios: what a pod is made of, how it is ended, and what must come of it.

mod table;

pub use table::ALL;
pub(crate) use table::{CLEAN, FORCED};

use std::path::Path;

use crate::truth::{Disposition, HookResult, Outcome, Truth};
use crate::upstream::Upstream;

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
    /// Clients that come one after another, every 100 ms, from 50 ms after the stop signal on.
    pub late_clients: u32,
    /// Another container beside the application, and a server outside of the pod that the application calls all along:
    /// it can be reached for as long as the sidecar holds a connection to it.
    pub sidecar: Option<Sidecar>,
    /// Files of the container's cgroup and what the runtime writes to them, such as `memory.max`.
    pub limits: &'static [(&'static str, &'static str)],
    /// How it is ended.
    pub ending: Ending,
    /// What must come of it.
    pub expect: Expect,
}

/// A container that the application needs for its calls. The stop signal takes it at the same time as the application,
/// unless it is native.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sidecar {
    /// The container's name.
    pub name: &'static str,
    /// An init container with `restartPolicy: Always`: it is stopped when the application has gone.
    pub native: bool,
    /// What it does when it is told to leave.
    pub application: &'static [&'static str],
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
    /// How many clients are refused at least before the application listens.
    pub startup_refused: u64,
    /// Whether clients are refused because the application does not listen any more.
    pub refused: bool,
    /// Whether calls of the application fail.
    pub failed_calls: bool,
    /// Findings that must be there. None means that there must be none.
    pub findings: &'static [&'static str],
}

impl Scenario {
    /// The container's command. `upstream` is what it calls, in a pod with a sidecar.
    pub fn argv(&self, application: &Path, upstream: Option<Upstream>) -> Vec<String> {
        let mut argv = workload(application, self.application);
        if let Some(upstream) = upstream {
            argv.extend(["--call".to_owned(), upstream.service.to_string()]);
        }
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
    pub fn deviations(&self, truth: &Truth, sidecar: Option<&Truth>) -> Vec<String> {
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
        let came = truth.late.map_or(0, |late| late + truth.refused);
        check("late and refused clients", self.late_clients.to_string(), came.to_string());
        let early = truth.startup_refused.min(expect.startup_refused);
        check("clients that came too early", expect.startup_refused.to_string(), early.to_string());
        check("refused clients", expect.refused.to_string(), (truth.refused > 0).to_string());
        if let Some(sidecar) = sidecar {
            check("outcome of the sidecar", Outcome::Graceful.to_string(), sidecar.outcome.to_string());
        }
        check("failed calls", expect.failed_calls.to_string(), truth.calls.failed_at_all().to_string());
        check("OOM kills", expect.oom_kills.to_string(), (truth.oom_kills > 0).to_string());
        check("killed", expect.killed.to_string(), truth.killed_at.is_some().to_string());
        found
    }
}

impl Sidecar {
    /// The container's command. `upstream` is what it opens the way to.
    pub fn argv(&self, application: &Path, upstream: Upstream) -> Vec<String> {
        let mut argv = workload(application, self.application);
        let own = ["--port".to_owned(), SIDECAR_PORT.to_string(), "--tunnel".to_owned(), upstream.tunnel.to_string()];
        argv.extend(own);
        argv
    }
}

/// Where a sidecar listens.
const SIDECAR_PORT: u16 = 15001;

fn workload(application: &Path, arguments: &[&str]) -> Vec<String> {
    let words = ["play", "workload"].iter().chain(arguments).map(|word| (*word).to_owned());
    std::iter::once(application.display().to_string()).chain(words).collect()
}

/// Finds a scenario by name.
pub fn by_name(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

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
    fn who_has_a_sidecar_is_deleted() {
        for scenario in ALL.iter().filter(|scenario| scenario.sidecar.is_some()) {
            assert_eq!(scenario.ending, Ending::Deletion { interrupted: false }, "{}", scenario.name);
            assert!(scenario.hook.is_empty(), "{}: nobody runs hooks of several containers", scenario.name);
        }
    }

    #[test]
    fn a_shell_gets_one_command() {
        let shell = by_name("shell-pid1").unwrap();
        let argv = shell.argv(Path::new("/x/app"), None);
        assert_eq!(argv[..2], ["sh", "-c"]);
        assert_eq!(argv[2], "/x/app play workload --on-term drain --drain-ms 500 & wait");
    }
}
