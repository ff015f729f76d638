//! Finds or installs `bpf-linker`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian;
use super::rustc::Compiler;
use crate::command;

/// The release that is installed when none that works is there.
const VERSION: &str = "0.13.0";
/// The LLVM versions which that release can be built against.
const LLVM_VERSIONS: [u32; 3] = [21, 22, 23];

/// A program that needs nothing of `core`: rustc can compile it, and the linker has to read what it wrote.
const TRIAL: &str = r#"
#![feature(no_core, lang_items)]
#![expect(internal_features)]
#![no_core]
#[lang = "pointee_sized"]
pub trait PointeeSized {}
#[lang = "meta_sized"]
pub trait MetaSized: PointeeSized {}
#[lang = "sized"]
pub trait Sized: MetaSized {}
#[unsafe(no_mangle)]
pub extern "C" fn trial() {}
"#;

/// A `bpf-linker` that can link what the compiler writes: ours, else the one on PATH.
pub(crate) fn find(compiler: &Compiler) -> Result<Option<PathBuf>> {
    for linker in [Some(own_root().join("bin/bpf-linker")), command::find_on_path("bpf-linker")].into_iter().flatten() {
        if linker.is_file() && links(compiler, &linker)? {
            return Ok(Some(linker));
        }
    }
    Ok(None)
}

/// Builds `bpf-linker` against an LLVM at least as new as the compiler's.
pub(crate) fn install(compiler: &Compiler) -> Result<PathBuf> {
    let mut llvm = installed_llvm(compiler.llvm);
    if (llvm.is_none() || !has_cxx()) && debian::can_install() {
        debian::install_llvm(compiler.llvm)?;
        llvm = installed_llvm(compiler.llvm);
    }
    let Some((version, prefix)) = llvm else {
        bail!(
            "no bpf-linker works with {} (LLVM {llvm}), and LLVM {llvm} to build one with is not installed.\n\
             Install LLVM {llvm} with its headers and a C++ compiler, then run `cargo xtask setup` again, or run\n  {}",
            compiler.rustc.display(),
            install_line(&compiler.llvm.to_string()),
            llvm = compiler.llvm,
        );
    };
    let root = own_root();
    eprintln!(
        "setup: installing bpf-linker {VERSION} (cargo install, LLVM {version}) into {}; takes about a minute",
        command::short(&root).display()
    );
    let mut cargo = Command::new(command::cargo_path());
    cargo
        .args(["install", "bpf-linker", "--locked", "--version", &format!("={VERSION}")])
        .args(["--no-default-features", "--features", &format!("llvm-{version}"), "--quiet", "--root"])
        .arg(&root)
        .env("LLVM_PREFIX", &prefix);
    for name in command::outer_cargo_variables() {
        cargo.env_remove(name);
    }
    command::run(&mut cargo)?;
    match find(compiler)? {
        Some(linker) => Ok(linker),
        None => bail!("bpf-linker {VERSION} was built, but cannot link what {} writes", compiler.rustc.display()),
    }
}

/// The command that installs it by hand.
pub(super) fn install_line(llvm: &str) -> String {
    format!("cargo install bpf-linker --locked --version ={VERSION} --no-default-features --features llvm-{llvm}")
}

/// Where this task installs it: goes with `cargo clean`, and leaves the user's own tools alone.
fn own_root() -> PathBuf {
    command::workspace().join("target/tools")
}

/// An installed LLVM with headers that the linker can be built against: its version and prefix.
fn installed_llvm(oldest: u32) -> Option<(u32, PathBuf)> {
    LLVM_VERSIONS.into_iter().filter(|&version| version >= oldest).find_map(|version| {
        let name = format!("llvm-config-{version}");
        let config = [PathBuf::from(format!("/usr/lib/llvm-{version}/bin/llvm-config"))]
            .into_iter()
            .chain(command::find_on_path(&name))
            .chain(command::find_on_path("llvm-config"))
            .find(|config| {
                llvm_config(config, "--version").is_some_and(|text| text.starts_with(&format!("{version}.")))
            })?;
        let headers = PathBuf::from(llvm_config(&config, "--includedir")?).join("llvm-c/Core.h");
        headers.is_file().then_some(())?;
        Some((version, PathBuf::from(llvm_config(&config, "--prefix")?)))
    })
}

fn llvm_config(config: &Path, flag: &str) -> Option<String> {
    let output = Command::new(config).arg(flag).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether the C++ standard library can be linked: its development files come with the C++ compiler.
fn has_cxx() -> bool {
    command::find_on_path("g++").is_some() || command::find_on_path("clang++").is_some()
}

/// Whether the linker can link an object of the compiler.
fn links(compiler: &Compiler, linker: &Path) -> Result<bool> {
    let folder = command::workspace().join("target/ebpf-trial");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let source = folder.join("trial.rs");
    fs::write(&source, TRIAL)?;
    let output = Command::new(&compiler.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("LD_LIBRARY_PATH")
        .args(["--edition", "2024", "--target", "bpfel-unknown-none", "--crate-type", "cdylib"])
        .arg("-C")
        .arg(format!("linker={}", linker.display()))
        .arg("-o")
        .arg(folder.join("trial.o"))
        .arg(&source)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().find(|line| line.contains("error")).unwrap_or("no message");
        eprintln!("setup: {} does not work with this rustc: {}", linker.display(), reason.trim());
    }
    Ok(output.status.success())
}
