//! The unified cgroup hierarchy: where it is, and how a part of it is cleared away.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long the kernel may take to bury processes that were killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The mount point of cgroup v2: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside v1 hierarchies.
pub fn unified_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    mount_point(&mounts).context("no cgroup v2 hierarchy is mounted: the demo needs one, also beside v1 ones")
}

/// Finds the first cgroup2 mount; fields as in proc_pid_mountinfo(5).
fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        (filesystem.split(' ').next() == Some("cgroup2")).then(|| PathBuf::from(point.replace("\\040", " ")))
    })
}

/// Kills every process at or below `root` and removes the cgroups. It is no error if there is none.
pub fn remove_tree(root: &Path) -> Result<()> {
    if !root.exists() {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        kill_tree(root);
        match remove_directories(root) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if Instant::now() > deadline => bail!("cannot remove the cgroup {}: {error}", root.display()),
            Err(_) => {}
        }
        sleep(Duration::from_millis(5));
    }
}

/// `cgroup.kill` came with 5.14; before it, processes are killed one by one, again and again by the caller.
fn kill_tree(root: &Path) {
    if fs::write(root.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for directory in directories(root) {
        for pid in processes(&directory).unwrap_or_default() {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The processes of one cgroup.
pub fn processes(cgroup: &Path) -> io::Result<Vec<Pid>> {
    let list = fs::read_to_string(cgroup.join("cgroup.procs"))?;
    Ok(list.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect())
}

/// How many processes of a cgroup the OOM killer has taken, by the kernel's own count; 0 without the memory controller.
pub fn oom_kills(cgroup: &Path) -> u64 {
    let events = fs::read_to_string(cgroup.join("memory.events")).unwrap_or_default();
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

/// Lets the cgroups below one have controllers of their own.
pub fn delegate(cgroup: &Path, controllers: &[&str]) -> Result<()> {
    let wanted: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
    let file = cgroup.join("cgroup.subtree_control");
    fs::write(&file, wanted.join(" "))
        .with_context(|| format!("cannot have the controllers {} in {}", controllers.join(", "), file.display()))
}

fn remove_directories(root: &Path) -> io::Result<()> {
    for directory in directories(root).iter().rev() {
        fs::remove_dir(directory)?;
    }
    Ok(())
}

/// Parents before children.
fn directories(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut next = 0;
    while let Some(directory) = found.get(next) {
        let below = fs::read_dir(directory).into_iter().flatten().flatten();
        let below: Vec<_> = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).collect();
        found.extend(below.iter().map(|entry| entry.path()));
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mount_of_both_kinds() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        let pure = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mount_point(pure), Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(mount_point("1 2 0:1 / /proc rw - proc proc rw\n"), None);
    }
}
