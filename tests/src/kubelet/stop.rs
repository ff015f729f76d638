//! How the kubelet ends a container: hook, stop signal, SIGKILL, and the arithmetic of the grace period.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep, timeout_at};

use super::running::Running;
use crate::clients::{Clients, Request};
use crate::node::Node;
use crate::runtime::{self, Execution};

/// What the runtime is granted at least (pkg/kubelet/kuberuntime, `minimumGracePeriodInSeconds`).
const MINIMUM: Duration = Duration::from_secs(2);
/// Late clients begin to come this long after the stop signal: nobody can be in doubt which came first.
const LATE: Duration = Duration::from_millis(50);
/// How far things have got when the kubelet or the runtime dies.
const DEATH: Duration = Duration::from_millis(400);

/// The ending of one container.
pub(super) struct Stop<'a> {
    pub(super) node: &'a Node,
    pub(super) grace: Duration,
    pub(super) hook: Option<Vec<String>>,
    /// The kubelet dies during the hook, and the runtime after the stop signal; both come back and try again.
    pub(super) interrupted: bool,
}

impl Stop<'_> {
    /// Ends it, and whatever is to happen from the stop signal on beside that.
    pub(super) async fn run(&self, running: &mut Running, beside: impl Future<Output = Result<()>>) -> Result<()> {
        let (rest, hook) = self.run_hook(running).await?;
        let (container, observed) = (&mut running.container, &mut running.observed);
        if runtime::is_leaving(container.pid) {
            // The runtime has nobody to send a signal to.
            observed.hook_interrupted = hook.is_none() && observed.hook_start.is_some();
            observed.exit = Some(container.exited().await?);
            if let Some(mut hook) = hook {
                observed.hook_end = Some(hook.exited().await?);
            }
            return running.delete(self.node).await;
        }
        let deadline = Instant::now() + rest;

        observed.stop_signals.push(runtime::kill(self.node, container.pid, libc::SIGTERM).await?);
        if self.interrupted {
            sleep(DEATH).await;
            observed.stop_signals.push(runtime::kill(self.node, container.pid, libc::SIGTERM).await?);
        }
        tokio::try_join!(beside, self.see_it_end(running, deadline, hook))?;
        Ok(())
    }

    async fn see_it_end(&self, running: &mut Running, deadline: Instant, hook: Option<Execution>) -> Result<()> {
        let (container, observed) = (&mut running.container, &mut running.observed);
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
        running.delete(self.node).await
    }

    /// Runs the hook, if there is one. Gives what is left of the grace period, and the hook if it is still running.
    async fn run_hook(&self, running: &mut Running) -> Result<(Duration, Option<Execution>)> {
        let Some(command) = &self.hook else { return Ok((self.grace, None)) };
        let (container, observed) = (&running.container, &mut running.observed);
        if self.interrupted {
            // The kubelet's request ends with the kubelet, and the runtime kills what it ran for it.
            let mut hook = runtime::exec(self.node, container, command).await?;
            observed.hook_start = Some(hook.start);
            sleep(DEATH).await;
            runtime::kill(self.node, hook.pid, libc::SIGKILL).await?;
            hook.exited().await?;
            sleep(DEATH).await;
        }
        // After a restart the kubelet begins again, with the full grace.
        let begin = Instant::now();
        let mut hook = runtime::exec(self.node, container, command).await?;
        observed.hook_start.get_or_insert(hook.start);
        let end = timeout_at(begin + self.grace, hook.exited()).await;
        let rest = rest(self.grace, begin);
        match end {
            Ok(end) => {
                observed.hook_end = Some(end?);
                Ok((rest, None))
            }
            Err(_) => Ok((rest, Some(hook))),
        }
    }
}

/// What is left of a grace period: whole seconds of it are used up, and something is always granted.
pub(super) fn rest(grace: Duration, begin: Instant) -> Duration {
    grace.saturating_sub(Duration::from_secs(begin.elapsed().as_secs())).max(MINIMUM)
}

/// Has clients come one after another.
pub(super) async fn arrive(clients: &mut Clients, count: u32) -> Result<()> {
    if count > 0 {
        sleep(LATE).await;
        clients.ask(Request::Arrive { count, every_ms: 100 }).await?;
    }
    Ok(())
}
