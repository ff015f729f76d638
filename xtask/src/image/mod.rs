//! `xtask image`: the agent as a container image in one file, without a container engine.
//!
//! The image has one layer with one file. The tarball is an OCI image layout and, with one more file, what `docker save`
//! writes, so containerd, CRI-O, Docker, Podman and skopeo all take it. The same inputs give the same bytes.

mod layer;
mod layout;
mod reference;

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use self::reference::Reference;
use crate::build::{self, AGENT, Kind};
use crate::{command, setup};

/// What goes into the image.
#[derive(Debug)]
struct Content {
    /// The static program.
    program: Vec<u8>,
    /// The architecture as Go and so OCI names it.
    architecture: &'static str,
    /// When its sources were made.
    created: Timestamp,
    version: &'static str,
    reference: Reference,
}

/// Builds the agent and writes the image; prints its path, size and digest.
pub(crate) fn run(output: Option<PathBuf>, tag: Option<&str>) -> Result<()> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    // What can be wrong with the command line first: the build takes minutes.
    let default = format!("localhost/gracetrace:{VERSION}");
    let reference = Reference::parse(tag.unwrap_or(&default))?;
    let output = output.unwrap_or_else(default_file);
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    if output.is_dir() {
        bail!("{} is a folder: name a file with --output", output.display());
    }
    let architecture = architecture(env::consts::ARCH)?;
    let created = created()?;

    setup::ebpf_toolchain()?;
    eprintln!("image: building the agent as one static file");
    let built = build::programs(Kind::Static, &[AGENT])?.remove(0);
    build::check_static(&built)?;
    let program = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    eprintln!("image: packing {} ({})", command::short(&built).display(), mebibytes(program.len()));
    let image = layout::write(&Content { program, architecture, created, version: VERSION, reference })?;
    replace(&output, &image.tarball)?;
    println!("{}", command::short(&output).display());
    println!("name    {}", image.name);
    println!("digest  {}", image.digest);
    println!("size    {} ({} unpacked)", mebibytes(image.tarball.len()), mebibytes(image.unpacked));
    Ok(())
}

/// Where it goes unless told otherwise.
pub(crate) fn default_file() -> PathBuf {
    command::workspace().join("target/gracetrace-image.tar")
}

/// As Go names it: <https://go.dev/doc/install/source#environment>.
fn architecture(rust: &str) -> Result<&'static str> {
    match rust {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("there are no images for {other}"),
    }
}

/// `SOURCE_DATE_EPOCH` (<https://reproducible-builds.org/specs/source-date-epoch/>), else the time of the last commit,
/// else the beginning of 1970. Never now: that would make each image another one.
fn created() -> Result<Timestamp> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    let (text, source) = match env::var(NAME) {
        Ok(text) => (text, NAME),
        Err(_) => (commit_time().unwrap_or_else(|| "0".to_owned()), "the time of the last commit"),
    };
    // Headers of tar have no room for times before 1970, and none for those after 2242.
    let seconds = text.trim().parse().ok().filter(|seconds| (0..1 << 33).contains(seconds));
    let seconds = seconds.with_context(|| format!("{source} is not a number of seconds since 1970: {text:?}"))?;
    Ok(Timestamp::from_second(seconds)?)
}

/// Where there is no repository, there is none.
fn commit_time() -> Option<String> {
    let mut git = Command::new("git");
    let output = git.args(["log", "-1", "--format=%ct"]).current_dir(command::workspace()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then_some(text)
}

/// Writes a file as a whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written =
        fs::File::create(&part).and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&part, path));
    written.inspect_err(|_| drop(fs::remove_file(&part))).with_context(|| format!("cannot write {}", path.display()))
}

fn mebibytes(bytes: usize) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(mebibytes(0), "0.0 MiB");
        assert_eq!(mebibytes((3 << 20) + (1 << 19)), "3.5 MiB");
        assert_eq!(mebibytes((4 << 20) - 1), "3.9 MiB");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = env::temp_dir().join(format!("gracetrace-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("image.tar");
        replace(&file, b"one").unwrap();
        replace(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let error = replace(&folder.join("missing/image.tar"), b"").unwrap_err();
        assert!(error.to_string().contains("missing/image.tar"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
