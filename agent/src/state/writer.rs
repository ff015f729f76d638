//! Writing the file, from a thread of its own: a slow disk never holds up the pipeline.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{FILE, MAX_BYTES, NEXT, StateDir, file};
use crate::clock;
use crate::input::Input;
use crate::model::BootTime;

/// How saving goes, for metrics.
#[derive(Debug, Default)]
pub struct Status {
    saves: AtomicU64,
    errors: AtomicU64,
    saved_at: AtomicU64,
    bytes: AtomicU64,
    took_ns: AtomicU64,
    failing: AtomicBool,
}

impl Status {
    /// How often the state was saved.
    pub fn saves(&self) -> u64 {
        self.saves.load(Ordering::Relaxed)
    }

    /// How often it could not be.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// When it was last saved.
    pub fn saved_at(&self) -> Option<BootTime> {
        Some(BootTime(self.saved_at.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// The file's size.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How long the last try took.
    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.took_ns.load(Ordering::Relaxed))
    }

    /// Whether the last try failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

/// Writes what comes until nobody sends any more.
pub(super) fn run(dir: &StateDir, snapshots: &Receiver<Box<[Input; 2]>>, status: &Status) {
    while let Ok(inputs) = snapshots.recv() {
        let begin = clock::boot_now();
        let result = save(dir, &inputs);
        let now = clock::boot_now();
        let took = u64::try_from(now.since(begin).as_nanos()).unwrap_or(u64::MAX);
        status.took_ns.store(took, Ordering::Relaxed);
        let failed = status.failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Ok(bytes) => {
                status.bytes.store(bytes, Ordering::Relaxed);
                status.saved_at.store(now.0, Ordering::Relaxed);
                status.saves.fetch_add(1, Ordering::Relaxed);
                if failed {
                    tracing::info!("the state can be saved in {} again", dir.dir.display());
                }
            }
            Err(error) => {
                status.errors.fetch_add(1, Ordering::Relaxed);
                if !failed {
                    tracing::warn!(
                        "cannot save the state in {}: {error}; after a restart, terminations that are in progress now \
                         may be told of in part, or not at all",
                        dir.dir.display()
                    );
                }
            }
        }
    }
}

fn save(dir: &StateDir, inputs: &[Input; 2]) -> io::Result<u64> {
    let bytes = file::encode(inputs, &dir.place);
    let len = bytes.len() as u64;
    if len > MAX_BYTES {
        return Err(io::Error::other(format!("it has {len} bytes, more than the {MAX_BYTES} that are kept")));
    }
    replace(&dir.dir, &bytes)?;
    Ok(len)
}

/// Either the old file or the new one is there, whatever happens meanwhile.
fn replace(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = dir.join(NEXT);
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&next, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}
