use super::*;
use crate::identity::{FoundCgroup, Source, Update};
use crate::model::{BootTime, ContainerId, ContainerSpec, Counters, PodUid, WallTime};

const KUBELET: CgroupId = CgroupId(2);

fn http(port: &str, path: &str) -> LifecycleHandler {
    LifecycleHandler::Http { https: false, host: None, port: port.to_owned(), path: path.to_owned() }
}

fn container_id(number: u64) -> ContainerId {
    ContainerId::new(format!("{number:064x}"))
}

/// A container with a preStop hook, whose cgroup has its number.
fn container(number: u64, hook: LifecycleHandler) -> ContainerSpec {
    ContainerSpec {
        id: Some(container_id(number)),
        pre_stop: Some(hook),
        ..ContainerSpec::new(format!("container-{number}"))
    }
}

fn pod(number: u64, addresses: &[&str], containers: Vec<ContainerSpec>) -> Pod {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let name = format!("web-{number}");
    Pod { addresses, containers, ..Pod::new(PodUid::new(format!("0000-{number}")), "shop", name) }
}

/// An index that knows these pods, and the cgroup of each container.
fn index(pods: &[Pod]) -> Index {
    let mut index = Index::new();
    let mut found =
        vec![FoundCgroup { id: CgroupId(3), parent: CgroupId(1), path: "/kubepods".to_owned(), init: None }];
    for (number, pod) in (1_000_000..).zip(pods) {
        let path = format!("/kubepods/pod{}", pod.uid.as_str());
        found.push(FoundCgroup { id: CgroupId(number), parent: CgroupId(3), path: path.clone(), init: None });
        for container in &pod.containers {
            let id = container.id.as_ref().unwrap().as_str();
            let cgroup = CgroupId(u64::from_str_radix(id, 16).unwrap());
            found.push(FoundCgroup { id: cgroup, parent: CgroupId(number), path: format!("{path}/{id}"), init: None });
        }
    }
    index.handle_update(&Update::Cgroups { root: CgroupId(1), found, complete: true });
    index.handle_update(&Update::Pods { source: Source::File, pods: pods.to_vec() });
    index
}

fn flow(client_port: u16, server: &str) -> Flow {
    Flow { client: ([10, 0, 0, 1], client_port).into(), server: server.parse().unwrap() }
}

impl Index {
    fn asked(&mut self, at: u64, client_port: u16, server: &str, path: &str) -> Option<u64> {
        let request = HookRequest { flow: flow(client_port, server), path: path.to_owned(), truncated: false };
        self.seen(at, Kind::HookRequest(request))
    }

    fn answered(&mut self, client_port: u16, server: &str) -> Option<u64> {
        self.seen(1, Kind::HookResponse { flow: flow(client_port, server), status: 200 })
    }

    fn seen(&mut self, at: u64, kind: Kind) -> Option<u64> {
        let event = Event { at: BootTime(at), cgroup: KUBELET, counters: Counters::default(), kind };
        self.hook_target(&event).map(|cgroup| cgroup.0)
    }
}

#[test]
fn by_address_port_and_path() {
    let mut index = index(&[
        pod(
            1,
            &["10.88.0.5", "fd00::5"],
            vec![container(100, http("8080", "/bye")), container(101, http("81", "/bye"))],
        ),
        pod(2, &["10.88.0.6"], vec![container(200, http("8080", "/bye"))]),
        pod(3, &["10.88.0.7"], vec![container(300, LifecycleHandler::Exec(vec!["sleep".to_owned()]))]),
    ]);
    assert_eq!(index.asked(1, 4000, "10.88.0.5:8080", "/bye"), Some(100));
    assert_eq!(index.asked(1, 4001, "10.88.0.6:8080", "/bye"), Some(200));
    assert_eq!(index.asked(1, 4002, "10.88.0.5:81", "/bye"), Some(101));
    assert_eq!(index.asked(1, 4003, "[fd00::5]:81", "/bye"), Some(101));
    assert_eq!(index.refused().hooks, 0);
    // The answers come in another order, and once.
    assert_eq!(index.answered(4001, "10.88.0.6:8080"), Some(200));
    assert_eq!(index.answered(4000, "10.88.0.5:8080"), Some(100));
    assert_eq!(index.answered(4000, "10.88.0.5:8080"), None);
    for (server, path) in
        [("10.88.0.5:8081", "/bye"), ("10.88.0.5:8080", "/by"), ("10.88.0.9:8080", "/bye"), ("10.88.0.7:8080", "/bye")]
    {
        assert_eq!(index.asked(1, 4004, server, path), None, "{server}{path}");
        assert_eq!(index.answered(4004, server), None);
    }
    assert_eq!(index.refused().hooks, 4);
}

#[test]
fn a_connection_that_is_used_again() {
    let hooks = ContainerSpec { post_start: Some(http("80", "/hello")), ..container(100, http("80", "/bye")) };
    let mut index = index(&[pod(1, &["10.88.0.5"], vec![hooks])]);
    assert_eq!(index.asked(1, 4000, "10.88.0.5:80", "/hello"), Some(100));
    assert_eq!(index.answered(4000, "10.88.0.5:80"), Some(100));
    assert_eq!(index.asked(2, 4000, "10.88.0.5:80", "/bye"), Some(100));
    assert_eq!(index.asked(3, 4000, "10.88.0.5:80", "/other"), None);
    assert_eq!(index.answered(4000, "10.88.0.5:80"), None, "to a request that is nobody's");
}

#[test]
fn pods_without_known_addresses() {
    let mut both =
        [pod(1, &[], vec![container(100, http("80", "/a"))]), pod(2, &[], vec![container(200, http("80", "/b"))])];
    let mut unique = index(&both);
    assert_eq!(unique.asked(1, 4000, "10.88.0.5:80", "/a"), Some(100));
    assert_eq!(unique.asked(1, 4000, "10.88.0.5:80", "/b"), Some(200));
    // Two of a kind cannot be told apart, unless one is being deleted, or has the address.
    both[1].containers[0].pre_stop = Some(http("80", "/a"));
    assert_eq!(index(&both).asked(1, 4000, "10.88.0.5:80", "/a"), None);
    both[1].requested = Some(WallTime(1));
    assert_eq!(index(&both).asked(1, 4000, "10.88.0.5:80", "/a"), Some(200));
    both[0].requested = Some(WallTime(1));
    assert_eq!(index(&both).asked(1, 4000, "10.88.0.5:80", "/a"), None);
    both[0].addresses = vec!["10.88.0.5".parse().unwrap()];
    assert_eq!(index(&both).asked(1, 4000, "10.88.0.5:80", "/a"), Some(100));
    // With another address it is not that one.
    both[0].addresses = vec!["10.88.0.4".parse().unwrap()];
    assert_eq!(index(&both).asked(1, 4000, "10.88.0.5:80", "/a"), Some(200));
}

#[test]
fn pods_in_the_hosts_network_share_its_address() {
    let on_host = |number, port: &str| Pod {
        host_network: true,
        ..pod(number, &["192.168.0.10"], vec![container(number * 100, http(port, "/bye"))])
    };
    let mut index = index(&[on_host(1, "9001"), on_host(2, "9002")]);
    assert_eq!(index.asked(1, 4000, "192.168.0.10:9002", "/bye"), Some(200));
    assert_eq!(index.asked(1, 4000, "192.168.0.10:9001", "/bye"), Some(100));
}

#[test]
fn a_host_of_the_specs_own() {
    let to = |host: &str| LifecycleHandler::Http {
        https: false,
        host: Some(host.to_owned()),
        port: "80".to_owned(),
        path: "/bye".to_owned(),
    };
    let ask = |host: &str, server: &str| {
        index(&[pod(1, &["10.88.0.5"], vec![container(100, to(host))])]).asked(1, 4000, server, "/bye")
    };
    assert_eq!(ask("127.0.0.1", "127.0.0.1:80"), Some(100));
    assert_eq!(ask("[::1]", "[::1]:80"), Some(100));
    assert_eq!(ask("127.0.0.1", "10.88.0.5:80"), None);
    assert_eq!(ask("registry.example", "10.1.2.3:80"), Some(100), "a name may be anywhere");
    assert_eq!(ask("", "10.88.0.5:80"), Some(100));
    let secret = LifecycleHandler::Http { https: true, host: None, port: "80".to_owned(), path: "/bye".to_owned() };
    let mut index = index(&[pod(1, &["10.88.0.5"], vec![container(100, secret)])]);
    assert_eq!(index.asked(1, 4000, "10.88.0.5:80", "/bye"), None, "that would not be in the clear");
}

#[test]
fn containers_that_share_a_hook_take_turns() {
    let containers = vec![container(100, http("80", "/bye")), container(101, http("80", "/bye"))];
    let mut index = index(&[pod(1, &["10.88.0.5"], containers)]);
    assert_eq!(index.asked(1, 4000, "10.88.0.5:80", "/bye"), Some(100));
    assert_eq!(index.asked(2, 4001, "10.88.0.5:80", "/bye"), Some(101));
    assert_eq!(index.answered(4000, "10.88.0.5:80"), Some(100));
    assert_eq!(index.answered(4001, "10.88.0.5:80"), Some(101));
    // One that is gone gets none.
    let removed =
        Event { at: BootTime(3), cgroup: CgroupId(100), counters: Counters::default(), kind: Kind::CgroupRemoved };
    index.handle_event(&removed);
    assert_eq!(index.asked(4, 4000, "10.88.0.5:80", "/bye"), Some(101));
}

fn asks(request: &str, path: &str) -> bool {
    asks_for(&HookRequest { flow: flow(4000, "10.0.0.2:80"), path: request.to_owned(), truncated: false }, path)
}

#[test]
fn paths() {
    assert!(asks("/prestop?sleep=2", "/prestop?sleep=2"));
    assert!(asks("/prestop", "prestop"), "the kubelet adds the slash");
    assert!(asks("/", ""));
    assert!(asks("/a%20b", "/a b") && asks("/a%20b", "/a%20b") && asks("/%C3%A4", "/ä"));
    assert!(asks("/a", "/a#b") && asks("/a%23b", "/a#b"), "a fragment, or a path that is no URL");
    assert!(!asks("/prestop", "/prestop?sleep=2"));
    assert!(!asks("/prestop/", "/prestop"));
    assert!(!asks("//prestop", "/prestop"));
    assert!(!asks("*", "/"));
    assert_eq!(unescape("%4"), b"%4");
    assert_eq!(unescape("%zz%41%"), b"%zzA%");
}

#[test]
fn a_path_that_was_cut() {
    let path = format!("/{}%2Fend", "x".repeat(240));
    let request =
        |cut: usize| HookRequest { flow: flow(4000, "10.0.0.2:80"), path: path[..cut].to_owned(), truncated: true };
    for cut in 2..path.len() {
        assert!(asks_for(&request(cut), &path), "{cut}");
    }
    assert!(!asks_for(&request(200), &format!("/y{path}")));
}

#[test]
fn flows_are_bounded() {
    let mut flows = Flows::default();
    let flow = |port: u16| flow(port, "10.0.0.2:80");
    for port in 0..3000 {
        flows.set(flow(port), Some(CgroupId(u64::from(port))));
        flows.set(flow(2999), Some(CgroupId(1)));
    }
    assert_eq!((flows.cgroups.len(), flows.order.len()), (MAX_FLOWS, MAX_FLOWS));
    assert_eq!(flows.take(&flow(0)), None);
    assert_eq!(flows.take(&flow(2998)), Some(CgroupId(2998)));
    assert_eq!(flows.take(&flow(2998)), None);
    flows.set(flow(2999), None);
    assert_eq!(flows.take(&flow(2999)), None);
    assert_eq!(flows.cgroups.len(), flows.order.len());
}
