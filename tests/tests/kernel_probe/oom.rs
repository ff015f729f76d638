//! The OOM killer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use gracetrace::model::{Kind, Signal};

use crate::container::{Cgroup, enter, reap};
use crate::watch::Watch;

/// A cgroup of the memory controller, in whichever hierarchy has it. Gone when dropped.
struct Limited(PathBuf);

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn a_victim_is_told() {
    let slice = Cgroup::slice("oom");
    let mut watch = Watch::new();
    let id = watch.track(&slice);
    let mut command = slice.command("tail");
    command.arg("/dev/zero").stdin(Stdio::null()).stdout(Stdio::null());
    const LIMIT: &str = "20971520";
    // The memory controller is either in the unified hierarchy or in one of its own.
    let v1 = Path::new("/sys/fs/cgroup/memory");
    let _limited = if slice.path().join("memory.max").exists() {
        fs::write(slice.path().join("memory.max"), LIMIT).unwrap();
        None
    } else if v1.join("memory.limit_in_bytes").exists() {
        let limited = Limited(v1.join(format!("gracetrace-oom-{}", std::process::id())));
        fs::create_dir(&limited.0).unwrap();
        fs::write(limited.0.join("memory.limit_in_bytes"), LIMIT).unwrap();
        enter(&mut command, &limited.0);
        Some(limited)
    } else {
        eprintln!("skipped: no memory controller is at hand");
        return;
    };
    let done = reap(command.spawn().unwrap());
    let (pid, init) = watch
        .until("a victim", |event| match event.kind {
            Kind::OomVictim { pid, init } if event.cgroup == id => Some((pid, init)),
            _ => None,
        })
        .await;
    assert_eq!((pid, init), (done.pid, true));
    let (_, sent) = watch.signal_sent(pid, 9).await;
    assert!(sent.from_kernel());
    let (_, exit) = watch.exit(pid).await;
    assert_eq!(exit.status.signal(), Some(Signal::KILL));
}
