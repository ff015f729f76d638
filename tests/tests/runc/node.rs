//! What the containers of one test share: a slice, a file of pods, files.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use gracetrace_tests::agent::Piped;
use gracetrace_tests::cri_node::packages;
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

    /// A call of runc, without what it shall do: made where all of `/sys/fs/cgroup` is cgroup v2 and the slice is its root,
    /// which ends with the call.
    pub(crate) fn runc(&self) -> Command {
        let procs = self.slice.path().join("cgroup.procs");
        let mut runc = Command::new("unshare");
        runc.args(["--mount", "--cgroup", "--propagation", "private", "sh", "-ec", ENTER, "sh"])
            .arg(packages::find("runc", "runc").expect("there is a runc"))
            .arg("--root")
            .arg(self.dir.path().join("state"));
        // SAFETY: between fork and exec it only opens and writes a file, which is safe in a process with other threads.
        unsafe { runc.pre_exec(move || enter(&procs)) };
        runc
    }

    /// A container that runs.
    pub(crate) fn run(&self, plan: Plan) -> Container<'_> {
        let container = Container::create(self, plan);
        container.start();
        container
    }
}

/// Run in the slice, with namespaces that begin there. Not at the root of the hierarchy, where runc wants controllers.
const ENTER: &str = "mount -t cgroup2 none /sys/fs/cgroup; echo 0 >/sys/fs/cgroup/runtime/cgroup.procs; exec \"$@\"";

fn enter(procs: &PathBuf) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::File::options().write(true).open(procs)?.write_all(b"0")
}
