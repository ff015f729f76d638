//! The agent beside Debian's runc: containers as containerd makes, enters, stops and deletes them, with nothing of the
//! demo's stand-in. Needs root and the packages runc and busybox-static.

mod hooks;
mod stops;
mod late;
mod deployed;
mod container;
mod node;
mod bundle;
mod report;
