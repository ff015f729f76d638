//! A node whose containers all terminate at once, with connections on each, while a steady stream of others goes on:
//! nothing is lost.
//!
//! `GRACETRACE_LOAD_CONTAINERS` (500 for the size that a node is meant to bear) and `GRACETRACE_LOAD_STREAM`, the number of the others,
//! make it larger than the test suite has it.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use gracetrace_tests::node::network;
use gracetrace_tests::server::at;
use gracetrace_tests::wait;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::Value;

use crate::clients::{assert_cut, hold, visit_many};
use crate::world::{PORT, Pod, Server, World};

/// Connections that each container has open.
const CONNECTIONS: usize = 20;
/// Containers of a pod.
const PER_POD: usize = 10;
/// Clients of the stream, and how many connections each makes side by side.
const STREAMS: usize = 2;
const BATCH: usize = 32;

#[test]
fn all_terminate_at_once() {
    let containers = setting("GRACETRACE_LOAD_CONTAINERS", 100);
    let stream = setting("GRACETRACE_LOAD_STREAM", 20_000) as u64;
    allow_many_files();

    let mut world = World::new();
    let pods: Vec<Pod> = (0..containers.div_ceil(PER_POD)).map(|_| world.pod()).collect();
    let place = |number: usize| (&pods[number / PER_POD], PORT + (number % PER_POD) as u16);
    let servers: Vec<Server> = (0..containers)
        .map(|number| {
            let (pod, port) = place(number);
            world.serve_in(pod, pod.sandbox.pid, &["--style", "single", "--leave-on", "1", "--port", &port.to_string()])
        })
        .collect();
    let target = world.pod();
    let stream_server = world.serve(&target, &["--style", "single"]);
    // The stream's termination has begun before the others': all that it counts is in it.
    world.stop(&stream_server);
    let held: Vec<TcpStream> = world.outside(|| {
        let addresses = (0..containers).map(place).map(|(pod, port)| at(pod.address(false), port));
        addresses.flat_map(|address| hold(address, CONNECTIONS)).collect()
    });

    let before = world.agent().usage();
    let (streaming, visits) = (AtomicBool::new(true), AtomicU64::new(0));
    let (bridge, address) = (world.node.bridge_pid(), at(target.address(false), PORT));
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..STREAMS {
            scope.spawn(|| {
                network::enter_network_of(bridge).unwrap();
                while streaming.load(Ordering::Relaxed) {
                    visit_many(address, BATCH);
                    visits.fetch_add(BATCH as u64, Ordering::Relaxed);
                }
            });
        }
        let wait_for = |count| wait::until("the stream", || visits.load(Ordering::Relaxed) >= count);
        wait_for(stream / 2);
        servers.iter().for_each(|server| server.signal(Signal::TERM));
        wait_for(stream);
        streaming.store(false, Ordering::Relaxed);
    });
    let streamed = begin.elapsed();
    for mut server in servers {
        let exit = world.tokio.block_on(server.container.exited()).unwrap();
        assert_eq!(exit.code(), Some(0));
        wait::until("the container's cgroup can go", || fs::remove_dir(&server.container.cgroup).is_ok());
    }
    let cut = held.len();
    assert_cut(held);

    let terminations: Vec<Value> = (0..pods.len()).map(|_| world.termination()).collect();
    let told: Vec<&Value> = terminations.iter().flat_map(|it| it["containers"].as_array().unwrap()).collect();
    assert_eq!(told.len(), containers);
    assert!(terminations.iter().all(|termination| termination["complete"] == true), "{terminations:#?}");
    let zombies = told.iter().map(|container| container["connections"]["zombie"]["inbound"].as_u64().unwrap());
    assert!(zombies.clone().all(|zombies| zombies == CONNECTIONS as u64));
    assert_eq!(zombies.sum::<u64>() as usize, cut);

    let counts = world.end(stream_server);
    let visits = visits.into_inner();
    assert_eq!(counts.accepted, visits, "what the server counts");
    let termination = world.termination();
    assert_eq!(termination["complete"], true, "{termination:#}");
    assert_eq!(termination["containers"][0]["connections"]["late"], visits, "{termination:#}");
    let metrics = world.agent().get("/metrics");
    let dropped = metrics.lines().filter(|line| line.starts_with("gracetrace_records_dropped_total{"));
    assert!(dropped.clone().count() > 0 && dropped.clone().all(|line| line.ends_with("} 0")), "{dropped:#?}");

    let after = world.agent().usage();
    println!(
        "{containers} containers at once with {cut} connections, beside {:.0} connections a second for {:.1} s: \
         the agent took {:.2} s of CPU time, {:.1} MB resident ({:.1} MB before)",
        visits as f64 / streamed.as_secs_f64(),
        streamed.as_secs_f64(),
        (after.cpu - before.cpu).as_secs_f64(),
        after.rss_bytes as f64 / 1e6,
        before.rss_bytes as f64 / 1e6,
    );
    world.stop_agent();
}

#[test]
fn connections_that_share_a_place_are_counted() {
    const HELD: usize = 3_000;
    allow_many_files();
    let mut world = World::new();
    let pod = world.pod();
    let server = world.serve(&pod, &["--style", "threaded"]);
    let held = world.outside(|| hold(at(pod.address(false), PORT), HELD));
    // Of 65,536 places some have two of them: the map has the second.
    wait::until("some are in the map", || entries_in_map(&mut world) > 0.0);
    assert!(entries_in_map(&mut world) < HELD as f64);
    world.stop(&server);
    world.end(server);
    assert_cut(held);
    let termination = world.termination();
    assert_eq!(termination["complete"], true, "{termination:#}");
    assert_eq!(termination["containers"][0]["connections"]["zombie"]["inbound"], HELD, "{termination:#}");
    wait::until("all have left the map", || entries_in_map(&mut world) == 0.0);
    world.stop_agent();
}

fn entries_in_map(world: &mut World) -> f64 {
    let entries = |line: &str| line.strip_prefix("gracetrace_map_entries{map=\"SOCKETS\"} ")?.parse().ok();
    world.agent().get("/metrics").lines().find_map(entries).expect("the map is told")
}

fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

fn setting(name: &str, usual: usize) -> usize {
    env::var(name).map_or(usual, |value| value.parse().unwrap())
}
