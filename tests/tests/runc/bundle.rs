//! A bundle: a root filesystem of nothing but busybox, and a configuration.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use gracetrace_tests::cri_node::packages;
use serde_json::{Value, json};

const APPLETS: [&str; 6] = ["sh", "sleep", "true", "cat", "test", "touch"];
/// A hook as images carry them.
const SCRIPT: &str = "#!/bin/sh\nsleep 0.2\nsleep \"$1\"\n";

/// Where [`SCRIPT`] is in the container.
pub(crate) const SCRIPT_PATH: &str = "/bin/drain.sh";

/// Makes it in a directory that does not exist yet.
pub(crate) fn make(bundle: &Path, cgroups_path: &str, init: &[&str], host_pids: bool) {
    let root = bundle.join("rootfs");
    for directory in ["bin", "proc"] {
        fs::create_dir_all(root.join(directory)).expect("a bundle can be made");
    }
    let busybox = packages::find("busybox", "busybox-static")
        .and_then(|path| packages::read_static(&path, "apt-get install busybox-static"))
        .expect("there is a busybox");
    fs::write(root.join("bin/busybox"), busybox).expect("busybox can be written");
    fs::set_permissions(root.join("bin/busybox"), PermissionsExt::from_mode(0o755)).expect("it can be made executable");
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).expect("links can be made");
    }
    let script = root.join(SCRIPT_PATH.trim_start_matches('/'));
    fs::write(&script, SCRIPT).expect("a script can be written");
    fs::set_permissions(script, PermissionsExt::from_mode(0o755)).expect("it can be made executable");
    let own = ["mount", "uts", "ipc", "network", "pid"];
    let namespaces: Vec<Value> =
        own.iter().filter(|kind| !(host_pids && **kind == "pid")).map(|kind| json!({"type": kind})).collect();
    // No resources: where controllers are left to cgroup v1, v2 has none of them.
    let config = json!({
        "ociVersion": "1.0.2",
        "process": process(init),
        "root": {"path": "rootfs"},
        "hostname": "test",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "cgroupsPath": cgroups_path,
            "namespaces": namespaces,
        },
    });
    fs::write(bundle.join("config.json"), config.to_string()).expect("a configuration can be written");
}

/// A process of the runtime specification.
pub(crate) fn process(command: &[&str]) -> Value {
    json!({"args": command, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}})
}
