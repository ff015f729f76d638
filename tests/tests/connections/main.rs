//! Connections of real sockets in real network namespaces, with the whole agent: every count that it tells is the one that
//! clients and servers have made. Needs root.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;
mod clients;
mod told;
mod styles;
mod ends;
mod backlog;
mod insiders;
mod host_network;
mod addresses;
mod older;
mod full;
mod load;
