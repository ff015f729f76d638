//! A kernel of the matrix as files: its image, and the modules that the suite needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::matrix::{Kernel, META_PACKAGE, MODULES};
use crate::apt::Apt;

/// How long a kernel is taken from the cache without looking for a newer one.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// Where a kernel's files are.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// In the cache.
    pub(super) fn of(cache: &Path, kernel: &Kernel) -> Files {
        Files { dir: cache.join("kernels").join(kernel.name) }
    }

    /// Whether they were loaded at all, and not long ago.
    pub(super) fn are_fresh(&self) -> bool {
        let age =
            self.stamp().metadata().and_then(|file| file.modified()).map(|at| SystemTime::now().duration_since(at));
        age.is_ok_and(|age| age.is_ok_and(|age| age < FRESH))
    }

    /// Loads the newest package, unless it is there already.
    pub(super) fn load(&self, apt: &Apt, kernel: &Kernel) -> Result<()> {
        let versions = apt.versions(META_PACKAGE)?;
        let Some(version) = versions.into_iter().find(|version| version.starts_with(kernel.version)) else {
            bail!(
                "no {META_PACKAGE} {}* can be had: the mirror has no suite {} any more",
                kernel.version,
                kernel.suite
            );
        };
        if self.version().as_deref() != Ok(&version) {
            eprintln!("vm-test: loading the kernel {version}");
            let whole = self.dir.with_extension("unpacked");
            remove(&whole)?;
            unpack_all(apt, META_PACKAGE, &version, &whole)?;
            remove(&self.dir)?;
            self.take(&whole).with_context(|| format!("in the packages of {META_PACKAGE} {version}"))?;
            remove(&whole)?;
        }
        fs::write(self.stamp(), version).context("cannot write to the cache")
    }

    /// The version of its package.
    pub(super) fn version(&self) -> Result<String, String> {
        fs::read_to_string(self.stamp()).map_err(|error| format!("cannot read {}: {error}", self.stamp().display()))
    }

    /// The kernel itself.
    pub(super) fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// Modules, named in the order in which they are loaded.
    pub(super) fn modules(&self) -> Result<Vec<PathBuf>> {
        let mut modules: Vec<PathBuf> = self.dir.join("modules").read_dir()?.flatten().map(|it| it.path()).collect();
        modules.sort();
        Ok(modules)
    }

    /// Takes what is needed out of the unpacked packages.
    fn take(&self, whole: &Path) -> Result<()> {
        let mut found = Vec::new();
        walk(whole, &mut found)?;
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let image = found.iter().find(|path| name(path).starts_with("vmlinuz")).context("there is no vmlinuz")?;
        fs::create_dir_all(self.dir.join("modules"))?;
        fs::copy(image, self.image())?;
        for (number, module) in MODULES.iter().enumerate() {
            let is_it = |path: &&PathBuf| {
                name(path).split_once(".ko").is_some_and(|(stem, _)| stem.replace('-', "_") == *module)
            };
            let Some(file) = found.iter().find(is_it) else { continue };
            fs::copy(file, self.dir.join("modules").join(format!("{number}-{}", name(file))))?;
        }
        Ok(())
    }

    fn stamp(&self) -> PathBuf {
        self.dir.join("version")
    }
}

/// Unpacks a package, and those that it needs and that are parts of the kernel too.
fn unpack_all(apt: &Apt, package: &str, version: &str, folder: &Path) -> Result<()> {
    for needed in apt.dependencies(package, version)? {
        // `linux-base` without a version has programs for those who install kernels.
        let is_part = ["linux-image-", "linux-binary-", "linux-modules-"].iter().any(|part| needed.starts_with(part));
        if is_part {
            unpack_all(apt, &needed, version, folder)?;
        }
    }
    if package == META_PACKAGE { Ok(()) } else { apt.unpack(package, version, folder) }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Every file below a folder.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?.flatten() {
        match entry.file_type()?.is_dir() {
            true => walk(&entry.path(), found)?,
            false => found.push(entry.path()),
        }
    }
    Ok(())
}
