//! How the kubelet ends a container: hook, stop signal, SIGKILL, and the arithmetic of the grace period.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep, timeout_at};

use crate::clients::{Clients, Request};
use crate::node::Node;
use crate::runtime::{self, Container, Execution};
use crate::scenario::Scenario;
use crate::truth::Observed;

/// What the runtime is granted at least (pkg/kubelet/kuberuntime, `minimumGracePeriodInSeconds`).
const MINIMUM: u64 = 2;
/// Late clients begin to come this long after the stop signal: nobody can be in doubt which came first.
const LATE: Duration = Duration::from_millis(50);
/// How far things have got when the kubelet or the runtime dies.
const DEATH: Duration = Duration::from_millis(400);

/// The ending of one container.
pub(super) struct Stop<'a> {
    pub(super) node: &'a Node,
    pub(super) scenario: &'static Scenario,
    /// The kubelet dies during the hook, and the runtime after the stop signal; both come back and try again.
    pub(super) interrupted: bool,
}

impl Stop<'_> {
    /// Ends it. `observed` is filled as things happen.
    pub(super) async fn run(
        &self,
        container: &mut Container,
        clients: &mut Clients,
        observed: &mut Observed,
    ) -> Result<()> {
        let (rest, hook) = self.run_hook(container, observed).await?;
        if runtime::is_leaving(container.pid) {
            // The runtime has nobody to send a signal to.
            observed.hook_interrupted = hook.is_none() && observed.hook_start.is_some();
            observed.exit = Some(container.exited().await?);
            if let Some(mut hook) = hook {
                observed.hook_end = Some(hook.exited().await?);
            }
            return Ok(());
        }
        let deadline = Instant::now() + rest;

        observed.stop_signals.push(runtime::kill(self.node, container.pid, libc::SIGTERM).await?);
        if self.interrupted {
            sleep(DEATH).await;
            observed.stop_signals.push(runtime::kill(self.node, container.pid, libc::SIGTERM).await?);
        }
        if self.scenario.late_clients > 0 {
            sleep(LATE).await;
            clients.ask(Request::Arrive { count: self.scenario.late_clients, every_ms: 100 }).await?;
        }
        let exit = match timeout_at(deadline, container.exited()).await {
            Ok(exit) => exit?,
            Err(_) => {
                observed.killed = Some(runtime::kill(self.node, container.pid, libc::SIGKILL).await?);
                container.exited().await?
            }
        };
        observed.exit = Some(exit);
        if let Some(mut hook) = hook {
            observed.hook_end = Some(hook.exited().await?);
        }
        Ok(())
    }

    /// Runs the hook, if there is one. Gives what is left of the grace period, and the hook if it is still running.
    async fn run_hook(&self, container: &Container, observed: &mut Observed) -> Result<(Duration, Option<Execution>)> {
        let grace = Duration::from_secs(self.scenario.grace_seconds);
        let Some(command) = self.scenario.hook_command() else { return Ok((grace, None)) };
        if self.interrupted {
            // The kubelet's request ends with the kubelet, and the runtime kills what it ran for it.
            let mut hook = runtime::exec(self.node, container, &command).await?;
            observed.hook_start = Some(hook.start);
            sleep(DEATH).await;
            runtime::kill(self.node, hook.pid, libc::SIGKILL).await?;
            hook.exited().await?;
            sleep(DEATH).await;
        }
        // After a restart the kubelet begins again, with the full grace.
        let begin = Instant::now();
        let mut hook = runtime::exec(self.node, container, &command).await?;
        observed.hook_start.get_or_insert(hook.start);
        let end = timeout_at(begin + grace, hook.exited()).await;
        let rest =
            Duration::from_secs(self.scenario.grace_seconds.saturating_sub(begin.elapsed().as_secs()).max(MINIMUM));
        match end {
            Ok(end) => {
                observed.hook_end = Some(end?);
                Ok((rest, None))
            }
            Err(_) => Ok((rest, Some(hook))),
        }
    }
}
