//! What really happened, as told by those who did it.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::clients::{Connection, End};
use crate::clock::{BootTime, WallOffset};
use crate::runtime::{Exit, Sent};
use crate::workload::Calls;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$item_doc])* $item),+ }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($name::$item => $word),+ })
            }
        }
    };
}

words! {
    /// How a container ended.
    Outcome {
        /// Left before any stop signal.
        Completed = "completed",
        /// Left after the stop signal, not killed from outside.
        Graceful = "graceful",
        /// Died of a signal of its own.
        Crashed = "crashed",
        /// Killed from outside.
        Forced = "forced",
        /// Killed by the OOM killer.
        Oom = "oom",
    }
}

words! {
    /// How a hook ended.
    HookResult {
        /// Exit code 0.
        Success = "success",
        /// Another exit code.
        Failed = "failed",
        /// Still running when the stop signal was sent.
        Timeout = "timeout",
        /// Its container ended under it.
        Interrupted = "interrupted",
    }
}

words! {
    /// What an init does with the stop signal.
    Disposition {
        /// Has a handler.
        Handled = "handled",
        /// Dies of it.
        Default = "default",
        /// Ignores it, or has no handler and is pid 1 of a pid namespace.
        Ignored = "ignored",
    }
}

/// What the driver saw of one container's termination.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Start of the hook; of the first run.
    pub hook_start: Option<BootTime>,
    /// End of the hook; of the last run.
    pub hook_end: Option<Exit>,
    /// The init had begun to exit when the hook had ended.
    pub hook_interrupted: bool,
    /// Stop signals, in order.
    pub stop_signals: Vec<Sent>,
    /// SIGKILL by the runtime.
    pub killed: Option<Sent>,
    /// End of the init.
    pub exit: Option<Exit>,
    /// Processes of the container that the OOM killer took (`oom_kill` in `memory.events`).
    pub oom_kills: u64,
    /// What became of its calls.
    pub calls: Calls,
    /// When the runtime had removed its cgroup.
    pub gone_at: Option<BootTime>,
}

/// The measures of one termination, in boot time.
#[derive(Debug, Clone)]
pub struct Truth {
    /// The kubelet's first act; without one, the exit.
    pub start: BootTime,
    /// Right before the hook's execve.
    pub hook_start: Option<BootTime>,
    /// When its parent's wait returned.
    pub hook_end: Option<BootTime>,
    /// How it ended.
    pub hook_result: Option<HookResult>,
    /// Right before the first stop signal was sent.
    pub stop_signal_at: Option<BootTime>,
    /// What the init does with it.
    pub disposition: Option<Disposition>,
    /// Right before SIGKILL was sent.
    pub killed_at: Option<BootTime>,
    /// When the shim's wait returned.
    pub exit_at: BootTime,
    /// The init's exit code.
    pub exit_code: Option<i32>,
    /// The signal that killed it.
    pub exit_signal: Option<i32>,
    /// How the container ended.
    pub outcome: Outcome,
    /// Processes that the OOM killer took.
    pub oom_kills: u64,
    /// Connections that were cut.
    pub zombie_inbound: u64,
    /// Connections of its own that were cut.
    pub zombie_outbound: u64,
    /// Whose the inbound ones were.
    pub cut_clients: Vec<SocketAddr>,
    /// Connections that were established after the stop signal; `None` if there was none.
    pub late: Option<u64>,
    /// Clients that were refused before the first was served.
    pub startup_refused: u64,
    /// Clients that were refused after that.
    pub refused: u64,
    /// How many of those were while the container's cgroup was there.
    pub refused_in_life: u64,
    /// What became of its calls.
    pub calls: Calls,
}

impl Truth {
    /// Puts together what the driver and the clients saw; `None` if the container has not ended.
    pub fn new(observed: &Observed, connections: &[Connection]) -> Option<Truth> {
        let exit = observed.exit?;
        let stop = observed.stop_signals.first();
        let stop_signal_at = stop.map(|sent| sent.at);
        let killed_at = observed.killed.map(|sent| sent.at);
        let first_act = [observed.hook_start, stop_signal_at, killed_at].into_iter().flatten().min();
        let killed = killed_at.is_some() && exit.signal() == Some(libc::SIGKILL);
        let outcome = match exit.signal() {
            _ if killed => Outcome::Forced,
            Some(libc::SIGKILL) if observed.oom_kills > 0 => Outcome::Oom,
            _ if stop.is_some() => Outcome::Graceful,
            Some(_) => Outcome::Crashed,
            None => Outcome::Completed,
        };
        let hook_result = observed.hook_end.map(|end| match stop_signal_at {
            Some(stop) if end.at > stop => HookResult::Timeout,
            None if end.at > exit.at || observed.hook_interrupted => HookResult::Interrupted,
            _ if end.code() == Some(0) => HookResult::Success,
            _ => HookResult::Failed,
        });
        let count = |keep: &dyn Fn(&Connection) -> bool| connections.iter().filter(|each| keep(each)).count() as u64;
        let refused = |each: &Connection| each.end == End::Refused;
        let served = connections.iter().filter(|each| !refused(each)).map(|each| each.at).min();
        let starts = |each: &Connection| served.is_none_or(|served| each.at < served);
        let cut = connections.iter().filter(|each| each.end == End::Cut);
        let cut_clients: Vec<SocketAddr> = cut.filter_map(|each| each.client).collect();
        Some(Truth {
            start: first_act.unwrap_or(exit.at),
            hook_start: observed.hook_start,
            hook_end: observed.hook_end.map(|end| end.at),
            hook_result,
            stop_signal_at,
            disposition: stop.map(|sent| sent.disposition),
            killed_at,
            exit_at: exit.at,
            exit_code: exit.code(),
            exit_signal: exit.signal(),
            outcome,
            oom_kills: observed.oom_kills,
            zombie_inbound: cut_clients.len() as u64,
            zombie_outbound: 0,
            cut_clients,
            late: stop_signal_at.map(|stop| count(&|each| !refused(each) && each.at > stop)),
            startup_refused: count(&|each| refused(each) && starts(each)),
            refused: count(&|each| refused(each) && !starts(each)),
            refused_in_life: count(&|each| {
                refused(each) && !starts(each) && observed.gone_at.is_none_or(|gone| each.at < gone)
            }),
            calls: observed.calls.clone(),
        })
    }

    /// As JSON, times as RFC 3339.
    pub fn to_json(&self, offset: WallOffset) -> serde_json::Value {
        let time = |at: Option<BootTime>| at.map(|at| offset.format(at));
        serde_json::json!({
            "start": time(Some(self.start)),
            "hook_start": time(self.hook_start),
            "hook_end": time(self.hook_end),
            "hook_result": self.hook_result,
            "stop_signal_at": time(self.stop_signal_at),
            "disposition": self.disposition,
            "killed_at": time(self.killed_at),
            "exit_at": time(Some(self.exit_at)),
            "exit_code": self.exit_code,
            "exit_signal": self.exit_signal,
            "outcome": self.outcome,
            "oom_kills": self.oom_kills,
            "zombie_inbound": self.zombie_inbound,
            "zombie_outbound": self.zombie_outbound,
            "cut_clients": self.cut_clients,
            "late": self.late,
            "startup_refused": self.startup_refused,
            "refused": self.refused,
            "calls": {"answered": self.calls.answered, "broken": self.calls.broken, "failed": self.calls.failed.len()},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(at: i64, status: i32) -> Option<Exit> {
        Some(Exit { at: BootTime(at), status })
    }

    fn sent(at: i64) -> Sent {
        Sent { at: BootTime(at), disposition: Disposition::Handled }
    }

    #[test]
    fn verdicts() {
        let check = |observed: Observed, outcome, hook| {
            let truth = Truth::new(&observed, &[]).unwrap();
            assert_eq!((truth.outcome, truth.hook_result), (outcome, hook), "{observed:?}");
        };
        let hook = |end, status| Observed {
            hook_start: Some(BootTime(1)),
            hook_end: exit(end, status),
            ..Observed::default()
        };
        check(Observed { exit: exit(9, 0), ..Observed::default() }, Outcome::Completed, None);
        check(Observed { exit: exit(9, 11), ..Observed::default() }, Outcome::Crashed, None);
        let stopped = |observed| Observed { stop_signals: vec![sent(5)], exit: exit(9, 0), ..observed };
        check(stopped(hook(4, 0)), Outcome::Graceful, Some(HookResult::Success));
        check(stopped(hook(4, 0x300)), Outcome::Graceful, Some(HookResult::Failed));
        check(stopped(hook(9, 9)), Outcome::Graceful, Some(HookResult::Timeout));
        let killed = Observed { killed: Some(sent(8)), exit: exit(9, 9), ..stopped(Observed::default()) };
        check(killed, Outcome::Forced, None);
        let oom = Observed { exit: exit(9, 9), oom_kills: 1, ..Observed::default() };
        check(oom, Outcome::Oom, None);
        check(Observed { oom_kills: 1, ..stopped(Observed::default()) }, Outcome::Graceful, None);
        check(Observed { exit: exit(3, 0), ..hook(4, 9) }, Outcome::Completed, Some(HookResult::Interrupted));
        let oom = Observed { exit: exit(5, 9), oom_kills: 1, hook_interrupted: true, ..hook(4, 9) };
        check(oom, Outcome::Oom, Some(HookResult::Interrupted));
        assert!(Truth::new(&hook(4, 0), &[]).is_none());
    }

    #[test]
    fn connections() {
        let observed = Observed { stop_signals: vec![sent(5)], exit: exit(9, 0), ..Observed::default() };
        let client = |at| Some(SocketAddr::from(([10, 88, 0, 1], at)));
        let each = |at: u16, end| Connection { at: BootTime(at.into()), client: client(at), end };
        let refused = |at| Connection { at: BootTime(at), client: None, end: End::Refused };
        let seen = [each(2, End::Cut), each(3, End::Bye), each(6, End::Cut), each(7, End::Closed), each(8, End::Reset)];
        let seen = [&seen[..], &[refused(1), refused(4), refused(9), refused(12)]].concat();
        let truth = Truth::new(&Observed { gone_at: Some(BootTime(10)), ..observed }, &seen).unwrap();
        assert_eq!((truth.zombie_inbound, truth.late), (2, Some(3)));
        assert_eq!(truth.cut_clients, [client(2).unwrap(), client(6).unwrap()]);
        assert_eq!((truth.startup_refused, truth.refused, truth.refused_in_life), (1, 3, 2));
    }
}
