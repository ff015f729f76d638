//! gracetrace shows how Kubernetes pods die. The crate map is in ARCHITECTURE.md.

pub mod model;
pub mod correlator;
pub mod identity;
pub mod probe;
pub mod input;
pub mod line_writer;
pub mod recording;
pub mod report;
pub mod store;
pub mod metrics;
pub mod http;
pub mod clock;
pub mod state;
pub mod logging;
pub mod pipeline;
pub mod cli;
