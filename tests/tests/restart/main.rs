//! The agent ends in the middle of a termination, by SIGKILL or in peace, and another one takes over from what it has
//! left on disk: one termination, with what nobody saw marked.

mod node;
mod hooks;
mod stops;
mod away;
mod damage;
