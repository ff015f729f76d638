//! The agent's API and the commands that read it, against a real agent and real containers. Needs root.

mod client;
mod stream;
mod limits;
mod schema;
mod terminal;
#[expect(dead_code, reason = "it is shared, and not everything of it is needed here")]
#[path = "../restart/node.rs"]
mod node;
