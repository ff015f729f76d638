//! A file of pods: read once, then watched. Every way of changing a file is seen at once: renamed over (the usual way),
//! written in place, behind a symlink that is swapped (a mounted ConfigMap). What cannot be seen by watching (a swapped
//! symlink further up, a network file system) is found by looking every few seconds.
//!
//! A file that is half written, broken or gone later on does not take the pods away: the last good state stays, the
//! failure is counted and said once.

mod watch;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::podlist::{ParseError, PodList};
use super::{Health, Source, Update};
use crate::model::BootTime;
use watch::Watch;

/// Why a file of pods cannot be used.
#[derive(Debug, Error)]
pub enum PodsFileError {
    /// It cannot be read.
    #[error("cannot read the pods file {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("cannot use {path} as the pods file: it is not a regular file")]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// It is larger than any node's pods.
    #[error("cannot use {path} as the pods file: it has {bytes} bytes, more than the {MAX_BYTES} that are read")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Nothing in it can be used.
    #[error("cannot use {path} as the pods file: {source}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: ParseError,
    },
    /// The kernel does not let it be watched.
    #[error("cannot watch the pods file {path}: {source}")]
    Watch {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A pod of 20 kB with everything in it, times the pods of the largest nodes, leaves much room.
const MAX_BYTES: u64 = 64 << 20;
/// A writer in place shows up with several events in a row: wait for the last. Short, because a deletion wants to be
/// known before the kubelet acts on it.
const SETTLE: Duration = Duration::from_millis(10);
/// How often to look for what watching does not show.
const LOOK: Duration = Duration::from_secs(5);
/// Items named in a warning.
const MAX_NAMED: usize = 5;

/// Reads a file of pods.
pub fn read(path: &Path) -> Result<PodList, PodsFileError> {
    load(path).map(|(list, _)| list)
}

/// The watched file. [`PodsFile::open`] reads it, [`PodsFile::run`] sends what changes.
#[derive(Debug)]
pub struct PodsFile {
    path: PathBuf,
    watch: Watch,
    /// What was looked at last; `None` when it was not there.
    last: Option<Signature>,
    health: Arc<Health>,
    now: fn() -> BootTime,
}

impl PodsFile {
    /// Begins to watch the file and reads it. In this order, so that no change between the two is missed. `now` is for
    /// the age of the state alone.
    pub fn open(path: &Path, now: fn() -> BootTime) -> Result<(PodsFile, Update), PodsFileError> {
        let watch = Watch::new(path).map_err(|source| PodsFileError::Watch { path: path.to_owned(), source });
        // A file that is not there is the better message.
        let (list, signature) = load(path)?;
        let mut file =
            PodsFile { path: path.to_owned(), watch: watch?, last: Some(signature), health: Arc::default(), now };
        let update = file.accept(list);
        Ok((file, update))
    }

    /// For metrics.
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Sends the pods each time the file has changed. Ends when nobody listens any more.
    pub async fn run(mut self, updates: mpsc::Sender<Update>) {
        loop {
            let named = tokio::select! {
                named = tokio::time::timeout(LOOK, self.watch.changed()) => named,
                () = updates.closed() => return,
            };
            if named.is_ok() {
                tokio::time::sleep(SETTLE).await;
            }
            // The file may be behind another symlink now, its directory another one.
            self.watch.renew();
            if let Some(update) = self.look(named.unwrap_or(false)).await
                && updates.send(update).await.is_err()
            {
                return;
            }
        }
    }

    /// Reads the file if an event named it, or if it looks changed.
    async fn look(&mut self, named: bool) -> Option<Update> {
        let signature = Signature::of(&self.path).ok();
        if !named && signature == self.last {
            if !self.health.is_failing() {
                self.seen_good();
            }
            return None;
        }
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&path)).await.ok()?;
        match loaded {
            Ok((list, signature)) => {
                self.last = Some(signature);
                Some(self.accept(list))
            }
            Err(error) => {
                self.last = signature;
                if self.health.observe_error() {
                    warn!("{error}; going on with the pods it named before");
                }
                None
            }
        }
    }

    fn accept(&mut self, list: PodList) -> Update {
        let skipped = u64::try_from(list.skipped.len()).unwrap_or(u64::MAX);
        if self.health.set_skipped(skipped) {
            for item in list.skipped.iter().take(MAX_NAMED) {
                warn!("a pod in {} is left out: {item}", self.path.display());
            }
            if list.skipped.len() > MAX_NAMED {
                warn!("and {} more pods in {}", list.skipped.len() - MAX_NAMED, self.path.display());
            }
        }
        self.seen_good();
        Update::Pods { source: Source::File, pods: list.pods }
    }

    fn seen_good(&self) {
        if self.health.observe_good((self.now)()) {
            info!("the pods file {} can be read again", self.path.display());
        }
    }
}

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    fn of(path: &Path) -> io::Result<Signature> {
        fs::metadata(path).map(|metadata| Signature::from(&metadata))
    }
}

impl From<&fs::Metadata> for Signature {
    fn from(metadata: &fs::Metadata) -> Signature {
        Signature {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn load(path: &Path) -> Result<(PodList, Signature), PodsFileError> {
    let unreadable = |source| PodsFileError::Read { path: path.to_owned(), source };
    // Before it is opened: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(PodsFileError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    let signature = Signature::from(&file.metadata().map_err(unreadable)?);
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(PodsFileError::TooLarge { path: path.to_owned(), bytes: signature.bytes });
    }
    let list = PodList::parse(&text).map_err(|source| PodsFileError::Parse { path: path.to_owned(), source })?;
    Ok((list, signature))
}

#[cfg(test)]
mod tests;
