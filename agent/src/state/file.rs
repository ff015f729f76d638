//! The file: lines of JSON. The first names format and place, the last has a checksum of all before it; between them
//! stand the inputs that bring the state back, in the form in which a recording has them. Fields are only added.

use flate2::Crc;
use serde::{Deserialize, Serialize};

use super::{Place, Unusable};
use crate::identity::{Source, Update};
use crate::input::Input;
use crate::recording;

/// Stands in the first line. Raised when another agent would misread the file.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    gracetrace_state: u32,
    version: String,
    boot: String,
    root: u64,
}

/// Of a header whose format is another one.
#[derive(Debug, Deserialize)]
struct AnyHeader {
    gracetrace_state: u32,
    #[serde(default)]
    version: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    crc32: u32,
}

/// The whole file.
pub(super) fn encode(inputs: &[Input; 2], place: &Place) -> Vec<u8> {
    let header = Header {
        gracetrace_state: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot: place.boot.clone(),
        root: place.root.0,
    };
    let mut bytes = recording::encode(&header);
    for input in inputs {
        bytes.extend(recording::encode_input(input));
    }
    let end = End { crc32: checksum(&bytes) };
    bytes.extend(recording::encode(&end));
    bytes
}

/// What [`encode`] was given.
pub(super) fn decode(bytes: &[u8], place: &Place) -> Result<[Input; 2], Unusable> {
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let any: AnyHeader = serde_json::from_slice(header).map_err(|_| Unusable::NotOurs)?;
    if any.gracetrace_state != FORMAT {
        return Err(Unusable::Format { found: any.gracetrace_state, version: any.version });
    }
    let body = bytes.strip_suffix(b"\n").ok_or(Unusable::Truncated)?;
    let last = body.iter().rposition(|byte| *byte == b'\n').ok_or(Unusable::Truncated)? + 1;
    let end: End = serde_json::from_slice(&body[last..]).map_err(|_| Unusable::Truncated)?;
    if end.crc32 != checksum(&bytes[..last]) {
        return Err(Unusable::Checksum);
    }
    let header: Header = serde_json::from_slice(header).map_err(|error| broken(1, error))?;
    if header.boot != place.boot {
        return Err(Unusable::Elsewhere("is of another boot or another machine"));
    }
    if header.root != place.root.0 {
        return Err(Unusable::Elsewhere("is of another cgroup root"));
    }
    let lines = body[..last - 1].split(|byte| *byte == b'\n').enumerate().skip(1);
    let (mut pods, mut saved) = (None, None);
    for (index, line) in lines {
        match recording::decode_input(line).map_err(|cause| broken(index + 1, cause))? {
            Input::Identity(Update::Pods { source: Source::State, pods: all }) => pods = Some(all),
            Input::Restored(restored) => saved = Some(restored),
            // Of a later agent.
            _ => {}
        }
    }
    let (Some(pods), Some(saved)) = (pods, saved) else { return Err(Unusable::Truncated) };
    Ok([Input::Identity(Update::Pods { source: Source::State, pods }), Input::Restored(saved)])
}

fn broken(line: usize, cause: impl ToString) -> Unusable {
    Unusable::Line { line, cause: cause.to_string() }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
