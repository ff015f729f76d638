//! Where the runtime listens.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which socket to ask: the value of `--cri`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Socket {
    /// One of the usual places.
    #[default]
    Auto,
    /// This one, there or not.
    At(PathBuf),
    /// None at all.
    Off,
}

impl FromStr for Socket {
    type Err = String;

    fn from_str(text: &str) -> Result<Socket, String> {
        match text {
            "none" => return Ok(Socket::Off),
            "auto" => return Ok(Socket::Auto),
            _ => {}
        }
        // As the kubelet and crictl write it: unix:///run/containerd/containerd.sock.
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Socket::At(PathBuf::from(path)));
        }
        Err("expected the absolute path of the runtime's socket, such as /run/containerd/containerd.sock or \
             unix:///run/crio/crio.sock; or auto to look for it, or none to do without"
            .to_owned())
    }
}

/// The usual places, the most usual first. The last ones speak for Docker, whose containerd is found before them but
/// serves no pods.
const USUAL: [&str; 9] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/var/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/var/run/containerd/containerd.sock",
    "/run/cri-dockerd.sock",
    "/var/run/cri-dockerd.sock",
];

impl Socket {
    /// Where to try now, in this order. Of the usual places those where there is a socket, each once: `/var/run` is
    /// often another name of `/run`.
    pub(super) fn candidates(&self) -> Vec<PathBuf> {
        match self {
            Socket::At(path) => vec![path.clone()],
            Socket::Auto => existing(USUAL.iter().map(Path::new)),
            Socket::Off => Vec::new(),
        }
    }
}

fn existing<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for path in paths {
        let Ok(metadata) = fs::metadata(path) else { continue };
        let number = (metadata.dev(), metadata.ino());
        if metadata.file_type().is_socket() && !seen.contains(&number) {
            seen.push(number);
            found.push(path.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn forms_of_the_flag() {
        let at = |path: &str| Ok(Socket::At(PathBuf::from(path)));
        assert_eq!("/run/crio/crio.sock".parse(), at("/run/crio/crio.sock"));
        assert_eq!("unix:///run/crio/crio.sock".parse(), at("/run/crio/crio.sock"));
        assert_eq!("unix:/run/crio/crio.sock".parse(), at("/run/crio/crio.sock"));
        assert_eq!("none".parse(), Ok(Socket::Off));
        assert_eq!("auto".parse(), Ok(Socket::Auto));
        for bad in ["", "crio.sock", "tcp://127.0.0.1:1", "unix://run/crio.sock", "npipe:////./pipe/x"] {
            assert!(bad.parse::<Socket>().unwrap_err().contains("/run/containerd/containerd.sock"), "{bad}");
        }
    }

    #[test]
    fn a_socket_of_two_names_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("run")).unwrap();
        symlink("run", path("var-run")).unwrap();
        let _first = UnixListener::bind(path("run/a.sock")).unwrap();
        let _second = UnixListener::bind(path("run/b.sock")).unwrap();
        fs::write(path("run/file.sock"), "").unwrap();
        let all = ["run/none.sock", "run/file.sock", "run/b.sock", "var-run/b.sock", "run/a.sock"].map(path);
        assert_eq!(existing(all.iter().map(PathBuf::as_path)), [path("run/b.sock"), path("run/a.sock")]);
    }
}
