//! Where cgroup v2 is mounted: /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A mount of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Which part of the hierarchy: `/` for all of it.
    pub(super) root: String,
    /// Where.
    pub(super) point: PathBuf,
}

/// Every mount of cgroup2.
pub(super) fn cgroup2(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    if after.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = before.split(' ').skip(3);
    let root = unescape(fields.next()?).to_string_lossy().into_owned();
    Some(Mount { root, point: unescape(fields.next()?).into() })
}

/// Blanks and such are written as a backslash and three octal digits.
fn unescape(field: &str) -> OsString {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes[at..].strip_prefix(b"\\").and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok());
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            plain.push(code);
            at += 4;
        } else {
            plain.push(bytes[at]);
            at += 1;
        }
    }
    OsString::from_vec(plain)
}

/// The one to walk: where it belongs, alone (`/sys/fs/cgroup`) or beside cgroup v1 (`…/unified`); else one that shows the
/// whole hierarchy; else any. Of two at one place, the last covers the other.
pub(super) fn preferred(mounts: &[Mount]) -> Option<&Mount> {
    let at = |point: &str| mounts.iter().rev().find(|mount| mount.point == Path::new(point));
    at("/sys/fs/cgroup")
        .or_else(|| at("/sys/fs/cgroup/unified"))
        .or_else(|| mounts.iter().find(|mount| mount.root == "/"))
        .or(mounts.first())
}

/// The path in the hierarchy of a directory in one of the mounts, without a slash at its end.
pub(super) fn path_in_hierarchy(mounts: &[Mount], dir: &Path) -> String {
    let mount = mounts
        .iter()
        .filter(|mount| dir.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count());
    let Some((mount, below)) = mount.and_then(|mount| Some((mount, dir.strip_prefix(&mount.point).ok()?))) else {
        return dir.to_string_lossy().into_owned();
    };
    let path = format!("{}/{}", mount.root.trim_end_matches('/'), below.to_string_lossy());
    path.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "\
24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
25 24 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
    const HYBRID: &str = "\
30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,name=systemd
";
    const POD: &str = "\
700 699 0:26 /kubepods/pod1/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw
701 699 0:26 / /host/cg\\040roup rw - cgroup2 cgroup rw
";

    #[test]
    fn finds_the_mount() {
        let point = |text: &str| preferred(&cgroup2(text)).map(|mount| mount.point.clone());
        assert_eq!(point(UNIFIED), Some("/sys/fs/cgroup".into()));
        assert_eq!(point(HYBRID), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(point(POD), Some("/sys/fs/cgroup".into()));
        assert_eq!(point(POD.lines().nth(1).unwrap()), Some("/host/cg roup".into()));
        assert_eq!(point("garbage\n\n- cgroup2\n1 2 3 - cgroup2"), None);
    }

    #[test]
    fn paths_in_the_hierarchy() {
        let path = |text: &str, dir: &str| path_in_hierarchy(&cgroup2(text), Path::new(dir));
        assert_eq!(path(HYBRID, "/sys/fs/cgroup/unified"), "");
        assert_eq!(path(HYBRID, "/sys/fs/cgroup/unified/demo.slice"), "/demo.slice");
        assert_eq!(path(POD, "/sys/fs/cgroup/inner"), "/kubepods/pod1/abc/inner");
        assert_eq!(path(POD, "/host/cg roup/kubepods"), "/kubepods");
        assert_eq!(path("", "/elsewhere/kubepods"), "/elsewhere/kubepods");
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("a\\040b\\134"), "a b\\");
        assert_eq!(unescape("a\\04"), "a\\04");
        assert_eq!(unescape("\\999\\777"), "\\999\\777");
    }
}
