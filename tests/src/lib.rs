//! A node made of real processes: what a kubelet and a container runtime do to a pod, done to cgroups, namespaces and
//! processes of the test's own, with the times taken by those who did it. The demo and the tests stand on it.
//!
//! **Nothing here knows what the agent is made of**: it meets the agent as a program with flags and an HTTP API.

pub mod demo;
pub mod bench;
pub mod vm;
pub mod scenario;
pub mod truth;
pub mod kubelet;
pub mod runtime;
pub mod node;
pub mod cri_node;
pub mod clients;
pub mod workload;
pub mod upstream;
pub mod server;
pub mod memory;
pub mod agent;
pub mod image;
pub mod manifest;
pub mod prometheus;
pub mod parts;
pub mod steps;
pub mod clock;
pub mod wait;
