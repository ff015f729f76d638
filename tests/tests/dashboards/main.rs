//! Every query of every dashboard, put to a real Prometheus that watches real agents while pods come and go.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod grafana;
mod world;
mod queries;
