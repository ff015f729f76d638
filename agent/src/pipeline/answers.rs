//! Answers to what the server asks, in a running agent.

use super::Live;
use crate::clock;
use crate::http::Inquiry;
use crate::model::BootTime;
use crate::probe::{Hook, HookStatus};
use crate::report::{HookHealth, LeftOut, MapUse, ProcessHealth, SourceHealth, StateHealth, Time, Vitals, seconds};

impl Live {
    /// Pointers and numbers only: whoever asks makes text of them.
    pub(super) fn answer(&self, inquiry: Inquiry) {
        // Who asked may have gone.
        match inquiry {
            Inquiry::Pods(asker) => drop(asker.send(self.pipeline.index().known_pods())),
            Inquiry::Vitals(asker) => drop(asker.send(Box::new(self.vitals(clock::boot_now())))),
        }
    }

    fn vitals(&self, now: BootTime) -> Vitals {
        let uptime = now.since(self.started);
        let wall = clock::wall_now();
        let since_start = i64::try_from(uptime.as_nanos()).unwrap_or(i64::MAX);
        let index = self.pipeline.index();
        Vitals {
            kernel: rustix::system::uname().release().to_str().ok().map(str::to_owned),
            node: self.node_name.as_deref().map(str::to_owned),
            started: Time(crate::model::WallTime(wall.0.saturating_sub(since_start))),
            uptime_seconds: seconds(uptime),
            now: Time(wall),
            hooks: self.probe.hooks().iter().map(|status| self.hook_health(status)).collect(),
            sources: self.source_health(now),
            maps: self
                .account
                .maps
                .iter()
                .map(|map| MapUse { map: map.map.into(), entries: map.used, max_entries: map.max })
                .collect(),
            left_out: self
                .left_out()
                .into_iter()
                .chain([("refused_connections", self.account.refused_left_out)])
                .map(|(what, count)| LeftOut { what: what.into(), count })
                .collect(),
            pods: index.pods() as u64,
            containers: index.containers() as u64,
            state: self.state.as_ref().map(|state| {
                let status = state.keeper.status();
                StateHealth {
                    age_seconds: status.saved_at().map(|at| seconds(now.since(at))),
                    bytes: status.bytes(),
                    saves: status.saves(),
                    errors: status.errors(),
                }
            }),
            process: self
                .account
                .process
                .map(|usage| ProcessHealth { resident_bytes: usage.resident, cpu_seconds: seconds(usage.cpu) }),
        }
    }

    fn hook_health(&self, status: &HookStatus) -> HookHealth {
        let hook = status.hook;
        let account = &self.account;
        let at = Hook::ALL.iter().position(|known| *known == hook).unwrap_or_default();
        let usage = account.usage.iter().find(|usage| usage.hook == hook);
        HookHealth {
            hook: hook.name().into(),
            attached: status.missing.is_none(),
            missing: status.missing.clone(),
            without: status.loss().into(),
            received: account.received[at],
            dropped: self.drops[at],
            malformed: account.malformed[at],
            missed: account.misses.by_hook().iter().find(|(known, _)| *known == hook).map(|(_, missed)| *missed),
            runs: usage.map(|usage| usage.runs),
            run_seconds: usage.map(|usage| seconds(usage.time)),
        }
    }

    fn source_health(&self, now: BootTime) -> Vec<SourceHealth> {
        let age = |at: BootTime| seconds(now.since(at));
        let cgroups = SourceHealth {
            source: super::live::CGROUPS.into(),
            age_seconds: Some(self.scans.walked_at()).filter(|at| at.0 > 0).map(age),
            failing: self.scans.is_failing(),
            errors: self.scans.errors(),
            skipped: 0,
            unused: false,
        };
        let sources = self.sources.iter().map(|(source, health)| SourceHealth {
            source: source.as_str().into(),
            age_seconds: health.good_at().map(age),
            failing: health.is_failing(),
            errors: health.errors(),
            skipped: health.skipped(),
            unused: health.is_unused(),
        });
        sources.chain([cgroups]).collect()
    }
}
