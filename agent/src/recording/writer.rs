//! Writing a recording.

use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::line::{FORMAT, Header, Line, encode};
use super::reader::RecordingError;
use crate::input::Input;
use crate::line_writer::LineWriter;

/// Writes inputs to a file, from a thread of its own.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    lines: LineWriter,
    /// Inputs that could not be queued since the last one that could.
    missing: u64,
}

impl Recorder {
    /// Makes the file, or empties the one that is there. [`Recorder::begin`] comes next.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn create(path: &Path) -> Result<Recorder, RecordingError> {
        let create = |source| RecordingError::Create { path: path.to_owned(), source };
        let file = File::create(path).map_err(create)?;
        let lines = LineWriter::spawn("the recording", GzEncoder::new(file, Compression::default())).map_err(create)?;
        Ok(Recorder { path: path.to_owned(), lines, missing: 0 })
    }

    /// Writes the first line. A replay must know which hooks did not work, by the names of their tracepoints.
    pub fn begin<'a>(&mut self, missing_hooks: impl IntoIterator<Item = &'a str>) {
        let header = Header {
            gracetrace_recording: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            missing_hooks: missing_hooks.into_iter().map(str::to_owned).collect(),
            knows_connections: true,
        };
        self.lines.send(encode(&header));
    }

    /// Queues one input.
    pub fn record(&mut self, input: &Input) {
        if self.missing > 0 {
            if !self.lines.send(encode(&Line::Gap(self.missing))) {
                self.missing += 1;
                return;
            }
            self.missing = 0;
        }
        if !self.lines.send(encode(&Line::from(input))) {
            self.missing += 1;
        }
    }

    /// Inputs that did not get into the file so far.
    pub fn lost(&self) -> u64 {
        self.lines.lost()
    }

    /// Writes what is queued and closes the file.
    pub fn finish(self) {
        let lost = self.lines.lost();
        if lost > 0 {
            tracing::warn!("the recording {} lacks {lost} lines: the disk was too slow", self.path.display());
        }
        self.lines.finish();
    }
}
