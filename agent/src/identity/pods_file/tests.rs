use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn list(names: &[&str]) -> String {
    let items: Vec<String> =
        names.iter().map(|name| format!(r#"{{"metadata":{{"name":"{name}","uid":"uid-{name}"}}}}"#)).collect();
    format!(r#"{{"kind":"PodList","items":[{}]}}"#, items.join(","))
}

fn names(update: &Update) -> Vec<String> {
    let Update::Pods { source: Source::File, pods } = update else { panic!("{update:?}") };
    pods.iter().map(|pod| pod.name.to_string()).collect()
}

fn noon() -> BootTime {
    BootTime(12)
}

/// A directory with `pods.json` in it, watched.
struct Watched {
    dir: TempDir,
    health: Arc<Health>,
    updates: mpsc::Receiver<Update>,
}

impl Watched {
    fn path(&self) -> PathBuf {
        self.dir.path().join("pods.json")
    }

    fn open(dir: TempDir, expected: &[&str]) -> Watched {
        let (file, first) = PodsFile::open(&dir.path().join("pods.json"), noon).unwrap();
        assert_eq!(names(&first), expected);
        let health = file.health();
        let (sender, updates) = mpsc::channel(4);
        tokio::spawn(file.run(sender));
        Watched { dir, health, updates }
    }

    fn with(names: &[&str]) -> Watched {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("pods.json"), list(names)).unwrap();
        Watched::open(dir, names)
    }

    /// The pods as soon as they are these; well before the file would have been looked at anyway.
    async fn expect(&mut self, expected: &[&str]) {
        let wait = async {
            while let Some(update) = self.updates.recv().await {
                if names(&update) == expected {
                    return;
                }
            }
            panic!("ended");
        };
        tokio::time::timeout(LOOK / 2, wait).await.expect("not seen");
    }

    async fn expect_errors(&self, more_than: u64) {
        for _ in 0..100 {
            if self.health.errors() > more_than && self.health.is_failing() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no error seen");
    }
}

#[tokio::test]
async fn sees_a_rename_and_a_write_in_place() {
    let mut watched = Watched::with(&["a"]);
    let other = watched.dir.path().join(".pods.json.tmp");
    fs::write(&other, list(&["a", "b"])).unwrap();
    fs::rename(&other, watched.path()).unwrap();
    watched.expect(&["a", "b"]).await;
    fs::write(watched.path(), list(&["c"])).unwrap();
    watched.expect(&["c"]).await;
    fs::write(watched.path(), list(&["d"])).unwrap();
    watched.expect(&["d"]).await;
    assert_eq!(watched.health.good_at(), Some(BootTime(12)));
}

#[tokio::test]
async fn sees_a_mounted_config_map_swapped() {
    fn swap(dir: &Path, version: &str, names: &[&str]) {
        fs::create_dir(dir.join(version)).unwrap();
        fs::write(dir.join(version).join("pods.json"), list(names)).unwrap();
        symlink(version, dir.join("..data_tmp")).unwrap();
        fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    }
    let dir = TempDir::new().unwrap();
    swap(dir.path(), "..1", &["a"]);
    symlink("..data/pods.json", dir.path().join("pods.json")).unwrap();
    let mut watched = Watched::open(dir, &["a"]);
    for (version, name) in [("..2", "b"), ("..3", "c")] {
        swap(watched.dir.path(), version, &[name]);
        watched.expect(&[name]).await;
    }
    assert_eq!(watched.health.errors(), 0);
}

#[tokio::test]
async fn keeps_the_last_good_state() {
    let mut watched = Watched::with(&["a"]);
    let next = list(&["b"]);
    fs::write(watched.path(), &next[..next.len() / 2]).unwrap();
    watched.expect_errors(0).await;
    fs::write(watched.path(), &next).unwrap();
    watched.expect(&["b"]).await;
    assert!(!watched.health.is_failing());
    let errors = watched.health.errors();
    fs::remove_file(watched.path()).unwrap();
    watched.expect_errors(errors).await;
    assert!(watched.updates.try_recv().is_err(), "no update says that all pods are gone");
    fs::write(watched.path(), list(&["c"])).unwrap();
    watched.expect(&["c"]).await;
}

#[tokio::test]
async fn ends_when_nobody_listens() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("pods.json"), list(&[])).unwrap();
    let (file, _) = PodsFile::open(&dir.path().join("pods.json"), noon).unwrap();
    let (sender, updates) = mpsc::channel(1);
    let task = tokio::spawn(file.run(sender));
    drop(updates);
    tokio::time::timeout(LOOK / 2, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn says_what_is_wrong_at_the_start() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pods.json");
    let message = |path: &Path| PodsFile::open(path, noon).unwrap_err().to_string();
    let at = path.display();
    assert_eq!(message(&path), format!("cannot read the pods file {at}: No such file or directory (os error 2)"));
    assert!(message(&path.join("below")).starts_with("cannot read the pods file"));
    assert!(message(dir.path()).ends_with("is not a regular file"));
    fs::write(&path, "pods: []").unwrap();
    assert!(message(&path).starts_with(&format!("cannot use {at} as the pods file: line 1, column 1: ")));
    fs::write(&path, b"{\"kind\":\"\xff\"}").unwrap();
    assert!(message(&path).contains("valid UTF-8"));
    File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
    assert!(message(&path).contains("more than the 67108864"));
}

#[tokio::test]
async fn counts_the_pods_that_cannot_be_read() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("pods.json"), r#"{"items":[{"metadata":{"name":"a","uid":"1"}},{}]}"#).unwrap();
    assert_eq!(Watched::open(dir, &["a"]).health.skipped(), 1);
}
