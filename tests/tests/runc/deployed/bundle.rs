//! The agent's container as the kubelet and the runtime make it of the manifest and the image.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gracetrace_tests::image::Image;
use gracetrace_tests::{image, manifest};
use serde_json::{Value, json};

use super::seccomp::{self, Runtime};

/// What differs from the manifest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change {
    /// Without this capability.
    pub(crate) without: Option<&'static str>,
    /// With the profile of this runtime.
    pub(crate) seccomp: Option<Runtime>,
    /// On a kernel without IPv6.
    pub(crate) no_ipv6: bool,
}

/// The node's folders, by where the manifest looks for them.
pub(crate) type Folders<'a> = BTreeMap<&'a str, &'a Path>;

/// Makes the bundle in a folder that does not exist yet.
pub(crate) fn make(bundle: &Path, overlay: &str, cgroups_path: &str, folders: &Folders<'_>, change: Change) {
    let image = Image::open(&image::built()).expect("the image can be read");
    image.unpack(&bundle.join("rootfs")).expect("the image can be unpacked");
    let objects = manifest::build(overlay).expect("kubectl makes the manifest");
    let set = manifest::only(&objects, "DaemonSet").expect("a DaemonSet");
    let config = config(&image.config["config"], set, cgroups_path, folders, change);
    fs::write(bundle.join("config.json"), config.to_string()).expect("a configuration can be written");
}

fn config(image: &Value, set: &Value, cgroups_path: &str, folders: &Folders<'_>, change: Change) -> Value {
    let pod = &set["spec"]["template"]["spec"];
    let container = manifest::container(set).expect("a container");
    let context = &container["securityContext"];
    let given = manifest::capabilities(container);
    let kept = given.iter().filter(|name| change.without != Some(name));
    let capabilities: Vec<String> = kept.map(|name| format!("CAP_{name}")).collect();
    let profile = change.seccomp.map(|runtime| seccomp::profile(runtime, &capabilities));
    let profile = if change.no_ipv6 { Some(without_ipv6()) } else { profile };
    // A namespace of pids of its own unless the pod has the host's; likewise for the network.
    let mut namespaces = vec!["mount", "uts", "ipc", "cgroup"];
    namespaces.extend(
        [("hostPID", "pid"), ("hostNetwork", "network")]
            .iter()
            .filter_map(|(field, kind)| (pod[field] != true).then_some(*kind)),
    );
    let namespaces: Vec<Value> = namespaces.iter().map(|kind| json!({"type": kind})).collect();
    let arguments: Vec<&Value> = list(&image["Entrypoint"]).chain(list(&container["args"])).collect();
    let environment = manifest::environment(set, "test").expect("an environment");
    let environment: Vec<String> = environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "args": arguments,
            "env": environment,
            "cwd": image["WorkingDir"],
            "user": {"uid": context["runAsUser"], "gid": context["runAsGroup"]},
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": context["allowPrivilegeEscalation"] == false,
        },
        "root": {"path": "rootfs", "readonly": context["readOnlyRootFilesystem"]},
        "hostname": "gracetrace",
        "mounts": mounts(set, folders),
        "linux": {
            "cgroupsPath": cgroups_path,
            "namespaces": namespaces,
            "seccomp": profile,
            // pkg/cri/opts of containerd: what it hides from a container that is not privileged.
            "maskedPaths": [
                "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn mounts(set: &Value, folders: &Folders<'_>) -> Vec<Value> {
    let usual = ["nosuid", "noexec", "nodev"];
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": usual}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}),
    ];
    for volume in manifest::volumes(set).expect("folders of the host") {
        let source = folders.get(volume.host).unwrap_or_else(|| panic!("the test has no {}", volume.host));
        mounts.push(bind(source, volume.path, if volume.read_only { "ro" } else { "rw" }));
    }
    if set["spec"]["template"]["spec"]["automountServiceAccountToken"] == true {
        mounts.push(bind(folders[manifest::TOKEN], manifest::TOKEN, "ro"));
    }
    mounts
}

/// As containerd mounts folders of the host.
fn bind(source: &Path, destination: &str, mode: &str) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate", mode]})
}

/// What socket(2) says where there is no such family.
fn without_ipv6() -> Value {
    let family = json!({"index": 0, "value": libc::AF_INET6, "op": "SCMP_CMP_EQ"});
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{
            "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EAFNOSUPPORT, "args": [family],
        }],
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
