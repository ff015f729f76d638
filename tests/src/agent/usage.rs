//! What a running agent has used.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// User and system time so far.
    pub cpu: Duration,
    /// Memory that is resident now.
    pub rss_bytes: u64,
}

impl Usage {
    /// Of a process, from /proc (proc_pid_stat(5)).
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> Result<Usage> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // After the name, which may contain anything but its closing bracket comes last.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
        let (Some(user), Some(system), Some(pages)) = (field(14), field(15), field(24)) else {
            bail!("{path} has not the fields it should have");
        };
        let ticks = rustix::param::clock_ticks_per_second();
        Ok(Usage {
            cpu: Duration::from_secs_f64((user + system) as f64 / ticks as f64),
            rss_bytes: pages * rustix::param::page_size() as u64,
        })
    }
}
