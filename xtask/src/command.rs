//! Runs other programs.

use std::env;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    // This crate's folder is one below it. Taken when compiled: the folder that cargo built this from.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// Runs a program to its end; an error when it fails. Its standard output goes to standard error, so that ours has nothing
/// but what was asked for.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned()?;
    let name = describe(command);
    let status = command.stdout(stderr).status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Runs a program to its end and shows what it wrote only when it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{name} failed ({})", output.status);
    }
    Ok(())
}

/// Program and arguments as one would type them.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    command.get_args().fold(name, |line, arg| line + " " + &arg.to_string_lossy())
}

/// The cargo that runs this task.
pub(crate) fn cargo_path() -> PathBuf {
    env::var_os("CARGO").map(PathBuf::from).or_else(|| find_on_path("cargo")).unwrap_or_else(|| PathBuf::from("cargo"))
}

/// A cargo command in the workspace, without what the outer cargo left in the environment.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(cargo_path());
    cargo.arg(subcommand).current_dir(workspace());
    for name in outer_cargo_variables() {
        cargo.env_remove(name);
    }
    cargo
}

/// Variables that `cargo run` sets for this task, and that would make a cargo below it rebuild or act differently.
pub(crate) fn outer_cargo_variables() -> Vec<String> {
    env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_PRIMARY_PACKAGE"
        })
        .collect()
}

/// Looks a command up as a shell would.
pub(crate) fn find_on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0))
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    Path::new("/proc/self").metadata().is_ok_and(|own| own.uid() == 0)
}

/// A path for messages: without the workspace's folder.
pub(crate) fn short(path: &Path) -> &Path {
    path.strip_prefix(workspace()).unwrap_or(path)
}
