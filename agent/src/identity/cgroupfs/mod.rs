//! Walks the cgroup v2 tree: which pods and containers are there, and what is their first process. Reads files only,
//! and blocks while it does. Cgroups and processes that go away meanwhile are left out; that is normal.

mod init;
mod mounts;
mod kubelet;

pub use kubelet::{KubeletError, KubeletFinder};

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{FoundCgroup, Place, Update, is_root_of_pods, place};
use crate::model::{CgroupId, ContainerId, Pid};

/// A directory of the cgroup v2 hierarchy to walk from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupRoot {
    dir: PathBuf,
    /// Its path in the hierarchy, as far as this process can see; empty for the root.
    path: String,
}

/// Why there is nothing to walk.
#[derive(Debug, Error)]
pub enum CgroupRootError {
    /// The list of mounts cannot be read.
    #[error("cannot read /proc/self/mountinfo to find the cgroup v2 hierarchy: {0}")]
    Mounts(#[source] io::Error),
    /// It has no cgroup2.
    #[error(
        "no cgroup v2 hierarchy is mounted here: boot with systemd.unified_cgroup_hierarchy=1, mount one (mount -t cgroup2 none DIR), or name its directory with --cgroup-root"
    )]
    NotMounted,
    /// The given directory is not there.
    #[error("cannot use {dir} as the cgroup root: {source}")]
    Open {
        /// What was given.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The given directory is not one of cgroup v2.
    #[error("cannot use {dir} as the cgroup root: it is not a cgroup v2 directory{hint}", hint = hint(mounted))]
    NotCgroup2 {
        /// What was given.
        dir: PathBuf,
        /// Where cgroup v2 is mounted.
        mounted: Option<PathBuf>,
    },
}

fn hint(mounted: &Option<PathBuf>) -> String {
    mounted.as_ref().map_or_else(String::new, |dir| format!("; here it is mounted at {}", dir.display()))
}

impl CgroupRoot {
    /// Finds the hierarchy where it is mounted, alone or beside cgroup v1, or takes the given directory of it.
    pub fn find(given: Option<&Path>) -> Result<CgroupRoot, CgroupRootError> {
        let text = fs::read_to_string("/proc/self/mountinfo").map_err(CgroupRootError::Mounts)?;
        let mounts = mounts::cgroup2(&text);
        let dir = match given {
            Some(dir) => dir.to_owned(),
            None => mounts::preferred(&mounts).ok_or(CgroupRootError::NotMounted)?.point.clone(),
        };
        let open = |source| CgroupRootError::Open { dir: dir.clone(), source };
        let real = dir.canonicalize().map_err(open)?;
        if !real.is_dir() {
            return Err(open(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        let kind = rustix::fs::statfs(&real).map_err(|errno| open(errno.into()))?.f_type;
        if kind != CGROUP2_SUPER_MAGIC {
            let mounted = mounts::preferred(&mounts).map(|mount| mount.point.clone());
            return Err(CgroupRootError::NotCgroup2 { dir, mounted });
        }
        Ok(CgroupRoot { path: mounts::path_in_hierarchy(&mounts, &real), dir: real })
    }

    /// Its cgroup id, if it is still there.
    pub fn id(&self) -> io::Result<CgroupId> {
        Ok(CgroupId(fs::metadata(&self.dir)?.ino()))
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// include/uapi/linux/magic.h
const CGROUP2_SUPER_MAGIC: rustix::fs::FsWord = 0x6367_7270;
/// Deeper than any node nests; the kernel's own limit is the user's (`cgroup.max.depth`).
const MAX_DEPTH: usize = 48;
/// More than the index takes.
const MAX_FOUND: usize = 40_000;
/// Directories looked at on the way, pods or not.
const MAX_VISITED: usize = 200_000;

/// Walks the tree from `root`. Blocks. Fails only when the root itself cannot be read.
pub fn scan(root: &CgroupRoot) -> io::Result<Update> {
    let id = CgroupId(fs::metadata(&root.dir)?.ino());
    fs::read_dir(&root.dir)?;
    let mut walk = Walk { found: Vec::new(), containers: Vec::new(), visited: 0, complete: true };
    // What the root itself is: below a root of pods it belongs to what is found. Inside a container (of a node that
    // runs in a pod) the tree starts afresh.
    let within = match place(&root.path) {
        Place::Outside | Place::Nested(..) => Within::Nothing,
        _ => Within::Pods,
    };
    let parent = fs::metadata(root.dir.join("..")).map_or(id, |above| CgroupId(above.ino()));
    walk.visit(&root.dir, root.path.clone(), parent, within, 0);
    let Walk { mut found, containers, complete, .. } = walk;
    for container in containers {
        found[container.index].init = init::find(&container.pids);
    }
    // A prefix sorts first, so parents come before their children.
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Update::Cgroups { root: id, found, complete })
}

/// Whether a process lives in a container's cgroup or below it. A process id alone may be another process's by now.
pub fn is_in(pid: Pid, container: &ContainerId) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    // The unified hierarchy's line (cgroups(7)).
    text.lines().filter_map(|line| line.strip_prefix("0::")).any(|path| path.contains(container.as_str()))
}

struct Walk {
    found: Vec<FoundCgroup>,
    containers: Vec<Processes>,
    visited: usize,
    complete: bool,
}

/// The processes of a container, those in cgroups inside it included.
struct Processes {
    /// Of the container's cgroup among those found.
    index: usize,
    pids: Vec<Pid>,
}

/// What a directory's parent is.
#[derive(Clone, Copy)]
enum Within {
    Nothing,
    /// A root of pods, or something below one.
    Pods,
    /// A container, by its place among the containers.
    Container(usize),
}

impl Walk {
    fn visit(&mut self, dir: &Path, path: String, parent: CgroupId, above: Within, depth: usize) {
        self.visited += 1;
        if depth > MAX_DEPTH || self.visited > MAX_VISITED || self.found.len() >= MAX_FOUND {
            self.complete = false;
            return;
        }
        let Ok(id) = fs::metadata(dir).map(|metadata| CgroupId(metadata.ino())) else { return };
        let is_root = dir.file_name().and_then(OsStr::to_str).is_some_and(is_root_of_pods);
        let within = match above {
            Within::Nothing if !is_root => Within::Nothing,
            Within::Nothing => Within::Pods,
            Within::Pods if matches!(place(&path), Place::Container(..)) => {
                self.containers.push(Processes { index: self.found.len(), pids: Vec::new() });
                Within::Container(self.containers.len() - 1)
            }
            within => within,
        };
        if let Within::Container(container) = within {
            let pids = &mut self.containers[container].pids;
            pids.extend(init::pids(dir, MAX_PIDS.saturating_sub(pids.len())));
        }
        if !matches!(within, Within::Nothing) {
            self.found.push(FoundCgroup { id, parent, path: path.clone(), init: None });
        }
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                self.complete &= error.kind() == io::ErrorKind::NotFound;
                return;
            }
        };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let below = format!("{path}/{}", entry.file_name().to_string_lossy());
            self.visit(&entry.path(), below, id, within, depth + 1);
        }
    }
}

/// Processes of one container that are looked at. Its init is the oldest, so it is rarely behind so many.
const MAX_PIDS: usize = 4096;
