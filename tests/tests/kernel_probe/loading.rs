//! Loading in part, and not at all.

use gracetrace::probe::{Hook, LoadError, Options, Probe};

use crate::container::Cgroup;
use crate::watch::Watch;

#[tokio::test]
async fn every_hook_works_here() {
    for debug in [false, true] {
        let watch = Watch::with(&Options { debug, ..Options::default() });
        for status in watch.probe.hooks() {
            // The others wait for a kubelet.
            let expected = if status.hook.sees_packets() { Some("it is attached to no cgroup") } else { None };
            assert_eq!(status.missing.as_deref(), expected, "{}", status.hook.name());
        }
    }
}

#[tokio::test]
async fn without_one_hook_the_others_work() {
    let slice = Cgroup::slice("without");
    let mut watch = Watch::with(&Options { disable: vec![Hook::SchedProcessExec], ..Options::default() });
    let missing: Vec<_> =
        watch.probe.hooks().iter().filter(|status| !status.hook.sees_packets() && status.missing.is_some()).collect();
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].hook, missing[0].missing.as_deref()), (Hook::SchedProcessExec, Some("switched off")));
    let id = slice.id();
    let mut init = slice.start_init("trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done", true);
    watch.probe.track(id, id, gracetrace::model::CgroupKind::Container, Some(init.pid)).unwrap();
    init.signal(libc::SIGTERM);
    watch.signal_sent(init.pid, 15).await;
    init.wait();
    let (_, exit) = watch.exit(init.pid).await;
    assert!(exit.init);
    assert_eq!(exit.status.code(), Some(4));
}

#[tokio::test]
async fn without_any_hook_it_fails() {
    let Err(error) = Probe::load(&Options { disable: Hook::ALL.to_vec(), ..Options::default() }) else {
        panic!("nothing is left")
    };
    assert!(matches!(error, LoadError::NoHook { .. }), "{error:?}");
}

#[test]
fn without_capabilities_it_says_which() {
    // Capabilities are a thread's own.
    let unprivileged = std::thread::spawn(|| {
        let none = rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, none).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _context = runtime.enter();
        match Probe::load(&Options::default()) {
            Ok(_) => panic!("loaded without any capability"),
            Err(error) => (matches!(error, LoadError::Permission(_)), error.to_string()),
        }
    });
    let (permission, message) = unprivileged.join().unwrap();
    assert!(permission, "{message}");
    assert!(message.contains("CAP_BPF") && !message.contains('\n'), "{message}");
}

#[tokio::test]
async fn what_it_costs_is_known() {
    let slice = Cgroup::slice("stats");
    let mut watch = Watch::with(&Options { stats: true, ..Options::default() });
    watch.track(&slice);
    watch.snapshot(&slice).await;
    let (hooks, maps) = (watch.probe.hook_usage(), watch.probe.map_usage());
    assert_eq!(hooks.len(), Hook::ALL.into_iter().filter(|hook| !hook.sees_packets()).count());
    let exec = hooks.iter().find(|each| each.hook == Hook::SchedProcessExec).unwrap();
    assert!(exec.runs > 0 && !exec.time.is_zero());
    let cgroups = maps.iter().find(|each| each.map == "CGROUPS").unwrap();
    assert_eq!((cgroups.used, cgroups.max), (1, 16_384));
}
