//! Which cgroups are tracked, and which are not.

use std::fs;

use gracetrace::model::{CgroupId, CgroupKind, Event, Kind};

use crate::container::Cgroup;
use crate::watch::Watch;

fn created(event: &Event) -> Option<(CgroupId, CgroupId, String, bool)> {
    match &event.kind {
        Kind::CgroupCreated { parent, path, truncated } => Some((event.cgroup, *parent, path.clone(), *truncated)),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_not_a_pod_is_dropped() {
    let slice = Cgroup::slice("filter");
    let (tracked, other) = (slice.child("tracked"), slice.child("other"));
    let mut watch = Watch::new();
    let id = watch.track(&tracked);
    // Everything that a tracked one would tell.
    let mut init = other.start_init("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done", true);
    other.run(&["sh", "-c", "true; true"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    drop(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    init.signal(libc::SIGTERM);
    init.wait();
    let below = other.child("below");
    below.remove();
    other.remove();
    // The ring buffer keeps the order: whatever was told of the other one is there before this.
    let counters = watch.snapshot(&tracked).await;
    // A root of pods is told wherever it is, and other tests make some.
    watch.events.retain(|event| match &event.kind {
        Kind::CgroupCreated { path, .. } => path.contains(slice.path().file_name().unwrap().to_str().unwrap()),
        _ => true,
    });
    assert!(watch.events.iter().all(|event| event.cgroup == id), "{:#?}", watch.events);
    assert_eq!((counters.inbound_total, counters.outbound_total), (0, 0));
}

#[tokio::test]
async fn new_cgroups_inherit() {
    let slice = Cgroup::slice("inherit");
    let root = slice.child("kubepods");
    let mut watch = Watch::new();
    watch.track_ancestor(&root);
    let pod = root.child("pod6a1f1d3c-0000-4000-8000-000000000001");
    let container = pod.child("0123456789abcdef");
    // At once, before anybody has looked at any event.
    let init = container.start_init("echo ready; while :; do sleep 1; done", true);

    let (_, parent, path, truncated) =
        watch.until("the pod", |event| created(event).filter(|new| new.0 == pod.id())).await;
    assert_eq!((parent, truncated), (root.id(), false));
    let tail = "/kubepods/pod6a1f1d3c-0000-4000-8000-000000000001";
    assert!(path.starts_with('/') && path.ends_with(tail), "{path}");
    let (_, parent, ..) =
        watch.until("the container", |event| created(event).filter(|new| new.0 == container.id())).await;
    assert_eq!(parent, pod.id());
    watch
        .until("its first process", |event| {
            (event.cgroup == container.id() && event.kind == Kind::CgroupPopulated).then_some(())
        })
        .await;
    let (event, exec) = watch.exec(init.pid).await;
    assert_eq!(event.cgroup, container.id());
    assert!(exec.init);

    // The agent finds out what they are; what was counted stays, and the hint of the init does not replace it.
    watch.probe.track(pod.id(), pod.id(), CgroupKind::Ancestor, None).unwrap();
    let wrong = gracetrace::model::Pid(1);
    watch.probe.track(container.id(), container.id(), CgroupKind::Container, Some(wrong)).unwrap();
    let nested = container.child("nested");
    let done = nested.run(&["true"]);
    let (event, exec) = watch.exec(done.pid).await;
    assert_eq!(event.cgroup, container.id(), "of the container, not of the cgroup inside of it");
    assert!(exec.entered && !exec.init);
    let other_pod = pod.child("another");
    let (event, _) = {
        let done = other_pod.run(&["true"]);
        watch.exec(done.pid).await
    };
    assert_eq!(event.cgroup, other_pod.id(), "siblings are containers of their own");

    init.signal(libc::SIGKILL);
    drop(init);
    watch
        .until("empty", |event| (event.cgroup == container.id() && event.kind == Kind::CgroupEmpty).then_some(()))
        .await;
    let id = container.id();
    container.remove();
    watch.until("removed", |event| (event.cgroup == id && event.kind == Kind::CgroupRemoved).then_some(())).await;
}

#[tokio::test]
async fn a_new_root_of_pods_is_told() {
    let slice = Cgroup::slice("root");
    let mut watch = Watch::new();
    let system = slice.child("system.slice");
    let root = slice.child("kubelet-kubepods.slice");
    let inside = root.child("kubepods-burstable.slice");
    let (.., path, _) = watch.until("the root", |event| created(event).filter(|new| new.0 == root.id())).await;
    assert!(path.ends_with("/kubelet-kubepods.slice"));
    watch.until("what is in it", |event| created(event).filter(|new| new.0 == inside.id())).await;
    assert_eq!(watch.of(system.id()).count(), 0);
}

#[tokio::test]
async fn a_path_that_is_too_long_says_so() {
    let slice = Cgroup::slice("path");
    let mut watch = Watch::new();
    watch.track_ancestor(&slice);
    let one = slice.child(&"a".repeat(200));
    let two = one.child(&"b".repeat(200));
    let three = two.child(&"c".repeat(200));
    let (.., path, truncated) = watch.until("the second", |event| created(event).filter(|new| new.0 == two.id())).await;
    assert!(!truncated && path.ends_with(&"b".repeat(200)));
    let (.., path, truncated) =
        watch.until("the third", |event| created(event).filter(|new| new.0 == three.id())).await;
    assert!(truncated);
    assert_eq!(path.len(), 511);
}

#[tokio::test]
async fn a_hierarchy_of_version_1_is_not_looked_at() {
    // Its ids are another numbering: what has the number of a tracked one there is somebody else's.
    let slice = Cgroup::slice("v1");
    let mut watch = Watch::new();
    let id = watch.track(&slice);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let v1 = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup ").then(|| mount.split(' ').nth(4))?
    });
    let Some(v1) = v1 else { return }; // not a hybrid machine: nothing to mistake
    let path = std::path::Path::new(v1).join(format!("gracetrace-kubepods-{}", std::process::id()));
    fs::create_dir(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    watch.snapshot(&slice).await;
    assert!(
        watch
            .events
            .iter()
            .all(|event| event.cgroup == id || created(event).is_none_or(|new| !new.2.contains("gracetrace-kubepods")))
    );
}
