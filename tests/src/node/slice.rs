//! A cgroup of a test's own.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup;

/// A cgroup at the top of the unified hierarchy. Whatever lives in it ends with it.
pub struct Slice(PathBuf);

impl Slice {
    /// Makes it. Its name holds the process id, so that `name` need only be unique within the calling program.
    ///
    /// # Panics
    /// When cgroups can't be made here.
    pub fn new(name: &str) -> Slice {
        let root = cgroup::unified_root().expect("cgroup v2 is mounted");
        let path = root.join(format!("gracetrace-test-{}-{name}.slice", std::process::id()));
        fs::create_dir(&path).expect("cgroups can be made: this test needs root");
        Slice(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a cgroup inside, with those above it.
    ///
    /// # Panics
    /// When that fails.
    pub fn cgroup(&self, below: &str) -> PathBuf {
        let path = self.0.join(below);
        fs::create_dir_all(&path).expect("cgroups can be made");
        path
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        if let Err(error) = cgroup::remove_tree(&self.0) {
            eprintln!("{error:#}");
        }
    }
}
