//! axe-core, which tests of the page use to find what is in the way of people: one file of JavaScript that is run in the
//! browser of a test. It is part of nothing that is shipped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::debian;
use crate::command;

/// The release, and the SHA-256 of the file.
const VERSION: &str = "4.14.1";
const SHA256: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";
/// In the package.
const FILE: &str = "package/axe.min.js";

/// Fetches it with npm, from the registry that npm is set up for, unless it is there.
pub(super) fn install() -> Result<()> {
    let path = path();
    if fs::read(&path).is_ok_and(|found| is_right(&found)) {
        return Ok(());
    }
    if command::find_on_path("npm").is_none() {
        debian::install_packages(&["npm"])?;
    }
    eprintln!("setup: fetching axe-core {VERSION} (npm pack) into {}", command::short(&path).display());
    let folder = path.parent().context("it is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let package = format!("axe-core@{VERSION}");
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", &package, "--pack-destination"]).arg(folder).current_dir(folder);
    command::run_quietly(&mut npm)?;
    let archive = folder.join(format!("axe-core-{VERSION}.tgz"));
    let found = unpack(&archive)?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    if !is_right(&found) {
        bail!("{FILE} of {package} is not the file that it was: expected SHA-256 {SHA256}, found {}", sum(&found));
    }
    fs::write(&path, found).with_context(|| format!("cannot write {}", path.display()))
}

/// Where tests look for it.
fn path() -> PathBuf {
    command::workspace().join("target/tools/axe-core/axe.min.js")
}

fn unpack(archive: &Path) -> Result<Vec<u8>> {
    let file = File::open(archive).with_context(|| format!("npm has put nothing at {}", archive.display()))?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()? == Path::new(FILE) {
            let mut bytes = Vec::new();
            std::io::copy(&mut entry, &mut bytes)?;
            return Ok(bytes);
        }
    }
    bail!("axe-core {VERSION} has no {FILE}")
}

fn is_right(bytes: &[u8]) -> bool {
    sum(bytes) == SHA256
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_is_not_taken() {
        assert_eq!(sum(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(!is_right(b"axe"));
    }
}
