//! Cgroups and processes of the tests' own. Everything is gone when its guard is dropped, also after a failed test.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gracetrace::model::{CgroupId, Pid};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A cgroup that is removed with all below it, after its processes were killed.
pub(crate) struct Cgroup {
    path: PathBuf,
    owned: bool,
}

impl Cgroup {
    /// Makes one below the cgroup that this process is in, with a name of its own.
    pub(crate) fn slice(test: &str) -> Cgroup {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = unified_root().join(format!("gracetrace-{test}-{}-{number}.slice", std::process::id()));
        Cgroup::make(path, true)
    }

    /// Makes one below this one. It goes when this one goes.
    pub(crate) fn child(&self, name: &str) -> Cgroup {
        Cgroup::make(self.path.join(name), false)
    }

    fn make(path: PathBuf, owned: bool) -> Cgroup {
        assert!(rustix::process::geteuid().is_root(), "the tests of the kernel side need root");
        fs::create_dir(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Cgroup { path, owned }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn id(&self) -> CgroupId {
        CgroupId(fs::metadata(&self.path).unwrap().ino())
    }

    pub(crate) fn remove(&self) {
        remove_tree(&self.path).unwrap();
    }

    /// A command that enters this cgroup from outside and then executes its program, as a runtime's does.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        enter(&mut command, &self.path);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, argv: &[&str]) -> Done {
        let started = self.command(argv[0]).args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        reap(started.unwrap())
    }

    /// Starts a shell script as this container's first process, in a pid namespace of its own or not, and waits for it
    /// to print a line.
    pub(crate) fn start_init(&self, script: &str, namespace: bool) -> Init {
        let procs = self.path.join("cgroup.procs");
        let mut command;
        if namespace {
            // The shell is the namespace's first process; it enters the cgroup by itself and executes the script's.
            command = Command::new("unshare");
            let enter = format!("echo 0 > {} && exec sh -c \"$0\"", procs.display());
            command.args(["--pid", "--fork", "--kill-child", "sh", "-c", &enter, script]);
        } else {
            command = self.command("sh");
            command.args(["-c", script]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let pid = if namespace { only_child(child.id()) } else { child.id() };
        Init { child, pid: Pid(pid), _output: output }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.owned && self.path.exists() {
            let result = remove_tree(&self.path);
            if !std::thread::panicking() {
                result.unwrap();
            }
        }
    }
}

/// Lets a command enter a cgroup before it executes its program.
pub(crate) fn enter(command: &mut Command, cgroup: &Path) {
    let procs = File::options().write(true).open(cgroup.join("cgroup.procs")).unwrap();
    // SAFETY: the closure only writes to a file descriptor that it holds open.
    unsafe {
        command.pre_exec(move || (&procs).write_all(b"0"));
    }
}

/// A container's first process.
pub(crate) struct Init {
    child: Child,
    /// Its process id in the host's pid namespace.
    pub(crate) pid: Pid,
    _output: BufReader<std::process::ChildStdout>,
}

impl Init {
    /// Sends it a signal from outside.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::kill(self.pid.0 as libc::pid_t, signal) }, 0, "{}", io::Error::last_os_error());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
pub(crate) struct Done {
    pub(crate) pid: Pid,
    pub(crate) status: ExitStatus,
    /// Of it and of those that it has waited for.
    pub(crate) cpu: Duration,
}

/// Waits for a child's end.
pub(crate) fn reap(child: Child) -> Done {
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both are writable, and an all-zero rusage is one.
    let usage = unsafe {
        let pid = child.id() as libc::pid_t;
        assert_eq!(libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()), pid);
        usage.assume_init()
    };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Done { pid: Pid(child.id()), status: ExitStatus::from_raw(status), cpu: of(usage.ru_utime) + of(usage.ru_stime) }
}

/// The root of the unified hierarchy, wherever it is mounted.
fn unified_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| mount.split(' ').nth(4))?
    });
    PathBuf::from(root.expect("no cgroup v2 hierarchy is mounted: mount one with `mount -t cgroup2`"))
}

fn only_child(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap()
}

fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut processes = String::new();
        File::open(path.join("cgroup.procs"))?.read_to_string(&mut processes)?;
        for process in processes.lines().filter_map(|line| line.parse::<libc::pid_t>().ok()).filter(|pid| *pid > 0) {
            // SAFETY: no memory is involved. The process is in a cgroup of this test's own.
            unsafe { libc::kill(process, libc::SIGKILL) };
        }
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                wait_until_empty(path)?;
            }
            result => return result,
        }
    }
}

/// Waits a moment for `cgroup.events` to change.
fn wait_until_empty(path: &Path) -> io::Result<()> {
    let events = File::open(path.join("cgroup.events"))?;
    if fs::read_to_string(path.join("cgroup.events"))?.contains("populated 0") {
        std::thread::yield_now();
        return Ok(());
    }
    let mut poll = libc::pollfd { fd: events.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    // SAFETY: `poll` is one pollfd.
    unsafe { libc::poll(&raw mut poll, 1, 100) };
    Ok(())
}
