//! The emulator. Always without KVM: where there is one it may not run stock kernels, and every machine emulates alike.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::apt::Apt;
use crate::command;

const PROGRAM: &str = "qemu-system-x86_64";
/// Releases before this one crash now and then with more than one processor.
const GOOD: u32 = 8;

/// An emulator.
#[derive(Debug, Clone)]
pub(super) struct Qemu {
    program: PathBuf,
    /// Where its packages are unpacked, if they are not installed.
    root: Option<PathBuf>,
    major: u32,
}

/// What a guest is made of.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Arguments of its init.
    pub(super) arguments: &'a [String],
    /// What the kernel says.
    pub(super) console: &'a Path,
    /// The second serial port.
    pub(super) results: &'a Path,
}

impl Qemu {
    /// The machine's own if it is good, else one that was unpacked before.
    pub(super) fn find(cache: &Path) -> Option<Qemu> {
        let installed = command::find_on_path(PROGRAM).and_then(|program| Qemu::at(program, None));
        installed.filter(|qemu| qemu.major >= GOOD).or_else(|| Qemu::unpacked(cache))
    }

    /// Loads one from the backports to the machine's own release, which are built for its libraries.
    pub(super) fn load(cache: &Path, apt: &Apt) -> Result<Qemu> {
        eprintln!("vm-test: loading qemu");
        let root = cache.join("qemu");
        let suite = format!("{}-backports", apt.own);
        let loaded = apt.unpack_with_dependencies("qemu-system-x86", &suite, &root).map(|()| Qemu::unpacked(cache));
        let installed = || command::find_on_path(PROGRAM).and_then(|program| Qemu::at(program, None));
        match loaded {
            Ok(Some(qemu)) => Ok(qemu),
            // An old one still does, with one processor.
            Ok(None) => installed().context("the packages of qemu have none that runs here"),
            Err(error) => installed().ok_or(error),
        }
    }

    /// What it is, for people.
    pub(super) fn about(&self) -> String {
        format!("qemu {} with {}", self.major, if self.processors() == 1 { "1 processor" } else { "2 processors" })
    }

    /// A command that runs a guest until it is off.
    pub(super) fn run(&self, machine: &Machine<'_>) -> Command {
        let mut qemu = self.command();
        // quiet: a serial port is slow. The kernel passes what follows `--` to its init.
        let line = format!("console=ttyS0 quiet panic=-1 rdinit=/init -- {}", machine.arguments.join(" "));
        qemu.args(["-accel", "tcg", "-machine", "pc", "-cpu", "max", "-m", "512", "-smp"])
            .arg(self.processors().to_string())
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .arg("-serial")
            .arg(format!("file:{}", machine.console.display()))
            .arg("-serial")
            .arg(format!("file:{}", machine.results.display()))
            .arg("-kernel")
            .arg(machine.kernel)
            .arg("-initrd")
            .arg(machine.initramfs)
            .args(["-append", &line])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        qemu
    }

    fn unpacked(cache: &Path) -> Option<Qemu> {
        let root = cache.join("qemu");
        Qemu::at(root.join("usr/bin").join(PROGRAM), Some(root))
    }

    fn at(program: PathBuf, root: Option<PathBuf>) -> Option<Qemu> {
        let mut qemu = Qemu { program, root, major: 0 };
        let output = qemu.command().arg("--version").output().ok()?;
        qemu.major = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(qemu)
    }

    fn processors(&self) -> u32 {
        if self.major >= GOOD { 2 } else { 1 }
    }

    /// A C library that came with the packages runs with its own dynamic loader only.
    fn loader(root: &Path) -> Option<PathBuf> {
        let places = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
        places.map(|place| root.join(place).join("ld-linux-x86-64.so.2")).into_iter().find(|loader| loader.is_file())
    }

    fn command(&self) -> Command {
        let loader = self.root.as_ref().and_then(|root| Qemu::loader(root));
        // A loader takes the program as its argument.
        let mut command = Command::new(loader.as_ref().unwrap_or(&self.program));
        if loader.is_some() {
            command.arg(&self.program);
        }
        if let Some(root) = &self.root {
            let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| root.join(path));
            if let Ok(path) = std::env::join_paths(&libraries) {
                command.env("LD_LIBRARY_PATH", path);
            }
            command.env("QEMU_MODULE_DIR", libraries[0].join("qemu"));
            for data in ["usr/share/qemu", "usr/share/seabios"] {
                command.arg("-L").arg(root.join(data));
            }
        }
        command
    }
}

/// The major version in `QEMU emulator version 10.0.2 (Debian …)`.
fn parse_version(text: &str) -> Option<u32> {
    text.split_once("version ")?.1.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read() {
        assert_eq!(parse_version("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n"), Some(10));
        assert_eq!(parse_version("no such program"), None);
    }
}
