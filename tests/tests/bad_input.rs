//! Whatever is wrong with how the agent is called: a status other than 0, one sentence that names the cause and the way
//! out, no backtrace.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gracetrace_tests::agent::built as agent;

/// Runs the agent, which must fail, and returns its status and what it says.
fn refused(arguments: &[&str]) -> (i32, String) {
    verdict(&Command::new(agent()).args(arguments).env("RUST_BACKTRACE", "1").output().expect("the agent starts"))
}

fn verdict(output: &Output) -> (i32, String) {
    let said = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert!(output.stdout.is_empty(), "nothing on standard output: {}", String::from_utf8_lossy(&output.stdout));
    assert!(!said.contains("stack backtrace") && !said.contains("panicked"), "{said}");
    (output.status.code().expect("it was not killed"), said)
}

/// One sentence on one line, with each of these in it.
fn assert_sentence(arguments: &[&str], parts: &[&str]) {
    let (status, said) = refused(arguments);
    assert_eq!(status, 1, "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.starts_with("gracetrace: "), "{arguments:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?} says nothing of {part}: {said}");
    }
}

fn file(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("the file can be written");
    path
}

#[test]
fn bad_flags() {
    for arguments in [
        &["run", "--nope"][..],
        &["run", "--listen", "nowhere"],
        &["run", "--disable-hook", "sys_enter_kill"],
        &["run", "--ring-bytes", "-1"],
        &["replay"],
        &["replay", "file", "--json", "--metrics"],
        &["rnu"],
    ] {
        let (status, said) = refused(arguments);
        assert_eq!(status, 2, "{arguments:?}: {said}");
        assert!(said.contains("--help"), "{arguments:?}: {said}");
    }
    let (_, said) = refused(&["run", "--disable-hook", "sys_enter_kill"]);
    assert!(said.contains("signal_generate"), "it names what there is: {said}");
}

#[test]
fn the_pods_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let run = |pods: &Path, parts: &[&str]| {
        let pods = path(pods);
        assert_sentence(&["run", "--listen", "127.0.0.1:0", "--pods", &pods], &[&[pods.as_str()], parts].concat());
    };
    run(&folder.path().join("missing.json"), &["No such file"]);
    run(folder.path(), &["not a regular file"]);
    run(&file(folder.path(), "empty.json", b""), &[]);
    run(&file(folder.path(), "half.json", br#"{"kind":"PodList","items":[{"metadata":{"#), &["line 1"]);
    run(&file(folder.path(), "yaml.yaml", b"kind: PodList\nitems: []\n"), &["JSON"]);
    run(&file(folder.path(), "other.json", br#"{"kind":"NodeList","items":[]}"#), &["NodeList"]);
    run(&file(folder.path(), "binary.json", &[0xff, 0xfe, 0x00]), &[]);
}

#[test]
fn the_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    assert_sentence(&["run", "--listen", &address], &[&address, "in use", "--listen"]);
}

#[test]
fn the_record_file() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path().join("missing/run.gz"), folder.path().to_owned()] {
        let path = path.to_str().expect("UTF-8");
        assert_sentence(&["run", "--listen", "127.0.0.1:0", "--record", path], &[path]);
    }
}

#[test]
fn the_cgroup_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().to_str().expect("UTF-8");
    assert_sentence(&["run", "--listen", "127.0.0.1:0", "--cgroup-root", plain], &[plain, "not a cgroup v2 directory"]);
    assert_sentence(&["run", "--listen", "127.0.0.1:0", "--cgroup-root", "/nonexistent"], &["/nonexistent"]);
}

#[test]
fn without_privilege() {
    let folder = readable(&agent());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(folder.path().join("gracetrace"))
        .args(["run", "--listen", "127.0.0.1:0"])
        .output()
        .expect("setpriv starts (package util-linux), as root");
    let (status, said) = verdict(&output);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("CAP_BPF") && said.contains("root"), "{said}");
}

#[test]
fn without_btf() {
    // In a mount namespace of its own, so that nobody else misses it.
    let script =
        "mount --make-private /sys && mount -t tmpfs none /sys/kernel/btf && exec \"$0\" run --listen 127.0.0.1:0";
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "unchanged", "sh", "-c", script])
        .arg(agent())
        .output()
        .expect("unshare starts (package util-linux)");
    let (status, said) = verdict(&output);
    assert_eq!(status, 1, "{said}");
    assert!(said.starts_with("gracetrace: ") && said.contains("CONFIG_DEBUG_INFO_BTF"), "{said}");
}

/// A copy of a program in a folder that everybody can read.
fn readable(program: &Path) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    fs::copy(program, folder.path().join("gracetrace")).expect("the program can be copied");
    folder
}

#[test]
fn recordings() {
    let folder = tempfile::tempdir().expect("a folder");
    let replay = |path: &Path, parts: &[&str]| {
        let path = path.to_str().expect("UTF-8");
        assert_sentence(&["replay", path], &[&[path], parts].concat());
    };
    replay(&folder.path().join("missing.gz"), &["No such file"]);
    replay(folder.path(), &[]);
    replay(&file(folder.path(), "empty.gz", b""), &["not a recording", "--record"]);
    replay(&file(folder.path(), "text.gz", b"no gzip"), &["not a recording"]);
    replay(&file(folder.path(), "other.gz", &gzip(b"{\"a\":1}\n")), &["not a recording"]);
    let newer = gzip(b"{\"gracetrace_recording\":99,\"version\":\"9.9.9\"}\n");
    replay(&file(folder.path(), "newer.gz", &newer), &["format 99", "9.9.9"]);
    let broken = gzip(b"{\"gracetrace_recording\":1,\"version\":\"0.1.0\"}\n{\"kernel\":{}}\n");
    replay(&file(folder.path(), "broken.gz", &broken), &["line 2"]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes everything")
}
