use proptest::prelude::*;

use super::*;
use crate::identity::Source;
use crate::model::{Argv, BootTime, Counters, Exec, LifecycleHandler, Reason, WallTime, Workload};

const UID: &str = "8c577ce9-7ba8-49d7-bb86-02e0dd29498b";
const KUBEPODS: CgroupId = CgroupId(10);
const POD: CgroupId = CgroupId(20);

fn container_id(number: u64) -> ContainerId {
    ContainerId::new(format!("{number:064x}"))
}

fn pod_path() -> String {
    format!("/kubepods/pod{UID}")
}

fn container_path(number: u64) -> String {
    format!("{}/{number:064x}", pod_path())
}

fn spec(name: &str, id: Option<u64>, role: Role) -> ContainerSpec {
    ContainerSpec { id: id.map(container_id), image: "image:1".into(), role, ..ContainerSpec::new(name) }
}

fn pod(containers: Vec<ContainerSpec>) -> Pod {
    Pod {
        workload: Workload { kind: "Deployment".into(), name: "web".into() },
        grace_period: Some(std::time::Duration::from_secs(30)),
        containers,
        ..Pod::new(PodUid::new(UID), "shop", "web-1")
    }
}

fn deleted(containers: Vec<ContainerSpec>, requested: i64, grace: u64) -> Pod {
    Pod {
        requested: Some(WallTime(requested)),
        grace_period: Some(std::time::Duration::from_secs(grace)),
        ..pod(containers)
    }
}

/// An index with steps that return what they changed.
#[derive(Default)]
struct Steps(Index);

impl Steps {
    /// With the root of pods and one pod's cgroup.
    fn with_pod() -> Steps {
        let mut steps = Steps::default();
        steps.walk(&[(KUBEPODS, CgroupId(1), "/kubepods"), (POD, KUBEPODS, &pod_path())]);
        steps
    }

    fn changes(&mut self) -> Vec<Change> {
        std::iter::from_fn(|| self.0.poll_change()).collect()
    }

    fn event(&mut self, cgroup: CgroupId, kind: Kind) -> Vec<Change> {
        self.0.handle_event(&Event { at: BootTime(1), cgroup, counters: Counters::default(), kind });
        self.changes()
    }

    fn made(&mut self, id: u64, parent: CgroupId, path: &str) -> Vec<Change> {
        let kind = Kind::CgroupCreated { parent, path: path.to_owned(), truncated: false };
        self.event(CgroupId(id), kind)
    }

    fn removed(&mut self, id: u64) -> Vec<Change> {
        self.event(CgroupId(id), Kind::CgroupRemoved)
    }

    fn init(&mut self, id: u64, comm: &str) -> Vec<Change> {
        let exec = Exec {
            pid: Pid(500),
            parent: Pid(400),
            init: true,
            entered: true,
            comm: Comm::new(comm.as_bytes()),
            filename: String::new(),
            argv: Argv::default(),
        };
        self.event(CgroupId(id), Kind::Exec(exec))
    }

    fn finished(&mut self, id: u64) -> Vec<Change> {
        self.0.handle_finished(CgroupId(id));
        self.changes()
    }

    fn pods(&mut self, pods: Vec<Pod>) -> Vec<Change> {
        self.0.handle_update(&Update::Pods { source: Source::File, pods });
        self.changes()
    }

    fn walk_from(&mut self, root: u64, complete: bool, found: &[(CgroupId, CgroupId, &str)]) -> Vec<Change> {
        let found = found
            .iter()
            .map(|(id, parent, path)| FoundCgroup { id: *id, parent: *parent, path: (*path).to_owned(), init: None })
            .collect();
        self.0.handle_update(&Update::Cgroups { root: CgroupId(root), found, complete });
        self.changes()
    }

    fn walk(&mut self, found: &[(CgroupId, CgroupId, &str)]) -> Vec<Change> {
        self.walk_from(1, true, found)
    }

    fn container(&self, id: u64) -> &ContainerIdentity {
        self.0.container(CgroupId(id)).unwrap()
    }
}

fn track(id: u64, owner: u64, kind: CgroupKind) -> Change {
    Change::Track { cgroup: CgroupId(id), owner: CgroupId(owner), kind, init: None }
}

fn untrack(id: u64) -> Change {
    Change::Untrack { cgroup: CgroupId(id) }
}

fn names(changes: &[Change]) -> Vec<(Option<&str>, Role)> {
    fn name(change: &Change) -> (Option<&str>, Role) {
        match change {
            Change::Container(identity) => (identity.spec().map(|spec| &*spec.name), identity.role),
            other => panic!("{other:?}"),
        }
    }
    changes.iter().map(name).collect()
}

#[test]
fn pods_with_containers_are_what_outlives_a_restart() {
    let mut index = Index::new();
    let spec = |name: &str, id: &str| ContainerSpec { id: Some(ContainerId::new(id)), ..ContainerSpec::new(name) };
    let pods = |containers: Vec<ContainerSpec>| Update::Pods {
        source: Source::File,
        pods: vec![
            Pod { containers, ..Pod::new(PodUid::new(UID), "default", "web") },
            Pod::new(PodUid::new("00000000-0000-4000-8000-00000000000f"), "default", "elsewhere"),
        ],
    };
    let old = "a".repeat(64);
    index.handle_update(&pods(vec![spec("app", &old)]));
    index.add_container(CgroupId(7), PodUid::new(UID), ContainerId::new(old.as_str()), None, Seen::Made);
    // The pod has a newer instance by now; the cgroup of the old one is still there.
    index.handle_update(&pods(vec![spec("app", &"b".repeat(64))]));
    let attached = index.attached_pods();
    assert_eq!(attached.len(), 1, "{attached:#?}");
    let ids: Vec<_> = attached[0].containers.iter().filter_map(|it| it.id.clone()).collect();
    assert_eq!(ids, [ContainerId::new("b".repeat(64)), ContainerId::new(old)]);
    // Taken up again, both are known by name.
    let mut again = Index::new();
    again.handle_update(&Update::Pods { source: Source::State, pods: attached.clone() });
    again.add_container(CgroupId(7), PodUid::new(UID), ContainerId::new("a".repeat(64)), None, Seen::Walked);
    again.handle_update(&Update::Pods { source: Source::State, pods: Vec::new() });
    assert_eq!(again.container(CgroupId(7)).and_then(|it| it.spec()).map(|it| it.name.to_string()), Some("app".into()));
    assert_eq!(again.attached_pods(), attached, "nothing is lost by another restart");
}

#[test]
fn a_container_comes_gets_its_pod_and_goes() {
    let mut steps = Steps::with_pod();
    let changes = steps.made(30, POD, &container_path(1));
    assert_eq!(changes[0], track(30, 30, CgroupKind::Container));
    assert_eq!(names(&changes[1..]), [(None, Role::App)]);
    assert_eq!((&steps.container(30).pod_uid, &steps.container(30).id), (&PodUid::new(UID), &container_id(1)));
    assert!(!steps.container(30).older_than_agent);

    let listed = vec![pod(vec![spec("mesh", Some(1), Role::Sidecar)])];
    assert_eq!(names(&steps.pods(listed.clone())), [(Some("mesh"), Role::Sidecar)]);
    assert_eq!(steps.pods(listed), [], "nothing new");

    assert_eq!(steps.pods(vec![]), [], "the pod stays while its container does");
    assert!(steps.container(30).pod.is_some());
    assert_eq!(steps.removed(30), [], "not before it is reported");
    assert_eq!(steps.finished(30), [untrack(30)]);
    assert_eq!((steps.0.containers(), steps.0.pods()), (0, 0));
    assert_eq!(steps.finished(30), []);
}

#[test]
fn finished_before_removed() {
    let mut steps = Steps::with_pod();
    steps.pods(vec![pod(vec![])]);
    steps.made(30, POD, &container_path(1));
    assert_eq!(steps.finished(30), []);
    assert_eq!(steps.removed(30), [untrack(30)]);
    assert_eq!(steps.0.pods(), 1, "a source lists it");
    assert_eq!(steps.removed(20), [untrack(20)]);
}

#[test]
fn what_a_walk_finds() {
    let mut steps = Steps::default();
    let qos = "/x.slice/kubepods/burstable";
    let container = format!("{qos}/pod{UID}/{:064x}", 1);
    let found = FoundCgroup { id: CgroupId(4), parent: CgroupId(3), path: container.clone(), init: None };
    let init = Some(InitProcess { pid: Pid(77), comm: Comm::new(b"pause") });
    let with = |id, parent, path: String| FoundCgroup { id: CgroupId(id), parent: CgroupId(parent), path, init: None };
    let found = vec![
        with(1, 99, "/x.slice/kubepods".into()),
        with(2, 1, qos.into()),
        with(3, 2, format!("{qos}/pod{UID}")),
        FoundCgroup { init, ..found },
        with(5, 4, format!("{container}/kubepods")),
        with(6, 5, format!("{container}/kubepods/pod{UID}")),
        with(7, 6, format!("{container}/kubepods/pod{UID}/{:064x}", 9)),
        with(8, 3, format!("{qos}/pod{UID}/crio-conmon-{:064x}.scope", 1)),
    ];
    steps.0.handle_update(&Update::Cgroups { root: CgroupId(50), found, complete: true });
    let mut changes = steps.changes();
    assert_eq!(names(&[changes.remove(4)]), [(None, Role::Sandbox)]);
    let init = Some(Pid(77));
    let of = |id| Change::Track { cgroup: CgroupId(id), owner: CgroupId(id), kind: CgroupKind::Container, init };
    assert_eq!(
        changes,
        [
            track(1, 1, CgroupKind::Ancestor),
            track(2, 2, CgroupKind::Ancestor),
            track(3, 3, CgroupKind::Ancestor),
            of(4),
            track(5, 4, CgroupKind::Nested),
            track(6, 4, CgroupKind::Nested),
            track(7, 4, CgroupKind::Nested),
            track(8, 8, CgroupKind::Ancestor),
        ],
        "a node inside a container is the container's"
    );
    assert!(steps.container(4).older_than_agent);
    assert_eq!(steps.removed(7), [untrack(7)], "a nested one goes at once");
    steps.finished(4);
    assert_eq!(steps.removed(4), [untrack(5), untrack(6), untrack(4)]);
}

#[test]
fn an_event_after_the_walk_that_found_it() {
    let mut steps = Steps::with_pod();
    steps.walk(&[
        (KUBEPODS, CgroupId(1), "/kubepods"),
        (POD, KUBEPODS, &pod_path()),
        (CgroupId(30), POD, &container_path(1)),
    ]);
    assert!(steps.container(30).older_than_agent);
    assert_eq!(names(&steps.made(30, POD, &container_path(1))), [(None, Role::App)]);
    assert!(!steps.container(30).older_than_agent, "the kernel side had it from the start");
}

#[test]
fn a_number_that_comes_back_is_another_cgroup() {
    let mut steps = Steps::with_pod();
    steps.made(30, POD, &container_path(1));
    let changes = steps.made(30, POD, &container_path(2));
    assert_eq!(changes[..2], [untrack(30), track(30, 30, CgroupKind::Container)]);
    assert_eq!(steps.container(30).id, container_id(2));
    // Also when the old one's end was not reported yet.
    steps.removed(30);
    steps.made(30, POD, &container_path(3));
    assert_eq!(steps.container(30).id, container_id(3));
    assert_eq!(steps.0.containers(), 1);
}

#[test]
fn new_roots_of_pods() {
    let root = track(40, 40, CgroupKind::Ancestor);
    let mut steps = Steps::default();
    assert_eq!(steps.made(40, CgroupId(7), "/a.slice/kubepods"), [Change::Rescan], "where to look is not known yet");
    steps.walk(&[]);
    let changes = steps.made(40, CgroupId(7), "/a.slice/kubepods");
    assert_eq!(changes, [root.clone(), Change::Rescan], "all of the hierarchy is ours");
    let mut steps = Steps::default();
    steps.walk_from(7, true, &[]);
    assert_eq!(steps.made(40, CgroupId(7), "/a.slice/kubepods"), [root, Change::Rescan]);
    assert_eq!(steps.made(41, CgroupId(8), "/b.slice/kubepods"), [Change::Rescan], "maybe not ours: the walk tells");
    assert_eq!(steps.made(42, CgroupId(8), "/system.slice/x"), []);
}

#[test]
fn cut_paths_and_lost_records_ask_for_a_walk() {
    let mut steps = Steps::with_pod();
    let cut = |parent| Kind::CgroupCreated { parent, path: "/kubepods/po".into(), truncated: true };
    assert_eq!(steps.event(CgroupId(30), cut(POD)), [Change::Rescan]);
    steps.made(31, POD, &container_path(1));
    let nested = steps.event(CgroupId(32), cut(CgroupId(31)));
    assert_eq!(nested, [track(32, 31, CgroupKind::Nested)], "inside a container the path does not matter");
    assert_eq!(steps.event(CgroupId(31), Kind::Lost), [Change::Rescan]);
    assert_eq!(steps.init(99, "nginx"), [Change::Rescan], "an init of a container that is not known");
    let orphan = steps.made(33, CgroupId(98), &container_path(2));
    assert_eq!((&orphan[0], orphan.last()), (&track(33, 33, CgroupKind::Container), Some(&Change::Rescan)));
    assert_eq!(steps.removed(97), [untrack(97)], "the kernel side tracked it of its own accord");
}

#[test]
fn what_two_walks_do_not_find_is_gone() {
    let mut steps = Steps::with_pod();
    steps.made(30, POD, &container_path(1));
    let left: &[(CgroupId, CgroupId, &str)] = &[(KUBEPODS, CgroupId(1), "/kubepods")];
    assert_eq!(steps.walk_from(1, false, left), [], "the walk did not see all");
    assert_eq!(steps.walk(left), [Change::Rescan], "it may have been made behind the walk");
    assert_eq!(steps.walk(left), [untrack(20), Change::Gone { cgroup: CgroupId(30) }]);
    assert_eq!(steps.walk(left), []);
    assert_eq!(steps.finished(30), [untrack(30)]);
    let stale = [left[0], (POD, KUBEPODS, &pod_path()), (CgroupId(30), POD, &container_path(1))];
    assert_eq!(steps.walk(&stale), [], "a walk that began before does not bring it back");
}

#[test]
fn a_sandbox_shows_by_its_init() {
    let mut steps = Steps::with_pod();
    steps.pods(vec![pod(vec![spec("app", Some(2), Role::App)])]);
    steps.made(30, POD, &container_path(1));
    assert_eq!(steps.init(30, "runc:[2:INIT]"), []);
    assert_eq!(names(&steps.init(30, "pause")), [(None, Role::Sandbox)]);
    assert_eq!(steps.init(30, "runc:[2:INIT]"), [], "stays one");
    steps.made(31, POD, &container_path(2));
    assert_eq!(steps.init(31, "pause"), [], "a listed container may be called so");
    assert_eq!(steps.container(31).role, Role::App);
}

#[test]
fn a_restarted_container_keeps_what_it_was() {
    let mut steps = Steps::with_pod();
    steps.made(30, POD, &container_path(1));
    let mut first = spec("app", Some(1), Role::App);
    first.pre_stop = Some(LifecycleHandler::Tcp);
    steps.pods(vec![pod(vec![spec("mesh", Some(9), Role::Sidecar), first.clone()])]);
    let second = spec("app", Some(2), Role::App);
    let updated = vec![spec("mesh", Some(9), Role::Sidecar), second.clone()];
    assert_eq!(steps.pods(vec![pod(updated.clone())]), [], "all that is new is of another instance");
    steps.made(31, POD, &container_path(2));
    assert_eq!(steps.container(30).spec(), Some(&first));
    assert_eq!(steps.container(31).spec(), Some(&second));
    // The pod's own news reach the old instance still.
    assert_eq!(steps.pods(vec![deleted(updated, 5, 30)]).len(), 2);
    let old = steps.container(30);
    assert_eq!(old.spec(), Some(&first));
    assert_eq!(old.pod.as_ref().unwrap().requested, Some(WallTime(5)));
    assert_eq!(old.pod.as_ref().unwrap().containers.len(), 2);
}

#[test]
fn the_first_deletion_counts() {
    let mut steps = Steps::with_pod();
    steps.made(30, POD, &container_path(1));
    let app = || vec![spec("app", Some(1), Role::App)];
    let now = |steps: &Steps| {
        let pod = steps.container(30).pod.clone().unwrap();
        (pod.requested.map(|at| at.0), pod.grace_period.unwrap().as_secs())
    };
    steps.pods(vec![pod(app())]);
    assert_eq!(now(&steps), (None, 30));
    steps.pods(vec![deleted(app(), 100, 20)]);
    assert_eq!(now(&steps), (Some(100), 20));
    assert_eq!(steps.pods(vec![deleted(app(), 130, 25)]), [], "rewritten");
    assert_eq!(steps.pods(vec![pod(app())]), [], "or taken back, as the reader does with the kubelet's last write");
    steps.pods(vec![deleted(app(), 120, 1)]);
    assert_eq!(now(&steps), (Some(100), 1), "a force delete after it shortens the grace");
    steps.pods(vec![]);
    assert_eq!(now(&steps), (Some(100), 1));
    steps.pods(vec![deleted(app(), 130, 20)]);
    assert_eq!(now(&steps), (Some(100), 1));
}

#[test]
fn limits_are_kept_and_counted() {
    let mut steps = Steps::with_pod();
    steps.made(30, POD, &container_path(1));
    for id in 0..2 * MAX_NESTED as u64 {
        steps.made(1000 + id, CgroupId(30), "/any");
    }
    assert_eq!(steps.0.cgroups.len(), 3 + MAX_NESTED);
    assert_eq!(steps.0.refused().cgroups, MAX_NESTED as u64);
    assert_eq!(steps.made(31, POD, &container_path(2)).len(), 2, "others still have room");

    let many = (0..MAX_PODS + 7).map(|number| Pod { uid: PodUid::new(number.to_string()), ..pod(vec![]) }).collect();
    steps.pods(many);
    assert_eq!(steps.0.refused().pods, 8, "one has a container already");
    steps.pods(vec![]);
    assert_eq!(steps.0.pods(), 0);

    for id in 0..MAX_CGROUPS as u64 + 100 {
        steps.made(100_000 + id, POD, &container_path(100 + id));
        steps.removed(100_000 + id);
    }
    assert!(steps.0.containers() <= MAX_CGROUPS, "never reported, but bounded");
}

#[test]
fn recent_is_bounded() {
    let mut recent = Recent::default();
    for id in 0..10_000 {
        recent.insert(CgroupId(id));
    }
    assert!(!recent.contains(CgroupId(0)) && recent.contains(CgroupId(9_999)));
    recent.remove(CgroupId(9_999));
    assert!(!recent.contains(CgroupId(9_999)));
}

proptest! {
    /// Any order of anything: no panic, each cgroup tracked at most once at a time, an end leaves nothing.
    #[test]
    fn survives_anything(inputs in prop::collection::vec((0..8_u8, 1..12_u64, 1..12_u64, 0..6_usize), 0..200)) {
        let paths = ["/kubepods", &pod_path(), &container_path(1), &container_path(2), "/x", &(container_path(1) + "/in")];
        let mut steps = Steps::default();
        let mut tracked = BTreeSet::new();
        for (what, id, other, path) in inputs {
            let found: Vec<_> = (other..other + 3).map(|n| (CgroupId(n), CgroupId(id), paths[path])).collect();
            let pods = vec![deleted(vec![spec("app", Some(other), Role::App)], 1, other)];
            let changes = match what {
                0 | 1 => steps.made(id, CgroupId(other), paths[path]),
                2 => steps.removed(id),
                3 => steps.finished(id),
                4 => steps.pods(if other > 6 { vec![] } else { pods }),
                5 => steps.walk(&found),
                6 => steps.init(id, if other > 6 { "pause" } else { "app" }),
                _ => steps.event(CgroupId(id), Kind::Lost),
            };
            for change in changes {
                match change {
                    Change::Track { cgroup, .. } => prop_assert!(tracked.insert(cgroup), "{cgroup} twice"),
                    Change::Untrack { cgroup } => { tracked.remove(&cgroup); }
                    _ => {}
                }
            }
            let known: BTreeSet<CgroupId> = steps.0.cgroups.keys().chain(steps.0.containers.keys()).copied().collect();
            prop_assert_eq!(&tracked, &known);
        }
        for id in 1..20 {
            steps.removed(id);
            steps.finished(id);
        }
        steps.pods(vec![]);
        prop_assert_eq!((steps.0.cgroups.len(), steps.0.containers(), steps.0.pods()), (0, 0, 0));
        prop_assert!(steps.0.pods.is_empty());
    }
}

#[test]
fn a_failed_probe_explains_one_end() {
    let mut steps = Steps::with_pod();
    steps.made(30, POD, &container_path(1));
    steps.made(31, POD, &container_path(2));
    steps.pods(vec![pod(vec![spec("app", Some(1), Role::App), spec("web", Some(2), Role::App)])]);
    let reason = |steps: &Steps| steps.container(31).pod.as_ref().unwrap().reason;
    steps.0.handle_update(&Update::Explained { uid: PodUid::new(UID), reason: Reason::ProbeFailure });
    assert_eq!(reason(&steps), Some(Reason::ProbeFailure));
    steps.0.handle_finished(CgroupId(30));
    assert_eq!(reason(&steps), None, "the next end has a reason of its own");
}
