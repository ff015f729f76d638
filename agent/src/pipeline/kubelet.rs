//! Keeps the hooks that see packets on the kubelet's cgroup, wherever that is now.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::identity::cgroupfs::{KubeletError, KubeletFinder};
use crate::metrics::Metrics;
use crate::model::BootTime;
use crate::probe::Probe;

/// How often to look whether it is still the same: a kubelet that was started anew runs hooks again within seconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The same where none was ever found: that takes a look at every process.
const LOOK_RARELY: Duration = Duration::from_secs(10);

/// What is known of it. Made by the first look, which is before the agent says what it can see.
#[derive(Debug)]
pub struct Kubelet {
    /// Away while it looks.
    finder: Option<KubeletFinder>,
    running: Option<JoinHandle<Look>>,
    looked_at: BootTime,
    ever_found: bool,
    /// What was said about it last.
    said: Option<String>,
}

/// Directories of cgroups, or why there are none.
type Found = Result<Vec<PathBuf>, KubeletError>;
/// A finder that comes back, and what it found.
type Look = (KubeletFinder, Found);

impl Kubelet {
    /// Looks for the first time and attaches. Blocks as long as it takes to look at every process.
    pub fn look_at_start(mut finder: KubeletFinder, now: BootTime, probe: &mut Probe, metrics: &Metrics) -> Kubelet {
        let found = probe.wants_kubelet().then(|| finder.find());
        let mut kubelet =
            Kubelet { finder: Some(finder), running: None, looked_at: now, ever_found: false, said: None };
        if let Some(found) = found {
            kubelet.apply(found, probe, metrics);
        }
        kubelet
    }

    /// Begins to look if it is time to.
    pub(super) fn look_if_due(&mut self, now: BootTime, probe: &Probe) {
        let every = if self.ever_found { LOOK_EVERY } else { LOOK_RARELY };
        if !probe.wants_kubelet() || now.since(self.looked_at) < every {
            return;
        }
        if let Some(mut finder) = self.finder.take() {
            self.looked_at = now;
            self.running = Some(tokio::task::spawn_blocking(move || {
                let found = finder.find();
                (finder, found)
            }));
        }
    }

    /// The result of the look that runs; never, when none does.
    pub(super) async fn next(&mut self) -> Found {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let looked = running.await;
        self.running = None;
        match looked {
            Ok((finder, found)) => {
                self.finder = Some(finder);
                found
            }
            // It was asked to end: the runtime is about to.
            Err(_) => std::future::pending().await,
        }
    }

    /// Attaches to what was found, or takes the hooks off. Says so if that is news. If anything changed, whether requests
    /// are seen from now on.
    pub(super) fn apply(&mut self, found: Found, probe: &mut Probe, metrics: &Metrics) -> Option<bool> {
        self.ever_found |= found.is_ok();
        let changed = match &found {
            Ok(dirs) => probe.attach_to_kubelet(Ok(dirs)),
            Err(error) => probe.attach_to_kubelet(Err(&error.to_string())),
        };
        let packets = probe.hooks().iter().filter(|status| status.hook.sees_packets());
        let watched = changed.then(|| packets.into_iter().all(|status| status.missing.is_none()));
        let mut refused = None;
        for status in probe.hooks().iter().filter(|status| status.hook.sees_packets()) {
            metrics.agent.kernel.set_attached(status.hook.name(), status.missing.is_none());
            // What keeps one from being attached is found out anew each time; one that was left out stays so.
            refused = refused.or(status.missing.clone());
        }
        let says = match (&found, refused) {
            (Ok(dirs), None) => {
                let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
                format!("httpGet hooks are seen on the kubelet's cgroup {}", dirs.join(", "))
            }
            (_, Some(cause)) => format!("httpGet hooks are inferred, not seen: {cause}"),
            (Err(error), None) => format!("httpGet hooks are inferred, not seen: {error}"),
        };
        if self.said.as_ref() == Some(&says) {
            return watched;
        }
        match found {
            Ok(_) if says.starts_with("httpGet hooks are seen") => tracing::info!("{says}"),
            // A machine that is no node is nothing to warn of, and neither is a kubelet that is being started anew.
            Err(KubeletError::NoKubelet) => tracing::info!("{says}"),
            _ => tracing::warn!("{says}"),
        }
        self.said = Some(says);
        watched
    }
}
