//! The agent on a real node: Debian's containerd, runc and CNI plugins, and a driver that makes the calls of the kubelet.
//! It is told nothing but the runtime's socket. Needs root and the packages containerd, runc, containernetworking-plugins
//! and busybox-static.

mod hooks;
mod http;
mod stops;
mod pods;
mod ends;
mod runtime;
mod many;
mod deployed;
mod world;
mod report;
