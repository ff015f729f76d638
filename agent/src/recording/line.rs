//! One line of a recording.

use serde::{Deserialize, Serialize};

use super::identity::UpdateLine;
use super::kernel::EventLine;
use crate::input::Input;
use crate::model::BootTime;

/// Stands in the first line. Raised when an older agent would misread the file.
pub(super) const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// [`FORMAT`] of the writer.
    pub gracetrace_recording: u32,
    /// Version of the agent that wrote it.
    pub version: String,
    /// Hooks that did not work, by the names of their tracepoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_hooks: Vec<String>,
}

/// Every other line: an object with one key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Kernel(EventLine),
    Identity(UpdateLine),
    Tick {
        now: u64,
        wall_offset: i64,
    },
    /// So many inputs did not get into the file: it can't be replayed truly from here on.
    Gap(u64),
}

impl From<&Input> for Line {
    fn from(input: &Input) -> Line {
        match input {
            Input::Kernel(event) => Line::Kernel(event.into()),
            Input::Identity(update) => Line::Identity(update.into()),
            Input::Tick { now, wall_offset_ns } => Line::Tick { now: now.0, wall_offset: *wall_offset_ns },
        }
    }
}

impl Line {
    /// The input it stands for; the number of missing inputs for a gap.
    pub(super) fn into_input(self) -> Result<Input, u64> {
        match self {
            Line::Kernel(event) => Ok(Input::Kernel(event.into())),
            Line::Identity(update) => Ok(Input::Identity(update.into())),
            Line::Tick { now, wall_offset } => Ok(Input::Tick { now: BootTime(now), wall_offset_ns: wall_offset }),
            Line::Gap(missing) => Err(missing),
        }
    }
}
