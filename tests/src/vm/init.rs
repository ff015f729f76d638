//! The init of the virtual machine: makes of a bare kernel what a node has, runs the suite, and powers off.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};
use rustix::process::{WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

use crate::node::{cgroup, network};

/// The second serial port, where results go.
const RESULTS: &str = "/dev/ttyS1";
/// Where everything but the hierarchy's own files is.
const CGROUP: &str = "/sys/fs/cgroup";

/// Never returns: the machine goes off.
pub(super) fn run() -> ExitCode {
    let code = match prepare().and_then(|()| suite()) {
        Ok(code) => code,
        Err(error) => {
            println!("init: {error:#}");
            2
        }
    };
    if let Err(error) = tell(code) {
        println!("init: {error:#}");
    }
    let Err(error) = power_off();
    println!("init: cannot power off: {error}");
    ExitCode::FAILURE
}

fn prepare() -> Result<()> {
    for (kind, place, options) in
        [("proc", "/proc", ""), ("sysfs", "/sys", ""), ("devtmpfs", "/dev", ""), ("cgroup2", CGROUP, "")]
    {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        let options = CString::new(options)?;
        mount(kind, place, kind, MountFlags::empty(), options.as_c_str())
            .with_context(|| format!("cannot mount {kind} on {place}"))?;
    }
    // As they are: with something mounted on it, either would hide the programs of a checkout below it.
    for place in ["/tmp", "/run"] {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
    }
    // Programs that are started find theirs there, and the suite itself reads these.
    for (name, target) in [("stdin", "0"), ("stdout", "1"), ("stderr", "2")] {
        symlink(format!("/proc/self/fd/{target}"), format!("/dev/{name}"))?;
    }
    load_modules()?;
    network::raise_loopback()?;
    cgroup::delegate(Path::new(CGROUP), &["cpu", "memory", "pids"])
}

/// Loads what the builder of the file system has put there, in the order of their names.
fn load_modules() -> Result<()> {
    let Ok(folder) = fs::read_dir("/modules") else { return Ok(()) };
    let mut modules: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    modules.sort();
    for path in modules {
        // include/uapi/linux/module.h; kernels whose modules are compressed read them so (since 5.17).
        const MODULE_INIT_COMPRESSED_FILE: i32 = 4;
        let compressed = path.extension().is_none_or(|kind| kind != "ko");
        let flags = if compressed { MODULE_INIT_COMPRESSED_FILE } else { 0 };
        let module = File::open(&path)?;
        // SAFETY: the descriptor is open and the empty string is terminated; the kernel only reads them.
        let result = unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), c"".as_ptr(), flags) };
        if result != 0 {
            return Err(io::Error::last_os_error()).with_context(|| format!("cannot load {}", path.display()));
        }
    }
    Ok(())
}

/// Runs the suite as a child with this process's arguments, and buries everybody else's children meanwhile.
fn suite() -> Result<i32> {
    let program = std::env::current_exe().context("cannot find the own program")?;
    let mut command = Command::new(program);
    command
        .args(["--results", RESULTS])
        .args(std::env::args_os().skip(1))
        .env_clear()
        .env("PATH", "/bin")
        // Whether a hook's program runs, and not only whether it is attached.
        .env("GRACETRACE_KERNEL_STATS", "true");
    let disabled = std::env::args().skip_while(|argument| argument != "--disable").nth(1);
    if let Some(hooks) = disabled {
        command.env("GRACETRACE_DISABLE_HOOK", hooks);
    }
    let child = command.spawn().context("cannot start the suite")?;
    let suite = i32::try_from(child.id())?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == suite => {
                return Ok(status.exit_status().unwrap_or(2));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => bail!("the suite is gone: {error}"),
        }
    }
}

/// The last word. Without it the machine was not well, whatever its emulator says.
fn tell(code: i32) -> Result<()> {
    let mut results = OpenOptions::new().append(true).open(RESULTS).with_context(|| format!("no {RESULTS}"))?;
    writeln!(results, "EXIT={code}")?;
    // What is written goes out at the speed of a serial port.
    rustix::termios::tcdrain(&results).context("cannot send the results")
}

fn power_off() -> Result<Infallible> {
    reboot(RebootCommand::PowerOff)?;
    bail!("the machine goes on")
}
