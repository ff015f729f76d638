//! Connections: counts, peers, the curve, and how seldom they are told of.

use super::*;
use crate::correlator::peers::Peers as Evidence;

fn only(told: &Told) -> &Connections {
    assert_eq!(told.finished.len(), 1, "{}", told.text());
    &told.finished[0].containers[0].connections
}

/// A line for each peer, and one for those that are not listed.
fn text(of: &Connections) -> String {
    let Some(peers) = &of.peers else { return "none".to_owned() };
    let tally = |tally: &Tally| {
        let Tally { connections, cut, late, aborted, failed, received, sent } = *tally;
        let all = [("", connections), ("cut", cut), ("late", late), ("aborted", aborted), ("failed", failed)];
        let bytes = [("received", received), ("sent", sent)];
        let some = all.iter().chain(&bytes).filter(|(_, count)| *count > 0);
        some.map(|(what, count)| format!(" {count}{what}")).collect::<String>()
    };
    let mut lines = Vec::new();
    for peer in &peers.listed {
        let way = if peer.direction == Direction::Inbound { "from" } else { "to" };
        let port = peer.port.map_or(String::new(), |port| format!(":{port}"));
        lines.push(format!("{way} {}{port}{}", peer.address, tally(&peer.tally)));
    }
    for others in &peers.others {
        lines.push(format!("{} more{}", others.peers, tally(&others.tally)));
    }
    lines.join("\n")
}

/// A client that comes three times and is cut off once, one that stays from before to the end, one that is refused an
/// answer, and a server that is lost on the way.
const KILLED: &str = "0 app start
    500 app conns in=2 out=1 total=2
    1000 app hook 100
    1100 app close 10.0.0.7:4001 opened=400 received=10 sent=20
    1200 app open 10.0.0.7:4002 opened=1200
    3000 app exit 100 0
    3000.2 app term
    3000.4 app deliver TERM handler
    3100 app conns late=1
    3100 app open 10.0.0.7:4003 opened=3100 late
    3200 app close 10.0.0.7:4003 opened=3100 late received=1 sent=2
    3300 app refusal 10.9.0.2:5432
    3400 app close [fd00::9]:77 opened=300 aborted
    33000 app kill
    33000.2 app close 10.0.0.7:4002 opened=1200 aborted sent=5
    33000.4 app dead SIGKILL
    33000.6 app close 10.0.0.8:4100 sent=7
    33000.8 app close 10.9.0.1:5432 out opened=200
    33001.2 app empty
    33001.9 app removed";

const KILLED_PEERS: &str = "from 10.0.0.7 3 1cut 1late 1aborted 11received 27sent
    from 10.0.0.8:4100 1 1cut 7sent
    to 10.9.0.1:5432 1 1cut
    to 10.9.0.2:5432 1failed
    from fd00::9:77 1 1aborted";

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_closes_after_the_kill_was_cut() {
    let told = Case::default().run(KILLED);
    assert_eq!(text(only(&told)), trimmed(KILLED_PEERS));
    let peers = &only(&told).peers.as_ref().unwrap().listed;
    assert_eq!(
        (peers[0].local_port, peers[2].local_port),
        (Some(8080), None),
        "its own end of an outbound one is no port"
    );
}

#[test]
fn what_closes_after_the_exit_was_cut_when_nobody_killed_it() {
    let told = Case::default().run(
        "0 app start
         1000 app term
         1001 app deliver TERM handler
         1500 app close 10.0.0.7:1 opened=100
         2000 app kill from=app
         2100 app close 10.0.0.7:2 opened=100
         3000 app dead 0
         3000.1 app close 10.0.0.7:3 opened=100
         3000.1 app close 10.0.0.7:4
         3000.2 app close 10.0.0.7:5 opened=3000.1
         3001 app empty
         3002 app removed",
    );
    // One that was taken in after the exit, out of a listener's queue, was not open then.
    assert_eq!(text(only(&told)), "from 10.0.0.7 5 2cut");
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let case = Case::default();
    let expect = case.run(KILLED);
    let lines: Vec<&str> = KILLED.lines().map(str::trim).collect();
    let at = |line: &str| line.split(' ').next().unwrap().parse::<f64>().unwrap();
    let mut tried = 0;
    for i in 1..lines.len() {
        for j in i + 1..lines.len() {
            if at(lines[j]) - at(lines[i]) <= 2.0 {
                let mut swapped = lines.clone();
                swapped.swap(i, j);
                assert_eq!(only(&case.run(&swapped.join("\n"))), only(&expect), "{swapped:#?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 20);
}

#[test]
fn identity_may_come_late() {
    let expect = Case::default().run(KILLED);
    let case = Case { known: false, ..Case::default() };
    let lines: Vec<&str> = KILLED.lines().map(str::trim).collect();
    for i in 0..=lines.len() {
        let at = lines[i.saturating_sub(1)].split(' ').next().unwrap();
        let known = format!("{at} app known");
        let mut late = lines.clone();
        late.insert(i, &known);
        assert_eq!(only(&case.run(&late.join("\n"))), only(&expect), "known at {i}");
    }
}

#[test]
fn as_it_stands_while_it_goes_on() {
    let case = Case::default();
    let mut sim = Sim::new(&case);
    for line in KILLED.lines().map(str::trim).take_while(|line| !line.contains("close [fd00")) {
        sim.line(line);
    }
    sim.wait(ms("4000"));
    let last = &sim.told.changed.last().unwrap().containers[0].connections;
    assert_eq!(
        trimmed(&text(last)),
        "from 10.0.0.7 2 1late 11received 22sent\nto 10.9.0.2:5432 1failed",
        "two were told of twice, and of one that stays nobody has told yet"
    );
    let curve = last.curve.as_ref().unwrap();
    assert_eq!((curve[0], curve.last().unwrap().0), ((ms("1000"), 2), ms("3300")));
}

#[test]
fn peers_that_nobody_told_of_are_not_none() {
    let script = "0 app start\n500 app conns in=3 total=3\n1000 app term\n2000 app conns in={}\n2000 app end 0";
    assert_eq!(text(only(&Case::default().run(&script.replace("{}", "3")))), "none");
    assert_eq!(text(only(&Case::default().run(&script.replace("{}", "0")))), "", "there was nothing to tell");
}

#[test]
fn differences_of_counters() {
    let told = Case::default().run(
        "0 app start
         500 app conns aborted=5 failed=6 internal=7 kubelet=8 startup=9
         1000 app term
         1500 app conns aborted=6 failed=8 internal=10 kubelet=12 refused=2
         2000 app dead 0
         2000.5 app conns aborted=9 failed=99 internal=99 kubelet=99 refused=7
         2001 app empty
         2010 app conns refused=8
         2010 app removed",
    );
    let of = only(&told);
    assert_eq!((of.aborted, of.outbound_failed), (Some(4), Some(2)), "its end aborts, but does not fail to connect");
    assert_eq!((of.internal, of.kubelet, of.startup_refused), (Some(3), Some(4), Some(9)));
    assert_eq!((of.refused, of.refused_after_exit), (Some(8), Some(6)));
    assert_eq!(of.refused_tail, Some(Duration::from_millis(1010)));
}

#[test]
fn a_hook_a_deletion_or_a_stop_signal_has_it_watched_once() {
    let watched = |script: &str| Case::with(&[("app", Role::App), ("pause", Role::Sandbox)]).run(script).watched;
    assert_eq!(watched("0 app start\n1000 app hook 9\n1100 app exit 9 0\n1200 app term\n1300 app end 0"), [(1000, 10)]);
    assert_eq!(watched("0 app start\n0 pause start\n1000 app deleted\n1100 app hook 9\n1300 app end 0"), [(1000, 10)]);
    assert_eq!(watched("0 app start\n1000 app term\n1300 app end 0"), [(1000, 10)]);
    assert_eq!(watched("0 app start\n1000 app exec 9 cat /ready\n1001 app exit 9 0\n1300 app end 0"), []);
    // One that begins after the deletion is ended too.
    assert_eq!(watched("0 app deleted\n500 app start\n1300 app term\n1400 app end 0"), [(500, 10)]);
}

#[test]
fn what_was_told_after_a_false_alarm_is_forgotten() {
    let told = Case::default().run(
        "0 app start
         1000 app hook 100
         1100 app open 10.0.0.7:1 opened=1100
         1200 app close 10.0.0.7:1 opened=1100
         1300 app exit 100 0
         400000 app exec 9 cat /ready
         400001 app exit 9 0
         500000 app term
         500100 app close 10.0.0.8:1 opened=600
         500200 app end 0",
    );
    assert_eq!(text(only(&told)), "from 10.0.0.8:1 1");
}

/// Ten thousand connections a second while it is being stopped.
fn storm(case: &Case, seconds: u64) -> Told {
    let mut sim = Sim::new(case);
    sim.line("0 app start");
    sim.line("1000 app term");
    for number in 0..10_000 * seconds {
        let at = ms("1000") + Duration::from_micros(100 * number);
        if sim.correlator.poll_timeout().is_some_and(|due| due <= at) {
            sim.tick(at);
        }
        let counters = sim.counters.entry(10).or_default();
        counters.inbound_total += 1;
        counters.inbound_open = number % 97;
        let peer = format!("10.0.{}.{}:{}", number % 3, number % 7, 1_024 + number % 60_000);
        let words = ["open", &peer, "late"];
        let change = kind(10, &words, &sim.cgroups);
        sim.event(10, at, change);
    }
    let end = format!("{} app end 0", 1_000 + seconds * 1_000 + 1);
    sim.line(&end);
    sim.wait(sim.now + Duration::from_secs(100));
    sim.told
}

#[test]
fn many_connections_are_told_of_seldom() {
    let seconds = 8;
    let told = storm(&Case::default(), seconds);
    // The stop signal, its end, and four times a second.
    assert!(told.changed.len() as u64 <= 4 * seconds + 4, "{}", told.changed.len());
    assert!(told.changed.len() as u64 >= 3 * seconds, "{}", told.changed.len());
    let of = only(&told);
    let peers = of.peers.as_ref().unwrap();
    assert_eq!(peers.listed.iter().map(|it| it.tally.connections).sum::<u64>(), 10_000 * seconds, "not one is missing");
    assert_eq!((peers.listed.len(), peers.others.len()), (21, 0));
    let curve = of.curve.as_ref().unwrap();
    assert!(curve.len() <= 64 && curve.is_sorted_by_key(|(at, _)| *at));
    let most = curve.iter().map(|(_, open)| *open).max();
    assert_eq!((curve[0].0, most), (ms("1000"), Some(96)));
    assert_eq!(told.finished, storm(&Case::default(), seconds).finished);
}

#[test]
fn five_hundred_pods_at_once() {
    let (pods, clients) = (500u64, 20);
    let mut correlator = Correlator::new(Config::default());
    let mut seen = BTreeMap::<TerminationId, u32>::new();
    let mut finished = Vec::new();
    let mut drain = |correlator: &mut Correlator| {
        while let Some(output) = correlator.poll_output() {
            match output {
                Output::Changed(timeline) => *seen.entry(timeline.id).or_default() += 1,
                Output::Finished(timeline) => finished.push(timeline),
                _ => {}
            }
        }
        assert!(
            seen.values().all(|times| *times <= 6),
            "the stop signal, the exit, the end, and connections a few times"
        );
    };
    for pod in 0..pods {
        let mut identity = Arc::unwrap_or_clone(Case::default().identity("app", 100 + pod, None));
        identity.pod_uid = PodUid::new(format!("uid{pod}"));
        correlator.handle_container(Arc::new(identity));
    }
    let cgroups = BTreeMap::new();
    // Everything of one moment comes pod by pod, as one buffer for all gives it.
    let mut tell = |correlator: &mut Correlator, at: BootTime, open: u64, words: &[&str]| {
        while let Some(due) = correlator.poll_timeout().filter(|due| *due <= at) {
            correlator.handle_tick(due, OFFSET);
            drain(correlator);
        }
        correlator.handle_tick(at, OFFSET);
        for pod in 0..pods {
            let cgroup = 100 + pod;
            let counters = Counters { inbound_open: open, inbound_total: clients, ..Counters::default() };
            let event = Event { at, cgroup: CgroupId(cgroup), counters, kind: kind(cgroup, words, &cgroups) };
            correlator.handle_event(&event);
        }
        drain(correlator);
    };
    tell(&mut correlator, ms("0"), 0, &["start"]);
    tell(&mut correlator, ms("1000"), clients, &["term"]);
    tell(&mut correlator, ms("1500"), clients, &["dead", "0"]);
    for client in 0..clients {
        let peer = format!("10.0.0.{}:{}", client % 4, 1_000 + client);
        tell(&mut correlator, ms("1500") + Duration::from_micros(client), clients - client - 1, &["close", &peer]);
    }
    tell(&mut correlator, ms("1501"), 0, &["empty"]);
    tell(&mut correlator, ms("1510"), 0, &["removed"]);
    tell(&mut correlator, ms("9000"), 0, &["lost"]);
    assert_eq!(finished.len() as u64, pods);
    for timeline in &finished {
        let of = &timeline.containers[0].connections;
        assert!(timeline.complete);
        assert_eq!(of.zombie, Some(Directions { inbound: clients, outbound: 0 }));
        assert_eq!(text(of), (0..4).map(|peer| format!("from 10.0.0.{peer} 5 5cut")).collect::<Vec<_>>().join("\n"));
        let curve = of.curve.as_ref().unwrap();
        assert_eq!((curve[0].1, curve.last().unwrap().1), (clients, 0));
    }
}

#[test]
fn clients_without_end_are_summed() {
    let case = Case::default();
    let mut sim = Sim::new(&case);
    sim.line("0 app start");
    sim.line("1000 app term");
    let (clients, cut) = (100_000u32, 40);
    let change = |number: u32, change| Connection {
        change,
        direction: Direction::Inbound,
        peer: (std::net::Ipv4Addr::from(0x0a00_0000 + number), 4_000).into(),
        local_port: 8080,
        opened: Some(ms("1000")),
        late: false,
        received: 1,
        sent: 2,
    };
    let end = ms("1000") + Duration::from_micros(u64::from(clients));
    for number in 0..clients {
        let at = ms("1000") + Duration::from_micros(number.into());
        sim.event(10, at, Kind::Connection(change(number, ConnectionChange::Opened)));
        if number >= cut {
            let closed = Kind::Connection(change(number, ConnectionChange::Closed { aborted: false }));
            sim.event(10, at + Duration::from_nanos(1), closed);
        }
        let evidence = &sim.correlator.container(&PodUid::new("uid"), 0).unwrap().evidence;
        assert!(evidence.peers.remembered() <= 128 && evidence.peers.recent() <= Evidence::RECENT);
    }
    sim.wait(end);
    sim.event(10, end, kind(10, &["dead", "0"], &sim.cgroups));
    for number in 0..cut {
        let closed = Kind::Connection(change(number, ConnectionChange::Closed { aborted: true }));
        sim.event(10, end + Duration::from_micros(number.into()), closed);
    }
    sim.event(10, end + Duration::from_millis(1), Kind::CgroupEmpty);
    sim.wait(sim.now + Duration::from_secs(100));
    let peers = only(&sim.told).peers.clone().unwrap();
    assert_eq!(peers.listed.len(), 64);
    assert!(peers.listed.iter().take(cut as usize).all(|peer| peer.tally.cut == 1), "who was cut is named");
    let [others] = &peers.others[..] else { panic!("{:?}", peers.others) };
    let listed: u64 = peers.listed.iter().map(|peer| peer.tally.connections).sum();
    assert_eq!(listed + others.tally.connections, u64::from(clients));
    assert_eq!((others.tally.cut, others.peers >= u64::from(clients) - 64), (0, true));
    let received: u64 = peers.listed.iter().map(|peer| peer.tally.received).sum();
    assert_eq!(received + others.tally.received, u64::from(clients));
}

#[test]
fn a_restart_keeps_what_was_told() {
    let case = Case::default();
    let mut sim = Sim::new(&case);
    let lines: Vec<&str> = KILLED.lines().map(str::trim).collect();
    let cut = lines.iter().position(|line| line.contains("refusal")).unwrap() + 1;
    lines[..cut].iter().for_each(|line| sim.line(line));
    sim.wait(ms("3350"));
    sim.restart("3380", &[]);
    lines[cut..].iter().for_each(|line| sim.line(line));
    sim.wait(ms("900000"));
    let of = only(&sim.told);
    assert_eq!(text(of), trimmed(KILLED_PEERS));
    assert!(of.partial);
    let curve = of.curve.as_ref().unwrap();
    assert_eq!(curve[0], (ms("1000"), 2), "with what was seen before");
    let watched: Vec<u64> = sim.told.watched.iter().map(|(_, cgroup)| *cgroup).collect();
    assert_eq!(watched, [10, 10], "the kernel side is a new one");
}
