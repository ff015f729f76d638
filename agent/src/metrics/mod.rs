//! The metrics: structs that are passed in, no globals. [`Terminations`] come from the pipeline's inputs alone, so that a
//! replay gives the same bytes as the run that was recorded; [`Agent`] is what the agent says of itself.
#![forbid(unsafe_code)]

mod terminations;
mod pods;
mod hooks;
mod signals;
mod connections;
mod refused;
mod live;
mod agent;
mod kernel;
mod sources;
mod limits;
mod process;
mod state;
mod settings;
mod labels;
mod scope;
mod series;
mod histogram;
mod registry;
mod format;

use std::fmt;

use prometheus_client::encoding::text;

pub use agent::Agent;
pub use format::Format;
pub use kernel::Kernel;
pub use labels::{Labels, LabelsError};
pub use limits::Limits;
pub use process::{Process, Usage};
pub use settings::Settings;
pub use sources::Sources;
pub use state::{Saving, State};
pub use terminations::Terminations;

use registry::Registry;

/// Put before every name but those of the process, which have names that dashboards know.
const PREFIX: &str = "gracetrace";

/// Every metric there is.
#[derive(Debug)]
pub struct Metrics {
    /// What happened to pods.
    pub terminations: Terminations,
    /// The agent itself.
    pub agent: Agent,
    registries: [Registry; 3],
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new(&Settings::default())
    }
}

impl Metrics {
    /// All of them, with no value yet.
    pub fn new(settings: &Settings) -> Metrics {
        let (mut pods, mut own, mut process) =
            (Registry::with_prefix(PREFIX), Registry::with_prefix(PREFIX), Registry::default());
        Metrics {
            terminations: Terminations::new(&mut pods, settings),
            agent: Agent::new(&mut own, &mut process),
            registries: [pods, own, process],
        }
    }

    /// The whole exposition.
    ///
    /// # Errors
    /// When a metric cannot be encoded, which would be a bug in it.
    pub fn encode(&self, format: Format) -> Result<Vec<u8>, fmt::Error> {
        let openmetrics = || {
            let mut out = String::new();
            self.registries.iter().try_for_each(|registry| registry.openmetrics(&mut out))?;
            text::encode_eof(&mut out)?;
            Ok(out)
        };
        match format {
            Format::OpenMetrics => openmetrics().map(String::into_bytes),
            Format::Text => openmetrics().map(|out| format::text_of(&out).into_bytes()),
            Format::Protobuf => {
                let mut out = Vec::new();
                self.registries.iter().try_for_each(|registry| registry.delimited(&mut out))?;
                Ok(out)
            }
        }
    }

    /// Only what the pipeline's inputs decide, as OpenMetrics: what `replay --metrics` prints.
    ///
    /// # Errors
    /// When a metric cannot be encoded, which would be a bug in it.
    pub fn encode_terminations(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        self.registries[0].openmetrics(&mut out)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod reference;
