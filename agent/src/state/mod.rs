//! What survives a restart of the agent: a directory with one file, and the thread that writes it.
//!
//! A file that cannot be used is set aside with a word about it, and the agent begins anew: the state of an earlier run
//! is worth something, but never a reason not to start. A directory that cannot be used is: somebody asked for it.

mod file;
mod keeper;
mod writer;
#[cfg(test)]
mod tests;

pub use keeper::Keeper;
pub use writer::Status;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use crate::input::Input;
use crate::model::CgroupId;

/// The state, the one that is being written, and the file that is locked.
const FILE: &str = "state.jsonl";
const NEXT: &str = "state.jsonl.next";
const LOCK: &str = "lock";
/// Files set aside that are kept.
const KEPT: u32 = 3;
/// A node's pods are some hundred kilobytes; a file larger than this is none of ours, and none is written.
const MAX_BYTES: u64 = 64 << 20;

/// Why a state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// It cannot be made or written.
    #[error("cannot keep state in {}: {source}; give another directory with --state-dir", dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another agent has it.
    #[error("another agent keeps its state in {}: end it, or give this one a directory of its own with --state-dir", dir.display())]
    InUse {
        /// Which.
        dir: PathBuf,
    },
    /// The kernel does not tell which boot this is.
    #[error("cannot read {BOOT_ID}, without which state of an earlier boot is not told from this one's: {0}")]
    BootId(#[source] io::Error),
    /// No thread can be started.
    #[error("cannot start the thread that writes the state: {0}")]
    Thread(#[source] io::Error),
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Where a state is good: boot times and cgroups mean nothing elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The kernel's id of this boot. No two machines have the same.
    pub boot: String,
    /// Where the cgroup tree is walked: what is outside is not looked for.
    pub root: CgroupId,
}

impl Place {
    /// This machine since its last boot.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn here(root: CgroupId) -> Result<Place, StateError> {
        let boot = fs::read_to_string(BOOT_ID).map_err(StateError::BootId)?;
        Ok(Place { boot: boot.trim().to_owned(), root })
    }
}

/// A directory that is this agent's alone, for as long as this lives.
#[derive(Debug)]
pub struct StateDir {
    dir: PathBuf,
    place: Place,
    /// The lock goes with the last descriptor of the file.
    _lock: File,
}

impl StateDir {
    /// Makes the directory if it is missing, and takes it.
    ///
    /// # Errors
    /// When it cannot be made or written, or another agent has it.
    pub fn open(dir: &Path, place: Place) -> Result<StateDir, StateError> {
        let cannot = |source| StateError::Directory { dir: dir.to_owned(), source };
        // What is in it tells of every pod of the node.
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(cannot)?;
        let open = |name: &str| {
            File::options().write(true).create(true).truncate(false).mode(0o600).open(dir.join(name)).map_err(cannot)
        };
        let lock = open(LOCK)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StateError::InUse { dir: dir.to_owned() }),
            Err(errno) => return Err(cannot(errno.into())),
        }
        // Now, while somebody reads what it says, not an hour later.
        open(NEXT)?;
        Ok(StateDir { dir: dir.to_owned(), place, _lock: lock })
    }

    /// What an earlier run has left, as inputs of the pipeline. `None` when there is nothing, or nothing that can be
    /// used; that is then set aside.
    ///
    /// # Errors
    /// When a file that cannot be used cannot be set aside either.
    pub fn load(&self) -> Result<Option<[Input; 2]>, StateError> {
        let path = self.dir.join(FILE);
        match read(&path).and_then(|bytes| file::decode(&bytes, &self.place)) {
            Ok(inputs) => Ok(Some(inputs)),
            Err(Unusable::NotThere) => Ok(None),
            Err(cause) => {
                let aside =
                    self.set_aside().map_err(|source| StateError::Directory { dir: self.dir.clone(), source })?;
                let (path, aside) = (path.display(), aside.display());
                match cause {
                    Unusable::Elsewhere(_) => tracing::info!("{path} {cause}: beginning anew, it is {aside} now"),
                    _ => tracing::warn!(
                        "cannot use {path}: {cause}; it is {aside} now, and terminations that were in progress are told \
                         of as far as they are seen from now on"
                    ),
                }
                Ok(None)
            }
        }
    }

    /// Renames the file; the last few of these are kept.
    fn set_aside(&self) -> io::Result<PathBuf> {
        let name = |number: u32| self.dir.join(format!("{FILE}.aside-{number}"));
        for number in (1..KEPT).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(self.dir.join(FILE), name(1))?;
        Ok(name(1))
    }
}

/// Why a file cannot be used.
#[derive(Debug, Error)]
enum Unusable {
    #[error("there is none")]
    NotThere,
    #[error("{0}")]
    Read(io::Error),
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("it is not a state of gracetrace")]
    NotOurs,
    #[error("it has format {found} (by gracetrace {version}), this gracetrace reads {}", file::FORMAT)]
    Format { found: u32, version: String },
    #[error("{0}")]
    Elsewhere(&'static str),
    #[error("it ends in the middle")]
    Truncated,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("line {line}: {cause}")]
    Line { line: usize, cause: String },
}

fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unusable::NotThere,
        _ => Unusable::Read(error),
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Unusable::Read)?;
    if bytes.len() as u64 > MAX_BYTES { Err(Unusable::TooLarge) } else { Ok(bytes) }
}
