//! One run of one guest.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernel::Files;
use super::matrix::Kernel;
use super::qemu::{Machine, Qemu};
use super::results::Results;

/// How long a guest may take from power on to power off.
const LIMIT: Duration = Duration::from_secs(600);
/// How long its suite may say nothing before it is taken for one that hangs. The longest that was seen is a minute.
const SILENCE: Duration = Duration::from_secs(300);
/// How many of the console's last lines are shown.
const CONSOLE_LINES: usize = 60;

/// A guest that has not been started yet.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) kernel: &'static Kernel,
    pub(super) files: Files,
    pub(super) initramfs: PathBuf,
    pub(super) arguments: Vec<String>,
    /// For its logs.
    pub(super) folder: PathBuf,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) kernel: &'static Kernel,
    pub(super) results: Results,
    pub(super) took: Duration,
    /// Why it is not good, if it is not.
    pub(super) failure: Option<String>,
}

impl Ended {
    /// Whether the machine has failed, not the suite in it: emulators and kernels under them hang now and then. What the
    /// suite found is never tried again until it is good.
    pub(super) fn has_broken_down(&self) -> bool {
        self.failure.is_some() && self.results.exit.is_none()
    }
}

impl Guest {
    /// Runs it to its end, or until its time is up.
    pub(super) fn run(&self, qemu: &Qemu) -> Result<Ended> {
        let (console, serial) = (self.folder.join("console.log"), self.folder.join("results.log"));
        let machine = Machine {
            kernel: &self.files.image(),
            initramfs: &self.initramfs,
            arguments: &self.arguments,
            console: &console,
            results: &serial,
        };
        let begin = Instant::now();
        let child = qemu.run(&machine).spawn().context("cannot start qemu")?;
        let end = Running(child).wait(begin + LIMIT, &serial)?;
        let took = begin.elapsed();
        let results = Results::parse(&String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()));
        let why = match (&end, results.exit) {
            (End::OutOfTime, _) => Some(format!("it is not off after {} s", LIMIT.as_secs())),
            (End::Silent, _) => Some(format!("it has said nothing for {} s: it hangs", SILENCE.as_secs())),
            (End::Failed(said), _) => Some(format!("qemu has failed: {said}")),
            (End::Off, None) => Some("it went off before the suite had ended: a panic".to_owned()),
            (End::Off, Some(_)) if !results.are_good() => Some("the suite has found faults".to_owned()),
            (End::Off, Some(_)) => None,
        };
        let failure = why.map(|why| format!("{why}\n{}", last_lines(&console)));
        Ok(Ended { kernel: self.kernel, results, took, failure })
    }
}

enum End {
    Off,
    Failed(String),
    OutOfTime,
    Silent,
}

/// A running emulator. Killed when dropped.
struct Running(Child);

impl Running {
    fn wait(mut self, deadline: Instant, results: &Path) -> Result<End> {
        let mut heard = (0, Instant::now());
        loop {
            // Not there before it has said anything.
            let length = fs::metadata(results).map_or(0, |file| file.len());
            if length != heard.0 {
                heard = (length, Instant::now());
            }
            match self.0.try_wait().context("cannot wait for qemu")? {
                Some(status) if status.success() => return Ok(End::Off),
                Some(status) => {
                    let mut said = String::new();
                    if let Some(mut stderr) = self.0.stderr.take() {
                        stderr.read_to_string(&mut said)?;
                    }
                    return Ok(End::Failed(format!("{status}: {}", said.trim())));
                }
                None if Instant::now() > deadline => return Ok(End::OutOfTime),
                None if heard.1.elapsed() > SILENCE => return Ok(End::Silent),
                // wait(2) knows no time limit.
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The end of what the console showed.
fn last_lines(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(CONSOLE_LINES)..];
    format!("the end of {}:\n  {}", crate::command::short(console).display(), last.join("\n  "))
}

/// Makes an empty folder for a guest.
pub(super) fn folder(cache: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let folder = cache.join("run").join(kernel.name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("cannot empty {}: {error}", folder.display())
        }
        _ => {}
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::super::matrix::KERNELS;
    use super::*;

    #[test]
    fn what_the_suite_has_found_is_not_tried_again() {
        let ended = |text: &str, failure: Option<&str>| Ended {
            kernel: &KERNELS[0],
            results: Results::parse(text),
            took: Duration::ZERO,
            failure: failure.map(str::to_owned),
        };
        assert!(ended("KERNEL x\nCASE a pass about\n", Some("a panic")).has_broken_down());
        assert!(!ended("HOOK a missing\nFAULT it is not\nEXIT=1\n", Some("faults")).has_broken_down());
        assert!(!ended("SUMMARY 1 passed, 0 failed\nEXIT=0\n", None).has_broken_down());
    }
}
