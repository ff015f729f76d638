//! What a cgroup is, by its path alone.
//!
//! The kubelet names the levels (pkg/kubelet/cm/cgroup_manager_linux.go, `CgroupName.ToCgroupfs` and `ToSystemd`), the
//! runtime the container's. The front of a path is anything: the node's own prefix, a nested node's, a demo's slice.
//! So the last root of pods in the path counts, and only what follows it.
#![forbid(unsafe_code)]

use crate::model::{ContainerId, PodUid};

/// What a cgroup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Not of pods.
    Outside,
    /// The root of all pods.
    Root,
    /// A QoS class below it. Guaranteed pods have none.
    Qos,
    /// A pod.
    Pod(PodUid),
    /// A container of a pod, its sandbox included.
    Container(PodUid, ContainerId),
    /// Inside a container.
    Nested(PodUid, ContainerId),
    /// Below the root of pods, but none of these; CRI-O's monitor of a container for one.
    Other,
}

/// Tells what the cgroup at `path` is. Takes every spelling: with or without a leading slash, below any prefix, with the
/// kernel's mark for a removed cgroup.
pub fn place(path: &str) -> Place {
    let path = path.strip_suffix("//deleted").or_else(|| path.strip_suffix(" (deleted)")).unwrap_or(path);
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let Some(root) = names.iter().rposition(|name| is_root_of_pods(name)) else { return Place::Outside };
    let levels = Levels::of(names[root]);
    let mut below = &names[root + 1..];
    if let [qos, rest @ ..] = below
        && levels.is_qos(qos)
    {
        if rest.is_empty() {
            return Place::Qos;
        }
        below = rest;
    }
    let [pod, below @ ..] = below else { return Place::Root };
    let Some(uid) = levels.pod(pod) else { return Place::Other };
    let [container, below @ ..] = below else { return Place::Pod(uid) };
    match container_id(container) {
        Some(id) if below.is_empty() => Place::Container(uid, id),
        Some(id) => Place::Nested(uid, id),
        None => Place::Other,
    }
}

/// Whether a cgroup of this name is the root of all pods: `kubepods` with the cgroupfs driver, `kubepods.slice` with the
/// systemd driver, `<prefix>-kubepods.slice` with that and a cgroup root of the kubelet's own.
pub fn is_root_of_pods(name: &str) -> bool {
    match name.strip_suffix("kubepods.slice") {
        Some(prefix) => prefix.is_empty() || prefix.ends_with('-'),
        None => name == "kubepods",
    }
}

const QOS: [&str; 2] = ["burstable", "besteffort"];

/// How the levels below a root are named, by the kubelet's cgroup driver.
#[derive(Clone, Copy)]
enum Levels<'a> {
    Cgroupfs,
    /// Each slice repeats the name of the one above it, without `.slice`.
    Systemd(&'a str),
}

impl<'a> Levels<'a> {
    fn of(root: &'a str) -> Self {
        root.strip_suffix(".slice").map_or(Levels::Cgroupfs, Levels::Systemd)
    }

    fn is_qos(self, name: &str) -> bool {
        let qos = match self {
            Levels::Cgroupfs => Some(name),
            Levels::Systemd(root) => slice_below(name, root),
        };
        qos.is_some_and(|qos| QOS.contains(&qos))
    }

    fn pod(self, name: &str) -> Option<PodUid> {
        let uid = match self {
            Levels::Cgroupfs => name.strip_prefix("pod")?.to_owned(),
            Levels::Systemd(root) => {
                let below = slice_below(name, root)?;
                let below = QOS.iter().find_map(|qos| below.strip_prefix(qos)?.strip_prefix('-')).unwrap_or(below);
                // A dash would start a new slice, so the kubelet writes the uid's as underscores.
                below.strip_prefix("pod")?.replace('_', "-")
            }
        };
        // A UUID, or the 32 hexadecimal digits of a static pod's config hash; other sources may have words of their own.
        let valid = (1..=128).contains(&uid.len()) && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        valid.then(|| PodUid::new(uid))
    }
}

/// `kubepods-burstable.slice` below `kubepods` is `burstable`.
fn slice_below<'a>(name: &'a str, parent: &str) -> Option<&'a str> {
    name.strip_suffix(".slice")?.strip_prefix(parent)?.strip_prefix('-')
}

/// `<id>`, `cri-containerd-<id>.scope`, `crio-<id>`, `docker-<id>.scope`; not `crio-conmon-<id>.scope`, which holds the
/// process that watches the container.
fn container_id(name: &str) -> Option<ContainerId> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (runtime, id) = name.rsplit_once('-').unwrap_or(("", name));
    let is_id = (12..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
    (is_id && !runtime.ends_with("conmon")).then(|| ContainerId::new(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "8c577ce9-7ba8-49d7-bb86-02e0dd29498b";
    const UID_: &str = "8c577ce9_7ba8_49d7_bb86_02e0dd29498b";
    const HASH: &str = "2a8b1f3c4d5e6f708192a3b4c5d6e7f8";
    const ID: &str = "4cbdc819cbb113038777254d8d1d2bbcee101a9fd39800b59513bec015a69602";

    fn pod(uid: &str) -> Place {
        Place::Pod(PodUid::new(uid))
    }

    fn container(uid: &str) -> Place {
        Place::Container(PodUid::new(uid), ContainerId::new(ID))
    }

    fn nested(uid: &str) -> Place {
        Place::Nested(PodUid::new(uid), ContainerId::new(ID))
    }

    #[test]
    fn every_form() {
        let systemd = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod";
        let kind = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable";
        let cases = [
            (String::new(), Place::Outside),
            ("/".into(), Place::Outside),
            ("/system.slice/containerd.service".into(), Place::Outside),
            (format!("/docker/{ID}"), Place::Outside),
            ("/notkubepods".into(), Place::Outside),
            ("/notkubepods.slice".into(), Place::Outside),
            // cgroupfs driver
            ("/kubepods".into(), Place::Root),
            ("kubepods/".into(), Place::Root),
            ("/kubepods/burstable".into(), Place::Qos),
            ("/kubepods/besteffort".into(), Place::Qos),
            (format!("/kubepods/pod{UID}"), pod(UID)),
            (format!("/kubepods/besteffort/pod{UID}"), pod(UID)),
            (format!("/kubepods/besteffort/pod{HASH}"), pod(HASH)),
            (format!("/kubepods/besteffort/pod{UID}/{ID}"), container(UID)),
            (format!("/kubepods/pod{UID}/{ID}"), container(UID)),
            (format!("/kubepods/burstable/pod{UID}/crio-{ID}"), container(UID)),
            (format!("/kubepods/burstable/pod{UID}/crio-conmon-{ID}"), Place::Other),
            (format!("/kubepods/besteffort/pod{UID}/{ID}/init.scope"), nested(UID)),
            (format!("/kubepods/besteffort/pod{UID}/{ID}/a/b/c"), nested(UID)),
            (format!("/kubepods/besteffort/pod{UID}/{ID}//deleted"), container(UID)),
            (format!("/kubepods/besteffort/pod{UID}/{ID} (deleted)"), container(UID)),
            // systemd driver
            ("/kubepods.slice".into(), Place::Root),
            ("/kubepods.slice/kubepods-burstable.slice".into(), Place::Qos),
            (format!("{systemd}{UID_}.slice"), pod(UID)),
            (format!("{systemd}{UID_}.slice/cri-containerd-{ID}.scope"), container(UID)),
            (format!("{systemd}{UID_}.slice/crio-{ID}.scope"), container(UID)),
            (format!("{systemd}{UID_}.slice/crio-{ID}.scope/container"), nested(UID)),
            (format!("{systemd}{UID_}.slice/docker-{ID}.scope"), container(UID)),
            (format!("{systemd}{UID_}.slice/crio-conmon-{ID}.scope"), Place::Other),
            (format!("{systemd}{HASH}.slice/cri-containerd-{ID}.scope"), container(HASH)),
            (format!("/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{ID}.scope"), container(UID)),
            // a nested node, prefixes
            ("/kubelet.slice".into(), Place::Outside),
            ("/kubelet.slice/kubelet-kubepods.slice".into(), Place::Root),
            (format!("{kind}.slice"), Place::Other),
            (format!("{kind}-pod{UID_}.slice/cri-containerd-{ID}.scope"), container(UID)),
            (format!("/docker/{ID}{kind}-pod{UID_}.slice/cri-containerd-{ID}.scope"), container(UID)),
            ("/docker/1234/kubelet/kubepods/besteffort".into(), Place::Qos),
            ("/gracetrace-demo-123.slice/kubepods".into(), Place::Root),
            (format!("/gracetrace-demo-123.slice/kubepods/pod{UID}/{ID}"), container(UID)),
            (format!("/kubepods/pod{HASH}/{ID}/demo.slice/kubepods/pod{UID}/{ID}"), container(UID)),
            (format!("../../kubepods/pod{UID}/{ID}"), container(UID)),
            // below a root, but nothing known
            ("/kubepods/guaranteed".into(), Place::Other),
            ("/kubepods/pod".into(), Place::Other),
            ("/kubepods/pod$x".into(), Place::Other),
            (format!("/kubepods/besteffort/pod{UID}/notes"), Place::Other),
            (format!("/kubepods.slice/pod{UID}"), Place::Other),
            (format!("/kubepods.slice/kubepods-guaranteed-pod{UID_}.slice"), Place::Other),
        ];
        for (path, expected) in cases {
            assert_eq!(place(&path), expected, "{path}");
        }
    }

    /// The cgroups of real pods (kubelet 1.36, containerd 2.1, cgroupfs driver), listed by `find` and by
    /// /proc/<pid>/cgroup.
    #[test]
    fn real_nodes() {
        for text in [
            include_str!("testdata/burstable/cgroups.txt"),
            include_str!("testdata/guaranteed/cgroups.txt"),
            include_str!("testdata/exec-prestop/cgroups.txt"),
            include_str!("testdata/http-prestop/cgroups.txt"),
        ] {
            let listed: Vec<Place> =
                text.lines().filter_map(|line| line.strip_prefix("/sys/fs/cgroup")).map(place).collect();
            let (Place::Pod(uid), [Place::Container(a, sandbox), Place::Container(b, app)]) =
                (&listed[0], &listed[1..])
            else {
                panic!("{listed:?}");
            };
            assert!(a == uid && b == uid && sandbox != app);
            let of_processes: Vec<Place> =
                text.lines().filter_map(|line| line.strip_prefix("0::")).map(place).collect();
            assert!(of_processes.len() >= 2);
            assert!(of_processes.iter().all(|place| listed[1..].contains(place)), "{of_processes:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in ".*") {
            place(&path);
        }

        #[test]
        fn never_panics_on_likely_parts(parts in prop::collection::vec(
            prop_oneof![
                Just("kubepods".to_owned()), Just("kubepods.slice".to_owned()), Just("x-kubepods.slice".to_owned()),
                Just("burstable".to_owned()), Just("kubepods-besteffort.slice".to_owned()), Just(".slice".to_owned()),
                Just("-".to_owned()), Just(format!("pod{UID}")), Just(format!("kubepods-pod{UID_}.slice")),
                Just(ID.to_owned()), Just(format!("crio-{ID}.scope")), Just(format!("-conmon-{ID}.scope")), ".{0,8}",
            ], 0..8)) {
            place(&parts.join("/"));
        }
    }
}
