//! The walk of the cgroup tree against real cgroups and processes. Needs root.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gracetrace::identity::cgroupfs::{CgroupRoot, CgroupRootError, scan};
use gracetrace::identity::{Change, FoundCgroup, Index, Update};
use gracetrace::model::{CgroupId, CgroupKind, ContainerId, Pid, Role};

const UID: &str = "8c577ce9-7ba8-49d7-bb86-02e0dd29498b";

/// A slice of this test's own, with everything in it; gone when dropped.
struct Slice {
    dir: PathBuf,
    processes: Vec<Child>,
}

impl Slice {
    fn new(name: &str) -> Slice {
        let root = CgroupRoot::find(None).unwrap();
        let dir = root.dir().join(format!("gracetrace-test-{}-{name}.slice", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Slice { dir, processes: Vec::new() }
    }

    fn cgroup(&self, path: &str) -> PathBuf {
        let dir = self.dir.join(path);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A process in a pid namespace of its own, or not, whose parent is outside the cgroup; its host pid.
    fn run(&mut self, cgroup: &Path, program: &str, own_pids: bool) -> Pid {
        let mut starter = Command::new(if own_pids { "unshare" } else { "sh" });
        match own_pids {
            true => starter.args(["--pid", "--fork", "--kill-child", "--", program, "1000"]),
            false => starter.args(["-c", "\"$@\" & wait", "sh", program, "1000"]),
        };
        let starter = starter.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", starter.id());
        self.processes.push(starter);
        let pid: u32 = until(|| fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok());
        let name = Path::new(program).file_name().and_then(|name| name.to_str());
        until(|| (Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end()) == name).then_some(()));
        fs::write(cgroup.join("cgroup.procs"), pid.to_string()).unwrap();
        Pid(pid)
    }

    fn scan(&self) -> Vec<FoundCgroup> {
        let (root, found) = walk(&self.dir);
        assert_eq!(root, id(&self.dir));
        found
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id())).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                // SAFETY: kill(2) takes no pointers; the pid is a child of this test's own child, not yet reaped.
                unsafe { libc::kill(child, libc::SIGKILL) };
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while remove(&self.dir).is_err() && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
    }
}

fn remove(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path())?;
    }
    fs::remove_dir(dir)
}

fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        sleep(Duration::from_millis(5));
    }
}

fn walk(dir: &Path) -> (CgroupId, Vec<FoundCgroup>) {
    let Update::Cgroups { root, found, complete } = scan(&CgroupRoot::find(Some(dir)).unwrap()).unwrap() else {
        panic!("another update");
    };
    assert!(complete);
    (root, found)
}

fn id(dir: &Path) -> CgroupId {
    CgroupId(fs::metadata(dir).unwrap().ino())
}

fn container_id(digit: char) -> String {
    digit.to_string().repeat(64)
}

#[test]
fn a_tree_of_the_cgroupfs_driver() {
    let mut slice = Slice::new("cgroupfs");
    slice.cgroup("other/deep");
    let pod = slice.cgroup(&format!("kubepods/burstable/pod{UID}"));
    let app = slice.cgroup(&format!("kubepods/burstable/pod{UID}/{}", container_id('a')));
    let nested = slice.cgroup(&format!("kubepods/burstable/pod{UID}/{}/inner", container_id('a')));
    let shared = slice.cgroup(&format!("kubepods/burstable/pod{UID}/{}", container_id('b')));
    let empty = slice.cgroup(&format!("kubepods/burstable/pod{UID}/{}", container_id('c')));
    // The init sits in a cgroup inside the container, as with crun, and something older in the container's own.
    let older = slice.run(&app, "sleep", false);
    let init = slice.run(&nested, "sleep", true);
    assert_ne!(older, init);
    // No pid namespace of its own: the oldest one.
    let first = slice.run(&shared, "sleep", false);
    sleep(Duration::from_millis(30)); // start times count in ticks of 10 ms
    slice.run(&shared, "sleep", false);

    let found = slice.scan();
    let of = |dir: &Path| found.iter().find(|cgroup| cgroup.id == id(dir)).unwrap();
    assert_eq!(found.len(), 7, "{found:#?}");
    assert_eq!((found[0].id, found[0].parent), (id(&slice.dir.join("kubepods")), id(&slice.dir)));
    let name = slice.dir.file_name().unwrap().to_str().unwrap();
    assert!(of(&app).path.ends_with(&format!("/{name}/kubepods/burstable/pod{UID}/{}", container_id('a'))));
    assert_eq!(of(&app).parent, id(&pod));
    assert_eq!(of(&app).init.map(|init| init.pid), Some(init));
    assert_eq!(of(&shared).init.map(|init| (init.pid, init.comm.to_string())), Some((first, "sleep".to_owned())));
    assert_eq!((of(&nested).init, of(&empty).init, of(&pod).init), (None, None, None));

    let mut index = Index::new();
    index.handle_update(&Update::Cgroups { root: id(&slice.dir), found: found.clone(), complete: true });
    let changes: Vec<Change> = std::iter::from_fn(|| index.poll_change()).collect();
    let track = |dir, owner, kind, init| Change::Track { cgroup: id(dir), owner: id(owner), kind, init };
    assert!(changes.contains(&track(&pod, &pod, CgroupKind::Ancestor, None)));
    assert!(changes.contains(&track(&app, &app, CgroupKind::Container, Some(init))));
    assert!(changes.contains(&track(&nested, &app, CgroupKind::Nested, None)));
    let container = index.container(id(&app)).unwrap();
    assert_eq!((container.pod_uid.as_str(), &container.id), (UID, &ContainerId::new(container_id('a'))));
}

#[test]
fn a_tree_of_the_systemd_driver_with_its_sandbox() {
    let programs = tempfile::tempdir().unwrap();
    let pause = programs.path().join("pause");
    fs::copy("/bin/sleep", &pause).unwrap();
    let mut slice = Slice::new("systemd");
    let pod =
        format!("kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{}.slice", UID.replace('-', "_"));
    let sandbox = slice.cgroup(&format!("{pod}/cri-containerd-{}.scope", container_id('d')));
    let app = slice.cgroup(&format!("{pod}/cri-containerd-{}.scope", container_id('e')));
    slice.run(&sandbox, pause.to_str().unwrap(), true);
    slice.run(&app, "sleep", true);
    let mut index = Index::new();
    index.handle_update(&Update::Cgroups { root: id(&slice.dir), found: slice.scan(), complete: true });
    let role = |dir: &Path| index.container(id(dir)).unwrap().role;
    assert_eq!((role(&app), role(&sandbox)), (Role::App, Role::Sandbox));
    assert_eq!(index.containers(), 2);
}

#[test]
fn a_walk_may_begin_anywhere() {
    let slice = Slice::new("anywhere");
    let container = slice.cgroup(&format!("kubepods/pod{UID}/{}", container_id('f')));
    for above in container.ancestors().take(4) {
        let (root, found) = walk(above);
        let mut index = Index::new();
        index.handle_update(&Update::Cgroups { root, found, complete: true });
        assert!(index.container(id(&container)).is_some(), "from {}", above.display());
    }
}

#[test]
fn a_walk_while_cgroups_come_and_go() {
    let slice = Slice::new("churn");
    let pod = slice.cgroup(&format!("kubepods/pod{UID}"));
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            for _ in 0..300 {
                let dir = pod.join(container_id('1'));
                fs::create_dir(&dir).unwrap();
                fs::remove_dir(&dir).unwrap();
            }
        });
        while !churn.is_finished() {
            assert!((2..=3).contains(&slice.scan().len()));
        }
    });
}

#[test]
fn roots_that_cannot_be() {
    let refuse = |dir: &Path| CgroupRoot::find(Some(dir)).unwrap_err();
    let missing = refuse(Path::new("/nowhere/at/all"));
    let expected = "cannot use /nowhere/at/all as the cgroup root: No such file or directory (os error 2)";
    assert_eq!(missing.to_string(), expected);
    let other = tempfile::tempdir().unwrap();
    let error = refuse(other.path());
    assert!(matches!(error, CgroupRootError::NotCgroup2 { .. }));
    let mounted = CgroupRoot::find(None).unwrap();
    assert!(error.to_string().ends_with(&format!("; here it is mounted at {}", mounted.dir().display())), "{error}");
    let file = other.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refuse(&file).to_string().ends_with("not a directory"));
}
