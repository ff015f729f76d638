//! The image layout around the layer, for containerd, CRI-O and skopeo
//! (<https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>), with Docker's own `manifest.json` beside it
//! (<https://github.com/moby/docker-image-spec/blob/v1.3.1/v1.2.md>).

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::Builder;

use super::layer::{Layer, append, append_folder, pack};
use super::{Content, layer};

/// A finished image.
pub(super) struct Image {
    pub(super) tarball: Vec<u8>,
    /// Of its manifest; what a registry and a runtime name it by.
    pub(super) digest: String,
    /// Its full name.
    pub(super) name: String,
    /// Bytes of its file system.
    pub(super) unpacked: usize,
}

/// The path of the program in the image.
const PROGRAM: &str = "/gracetrace";
const TITLE: &str = "gracetrace";
const DESCRIPTION: &str = "Shows how Kubernetes pods die";

/// Puts an image together.
pub(super) fn write(content: &Content) -> Result<Image> {
    let layer = pack(PROGRAM.trim_start_matches('/'), &content.program, content.created)?;
    let config = Blob::json(&config(content, &layer))?;
    let manifest = Blob::json(&manifest(&config, &layer))?;
    let name = content.reference.full();
    let index = index(content, &manifest);
    // RepoTags may not be a name that Docker would shorten, or `docker load` makes it two.
    let docker = json!([{
        "Config": config.path(),
        "RepoTags": [content.reference.familiar()],
        "Layers": [path(&digest(&layer.compressed))],
    }]);

    let mut tar = Builder::new(Vec::with_capacity(layer.compressed.len() + (16 << 10)));
    let mut add = |name: &str, bytes: &[u8]| append(&mut tar, name, bytes, 0o644, content.created);
    // First, so that a reader of a stream knows at once what comes.
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add("index.json", &serde_json::to_vec(&index)?)?;
    add("manifest.json", &serde_json::to_vec(&docker)?)?;
    for folder in ["blobs/", "blobs/sha256/"] {
        append_folder(&mut tar, folder, content.created)?;
    }
    let mut add = |name: &str, bytes: &[u8]| layer::append(&mut tar, name, bytes, 0o644, content.created);
    add(&manifest.path(), &manifest.bytes)?;
    add(&config.path(), &config.bytes)?;
    add(&path(&digest(&layer.compressed)), &layer.compressed)?;
    let tarball = tar.into_inner().context("cannot finish the image")?;
    Ok(Image { tarball, digest: manifest.digest, name, unpacked: content.program.len() })
}

/// How to run it, and what it is.
fn config(content: &Content, layer: &Layer) -> Value {
    let created = content.created.to_string();
    json!({
        "architecture": content.architecture,
        "os": "linux",
        "created": created,
        "config": {
            "User": "0:0",
            "Entrypoint": [PROGRAM],
            "Cmd": ["run"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": TITLE,
                "org.opencontainers.image.description": DESCRIPTION,
                "org.opencontainers.image.version": content.version,
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                "org.opencontainers.image.created": created,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer.plain)]},
        "history": [{"created": created, "created_by": format!("COPY gracetrace {PROGRAM}")}],
    })
}

fn manifest(config: &Blob, layer: &Layer) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config.digest,
            "size": config.bytes.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest(&layer.compressed),
            "size": layer.compressed.len(),
        }],
    })
}

fn index(content: &Content, manifest: &Blob) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
            "platform": {"architecture": content.architecture, "os": "linux"},
            "annotations": {
                // The first is for containerd, which then needs no --base-name; the second for all others.
                "io.containerd.image.name": content.reference.full(),
                "org.opencontainers.image.ref.name": content.reference.tag(),
            },
        }],
    })
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A file named after what is in it.
struct Blob {
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn json(value: &Value) -> Result<Blob> {
        let bytes = serde_json::to_vec(value)?;
        Ok(Blob { digest: digest(&bytes), bytes })
    }

    fn path(&self) -> String {
        path(&self.digest)
    }
}

fn path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn digest(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use jiff::Timestamp;
    use tar::Archive;

    use super::*;
    use crate::image::reference::Reference;

    fn content() -> Content {
        Content {
            program: b"not really a program".repeat(100),
            architecture: "amd64",
            created: Timestamp::from_second(1_700_000_000).unwrap(),
            version: "1.2.3",
            reference: Reference::parse("registry.example/team/gracetrace:1.2.3").unwrap(),
        }
    }

    fn files(tarball: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = Archive::new(tarball);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn everything_that_is_named_is_there() {
        let image = write(&content()).unwrap();
        let files = files(&image.tarball);
        let read = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
        for (name, bytes) in files.iter().filter(|(name, bytes)| name.starts_with("blobs/") && !bytes.is_empty()) {
            assert_eq!(*name, path(&digest(bytes)));
        }
        let described = &read("index.json")["manifests"][0];
        assert_eq!(described["digest"], image.digest);
        assert_eq!(described["annotations"]["io.containerd.image.name"], image.name);
        let manifest = read(&path(&image.digest));
        for part in [&manifest["config"], &manifest["layers"][0]] {
            let bytes = &files[&path(part["digest"].as_str().unwrap())];
            assert_eq!(part["size"], bytes.len());
        }
        let docker = &read("manifest.json")[0];
        assert_eq!(docker["Config"], path(manifest["config"]["digest"].as_str().unwrap()));
        assert_eq!(docker["Layers"], json!([path(manifest["layers"][0]["digest"].as_str().unwrap())]));
        assert_eq!(docker["RepoTags"], json!(["registry.example/team/gracetrace:1.2.3"]));
        assert_eq!(read("oci-layout")["imageLayoutVersion"], "1.0.0");
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        assert_eq!(write(&content()).unwrap().tarball, write(&content()).unwrap().tarball);
        let other = Content { created: Timestamp::UNIX_EPOCH, ..content() };
        assert_ne!(write(&content()).unwrap().digest, write(&other).unwrap().digest);
    }

    /// The Dockerfile is for those who have an engine, and gives the same.
    #[test]
    fn the_dockerfile_says_the_same() {
        const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");
        let (_, stage) = DOCKERFILE.rsplit_once("\nFROM ").unwrap();
        let stage = stage.replace("\\\n", "");
        let of = |word: &str| stage.lines().find_map(|line| line.strip_prefix(word)).map(str::trim);
        assert_eq!(stage.lines().next(), Some("scratch"));
        let content = content();
        let layer = pack(TITLE, &content.program, content.created).unwrap();
        let config = &config(&content, &layer)["config"];
        let list = |text: Option<&str>| serde_json::from_str::<Value>(text.unwrap()).unwrap();
        assert_eq!(list(of("ENTRYPOINT ")), config["Entrypoint"]);
        assert_eq!(list(of("CMD ")), config["Cmd"]);
        assert_eq!(of("USER ").unwrap(), config["User"]);
        assert!(of("COPY --from=build ").unwrap().ends_with(&format!(" {PROGRAM}")));
        let labels = of("LABEL ").unwrap();
        for (name, value) in config["Labels"].as_object().unwrap() {
            // These two come from outside.
            let from_outside = ["version", "created"].iter().any(|last| name.ends_with(&format!(".{last}")));
            let text = if from_outside { format!("{name}=\"${{") } else { format!("{name}={value}") };
            assert!(labels.contains(&text), "the Dockerfile has no label {text}");
        }
    }
}
