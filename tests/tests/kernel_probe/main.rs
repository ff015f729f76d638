//! The kernel side on the real kernel: what it counts, what it tells, what it leaves out. Needs root, BTF and a cgroup v2
//! hierarchy mounted anywhere.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod execs;
mod trees;
mod signals;
mod sockets;
mod connections;
mod told;
mod within;
mod seeding;
mod steps;
mod refused;
mod stale_routes;
mod listener;
mod cgroups;
mod http_hooks;
mod kubelet;
mod losses;
mod standbys;
mod loading;
mod oom;
mod part;
mod container;
mod watch;
