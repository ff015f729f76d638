//! `xtask vm-test`: the agent on every kernel of the matrix, each in a virtual machine. Needs no root: packages are
//! unpacked into `target/vm`, and nothing on the machine is changed.

mod matrix;
mod kernel;
mod qemu;
mod initramfs;
mod connections;
mod guest;
mod results;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::connections::Tests;
use self::guest::{Ended, Guest};
use self::initramfs::Initramfs;
use self::kernel::Files;
use self::matrix::Kernel;
use self::qemu::Qemu;
use crate::apt::Apt;
use crate::build::{self, AGENT, Kind, VM_SUITE};
use crate::{command, setup};

/// Processors of a guest: so many guests at a time as the machine has processors for.
const PROCESSORS: usize = 2;
/// Pods at a time in a guest.
const PODS: u32 = 3;
/// How far times may be off: an emulated processor is ten to twenty times slower, and shared with others.
const EACH: Duration = Duration::from_millis(400);
const MEDIAN: Duration = Duration::from_millis(25);

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct VmTest {
    /// Only this kernel of the matrix
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Keep the guests' files and logs, also of those that went well
    #[arg(long)]
    keep: bool,
    /// Write docs/kernels.md from this run, in place of comparing it, if it went well
    #[arg(long, conflicts_with_all = ["kernel", "scenario", "disable_hook"])]
    write: bool,
    /// Have the agent leave out a hook: the suite must then fail
    #[arg(long, value_name = "HOOK")]
    disable_hook: Vec<String>,
    /// Only this scenario; may be given more than once
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
}

/// Runs the matrix.
pub(crate) fn run(task: &VmTest) -> Result<()> {
    let kernels = matrix::chosen(task.kernel.as_deref())?;
    setup::ebpf_toolchain()?;
    // One after another: together they would share the features of their dependencies, and the agent would be another one
    // than is shipped.
    let agent = build::programs(Kind::Static, &[AGENT])?.remove(0);
    let suite = build::programs(Kind::Static, &[VM_SUITE])?.remove(0);
    let cache = command::workspace().join("target/vm");
    let (qemu, busybox) = load(&cache, &kernels)?;
    // With a part of the scenarios somebody looks for something else.
    let tests = if task.scenario.is_empty() { Some(Tests::build(&cache)?) } else { None };
    eprintln!("vm-test: {}", qemu.about());
    let guests: Vec<Guest> = kernels
        .iter()
        .map(|kernel| {
            let programs = [("bin/gracetrace", &*agent), ("init", &*suite), ("bin/busybox", &*busybox)];
            prepare(task, &cache, kernel, &programs, tests.as_ref())
        })
        .collect::<Result<_>>()?;

    let begin = Instant::now();
    let ended = run_all(&guests, &qemu)?;
    let failed = ended.iter().filter(|each| each.failure.is_some()).count();
    println!("{} kernels, {failed} failed, {:.0} s", ended.len(), begin.elapsed().as_secs_f64());
    if failed > 0 {
        // Again, where whoever looks at the end of a long log finds it.
        for each in &ended {
            for fault in each.results.faults.iter().chain(&each.failure) {
                eprintln!("vm-test: {}: {fault}", each.kernel.name);
            }
        }
        bail!("{failed} of {} kernels have failed; logs are in target/vm/run", ended.len());
    }
    // Only what went well: what a kernel cannot tell stands in the matrix.
    if task.write {
        table::write(&ended)?;
        println!("wrote {}", command::short(&table::path()).display());
    }
    if !task.keep {
        fs::remove_dir_all(cache.join("run")).context("cannot remove the guests' files")?;
    }
    let whole = task.kernel.is_none() && task.scenario.is_empty();
    if whole && !task.write { table::check(&ended) } else { Ok(()) }
}

/// Makes sure that kernels, the emulator and busybox are in the cache.
fn load(cache: &Path, kernels: &[&'static Kernel]) -> Result<(Qemu, PathBuf)> {
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let stale: Vec<&&Kernel> = kernels.iter().filter(|kernel| !Files::of(cache, kernel).are_fresh()).collect();
    let busybox = cache.join("busybox");
    let mut qemu = Qemu::find(cache);
    if !stale.is_empty() || qemu.is_none() || !busybox.is_file() {
        let suites: BTreeSet<String> = stale.iter().map(|kernel| kernel.suite.to_owned()).collect();
        let apt = Apt::open(&cache.join("apt"), &suites, None)?;
        for kernel in stale {
            load_kernel(cache, &apt, kernel)?;
        }
        if qemu.is_none() {
            qemu = Some(Qemu::load(cache, &apt)?);
        }
        if !busybox.is_file() {
            load_busybox(&apt, &busybox)?;
        }
    }
    Ok((qemu.context("there is no qemu")?, busybox))
}

/// The newest, which is static and so runs on any of the kernels.
fn load_busybox(apt: &Apt, to: &Path) -> Result<()> {
    const PACKAGE: &str = "busybox-static";
    let version = apt.versions(PACKAGE)?.into_iter().next();
    let version = version.with_context(|| format!("no package {PACKAGE} can be had"))?;
    let unpacked = to.with_extension("unpacked");
    apt.unpack(PACKAGE, &version, &unpacked)?;
    // It has moved from the one to the other.
    let program =
        ["usr/bin/busybox", "bin/busybox"].map(|path| unpacked.join(path)).into_iter().find(|it| it.is_file());
    let program = program.with_context(|| format!("the package {PACKAGE} {version} has no busybox"))?;
    fs::rename(program, to)?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))
}

/// An older kernel of the cache is better than none.
fn load_kernel(cache: &Path, apt: &Apt, kernel: &Kernel) -> Result<()> {
    let files = Files::of(cache, kernel);
    let Err(error) = files.load(apt, kernel) else { return Ok(()) };
    let error = error.context(format!("cannot load the kernel {}", kernel.name));
    match files.version() {
        Ok(version) => {
            eprintln!("vm-test: {error:#}; going on with {version}, which was loaded before");
            Ok(())
        }
        Err(_) => Err(error),
    }
}

/// Makes a guest's file system.
fn prepare(
    task: &VmTest,
    cache: &Path,
    kernel: &'static Kernel,
    programs: &[(&str, &Path)],
    tests: Option<&Tests>,
) -> Result<Guest> {
    /// What scenarios call, and a shell.
    const APPLETS: [&str; 8] = ["sh", "sleep", "cat", "grep", "true", "tail", "wc", "netstat"];
    let files = Files::of(cache, kernel);
    let folder = guest::folder(cache, kernel)?;
    let initramfs = folder.join("initramfs.gz");
    let mut archive = Initramfs::create(&initramfs)?;
    for name in ["bin", "proc", "sys", "tmp", "run", "modules"] {
        archive.folder(name)?;
    }
    for (name, path) in programs {
        archive.file(name, path)?;
    }
    for applet in APPLETS {
        archive.link(&format!("bin/{applet}"), "busybox")?;
    }
    if let Some(tests) = tests {
        tests.add(&mut archive)?;
    }
    for module in files.modules()? {
        let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.file(&format!("modules/{name}"), &module)?;
    }
    archive.finish()?;

    let mut arguments = Vec::new();
    let mut argument = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    argument("pods", PODS.to_string());
    argument("each-ms", EACH.as_millis().to_string());
    argument("median-ms", MEDIAN.as_millis().to_string());
    for (name, hooks) in [("missing", kernel.missing.join(",")), ("disable", task.disable_hook.join(","))] {
        if !hooks.is_empty() {
            argument(name, hooks);
        }
    }
    for scenario in &task.scenario {
        argument("scenario", scenario.clone());
    }
    Ok(Guest { kernel, files, initramfs, arguments, folder })
}

/// Runs guests, some at a time, and tells of each as it ends. Gives them in the matrix' order.
fn run_all(guests: &[Guest], qemu: &Qemu) -> Result<Vec<Ended>> {
    let waiting = Mutex::new(guests.iter().enumerate());
    let work = || -> Result<Vec<(usize, Ended)>> {
        let mut ended = Vec::new();
        loop {
            let next = waiting.lock().unwrap_or_else(|error| error.into_inner()).next();
            let Some((number, guest)) = next else { return Ok(ended) };
            let run = || guest.run(qemu).with_context(|| format!("kernel {}", guest.kernel.name));
            let mut end = run()?;
            tell(&end);
            if end.has_broken_down() {
                eprintln!("vm-test: the machine of {} broke down; once more", guest.kernel.name);
                end = run()?;
                tell(&end);
            }
            ended.push((number, end));
        }
    };
    let at_once = (std::thread::available_parallelism().map_or(1, usize::from) / PROCESSORS).max(1);
    let mut ended = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| bail!("a worker has panicked")));
        ends.collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    ended.sort_by_key(|(number, _)| *number);
    Ok(ended.into_iter().map(|(_, end)| end).collect())
}

/// What became of a guest, in one go: others tell of theirs at the same time.
fn tell(ended: &Ended) {
    let results = &ended.results;
    let mut text =
        format!("== kernel {} ({}), {:.1} s\n", ended.kernel.name, results.release, ended.took.as_secs_f64());
    for case in &results.cases {
        text += &format!("  {} {}\n", if case.good { "ok    " } else { "FAILED" }, case.name);
    }
    let missing: Vec<&str> = results.hooks.iter().filter(|(_, works)| !works).map(|(name, _)| name.as_str()).collect();
    text += &format!(
        "  {} hooks, missing: {}\n",
        results.hooks.len(),
        if missing.is_empty() { "none".to_owned() } else { missing.join(", ") }
    );
    for note in &results.notes {
        text += &format!("  note: {note}\n");
    }
    for fault in &results.faults {
        text += &format!("  fault: {fault}\n");
    }
    text += &format!("  {}\n", results.summary.as_deref().unwrap_or("no summary"));
    if let Some(failure) = &ended.failure {
        text += &format!("  failed: {failure}\n");
    }
    print!("{text}");
}
