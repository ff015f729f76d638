//! `xtask build --target`: the agent for another kind of machine, as one static file.
//!
//! The C compiler comes from Debian's cross packages. Rust's standard library for the target is the toolchain's own if it
//! has it, else that of Debian's package for the target's machines, unpacked beside the system's and not installed. What is
//! built is tried out under an emulator; it loads no programs there, for which it takes a kernel.

mod sysroot;
mod emulator;

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use self::sysroot::Compiler;
use crate::build::{self, AGENT, Program};
use crate::{command, setup};

/// A kind of machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As rustc names it.
    name: &'static str,
    /// As the kernel and most people name it.
    short: &'static str,
    /// As Debian names it.
    pub(crate) debian: &'static str,
    /// Its C compiler, and the packages that it comes from.
    gcc: &'static str,
    packages: [&'static str; 2],
    /// `e_machine` of its programs (elf(5)).
    machine: u16,
    /// The emulator of its programs; Debian's static one has `-static` after its name.
    emulator: &'static str,
}

/// 64-bit Arm.
pub(crate) const ARM64: Target = Target {
    name: "aarch64-unknown-linux-gnu",
    short: "aarch64",
    debian: "arm64",
    gcc: "aarch64-linux-gnu-gcc",
    packages: ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    machine: 183,
    emulator: "qemu-aarch64",
};

const TARGETS: [&Target; 1] = [&ARM64];

/// The target with a name: rustc's, the kernel's or Debian's.
pub(crate) fn target(name: &str) -> Result<&'static Target> {
    let Some(target) = TARGETS.into_iter().find(|target| [target.name, target.short, target.debian].contains(&name))
    else {
        bail!("cannot build for {name}: there is {}", TARGETS.map(|target| target.name).join(", "));
    };
    Ok(target)
}

/// Builds the agent for a target, tries it out, and says where it is.
pub(crate) fn run(name: &str) -> Result<()> {
    let target = target(name)?;
    setup::ebpf_toolchain()?;
    let agent = program(target, AGENT)?;
    emulator::try_out(&agent, target)?;
    println!("{}", command::short(&agent).display());
    Ok(())
}

/// Builds a program as one static file for a target, and returns its path.
pub(crate) fn program(target: &Target, program: Program) -> Result<PathBuf> {
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
    let built = build::build(cargo, &[program])?.remove(0);
    build::check_static(&built)?;
    let header = fs::read(&built)?;
    let machine = header.get(18..20).and_then(|bytes| Some(u16::from_le_bytes(bytes.try_into().ok()?)));
    ensure!(machine == Some(target.machine), "{} is not for {}", built.display(), target.name);
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_goes_by_any_of_its_names() {
        for name in ["aarch64-unknown-linux-gnu", "aarch64", "arm64"] {
            assert_eq!(target(name).unwrap(), &ARM64);
        }
        assert!(target("riscv64").unwrap_err().to_string().contains("aarch64-unknown-linux-gnu"));
    }
}
