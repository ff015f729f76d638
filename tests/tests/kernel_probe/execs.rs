//! Programs executed in a container, and their ends.

use gracetrace::model::{Kind, Signal};

use crate::container::Cgroup;
use crate::watch::Watch;

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
pub(crate) async fn argv_of_a_process_that_lives_under_a_millisecond() {
    let slice = Cgroup::slice("short");
    let mut watch = Watch::new();
    let id = watch.track(&slice);
    let argv = ["true", "one", "", "three four"];
    let mut shortest = u128::MAX;
    // On a busy machine a process may be put off; one of these is not.
    for _ in 0..200 {
        let done = slice.run(&argv);
        let (started, exec) = watch.exec(done.pid).await;
        let (ended, exit) = watch.exit(done.pid).await;
        assert_eq!((started.cgroup, ended.cgroup), (id, id));
        assert!(exec.entered && exit.entered);
        assert_eq!(exec.argv.words().collect::<Vec<_>>(), argv);
        assert!(exec.argv.is(&words(&argv)));
        assert_eq!(exec.comm.as_bytes(), b"true");
        assert!(exec.filename.ends_with("/true"), "{}", exec.filename);
        assert_eq!(exec.parent.0, std::process::id());
        shortest = shortest.min(ended.at.since(started.at).as_micros());
        if shortest < 1000 {
            return;
        }
    }
    // An emulated processor takes longer for the same.
    let emulated = std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("QEMU");
    assert!(emulated, "the shortest of 200 lived {shortest} µs");
}

#[tokio::test]
async fn a_long_argv_is_cut_but_its_length_is_known() {
    let slice = Cgroup::slice("long");
    let mut watch = Watch::new();
    watch.track(&slice);
    // With `true` and the NULs: around the 512 bytes that are kept, a page, and many pages.
    for extra in [1, 504, 505, 506, 507, 508, 4096, 100_000] {
        let long = "x".repeat(extra);
        let argv = ["true", &long];
        let done = slice.run(&argv);
        let (_, exec) = watch.exec(done.pid).await;
        let len = 5 + extra + 1;
        assert_eq!(exec.argv.full_len() as usize, len);
        assert_eq!(exec.argv.bytes().len(), len.min(512));
        assert!(exec.argv.is(&words(&argv)), "{:?}", exec.argv);
        assert!(!exec.argv.is(&words(&["true", &long[1..]])));
    }
}

#[tokio::test]
async fn the_first_process_is_the_init_and_others_are_not() {
    let slice = Cgroup::slice("init");
    let mut watch = Watch::new();
    let id = watch.track(&slice);
    let mut init = slice.start_init("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done", true);
    let (event, exec) = watch.exec(init.pid).await;
    assert_eq!(event.cgroup, id);
    assert!(exec.init && exec.entered);

    let done = slice.run(&["sh", "-c", "true; true"]);
    let (_, exec) = watch.exec(done.pid).await;
    assert!(exec.entered && !exec.init);

    init.signal(libc::SIGTERM);
    init.wait();
    let (_, exit) = watch.exit(init.pid).await;
    assert!(exit.init);
    assert_eq!(exit.status.code(), Some(5));
    // What runs inside of the container by itself is not told.
    let told =
        |event: &&gracetrace::model::Event| matches!(&event.kind, Kind::Exec(exec) if exec.comm.as_bytes() == b"sleep");
    assert_eq!(watch.events.iter().filter(told).count(), 0);
}

#[tokio::test]
pub(crate) async fn exit_statuses() {
    let slice = Cgroup::slice("status");
    let mut watch = Watch::new();
    watch.track(&slice);
    let done = slice.run(&["sh", "-c", "exit 7"]);
    assert_eq!(watch.exit(done.pid).await.1.status.code(), Some(7));
    let done = slice.run(&["sh", "-c", "kill -SEGV $$"]);
    assert_eq!(watch.exit(done.pid).await.1.status.signal(), Some(Signal(11)));
    // A shell that leaves a child behind, and one that replaces itself.
    let done = slice.run(&["sh", "-c", "exec sh -c 'exit 3'"]);
    assert_eq!(watch.exit(done.pid).await.1.status.code(), Some(3));
    assert_eq!(done.status.code(), Some(3));
}

#[tokio::test]
async fn a_command_that_does_not_exist_leaves_an_exit_only() {
    let slice = Cgroup::slice("missing");
    let mut watch = Watch::new();
    watch.track(&slice);
    let _init = slice.start_init("echo ready; while :; do sleep 1; done", true);
    assert!(slice.command("/no/such/program").spawn().is_err());
    let (pid, status) = watch
        .until("an exit of a process that entered", |event| match &event.kind {
            Kind::Exit(exit) if exit.entered => Some((exit.pid, exit.status)),
            _ => None,
        })
        .await;
    assert_eq!(status.0, 0x100);
    assert!(!watch.events.iter().any(|event| matches!(&event.kind, Kind::Exec(exec) if exec.pid == pid)));
}
