//! Which cgroup is the kubelet's. Reads files only, and blocks while it does.
//!
//! A process's cgroup and the root of a mount are both told as seen from the reader's cgroup namespace
//! (`cgroup_show_path` and `proc_cgroup_show` in kernel/cgroup/cgroup.c), so that one path is taken from the other. In a
//! namespace of its own a reader sees `/../..` for what is above it, and which of the directories there is meant can't be
//! told from that: then the tree is searched for the process.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{CGROUP2_SUPER_MAGIC, MAX_DEPTH, MAX_VISITED, init, mounts};
use crate::identity::{Place, is_root_of_pods, place};
use crate::model::Pid;

/// The kubelet's process.
const KUBELET: &str = "kubelet";
/// Programs that have the kubelet inside of them, by the names of their processes. (k0s and rke2 have it as a process of
/// its own.)
const WITH_KUBELET: [&str; 5] = ["k3s-server", "k3s-agent", "k3s", "kubelite", "hyperkube"];
/// A machine runs one kubelet, or a few for tries. More are not looked at.
const MAX_KUBELETS: usize = 16;
/// Inode number of a hierarchy's root directory, whatever mount or namespace shows it (fs/kernfs/dir.c,
/// `kernfs_create_root`: the first id).
const HIERARCHY_ROOT: u64 = 1;

/// Why there is no cgroup of the kubelet.
#[derive(Debug, Error)]
pub enum KubeletError {
    /// No such process; on a machine that is no node that is as it should be.
    #[error("no process named {KUBELET} runs here; if it has another name, name its cgroup with --kubelet-cgroup")]
    NoKubelet,
    /// It shares the root.
    #[error(
        "the kubelet (process {}) is in the root cgroup, where every packet of the machine would be looked at: give it a cgroup of its own, or name the root with --kubelet-cgroup if that is wanted", .0.0
    )]
    Root(Pid),
    /// It shares with what it runs.
    #[error(
        "the kubelet's cgroup {0} has the pods in it, and every packet of theirs would be looked at: give the kubelet a cgroup of its own, or name this one with --kubelet-cgroup if that is wanted"
    )]
    HasPods(PathBuf),
    /// No directory.
    #[error(
        "the kubelet (process {}) is in the cgroup {path}, which no mount here shows: mount the whole hierarchy, or name its directory with --kubelet-cgroup", .pid.0
    )]
    NotShown {
        /// Whose.
        pid: Pid,
        /// As /proc tells it.
        path: String,
    },
    /// A file that has to be there.
    #[error("cannot read {path} to find the kubelet: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The given directory.
    #[error("cannot use {dir} as the kubelet's cgroup: {source}")]
    Open {
        /// What was given.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The given directory is something else.
    #[error("cannot use {0} as the kubelet's cgroup: it is not a cgroup v2 directory")]
    NotCgroup2(PathBuf),
}

/// Looks for the kubelet's cgroup again and again: it may start later than the agent, and whenever it is started anew its
/// cgroup is another one, at the same path.
#[derive(Debug)]
pub struct KubeletFinder {
    given: Option<PathBuf>,
    /// What the last look found, if nothing was given.
    found: Vec<Found>,
}

/// A kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    pid: Pid,
    /// As /proc tells it.
    path: String,
    dir: PathBuf,
}

impl KubeletFinder {
    /// Looks for processes, or takes the given directory.
    pub fn new(given: Option<PathBuf>) -> KubeletFinder {
        KubeletFinder { given, found: Vec::new() }
    }

    /// The directories of the kubelets' cgroups, one at least. Looks at every process, but for one that was found the
    /// last time and is still there. Blocks.
    pub fn find(&mut self) -> Result<Vec<PathBuf>, KubeletError> {
        if let Some(dir) = &self.given {
            check(dir)?;
            return Ok(vec![dir.clone()]);
        }
        if self.found.is_empty() || !self.found.iter().all(Found::is_still_there) {
            // If that fails, the next look starts afresh too.
            self.found.clear();
            self.found = find(Path::new("/proc"))?;
        }
        let mut dirs: Vec<PathBuf> = self.found.iter().map(|found| found.dir.clone()).collect();
        dirs.sort();
        dirs.dedup();
        Ok(dirs)
    }

    /// Refuses a directory that was given and is there but is none of a cgroup. One that is not there may come.
    pub fn check_given(&self) -> Result<(), KubeletError> {
        match self.given.as_deref().map(check) {
            Some(Err(error @ KubeletError::NotCgroup2(_))) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Found {
    fn is_still_there(&self) -> bool {
        unified_path(Path::new("/proc"), self.pid).as_ref() == Some(&self.path) && has(&self.dir, self.pid)
    }
}

fn check(dir: &Path) -> Result<(), KubeletError> {
    let open = |source| KubeletError::Open { dir: dir.to_owned(), source };
    let kind = rustix::fs::statfs(dir).map_err(|errno| open(errno.into()))?.f_type;
    if kind != CGROUP2_SUPER_MAGIC || !dir.is_dir() {
        return Err(KubeletError::NotCgroup2(dir.to_owned()));
    }
    Ok(())
}

fn find(proc: &Path) -> Result<Vec<Found>, KubeletError> {
    let pids = processes(proc).map_err(|source| KubeletError::Read { path: proc.to_owned(), source })?;
    if pids.is_empty() {
        return Err(KubeletError::NoKubelet);
    }
    let mountinfo = proc.join("self/mountinfo");
    let text = fs::read_to_string(&mountinfo).map_err(|source| KubeletError::Read { path: mountinfo, source })?;
    let mounts = mounts::cgroup2(&text);
    let (mut found, mut why_not) = (Vec::new(), None);
    for pid in pids {
        match locate(proc, pid, &mounts) {
            Ok(one) => found.extend(one),
            Err(error) => why_not = why_not.or(Some(error)),
        }
    }
    if found.is_empty() { Err(why_not.unwrap_or(KubeletError::NoKubelet)) } else { Ok(found) }
}

/// Processes that are a kubelet; if there are none, those that have one inside of them.
fn processes(proc: &Path) -> io::Result<Vec<Pid>> {
    let (mut kubelets, mut others) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(proc)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is none.
        let Ok(comm) = fs::read(entry.path().join("comm")) else { continue };
        let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
        if comm == KUBELET.as_bytes() {
            kubelets.push(Pid(pid));
        } else if WITH_KUBELET.iter().any(|name| comm == name.as_bytes()) {
            others.push(Pid(pid));
        }
    }
    let mut pids = if kubelets.is_empty() { others } else { kubelets };
    pids.sort();
    pids.truncate(MAX_KUBELETS);
    Ok(pids)
}

/// Where a kubelet is; `None` if it has ended, or is one inside of a pod: that one has a node, and an agent, of its own.
fn locate(proc: &Path, pid: Pid, mounts: &[mounts::Mount]) -> Result<Option<Found>, KubeletError> {
    let Some(path) = unified_path(proc, pid) else { return Ok(None) };
    let shown = mounts.iter().find_map(|mount| {
        let below = below(&mount.root, &path)?;
        let dir = mount.point.join(below.trim_start_matches('/'));
        has(&dir, pid).then_some((dir, below))
    });
    let dir = match shown {
        Some((_, below)) if place(&below) != Place::Outside => return Ok(None),
        Some((dir, _)) => dir,
        None => {
            let mut visited = 0;
            let dir = mounts.iter().find_map(|mount| search(&mount.point, pid, 0, &mut visited));
            if unified_path(proc, pid).is_none() {
                return Ok(None);
            }
            dir.ok_or(KubeletError::NotShown { pid, path: path.clone() })?
        }
    };
    let metadata = fs::metadata(&dir).map_err(|source| KubeletError::Open { dir: dir.clone(), source })?;
    if metadata.ino() == HIERARCHY_ROOT {
        return Err(KubeletError::Root(pid));
    }
    let children = fs::read_dir(&dir).map_err(|source| KubeletError::Open { dir: dir.clone(), source })?;
    if children.flatten().any(|child| child.file_name().to_str().is_some_and(is_root_of_pods)) {
        return Err(KubeletError::HasPods(dir));
    }
    Ok(Some(Found { pid, path, dir }))
}

/// Its cgroup v2 path (cgroups(7)). `None` when it is gone, or its cgroup is.
fn unified_path(proc: &Path, pid: Pid) -> Option<String> {
    let text = fs::read_to_string(proc.join(format!("{}/cgroup", pid.0))).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    (!path.ends_with(" (deleted)")).then(|| path.to_owned())
}

/// What remains of a path below a mount's root; `None` if it is elsewhere.
fn below(root: &str, path: &str) -> Option<String> {
    let names = |path: &str| path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (root, path) = (names(root), names(path));
    let rest = path.strip_prefix(root.as_slice())?;
    // Above the root.
    (rest.first().is_none_or(|name| name != "..")).then(|| format!("/{}", rest.join("/")))
}

/// Whether a process is in a cgroup.
fn has(dir: &Path, pid: Pid) -> bool {
    init::pids(dir, usize::MAX).contains(&pid)
}

/// The directory at or below this one whose cgroup has the process. Not in pods.
fn search(dir: &Path, pid: Pid, depth: usize, visited: &mut usize) -> Option<PathBuf> {
    *visited += 1;
    if depth > MAX_DEPTH || *visited > MAX_VISITED {
        return None;
    }
    if has(dir, pid) {
        return Some(dir.to_owned());
    }
    let children = fs::read_dir(dir).ok()?.flatten().filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir()));
    children
        .filter(|child| !child.file_name().to_str().is_some_and(is_root_of_pods))
        .find_map(|child| search(&child.path(), pid, depth + 1, visited))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_a_mount() {
        let is = |root: &str, path: &str, expected: Option<&str>| {
            assert_eq!(below(root, path).as_deref(), expected, "{path} below {root}");
        };
        is("/", "/system.slice/kubelet.service", Some("/system.slice/kubelet.service"));
        is("/", "/", Some("/"));
        is("/system.slice", "/system.slice/kubelet.service", Some("/kubelet.service"));
        is("/system", "/system.slice/kubelet.service", None);
        is("/", "/../kubelet", None);
        is("/../..", "/../../system.slice/kubelet.service", Some("/system.slice/kubelet.service"));
        is("/../..", "/../kubelet", None);
        is("/../..", "/../../../kubelet", None);
    }

    #[test]
    fn processes_by_name() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, comm: &str| {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("comm"), comm).unwrap();
        };
        process("self", "kubelet\n");
        process("7", "kubelet-helper\n");
        process("8", "k3s-server\n");
        fs::create_dir(proc.path().join("9")).unwrap();
        assert_eq!(processes(proc.path()).unwrap(), [Pid(8)]);
        process("12", "kubelet\n");
        process("11", "kubelet\n");
        assert_eq!(processes(proc.path()).unwrap(), [Pid(11), Pid(12)]);
        assert!(processes(&proc.path().join("none")).is_err());
    }

    #[test]
    fn the_cgroup_of_a_process() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("5")).unwrap();
        let path = |text: &str| {
            fs::write(proc.path().join("5/cgroup"), text).unwrap();
            unified_path(proc.path(), Pid(5))
        };
        assert_eq!(path("4:memory:/a\n1:name=systemd:/b\n0::/c/d\n").as_deref(), Some("/c/d"));
        assert_eq!(path("0::/../../c\n").as_deref(), Some("/../../c"));
        assert_eq!(path("0::/c (deleted)\n"), None);
        assert_eq!(path("4:memory:/a\n"), None);
        assert_eq!(unified_path(proc.path(), Pid(6)), None);
    }

    #[test]
    fn what_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let mut finder = KubeletFinder::new(Some(dir.path().to_owned()));
        assert!(matches!(finder.check_given(), Err(KubeletError::NotCgroup2(_))));
        assert!(matches!(finder.find(), Err(KubeletError::NotCgroup2(_))));
        let mut finder = KubeletFinder::new(Some(dir.path().join("none")));
        assert!(finder.check_given().is_ok(), "it may come");
        let message = finder.find().unwrap_err().to_string();
        assert!(message.contains("/none as the kubelet's cgroup: No such file"), "{message}");
    }
}
