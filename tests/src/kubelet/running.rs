//! A container that runs, and what the driver sees of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::clock::BootTime;
use crate::node::{Node, cgroup};
use crate::runtime::{self, Container};
use crate::truth::Observed;
use crate::workload::{Calls, READY};

/// How long a container may take to be ready, and a process to use up its memory.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a pod's containers are made.
pub(super) struct Place<'a> {
    pub(super) node: &'a Node,
    pub(super) pod_cgroup: &'a Path,
    pub(super) sandbox: u32,
    /// The pod's name.
    pub(super) pod: &'a str,
}

impl Place<'_> {
    /// Starts a container.
    pub(super) async fn start(&self, name: &str, limits: &[(&str, &str)], argv: &[String]) -> Result<Running> {
        let log = self.node.dir().join(format!("{}-{name}.log", self.pod));
        let container = runtime::create(self.node, self.pod_cgroup, self.sandbox, &log, limits, argv).await?;
        Ok(Running { container, observed: Observed::default(), log })
    }
}

/// A container.
pub(super) struct Running {
    pub(super) container: Container,
    /// Filled as things happen.
    pub(super) observed: Observed,
    log: PathBuf,
}

impl Running {
    /// Waits until its application says that it can be used.
    pub(super) async fn ready(&self) -> Result<()> {
        let ready = || fs::read_to_string(&self.log).is_ok_and(|said| said.lines().any(|line| line == READY));
        wait_until(ready, || format!("{} is not ready: {:?}", self.log.display(), fs::read_to_string(&self.log))).await
    }

    /// Waits until the OOM killer has taken a process of it.
    pub(super) async fn oom_kill(&self) -> Result<()> {
        let cgroup = &self.container.cgroup;
        let fault = || format!("the OOM killer takes nobody of {}", cgroup.display());
        wait_until(|| cgroup::oom_kills(cgroup) > 0, fault).await
    }

    /// Waits for its end, and removes it as the runtime does.
    pub(super) async fn end_by_itself(&mut self, node: &Node) -> Result<()> {
        self.observed.exit = Some(self.container.exited().await?);
        self.delete(node).await
    }

    /// Removes it: the init has ended.
    pub(super) async fn delete(&mut self, node: &Node) -> Result<()> {
        self.observed.oom_kills = cgroup::oom_kills(&self.container.cgroup);
        let said = fs::read_to_string(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        self.observed.calls = Calls::of(&said);
        self.container.delete(node).await?;
        self.observed.gone_at = Some(BootTime::now());
        Ok(())
    }
}

async fn wait_until(condition: impl Fn() -> bool, fault: impl Fn() -> String) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        ensure!(Instant::now() < deadline, fault());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
