//! Stop signals: who sent them, and what the init did with them.

use gracetrace::model::{Event, Kind, Pid, Signal, SignalDelivered};

use crate::container::Cgroup;
use crate::watch::Watch;

const LOOP: &str = "echo ready; while :; do sleep 0.05; done";

fn delivered(event: &Event) -> Option<SignalDelivered> {
    match event.kind {
        Kind::SignalDelivered(delivered) => Some(delivered),
        _ => None,
    }
}

#[tokio::test]
async fn a_handler_takes_the_stop_signal() {
    let slice = Cgroup::slice("handler");
    let mut watch = Watch::new();
    let id = watch.track(&slice);
    let mut init = slice.start_init(&format!("trap 'exit 0' TERM; {LOOP}"), true);
    init.signal(libc::SIGTERM);
    let (event, sent) = watch.signal_sent(init.pid, 15).await;
    assert_eq!(event.cgroup, id);
    assert!(sent.init && !sent.ignored && !sent.from_kernel());
    assert_eq!((sent.sender, sent.sender_cgroup), (Pid(std::process::id()), None));
    assert_eq!(sent.comm.as_bytes(), b"sh");
    let taken = watch.until("its delivery", delivered).await;
    assert_eq!((taken.pid, taken.signal), (init.pid, Signal::TERM));
    assert!(taken.handler > 1, "{taken:?}");
    init.wait();
    assert_eq!(watch.exit(init.pid).await.1.status.code(), Some(0));
}

#[tokio::test]
async fn an_init_without_a_handler_ignores_it() {
    for trap in ["", "trap '' TERM;"] {
        let slice = Cgroup::slice("ignore");
        let mut watch = Watch::new();
        watch.track(&slice);
        let mut init = slice.start_init(&format!("{trap} {LOOP}"), true);
        init.signal(libc::SIGTERM);
        let (_, sent) = watch.signal_sent(init.pid, 15).await;
        if !sent.ignored {
            // A shell blocks signals while it forks, and a blocked one is ignored only when it is taken
            // (`sig_ignored` in kernel/signal.c).
            let taken = watch.until("its delivery", delivered).await;
            assert!(taken.handler <= 1, "{trap:?} {taken:?}");
        }
        init.signal(libc::SIGKILL);
        let (_, sent) = watch.signal_sent(init.pid, 9).await;
        assert!(sent.init && !sent.ignored && !sent.from_kernel());
        init.wait();
        let (_, exit) = watch.exit(init.pid).await;
        assert_eq!(exit.status.signal(), Some(Signal::KILL));
    }
}

#[tokio::test]
async fn without_a_pid_namespace_it_dies_of_it() {
    let slice = Cgroup::slice("default");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut init = slice.start_init(LOOP, false);
    let (_, exec) = watch.exec(init.pid).await;
    assert!(exec.init && exec.entered, "the first one to enter");
    init.signal(libc::SIGTERM);
    let (_, sent) = watch.signal_sent(init.pid, 15).await;
    assert!(!sent.ignored);
    init.wait();
    assert_eq!(watch.exit(init.pid).await.1.status.signal(), Some(Signal::TERM));
    // What kills by default is turned into a SIGKILL at once (`complete_signal` in kernel/signal.c), unless it is
    // blocked just then.
    assert!(watch.events.iter().filter_map(delivered).all(|taken| taken.handler == 0));
}

#[tokio::test]
async fn any_signal_may_be_the_stop_signal() {
    let slice = Cgroup::slice("other");
    let mut watch = Watch::new();
    watch.track(&slice);
    let mut init = slice.start_init(&format!("trap 'exit 0' USR1; {LOOP}"), true);
    init.signal(libc::SIGUSR1);
    let (_, sent) = watch.signal_sent(init.pid, libc::SIGUSR1 as u8).await;
    assert!(sent.init);
    assert_eq!(watch.until("its delivery", delivered).await.signal.0, libc::SIGUSR1 as u8);
    init.wait();
}

#[tokio::test]
async fn what_the_container_sends_itself_is_not_told() {
    let slice = Cgroup::slice("inside");
    let mut watch = Watch::new();
    let id = watch.track(&slice);
    let init = slice.start_init(&format!("trap : TERM USR1; {LOOP}"), true);
    let inside = format!("kill -TERM {0}; kill -USR1 {0}; kill -KILL $$", init.pid.0);
    let done = slice.run(&["sh", "-c", &inside]);
    // It comes after the signals: the ring buffer keeps the order.
    let (event, _) = watch.exit(done.pid).await;
    let told = watch.of(id).filter(|event| matches!(event.kind, Kind::SignalSent(_) | Kind::SignalDelivered(_)));
    assert_eq!(told.count(), 0);
    assert_eq!(event.counters.forwarded, 0);
}

#[tokio::test]
async fn a_forwarded_stop_signal_is_counted() {
    let slice = Cgroup::slice("forward");
    let mut watch = Watch::new();
    watch.track(&slice);
    let script = "sleep 1000 & child=$!; trap 'kill -TERM $child' TERM; echo ready; wait $child; wait $child; exit 0";
    let mut init = slice.start_init(script, true);
    let (before, _) = watch.exec(init.pid).await;
    assert_eq!(before.counters.forwarded, 0);
    init.signal(libc::SIGTERM);
    init.wait();
    assert_eq!(watch.exit(init.pid).await.0.counters.forwarded, 1);

    let slice = Cgroup::slice("swallow");
    watch.track(&slice);
    let script = "sleep 1000 & child=$!; trap 'kill -KILL $child' TERM; echo ready; wait $child; wait $child; exit 0";
    let mut init = slice.start_init(script, true);
    init.signal(libc::SIGTERM);
    init.wait();
    assert_eq!(watch.exit(init.pid).await.0.counters.forwarded, 0, "SIGKILL is not the stop signal passed on");
}
