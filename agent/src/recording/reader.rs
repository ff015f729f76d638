//! Reading a recording.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::line::{FORMAT, Header, Line};
use crate::input::Input;
use crate::model::Sight;

/// A line longer than this is not one of ours: the longest holds a full PodList of a node.
const MAX_LINE: usize = 64 << 20;

/// What can be wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It can't be made.
    #[error("cannot write the recording {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can't be opened.
    #[error("cannot read the recording {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a recording of gracetrace; make one with `gracetrace run --record FILE`", path.display())]
    NotARecording {
        /// The file.
        path: PathBuf,
    },
    /// It comes from a newer agent.
    #[error("{} has recording format {found} (by gracetrace {version}), this gracetrace reads up to {FORMAT}: replay it with a newer one", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Who wrote it.
        version: String,
    },
    /// A whole line can't be read.
    #[error("{}, line {line}: {cause}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Why.
        cause: String,
    },
}

/// The inputs of a recording, one after another.
pub struct Reader {
    path: PathBuf,
    input: BufReader<MultiGzDecoder<File>>,
    buffer: Vec<u8>,
    line: u64,
    truncated: bool,
    missing: u64,
    missing_hooks: Vec<String>,
}

impl Reader {
    /// Opens a recording and reads its header.
    ///
    /// # Errors
    /// When it can't be read, is something else or too new.
    pub fn open(path: &Path) -> Result<Reader, RecordingError> {
        let file = File::open(path).map_err(|source| RecordingError::Open { path: path.to_owned(), source })?;
        let mut reader = Reader {
            path: path.to_owned(),
            input: BufReader::new(MultiGzDecoder::new(file)),
            buffer: Vec::new(),
            line: 0,
            truncated: false,
            missing: 0,
            missing_hooks: Vec::new(),
        };
        let not_ours = || RecordingError::NotARecording { path: path.to_owned() };
        if !reader.next_line()? {
            return Err(not_ours());
        }
        let header: Header = serde_json::from_slice(&reader.buffer).map_err(|_| not_ours())?;
        if header.gracetrace_recording > FORMAT {
            return Err(RecordingError::TooNew {
                path: path.to_owned(),
                found: header.gracetrace_recording,
                version: header.version,
            });
        }
        reader.missing_hooks = header.missing_hooks;
        if !header.knows_connections {
            reader.missing_hooks.extend(Sight::EARLIER.map(str::to_owned));
        }
        Ok(reader)
    }

    /// Hooks that did not work when it was made, by the names of their tracepoints.
    pub fn missing_hooks(&self) -> impl Iterator<Item = &str> {
        self.missing_hooks.iter().map(String::as_str)
    }

    /// The next input; `None` at the end, which for a truncated file is after its last whole line.
    ///
    /// # Errors
    /// When a whole line can't be read.
    pub fn next_input(&mut self) -> Result<Option<Input>, RecordingError> {
        while self.next_line()? {
            if self.buffer.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(&self.buffer).map_err(|error| self.broken(error.to_string()))?;
            match line.into_input() {
                Ok(input) => return Ok(Some(input)),
                Err(missing) => self.missing += missing,
            }
        }
        Ok(None)
    }

    /// Whether the file ended in the middle. Known after the last input.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// How many inputs did not get into the file because the disk was too slow.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Reads a whole line, without its newline, into the buffer. False at the end.
    fn next_line(&mut self) -> Result<bool, RecordingError> {
        self.buffer.clear();
        self.line += 1;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A writer that was killed leaves a stream without its end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.line > 1 => {
                    self.truncated = true;
                    return Ok(false);
                }
                Err(_) if self.line == 1 => {
                    return Err(RecordingError::NotARecording { path: self.path.clone() });
                }
                Err(error) => return Err(self.broken(error.to_string())),
            };
            if available.is_empty() {
                self.truncated |= !self.buffer.is_empty();
                return Ok(false);
            }
            let newline = available.iter().position(|byte| *byte == b'\n');
            let taken = newline.unwrap_or(available.len());
            self.buffer.extend_from_slice(&available[..taken]);
            self.input.consume(newline.map_or(taken, |at| at + 1));
            if newline.is_some() {
                return Ok(true);
            }
            if self.buffer.len() > MAX_LINE {
                return Err(self.broken(format!("the line is longer than {MAX_LINE} bytes")));
            }
        }
    }

    fn broken(&self, cause: String) -> RecordingError {
        RecordingError::Line { path: self.path.clone(), line: self.line, cause }
    }
}
