//! The agent as the manifests deploy it: from its image, in a container with the capabilities, mounts, namespaces and seccomp
//! profile that `deploy/` asks for. It has no runtime and no API server to ask here.

mod agent;
mod bundle;
mod seccomp;
mod kubelet;

use gracetrace_tests::image::{self, Image};
use gracetrace_tests::{manifest, wait};

use self::agent::Deployed;
use self::bundle::Change;
use self::kubelet::Kubelet;
use self::seccomp::Runtime;
use super::container::{HANDLES, Plan};
use super::node::Node;
use super::report::Report;

const CONTAINERD: &str = "overlays/containerd";
const CRI_O: &str = "overlays/cri-o";
/// As the manifest has it.
const AS_IS: Change = Change { without: None, seccomp: Some(Runtime::Containerd), no_ipv6: false };

#[test]
fn it_sees_terminations() {
    let node = Node::new("deployed");
    let before = node.run(Plan { init: HANDLES, hook: None, host_pids: false });
    let _kubelet = Kubelet::start(&node);
    let agent = Deployed::start(&node, CONTAINERD, AS_IS).expect("it starts");
    agent.has_every_hook();
    // One container that was there before it, and one that came later.
    let after = node.run(Plan { init: HANDLES, hook: None, host_pids: false });
    for container in [before, after] {
        let uid = container.uid();
        let kill = container.kill("TERM");
        let ended = container.wait();
        container.delete();
        let report = Report::new(agent.termination());
        report.is("/uid", uid);
        report.is("/outcome", "graceful");
        report.was_stopped_by(kill, "handled");
        report.ended_after(kill, ended);
    }
    agent.stop();
}

/// What a capability is for, seen when it is missing.
#[derive(Debug, Clone, Copy)]
enum Lack {
    /// The agent does not start.
    Start,
    /// It does without the hooks that see packets.
    Packets,
}

#[test]
fn it_needs_each_of_its_capabilities() {
    const FOR: [(&str, Lack); 3] = [("BPF", Lack::Start), ("PERFMON", Lack::Start), ("NET_ADMIN", Lack::Packets)];
    let node = Node::new("capabilities");
    let _kubelet = Kubelet::start(&node);
    let objects = manifest::build(CONTAINERD).expect("kubectl makes the manifest");
    let set = manifest::only(&objects, "DaemonSet").expect("a DaemonSet");
    let given = manifest::capabilities(manifest::container(set).expect("a container"));
    assert_eq!(given, FOR.map(|(name, _)| name));
    for (name, lack) in FOR {
        let agent = Deployed::start(&node, CONTAINERD, Change { without: Some(name), ..AS_IS });
        match (lack, agent) {
            (Lack::Start, Ok(agent)) => panic!("it starts without {name} and says\n{}", agent.says()),
            (Lack::Start, Err(says)) => {
                assert!(says.contains("no permission to load eBPF programs") && says.contains(name), "{says}");
            }
            (Lack::Packets, agent) => {
                let agent = agent.unwrap_or_else(|says| panic!("it does not start without {name}:\n{says}"));
                wait::until("the kernel refuses", || agent.says().contains("CAP_NET_ADMIN"));
                let missing = agent.missing_hooks();
                assert!(
                    !missing.is_empty() && missing.iter().all(|hook| hook.starts_with("cgroup_skb")),
                    "{missing:?}"
                );
                agent.stop();
            }
        }
    }
}

#[test]
fn the_profile_of_cri_o_would_keep_it_out() {
    let node = Node::new("cri-o");
    let with = |seccomp| Deployed::start(&node, CRI_O, Change { seccomp, ..AS_IS });
    let says = with(Some(Runtime::CriO)).err().expect("it does not start");
    assert!(says.contains("no permission to load eBPF programs"), "{says}");
    let _kubelet = Kubelet::start(&node);
    let agent = with(None).expect("it starts as the overlay has it");
    agent.has_every_hook();
    agent.stop();
}

#[test]
fn it_listens_where_there_is_no_ipv6() {
    let node = Node::new("ipv4");
    let agent =
        Deployed::start(&node, CONTAINERD, Change { seccomp: None, no_ipv6: true, ..AS_IS }).expect("it starts");
    // It answers before its log is written: that is done by a thread of its own.
    wait::until("it says where it listens", || agent.says().contains("http://0.0.0.0:9464/"));
    agent.stop();
}

#[test]
fn its_image_has_nothing_else_in_it() {
    let image = Image::open(&image::built()).expect("the image can be read");
    let folder = tempfile::tempdir().expect("files can be made");
    image.unpack(folder.path()).expect("the image can be unpacked");
    let names: Vec<_> =
        folder.path().read_dir().expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["gracetrace"]);
}
