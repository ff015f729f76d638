//! A process that goes by the kubelet's name, in a cgroup of its own: enough for the agent to find it.

use std::fs;
use std::process::{Child, Command, Stdio};

use gracetrace_tests::cri_node::packages;

use super::super::node::Node;

/// Ended when dropped.
pub(crate) struct Kubelet(Child);

impl Kubelet {
    pub(crate) fn start(node: &Node) -> Kubelet {
        let program = node.dir.path().join("kubelet");
        let sleep = packages::find("sleep", "coreutils").expect("there is a sleep");
        fs::copy(sleep, &program).expect("files can be copied");
        let cgroup = node.slice.cgroup("system/kubelet.service");
        let kubelet = Command::new(program).arg("1000").stdin(Stdio::null()).spawn().expect("it starts");
        let kubelet = Kubelet(kubelet);
        fs::write(cgroup.join("cgroup.procs"), kubelet.0.id().to_string()).expect("a process can be moved");
        kubelet
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
