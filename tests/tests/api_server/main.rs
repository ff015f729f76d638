//! The source of pods that is the Kubernetes API, against a server that speaks to it as a real one does: TLS with an
//! authority of its own, a token, lists and watches. What it says was recorded on a real node of Kubernetes 1.36; how it
//! says it is as bad as it gets. One test runs the agent as a program, and needs root.

mod recorded;
mod missed;
mod faults;
mod access;
mod questions;
mod agent;
mod follower;
mod server;
mod answers;
mod history;
mod fixture;
