//! The inputs of a run as a file: for replay, tests and bug reports.
//!
//! A recording is a gzip stream of JSON lines, so `zcat` shows it. The first line names the format; each other line is
//! one input, in the order in which the pipeline took it. Fields are only added: an older recording stays readable.
//! A recording holds the argument vectors of hooks, the names of pods and their preStop handlers.

mod reader;
mod writer;
mod line;
mod kernel;
mod identity;
mod restored;

pub(crate) use line::{decode_input, encode, encode_input};
pub use reader::{Reader, RecordingError};
pub use writer::Recorder;
