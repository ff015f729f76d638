//! Images, made by hand: one layer with busybox and the application, and a configuration each.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{CriNode, client, packages};

/// The sandbox's.
pub const PAUSE: &str = "k8s.local/pause:1";
/// A shell and what it calls.
pub const BUSYBOX: &str = "k8s.local/busybox:1";
/// The application, see `src/bin/gracetrace-app.rs`.
pub const APP: &str = "k8s.local/app:1";
/// The same with a STOPSIGNAL, as some servers have it.
pub const APP_QUITS: &str = "k8s.local/app-quits:1";

const APPLETS: [&str; 8] = ["sh", "sleep", "true", "false", "cat", "test", "touch", "kill"];

/// Imports them, where they are not there yet.
pub(super) fn import(node: &CriNode) -> Result<()> {
    let file = node.dir().join("images.tar");
    if !file.exists() {
        std::fs::write(&file, archive()?).with_context(|| format!("cannot write {}", file.display()))?;
        import_file(node, &file)?;
    }
    wait_for(node, &[PAUSE, BUSYBOX, APP, APP_QUITS])
}

/// Imports a tarball of images.
pub(super) fn import_file(node: &CriNode, file: &Path) -> Result<()> {
    let mut ctr = Command::new(packages::find("ctr", "containerd")?);
    ctr.arg("--address").arg(node.socket()).args(["--namespace", "k8s.io", "images", "import"]).arg(file);
    let output = ctr.output().context("cannot run ctr")?;
    ensure!(output.status.success(), "ctr images import: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Waits until the CRI knows images.
pub(super) fn wait_for(node: &CriNode, names: &[&str]) -> Result<()> {
    let runtime = client::tokio_runtime()?;
    runtime.block_on(async {
        let client = client::Client::new(&node.socket())?;
        for name in names {
            client.image_id(name).await?;
        }
        Ok(())
    })
}

/// What `docker save` would write.
fn archive() -> Result<Vec<u8>> {
    let layer = layer()?;
    let digest = hex(&layer);
    let path = json!(["PATH=/bin"]);
    let images = [
        (PAUSE, json!({"Env": path, "Entrypoint": ["/pause"]})),
        (BUSYBOX, json!({"Env": path, "Cmd": ["sh"]})),
        (APP, json!({"Env": path, "Entrypoint": ["/app"]})),
        (APP_QUITS, json!({"Env": path, "Entrypoint": ["/app"], "StopSignal": "SIGQUIT"})),
    ];
    let mut archive = Builder::new(Vec::new());
    add_file(&mut archive, "layer.tar", &layer)?;
    let mut manifest = Vec::new();
    for (name, config) in images {
        let config = image_config(&config, &digest).to_string();
        let file = format!("{}.json", hex(config.as_bytes()));
        add_file(&mut archive, &file, config.as_bytes())?;
        manifest.push(json!({"Config": file, "RepoTags": [name], "Layers": ["layer.tar"]}));
    }
    add_file(&mut archive, "manifest.json", Value::from(manifest).to_string().as_bytes())?;
    archive.into_inner().context("cannot make an archive")
}

/// An image's configuration, as the OCI image specification has it.
fn image_config(config: &Value, layer: &str) -> Value {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    })
}

fn layer() -> Result<Vec<u8>> {
    let busybox = packages::find("busybox", "busybox-static")?;
    let busybox = packages::read_static(&busybox, "apt-get install busybox-static")?;
    let app = packages::read_static(&app(), "run the tests with `cargo xtask test`, which builds it")?;
    let mut layer = Builder::new(Vec::new());
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        layer.append(&header(&format!("{folder}/"), EntryType::Directory, 0)?, std::io::empty())?;
    }
    add_file(&mut layer, "bin/busybox", &busybox)?;
    add_file(&mut layer, "app", &app)?;
    for applet in APPLETS {
        link(&mut layer, &format!("bin/{applet}"), "busybox")?;
    }
    link(&mut layer, "pause", "app")?;
    layer.into_inner().context("cannot make a layer")
}

/// The program that images have: `GRACETRACE_APP`, else where `cargo xtask test` puts it.
fn app() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let default = || workspace.join("target/gracetrace-app");
    std::env::var_os("GRACETRACE_APP").map_or_else(default, PathBuf::from)
}

fn add_file<W: Write>(archive: &mut Builder<W>, path: &str, content: &[u8]) -> Result<()> {
    Ok(archive.append(&header(path, EntryType::Regular, content.len())?, content)?)
}

fn link<W: Write>(archive: &mut Builder<W>, path: &str, target: &str) -> Result<()> {
    let mut header = header(path, EntryType::Symlink, 0)?;
    header.set_link_name(target)?;
    header.set_cksum();
    Ok(archive.append(&header, std::io::empty())?)
}

fn header(path: &str, kind: EntryType, length: usize) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(u64::try_from(length)?);
    header.set_cksum();
    Ok(header)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
