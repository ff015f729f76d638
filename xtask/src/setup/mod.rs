//! `xtask setup`: finds the eBPF toolchain, or installs it, and writes down which one it is for the agent's build script.
//!
//! The programs are compiled with a rustc that has the sources of `core` next to it, and linked by `bpf-linker`, whose LLVM
//! must be able to read what that rustc writes. Stable rustc does, with `RUSTC_BOOTSTRAP=1`.

mod debian;
mod linker;
mod rustc;
mod schemathesis;
mod toolchain;
mod axe;

use std::path::Path;

use anyhow::{Result, bail};

use self::toolchain::Toolchain;

/// Makes the eBPF toolchain ready. Returns at once when it was found before and has not changed since.
pub(crate) fn ebpf_toolchain() -> Result<()> {
    if Toolchain::recorded_is_current() {
        return Ok(());
    }
    let compiler = match rustc::find()? {
        Some(compiler) => compiler,
        None if debian::can_install() => {
            debian::install_rustc()?;
            match rustc::find()? {
                Some(compiler) => compiler,
                None => bail!("the packages are installed, but no rustc of theirs has the sources of core"),
            }
        }
        None => bail!("no rustc with the sources of core was found.\n{}", how_to_install()),
    };
    eprintln!("setup: eBPF compiler: {} ({})", compiler.rustc.display(), compiler.release);
    let linker = match linker::find(&compiler)? {
        Some(linker) => linker,
        None => linker::install(&compiler)?,
    };
    eprintln!("setup: eBPF linker: {}", linker.display());
    Toolchain { rustc: compiler.rustc, cargo: compiler.cargo, linker }.record()
}

/// Programs that tests run and files that they read, and their packages.
const FOR_TESTS: [(&str, &str); 10] = [
    ("tmux", "tmux"),
    ("runc", "runc"),
    ("busybox", "busybox-static"),
    ("containerd", "containerd"),
    ("kubectl", "kubernetes-client"),
    ("prometheus", "prometheus"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    // The seccomp profile of CRI-O and Podman.
    ("/usr/share/containers/seccomp.json", "golang-github-containers-common"),
];

/// CNI plugins are not on the PATH: the folder that Debian's package puts them in, and the one of the CNI project.
const CNI_PLUGINS: [&str; 2] = ["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"];

/// Installs what tests need besides, where that can be done. A test that misses something says so itself.
pub(crate) fn programs_for_tests() -> Result<()> {
    if !debian::can_install() {
        return Ok(());
    }
    debian::install_missing(&FOR_TESTS)?;
    for installed in [schemathesis::install(), axe::install()] {
        if let Err(error) = installed {
            eprintln!("setup: {error:#}; going on without it");
        }
    }
    if CNI_PLUGINS.iter().any(|plugin| Path::new(plugin).exists()) {
        return Ok(());
    }
    debian::install_packages(&["containernetworking-plugins"])
}

/// Other tools that the bench measures on request.
const PEERS: [(&str, &str); 2] = [("bpftrace", "bpftrace"), ("tcpstates", "libbpf-tools")];

/// Installs those, where that can be done. The bench says what it could not measure.
pub(crate) fn programs_for_peers() -> Result<()> {
    if debian::can_install() { debian::install_missing(&PEERS) } else { Ok(()) }
}

/// Installs a C compiler for another kind of machine, where that can be done.
pub(crate) fn cross_compiler(program: &str, packages: &[&str]) -> Result<()> {
    match crate::command::find_on_path(program) {
        Some(_) => Ok(()),
        None if debian::can_install() => debian::install(packages),
        None => bail!("{program} is not there: apt-get install {}", packages.join(" ")),
    }
}

/// Installs Debian's rustc, where it is not there and that can be done.
pub(crate) fn debian_compiler(rustc: &Path) -> Result<()> {
    match rustc.is_file() {
        true => Ok(()),
        false if debian::can_install() => debian::install_rustc(),
        false => bail!("{} is not there: on Debian, apt-get install rustc-web", rustc.display()),
    }
}

/// What to install where this task cannot do it by itself.
fn how_to_install() -> String {
    format!(
        "Install one of these, then run `cargo xtask setup` again:\n\
         - on Debian 12 or later: run it as root, it installs the packages by itself. Or install them by hand:\n  \
         apt-get install rustc-web rust-web-src llvm-NN-dev g++ (NN: the LLVM version that `/usr/bin/rustc -vV` names)\n\
         - elsewhere, with rustup: rustup component add rust-src\n  \
         and LLVM with its headers, of the version that `rustc -vV` names (or later), for\n  \
         {}",
        linker::install_line("NN")
    )
}
