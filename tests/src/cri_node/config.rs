//! What containerd and the CNI plugins are told.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::{images, packages};

/// Writes all of it into the node's folder.
pub(super) fn write(dir: &Path) -> Result<()> {
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("containerd.toml", containerd(dir, &packages::cni_plugins()?))?;
    put("cni/10-bridge.conflist", network())
}

/// containerd 1.6, configuration version 2.
///
/// - `restrict_oom_score_adj`: lowering it needs CAP_SYS_RESOURCE, which root in a container or a sandbox often lacks.
/// - AppArmor and hugetlb are left alone: hosts of tests have them or not.
/// - `BinaryName` is [`runc`](super::runc).
fn containerd(dir: &Path, plugins: &Path) -> String {
    let dir = dir.display();
    let (plugins, pause) = (plugins.display(), images::PAUSE);
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
oom_score = 0
[grpc]
  address = "{dir}/state/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{dir}/bin/runc"
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{dir}/cni"
"#
    )
}

/// A bridge on the node; the addresses in use are noted on the node's own `/run`.
fn network() -> String {
    let ipam = json!({
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": "10.89.0.0/16"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "ipam": ipam},
            {"type": "loopback"},
        ],
    })
    .to_string()
}
