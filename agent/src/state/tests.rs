use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::clock;
use crate::correlator::{Config, Correlator, Revision};
use crate::identity::{Change, FoundCgroup, Index, InitProcess, Source, Update};
use crate::model::{
    Argv, BootTime, CgroupId, Comm, ContainerId, ContainerSpec, Counters, Event, Exec, Kind, LifecycleHandler, Pid,
    Pod, PodUid, Signal, SignalSent, WallTime,
};

const SECOND: u64 = 1_000_000_000;

fn place() -> Place {
    Place { boot: "b".to_owned(), root: CgroupId(1) }
}

/// What a run knows.
struct Run {
    index: Index,
    correlator: Correlator,
    now: BootTime,
}

impl Run {
    fn new() -> Run {
        Run { index: Index::new(), correlator: Correlator::new(Config::default()), now: BootTime::default() }
    }

    fn feed(&mut self, input: &Input) {
        match input {
            Input::Kernel(event) => {
                self.now = self.now.max(event.at);
                self.correlator.handle_event(event);
            }
            Input::Identity(update) => self.index.handle_update(update),
            Input::Restored(saved) => self.correlator.handle_restored(saved, |uid| self.index.pod(uid).cloned()),
            Input::Tick { now, wall_offset_ns } => {
                self.now = *now;
                self.correlator.handle_tick(*now, *wall_offset_ns);
            }
        }
        while let Some(change) = self.index.poll_change() {
            if let Change::Container(identity) = change {
                self.correlator.handle_container(identity);
            }
        }
    }

    fn save(&self) -> [Input; 2] {
        let pods = Update::Pods { source: Source::State, pods: self.index.attached_pods() };
        [Input::Identity(pods), Input::Restored(self.correlator.save(self.now))]
    }
}

/// A node with so many pods of two containers. Every tenth is being deleted: its hooks run, or it has its stop signal.
fn node(pods: u64) -> Run {
    let mut run = Run::new();
    let mut feed = |input: Input| {
        run.feed(&input);
    };
    feed(Input::Tick { now: BootTime(SECOND), wall_offset_ns: 1_700_000_000_000_000_000 });
    let uid = |pod: u64| PodUid::new(format!("5a7e0000-0000-4000-8000-{pod:012}"));
    let id = |pod: u64, of: u64| format!("{:064x}", pod * 2 + of);
    let cgroup = |pod: u64, of: u64| 1000 + pod * 10 + of;
    let spec = |pod: u64, of: u64| ContainerSpec {
        id: Some(ContainerId::new(id(pod, of))),
        image: "registry.example/team/service:v1.2.3@sha256:0123456789abcdef".into(),
        pre_stop: Some(LifecycleHandler::Exec(vec!["sleep".to_owned(), "5".to_owned()])),
        ..ContainerSpec::new(["app", "proxy"][of as usize % 2])
    };
    let told = |pod: u64| Pod {
        requested: pod.is_multiple_of(10).then_some(WallTime(1_700_000_001_000_000_000)),
        grace_period: Some(Duration::from_secs(30)),
        containers: (0..2).map(|of| spec(pod, of)).collect(),
        ..Pod::new(uid(pod), "default", format!("service-6d4cf56db6-{pod:05}"))
    };
    feed(Input::Identity(Update::Pods { source: Source::File, pods: (0..pods).map(told).collect() }));
    let mut found =
        vec![FoundCgroup { id: CgroupId(2), parent: CgroupId(1), path: "/kubepods".to_owned(), init: None }];
    for pod in 0..pods {
        let path = format!("/kubepods/pod{}", uid(pod));
        found.push(FoundCgroup { id: CgroupId(cgroup(pod, 5)), parent: CgroupId(2), path: path.clone(), init: None });
        found.extend((0..2).map(|of| FoundCgroup {
            id: CgroupId(cgroup(pod, of)),
            parent: CgroupId(cgroup(pod, 5)),
            path: format!("{path}/{}", id(pod, of)),
            init: Some(InitProcess { pid: Pid(7), comm: Comm::new(b"app") }),
        }));
    }
    feed(Input::Identity(Update::Cgroups { root: CgroupId(1), found, complete: true }));
    for pod in (0..pods).step_by(10) {
        for of in 0..2 {
            let event = |ms: u64, kind: Kind| {
                Input::Kernel(Event {
                    at: BootTime(2 * SECOND + ms * 1_000_000),
                    cgroup: CgroupId(cgroup(pod, of)),
                    counters: Counters { inbound_open: 3, inbound_total: 4711, ..Counters::default() },
                    kind,
                })
            };
            let (pid, comm) = (Pid(70), Comm::new(b"sleep"));
            feed(event(
                0,
                Kind::Exec(Exec {
                    pid,
                    parent: Pid(1),
                    init: false,
                    entered: true,
                    comm,
                    filename: "/bin/sleep".to_owned(),
                    argv: Argv::new(*b"sleep\x005\x00", 8),
                }),
            ));
            if pod % 20 == 0 {
                feed(event(
                    10,
                    Kind::SignalSent(SignalSent {
                        pid,
                        init: true,
                        comm,
                        signal: Signal::TERM,
                        code: 0,
                        ignored: false,
                        sender: pid,
                        sender_comm: Comm::new(b"runc"),
                        sender_cgroup: None,
                    }),
                ));
            }
        }
    }
    run
}

fn inputs() -> [Input; 2] {
    node(20).save()
}

struct Dir {
    temp: TempDir,
}

impl Dir {
    fn new() -> Dir {
        Dir { temp: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.temp.path().join("a/state")
    }

    fn open(&self) -> StateDir {
        StateDir::open(&self.path(), place()).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.path().join(FILE)
    }

    fn put(&self, bytes: &[u8]) {
        fs::create_dir_all(self.path()).unwrap();
        fs::write(self.file(), bytes).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(self.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Has a keeper save once, and waits for it.
fn save(dir: StateDir, inputs: [Input; 2]) {
    Keeper::start(dir, clock::timer_now()).unwrap().finish(inputs);
}

#[test]
fn what_is_saved_is_loaded() {
    let dir = Dir::new();
    assert_eq!(dir.open().load().unwrap(), None);
    save(dir.open(), inputs());
    assert_eq!(dir.open().load().unwrap(), Some(inputs()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.path()), mode(&dir.file())), (0o700, 0o600));
    assert_eq!(dir.names(), [LOCK, FILE, NEXT], "nothing else is left");
}

#[test]
fn what_is_taken_up_is_what_would_be_saved_again() {
    let saved = inputs();
    let mut again = Run::new();
    let Input::Restored(first) = &saved[1] else { panic!("{saved:?}") };
    again.feed(&Input::Tick { now: first.at, wall_offset_ns: 1_700_000_000_000_000_000 });
    again.feed(&saved[0]);
    again.feed(&saved[1]);
    // All ended unseen, for nobody has told of a single cgroup.
    let [_, Input::Restored(second)] = again.save() else { panic!() };
    assert_eq!(second.pods.len(), first.pods.len());
    for (second, first) in second.pods.iter().zip(&first.pods) {
        assert_eq!((&second.uid, &second.open, &second.cgroups), (&first.uid, &second.open, &first.cgroups));
        assert!(first.open.is_none() || second.open == first.open, "{first:?}");
    }
}

#[test]
fn every_damage_is_noticed_and_set_aside() {
    let good = file::encode(&inputs(), &place());
    let text = String::from_utf8(good.clone()).unwrap();
    let other = |from: &str, to: &str| text.replacen(from, to, 1).into_bytes();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0x20;
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "not a state"),
        (b"{}\n".to_vec(), "not a state"),
        (vec![0xff; 4096], "not a state"),
        (vec![0; 1 << 20], "not a state"),
        (good[..good.len() / 2].to_vec(), "middle"),
        (good[..good.len() - 1].to_vec(), "middle"),
        (text.lines().next().unwrap().as_bytes().to_vec(), "middle"),
        (flipped, "checksum"),
        (other("\"default\"", "\"another\""), "checksum"),
        (other("\"gracetrace_state\":1", "\"gracetrace_state\":2"), "format 2"),
        (file::encode(&inputs(), &Place { boot: "c".to_owned(), ..place() }), "another boot"),
        (file::encode(&inputs(), &Place { root: CgroupId(2), ..place() }), "another cgroup root"),
    ];
    for (bytes, part) in cases {
        let cause = file::decode(&bytes, &place()).unwrap_err().to_string();
        assert!(cause.contains(part), "{cause:?} has no {part:?}");
        let dir = Dir::new();
        dir.put(&bytes);
        assert_eq!(dir.open().load().unwrap(), None);
        assert_eq!(fs::read(dir.path().join("state.jsonl.aside-1")).unwrap(), bytes);
        assert!(!dir.file().exists());
    }
}

#[test]
fn lines_and_fields_of_a_later_agent_are_passed_over() {
    let text = String::from_utf8(file::encode(&inputs(), &place())).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.pop();
    lines[0] = lines[0].replacen('{', "{\"later\":1,", 1);
    lines[1] = lines[1].replacen("{\"uid\"", "{\"later\":{\"x\":[]},\"uid\"", 1);
    lines[2] = lines[2].replacen("\"at\"", "\"later\":null,\"at\"", 1);
    let mut bytes = format!("{}\n", lines.join("\n")).into_bytes();
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    bytes.extend(format!("{{\"crc32\":{}}}\n", crc.sum()).bytes());
    assert_eq!(file::decode(&bytes, &place()).unwrap(), inputs());
}

#[test]
fn only_the_last_few_are_kept() {
    let dir = Dir::new();
    for number in 0..5 {
        dir.put(format!("broken {number}").as_bytes());
        assert_eq!(dir.open().load().unwrap(), None);
    }
    let aside = |number: u32| format!("{FILE}.aside-{number}");
    assert_eq!(dir.names(), [LOCK.to_owned(), aside(1), aside(2), aside(3), NEXT.to_owned()]);
    assert_eq!(fs::read(dir.path().join(aside(1))).unwrap(), b"broken 4", "the newest comes first");
}

#[test]
fn one_agent_at_a_time() {
    let dir = Dir::new();
    let first = dir.open();
    let error = StateDir::open(&dir.path(), place()).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    drop(first);
    dir.open();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = StateDir::open(&file.path().join("state"), place()).unwrap_err().to_string();
    assert!(error.contains(file.path().to_str().unwrap()) && error.contains("--state-dir"), "{error}");
}

#[test]
fn a_disk_that_fails_later_is_counted_and_tried_again() {
    let dir = Dir::new();
    let mut keeper = Keeper::start(dir.open(), clock::timer_now()).unwrap();
    let status = Arc::clone(keeper.status());
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(Instant::now() < deadline, "not in time: {what}");
            std::thread::yield_now();
        }
    };
    let away = dir.temp.path().join("away");
    fs::rename(dir.path(), &away).unwrap();
    keeper.save(Revision::default(), clock::timer_now(), inputs);
    wait("an error", &|| status.errors() == 1);
    assert!(status.is_failing() && status.saved_at().is_none());
    // Nothing has changed since, but nothing is saved either.
    let now = clock::timer_now();
    keeper.observe(Revision::default(), || false, now);
    assert!(keeper.due().is_some_and(|due| due > now));
    fs::rename(&away, dir.path()).unwrap();
    keeper.save(Revision::default(), clock::timer_now(), inputs);
    wait("a save", &|| status.saves() == 1);
    assert!(!status.is_failing() && status.bytes() == fs::metadata(dir.file()).unwrap().len());
    keeper.finish(inputs());
}

#[test]
fn when_it_is_saved() {
    let dir = Dir::new();
    let begin = clock::timer_now();
    let mut keeper = Keeper::start(dir.open(), begin).unwrap();
    let revision = |terminations, containers| Revision { terminations, containers };
    let ms = Duration::from_millis;
    let after = |keeper: &Keeper| keeper.due().map(|due| due - begin);
    keeper.observe(revision(0, 1), || false, begin);
    assert_eq!(after(&keeper), Some(ms(1000)), "containers can wait");
    keeper.observe(revision(1, 1), || true, begin + ms(200));
    assert_eq!(after(&keeper), Some(ms(250)), "terminations can't");
    keeper.observe(revision(2, 1), || true, begin + ms(240));
    assert_eq!(after(&keeper), Some(ms(250)), "and what comes meanwhile does not put it off");
    keeper.finish(inputs());
}

#[test]
fn three_hundred_containers() {
    let dir = Dir::new();
    let run = node(150);
    let begin = Instant::now();
    let inputs = run.save();
    let snapshot = begin.elapsed();
    let bytes = file::encode(&inputs, &place());
    let encoded = begin.elapsed() - snapshot;
    save(dir.open(), inputs.clone());
    let begin = Instant::now();
    assert_eq!(dir.open().load().unwrap(), Some(inputs));
    let loaded = begin.elapsed();
    println!(
        "300 containers, 30 of them ending: snapshot {snapshot:?}, encoded {encoded:?}, {} bytes, loaded {loaded:?}",
        bytes.len()
    );
    assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
}
