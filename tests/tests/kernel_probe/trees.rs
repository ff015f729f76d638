//! What a hook costs, with all its descendants.

use std::time::Duration;

use gracetrace::probe::{Hook, Options};

use crate::container::Cgroup;
use crate::watch::Watch;

async fn container(watch: &mut Watch, slice: &Cgroup) -> crate::container::Init {
    watch.track(slice);
    slice.start_init("echo ready; while :; do sleep 1; done", true)
}

#[tokio::test]
pub(crate) async fn processes_of_a_hook_are_counted() {
    let slice = Cgroup::slice("tree");
    let mut watch = Watch::new();
    let _init = container(&mut watch, &slice).await;
    let external = "/bin/true";
    // Two levels deep, one of them not waited for.
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8; do {external}; done; sh -c '{external}; {external}; :' & wait; {external} & :"
    );
    let done = slice.run(&["sh", "-c", &script]);
    let (_, exit) = watch.exit(done.pid).await;
    assert!(exit.entered && !exit.init);
    assert_eq!(exit.processes, 1 + 8 + 1 + 2 + 1);

    let alone = slice.run(&["true"]);
    assert_eq!(watch.exit(alone.pid).await.1.processes, 1);
    for map in watch.probe.map_usage().iter().filter(|map| map.map == "ENTERED") {
        assert_eq!(map.used, 0, "nothing stays behind: {map:?}");
    }
}

#[tokio::test]
async fn processes_whose_fork_was_not_seen_are_counted() {
    // The kernel leaves out runs of a program when it pleases; this leaves out all of them.
    let slice = Cgroup::slice("unseen");
    let mut watch = Watch::with(&Options { disable: vec![Hook::SchedProcessFork], ..Options::default() });
    let _init = container(&mut watch, &slice).await;
    let external = "/bin/true";
    let script =
        format!("for i in 1 2 3 4 5 6 7 8; do {external}; done; sh -c '{external}; {external}; :' & wait; exit 0");
    let done = slice.run(&["sh", "-c", &script]);
    let (_, exit) = watch.exit(done.pid).await;
    assert_eq!(exit.processes, 1 + 8 + 1 + 2);
    let off = exit.cpu.abs_diff(done.cpu);
    assert!(off < Duration::from_millis(8) + done.cpu / 20, "{:?} but getrusage says {:?}", exit.cpu, done.cpu);
}

#[tokio::test]
async fn cpu_time_of_a_hook_is_that_of_its_tree() {
    let slice = Cgroup::slice("cpu");
    let mut watch = Watch::new();
    let _init = container(&mut watch, &slice).await;
    // Many processes of about a millisecond: a tick never sees most of them.
    let done = slice.run(&["sh", "-c", "i=0; while [ $i -lt 100 ]; do i=$((i + 1)); /bin/true; done"]);
    let (_, exit) = watch.exit(done.pid).await;
    assert_eq!(exit.processes, 101);
    let off = exit.cpu.abs_diff(done.cpu);
    assert!(off < Duration::from_millis(8) + done.cpu / 20, "{:?} but getrusage says {:?}", exit.cpu, done.cpu);

    // One that works by itself.
    let done = slice.run(&["sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done"]);
    let (_, exit) = watch.exit(done.pid).await;
    let off = exit.cpu.abs_diff(done.cpu);
    assert!(off < Duration::from_millis(8) + done.cpu / 20, "{:?} but getrusage says {:?}", exit.cpu, done.cpu);
}
