//! The image that `cargo xtask image` makes, taken apart as a runtime would.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tar::Archive;

/// Where it is: `GRACETRACE_IMAGE`, else where `cargo xtask image` puts it.
///
/// # Panics
/// When it is not there; the message says what to run.
pub fn built() -> PathBuf {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/gracetrace-image.tar");
    let image = env::var_os("GRACETRACE_IMAGE").map_or_else(usual, PathBuf::from);
    assert!(
        image.is_file(),
        "no image at {}: run `cargo xtask image`, or set GRACETRACE_IMAGE to one",
        image.display()
    );
    image
}

/// An image whose blobs have been found to be what their names say.
pub struct Image {
    blobs: Vec<(String, Vec<u8>)>,
    manifest: Value,
    /// How it is to be run.
    pub config: Value,
}

impl Image {
    /// Reads a tarball.
    ///
    /// # Errors
    /// When it is none, or something in it is missing or damaged.
    pub fn open(path: &Path) -> Result<Image> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let (mut blobs, mut index) = (Vec::new(), Value::Null);
        for entry in Archive::new(file).entries()? {
            let mut entry = entry?;
            let name = entry.path()?.to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            if name == "index.json" {
                index = serde_json::from_slice(&bytes)?;
            } else if let Some(sum) = name.strip_prefix("blobs/sha256/").filter(|sum| !sum.is_empty()) {
                let is: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                ensure!(is == sum, "{name} has the sum {is}");
                blobs.push((format!("sha256:{sum}"), bytes));
            }
        }
        let mut image = Image { blobs, manifest: index, config: Value::Null };
        image.manifest = serde_json::from_slice(image.blob(&image.manifest["manifests"][0])?)?;
        image.config = serde_json::from_slice(image.blob(&image.manifest["config"])?)?;
        Ok(image)
    }

    /// Unpacks its layers into a folder.
    ///
    /// # Errors
    /// When that fails.
    pub fn unpack(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        for layer in self.manifest["layers"].as_array().context("no layers")? {
            let mut archive = Archive::new(GzDecoder::new(self.blob(layer)?));
            archive.set_preserve_permissions(true);
            archive.unpack(folder).with_context(|| format!("cannot unpack to {}", folder.display()))?;
        }
        Ok(())
    }

    fn blob(&self, descriptor: &Value) -> Result<&[u8]> {
        let found = self.blobs.iter().find(|(digest, _)| descriptor["digest"] == digest.as_str());
        found.map(|(_, bytes)| bytes.as_slice()).with_context(|| format!("no blob for {descriptor}"))
    }
}
