//! Kernels that lack a hook: what nobody saw is not said.

use super::*;

fn blind_to(hook: &str, script: &str) -> Timeline {
    let case = Case { sight: Sight::without([hook]), ..Case::default() };
    let told = case.run(&format!("0 app start\n{script}"));
    assert_eq!(told.finished.len(), 1, "{script}");
    told.finished[0].clone()
}

#[test]
fn without_deliveries_a_kill_does_not_make_the_signal_ignored() {
    let script = "1000 app term\n31000 app kill\n31001 app end SIGKILL";
    let timeline = blind_to("signal_deliver", script);
    assert_eq!(timeline.outcome, Some(Outcome::Forced));
    assert_eq!(timeline.containers[0].stop_signal.unwrap().disposition, None);
    // What the sending tells is told all the same.
    let timeline = blind_to("signal_deliver", &script.replace("term", "term ignored"));
    assert_eq!(timeline.containers[0].stop_signal.unwrap().disposition, Some(Disposition::Ignored));
}

#[test]
fn without_connections_there_is_no_zero() {
    let timeline = blind_to("inet_sock_set_state", "1000 app term\n1001 app deliver TERM handler\n2000 app end 0");
    assert_eq!(timeline.outcome, Some(Outcome::Graceful));
    assert_eq!(timeline.containers[0].connections, Connections::default());
}

#[test]
fn without_resets_nobody_knows_of_refusals() {
    let script = "1000 app conns in=2 total=2\n1000 app term\n1500 app close 10.0.0.7:1\n2000 app end 0";
    let connections = blind_to("tcp_send_reset", script).containers[0].connections.clone();
    assert_eq!((connections.refused, connections.refused_after_exit, connections.startup_refused), (None, None, None));
    assert_eq!((connections.aborted, connections.peers.map(|peers| peers.listed.len())), (Some(0), Some(1)));
    let earlier = Case { sight: Sight::without(Sight::EARLIER), ..Case::default() };
    let told = earlier.run(&format!("0 app start\n{script}"));
    let of = &told.finished[0].containers[0].connections;
    assert_eq!((of.aborted, of.internal, of.kubelet, of.outbound_failed, of.refused), (None, None, None, None, None));
    assert_eq!((of.peers.as_ref(), of.zombie.map(|zombie| zombie.inbound)), (None, Some(2)));
}

#[test]
fn without_signals_or_ends_nothing_is_graceful_or_completed() {
    for hook in ["signal_generate", "sched_process_exit"] {
        let timeline = blind_to(hook, "1000 app term\n1001 app deliver TERM handler\n2000 app end 0");
        assert_eq!(timeline.outcome, Some(Outcome::Incomplete), "{hook}");
        assert!(!timeline.complete, "{hook}");
    }
}
