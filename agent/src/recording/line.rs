//! One line of a recording.

use serde::{Deserialize, Serialize};

use super::identity::UpdateLine;
use super::kernel::EventLine;
use super::restored::SavedLine;
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
    /// The writer knew every hook that [`crate::model::Sight::EARLIER`] names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub knows_connections: bool,
}

/// Every other line: an object with one key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Kernel(EventLine),
    Identity(UpdateLine),
    Restored(SavedLine),
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
            Input::Restored(saved) => Line::Restored(saved.into()),
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
            Line::Restored(saved) => Ok(Input::Restored(saved.into())),
            Line::Tick { now, wall_offset } => Ok(Input::Tick { now: BootTime(now), wall_offset_ns: wall_offset }),
            Line::Gap(missing) => Err(missing),
        }
    }
}

/// A line of a recording, or of a file of the same kind, with its newline.
pub(crate) fn encode(line: &impl Serialize) -> Vec<u8> {
    // These types have string keys and no fallible parts, so this cannot fail; an empty line is skipped by the reader.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// An input as such a line.
pub(crate) fn encode_input(input: &Input) -> Vec<u8> {
    encode(&Line::from(input))
}

/// The input of such a line, or what is wrong with it.
pub(crate) fn decode_input(line: &[u8]) -> Result<Input, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    line.into_input().map_err(|missing| format!("{missing} inputs are missing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CgroupId, Counters, Event, Kind};

    #[test]
    fn losses_read_back() {
        for lost in [0, 5] {
            let counters = Counters { lost, inbound_total: 3, ..Counters::default() };
            let input = Input::Kernel(Event { at: BootTime(1), cgroup: CgroupId(2), counters, kind: Kind::Lost });
            let line = encode_input(&input);
            assert_eq!(decode_input(&line), Ok(input), "{}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn a_search_for_older_connections_reads_back() {
        let kind = Kind::ConnectionsSeeded { began: BootTime(7) };
        let counters = Counters::default();
        let input = Input::Kernel(Event { at: BootTime(9), cgroup: CgroupId(0), counters, kind });
        assert_eq!(decode_input(&encode_input(&input)), Ok(input));
    }
}
