//! `xtask build --target`: the agent for another kind of machine, as one static file.
//!
//! The C compiler comes from Debian's cross packages. Rust's standard library for the target is the toolchain's own if it
//! has it, else that of Debian's package for the target's machines, unpacked beside the system's and not installed. What is
//! built is started once under an emulator; it loads no programs there, for which it takes a kernel.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::apt::Apt;
use crate::build::{self, AGENT};
use crate::{command, setup};

/// A kind of machine.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// As rustc names it.
    name: &'static str,
    /// As Debian names it.
    debian: &'static str,
    /// Its C compiler, and the packages that it comes from.
    gcc: &'static str,
    packages: [&'static str; 2],
    /// `e_machine` of its programs (elf(5)).
    machine: u16,
    /// The emulator of its programs; Debian's static one has `-static` after its name.
    emulator: &'static str,
}

const TARGETS: [Target; 1] = [Target {
    name: "aarch64-unknown-linux-gnu",
    debian: "arm64",
    gcc: "aarch64-linux-gnu-gcc",
    packages: ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    machine: 183,
    emulator: "qemu-aarch64",
}];

/// Builds the agent for a target and says where it is.
pub(crate) fn run(name: &str) -> Result<()> {
    let wanted = if name == "aarch64" { "aarch64-unknown-linux-gnu" } else { name };
    let Some(target) = TARGETS.iter().find(|target| target.name == wanted) else {
        bail!("cannot build for {name}: there is {}", TARGETS.map(|target| target.name).join(", "));
    };
    setup::ebpf_toolchain()?;
    setup::cross_compiler(target.gcc, &target.packages)?;
    let compiler = Compiler::find(target)?;
    let mut flags = build::static_flags();
    if let Some(sysroot) = &compiler.sysroot {
        flags.push("\x1f--sysroot\x1f");
        flags.push(sysroot);
    }
    let variable = target.name.replace('-', "_");
    let mut cargo = command::cargo("build");
    cargo
        .args(["--release", "--target", target.name, "--target-dir", "target/cross"])
        .env("RUSTC", &compiler.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), target.gcc)
        .env(format!("CC_{variable}"), target.gcc);
    let agent = build::build(cargo, &[AGENT])?.remove(0);
    build::check_static(&agent)?;
    let header = fs::read(&agent)?;
    let machine = header.get(18..20).and_then(|bytes| Some(u16::from_le_bytes(bytes.try_into().ok()?)));
    ensure!(machine == Some(target.machine), "{} is not for {}", agent.display(), target.name);
    try_out(&agent, target)?;
    println!("{}", command::short(&agent).display());
    Ok(())
}

/// Starts the agent under the emulator: it must get as far as its own arguments.
fn try_out(agent: &Path, target: &Target) -> Result<()> {
    let emulator = emulator(target)?;
    let output = Command::new(&emulator).arg(agent).arg("--help").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", emulator.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && said.contains("Usage: gracetrace"),
        "{} does not run under {} ({}): {said}{}",
        agent.display(),
        emulator.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    eprintln!("cross: `gracetrace --help` runs under {}", target.emulator);
    Ok(())
}

/// The machine's own emulator, or one of Debian's packages, unpacked and not installed.
fn emulator(target: &Target) -> Result<PathBuf> {
    let names = [format!("{}-static", target.emulator), target.emulator.to_owned()];
    if let Some(installed) = names.iter().find_map(|name| command::find_on_path(name)) {
        return Ok(installed);
    }
    let folder = command::workspace().join("target/cross/qemu");
    let unpacked = || names.iter().map(|name| folder.join("usr/bin").join(name)).find(|path| path.is_file());
    if let Some(unpacked) = unpacked() {
        return Ok(unpacked);
    }
    let apt = Apt::open(&command::workspace().join("target/cross/apt"), &BTreeSet::new(), None)?;
    // The static one has moved from the one to the other, and left a package without content. Of the machine's own
    // release: its versions come last.
    for package in ["qemu-user-static", "qemu-user"] {
        if let Some(version) = apt.versions(package)?.pop() {
            apt.unpack(package, &version, &folder)?;
        }
        if let Some(unpacked) = unpacked() {
            return Ok(unpacked);
        }
    }
    bail!("Debian's packages have no {}", target.emulator)
}

/// A rustc that has the target's standard library.
#[derive(Debug)]
struct Compiler {
    rustc: PathBuf,
    /// Where the library is, if not where the compiler looks by itself.
    sysroot: Option<PathBuf>,
}

impl Compiler {
    fn find(target: &Target) -> Result<Compiler> {
        let own = command::find_on_path("rustc").context("there is no rustc")?;
        if library(&own, target).is_some_and(|folder| folder.is_dir()) {
            return Ok(Compiler { rustc: own, sysroot: None });
        }
        Compiler::of_debian(target).with_context(|| {
            format!("no standard library for {0}; where rustup is used: rustup target add {0}", target.name)
        })
    }

    /// The system's rustc with the library of its own version.
    fn of_debian(target: &Target) -> Result<Compiler> {
        let rustc = PathBuf::from("/usr/bin/rustc");
        let (package, version) = owner(&rustc)?;
        let system = library(&rustc, target).and_then(|folder| Some(folder.ancestors().nth(4)?.to_owned()));
        let system = system.context("the system's rustc does not name its folder")?;
        let sysroot = command::workspace().join("target/cross/sysroot");
        let stamp = sysroot.join("version");
        if fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == version) {
            return Ok(Compiler { rustc, sysroot: Some(sysroot) });
        }
        let apt = Apt::open(&command::workspace().join("target/cross/apt"), &BTreeSet::new(), Some(target.debian))?;
        let name = package.replace("rustc", "libstd-rust") + "-dev";
        let unpacked = sysroot.with_extension("unpacked");
        apt.unpack(&format!("{name}:{}", target.debian), &version, &unpacked)?;
        // Build scripts and derive macros run here: the system's own libraries are beside it.
        let rustlib = sysroot.join("lib/rustlib");
        fs::create_dir_all(&rustlib)?;
        let _ = fs::remove_dir_all(rustlib.join(target.name));
        fs::rename(unpacked.join("usr/lib/rustlib").join(target.name), rustlib.join(target.name))?;
        for entry in system.join("lib/rustlib").read_dir()?.flatten() {
            let link = rustlib.join(entry.file_name());
            if !link.exists() {
                symlink(entry.path(), &link)?;
            }
        }
        fs::remove_dir_all(&unpacked)?;
        fs::write(&stamp, version)?;
        Ok(Compiler { rustc, sysroot: Some(sysroot) })
    }
}

/// Where a rustc looks for a target's standard library.
fn library(rustc: &Path, target: &Target) -> Option<PathBuf> {
    let mut rustc = Command::new(rustc);
    rustc.args(["--print", "target-libdir", "--target", target.name]).current_dir(command::workspace());
    let output = rustc.output().ok()?;
    output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// The package that a program belongs to, and its version.
fn owner(program: &Path) -> Result<(String, String)> {
    let output = Command::new("dpkg-query").arg("-S").arg(program).output().context("cannot run dpkg-query")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let package = text.split(':').next().filter(|name| !name.is_empty());
    let package = package.with_context(|| format!("{} is of no Debian package", program.display()))?.to_owned();
    let mut show = Command::new("dpkg-query");
    let output = show.args(["-W", "-f", "${Version}", &package]).output()?;
    Ok((package, String::from_utf8_lossy(&output.stdout).into_owned()))
}
