//! Builds the eBPF programs, so that plain `cargo build` embeds what is in `agent-ebpf` now. Bundles the page.
//!
//! The toolchain is the one that `cargo xtask setup` found. The nested build has a target folder of its own, which all
//! profiles and targets of the outer build share: the object is the same for all of them.

#[path = "build/page.rs"]
mod page;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

/// Instruction set of the programs. v3 (32-bit arithmetic and jumps) is in every kernel from 5.1 on, v4 only from 6.6 on.
/// See Documentation/bpf/standardization/instruction-set.rst and `Q: clang flags for target bpf?` in bpf_devel_QA.rst.
const CPU: &str = "v3";

/// Environment of the outer build that must not reach the nested one: flags and wrappers meant for the host's compiler,
/// profiles, and this build script's own parameters.
const NOT_FOR_NESTED: [&str; 16] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_FEATURE_",
    "CARGO_INCREMENTAL",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "CLIPPY_",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

fn main() -> ExitCode {
    match build().and_then(|object| Ok((object, bundle()?))) {
        Ok((object, page)) => {
            println!("cargo::rustc-env=GRACETRACE_EBPF_OBJECT={}", object.display());
            println!("cargo::rustc-env=GRACETRACE_PAGE={}", page.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn bundle() -> Result<PathBuf, String> {
    page::bundle(&Path::new(&variable("CARGO_MANIFEST_DIR")?).join("page"), Path::new(&variable("OUT_DIR")?))
}

fn build() -> Result<PathBuf, String> {
    let agent = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = agent.parent().ok_or("the agent's folder has no parent")?;
    let toolchain_file = workspace.join("target/ebpf-toolchain.txt");
    for input in ["agent-ebpf", "Cargo.toml", "Cargo.lock", "target/ebpf-toolchain.txt"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    let toolchain = fs::read_to_string(&toolchain_file).map_err(|_| {
        "the eBPF programs need a toolchain of their own, which is not set up yet: run `cargo xtask setup`".to_owned()
    })?;
    let built = nested_build(workspace, &parse(&toolchain))?;
    // A copy of our own: another profile's build may replace the shared object while rustc reads it.
    let object = PathBuf::from(variable("OUT_DIR")?).join("gracetrace-ebpf.o");
    copy_if_changed(&built, &object).map_err(|error| format!("cannot copy {}: {error}", built.display()))?;
    Ok(object)
}

fn nested_build(workspace: &Path, toolchain: &HashMap<&str, &str>) -> Result<PathBuf, String> {
    let tool = |name: &str| match toolchain.get(name) {
        Some(path) if Path::new(path).is_file() => Ok(*path),
        _ => Err("the eBPF toolchain that was set up is gone: run `cargo xtask setup`".to_owned()),
    };
    let target = match variable("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    // The debug information is of use to people, and names no folder of this machine: it goes into the image.
    let cargo_home = variable("CARGO_HOME").or_else(|_| variable("HOME").map(|home| format!("{home}/.cargo")))?;
    let flags = [
        "-Cdebuginfo=2".to_owned(),
        format!("--remap-path-prefix={}=/gracetrace", workspace.display()),
        format!("--remap-path-prefix={cargo_home}=/cargo"),
        format!("-Ctarget-cpu={CPU}"),
        format!("-Clinker={}", tool("linker")?),
        "-Clink-arg=--btf".to_owned(),
        // aya-ebpf asks which machine's registers a program sees.
        format!("--cfg=bpf_target_arch=\"{}\"", variable("CARGO_CFG_TARGET_ARCH")?),
    ];
    let target_folder = workspace.join("target/ebpf");
    let mut cargo = Command::new(tool("cargo")?);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| NOT_FOR_NESTED.iter().any(|prefix| name.starts_with(prefix))) {
            cargo.env_remove(name);
        }
    }
    cargo
        .current_dir(workspace)
        .args(["build", "--release", "-Zbuild-std=core", "--target", target])
        .args(["--package", "gracetrace-ebpf", "--bin", "gracetrace-ebpf", "--target-dir"])
        .arg(&target_folder)
        .env("RUSTC", tool("rustc")?)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // The workspace's release profile is made for the agent. bpf-linker optimizes across crates by itself.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_STRIP", "none");
    let output = cargo.output().map_err(|error| format!("cannot run cargo for the eBPF programs: {error}"))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!("the eBPF programs do not build ({}); the compiler's messages follow", output.status));
    }
    Ok(target_folder.join(target).join("release/gracetrace-ebpf"))
}

/// Lines of `name=path`.
fn parse(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

fn copy_if_changed(from: &Path, to: &Path) -> io::Result<()> {
    let built = fs::read(from)?;
    if fs::read(to).is_ok_and(|copied| copied == built) { Ok(()) } else { fs::write(to, built) }
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}
