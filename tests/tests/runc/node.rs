//! What the containers of one test share: a slice, a file of pods, files.

use gracetrace_tests::agent::Piped;
use gracetrace_tests::kubelet::pods_file::PodsFile;
use gracetrace_tests::node::slice::Slice;
use tempfile::TempDir;

use super::container::{Container, Plan};

/// Gone when dropped, with all that is on it.
pub(crate) struct Node {
    // Before the files: whoever uses those ends with it.
    pub(crate) slice: Slice,
    pub(crate) pods: PodsFile,
    pub(crate) dir: TempDir,
}

impl Node {
    pub(crate) fn new(name: &str) -> Node {
        let slice = Slice::new(&format!("runc-{name}"));
        slice.cgroup("runtime");
        // The kubelet makes these when it starts, long before any pod.
        slice.cgroup("kubepods/besteffort");
        let dir = tempfile::tempdir().expect("files can be made");
        let pods = PodsFile::create(&dir.path().join("pods.json")).expect("files can be made");
        Node { slice, pods, dir }
    }

    pub(crate) fn start_agent(&self) -> Piped {
        let pods = self.pods.path().to_str().expect("a path of letters");
        Piped::start(self.slice.path(), &["--pods", pods])
    }

    /// A container that runs.
    pub(crate) fn run(&self, plan: Plan) -> Container<'_> {
        let container = Container::create(self, plan);
        container.start();
        container
    }
}
