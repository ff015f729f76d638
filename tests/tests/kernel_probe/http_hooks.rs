//! Requests of httpGet hooks and their responses, seen on the kubelet's cgroup.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use gracetrace::model::{CgroupId, Flow, HookRequest, Kind};
use gracetrace::probe::{Hook, Options};

use crate::container::Cgroup;
use crate::kubelet::{Kubelet, LIFECYCLE, PROBE};
use crate::watch::Watch;

const V4: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Watch {
    /// Watches a cgroup as the kubelet's.
    fn attach(&mut self, cgroup: &Cgroup) {
        self.probe.attach_to_kubelet(Ok(&[cgroup.path().to_owned()]));
        self.assert_attached(None);
    }

    fn assert_attached(&self, missing: Option<&str>) {
        for status in self.probe.hooks().iter().filter(|status| status.hook.sees_packets()) {
            assert_eq!(status.missing.as_deref(), missing, "{}", status.hook.name());
        }
    }

    /// Waits for a request over this connection and takes everything about it out of what was received.
    async fn request(&mut self, flow: Flow, path: &str) -> HookRequest {
        let request = self
            .until("a request", |event| match &event.kind {
                Kind::HookRequest(request) if request.flow == flow && request.path == path => Some(request.clone()),
                _ => None,
            })
            .await;
        assert!(!request.truncated);
        request
    }

    /// What was told of hooks so far, the oldest first: paths and statuses.
    fn told(&self) -> Vec<String> {
        let told = self.events.iter().filter_map(|event| match &event.kind {
            Kind::HookRequest(request) => Some(request.path.clone()),
            Kind::HookResponse { status, .. } => Some(status.to_string()),
            _ => None,
        });
        told.collect()
    }

    async fn response(&mut self, flow: Flow, status: u16) {
        self.until("a response", |event| (event.kind == Kind::HookResponse { flow, status }).then_some(())).await;
    }

    /// Sends one more hook and takes its answer: everything from before has been told when this is. Returns all that
    /// was told before it.
    async fn told_before(&mut self, kubelet: &Cgroup) -> Vec<String> {
        let mut last = Kubelet::connect(kubelet, V4.into());
        last.get("/last", LIFECYCLE);
        last.answer(b"HTTP/1.1 299 Last\r\n\r\n");
        self.response(last.flow, 299).await;
        let mut told = self.told();
        assert_eq!(told.split_off(told.len() - 2), ["/last", "299"]);
        told
    }
}

async fn a_hook_is_seen(address: SocketAddr) {
    let slice = Cgroup::slice("hook");
    let mut watch = Watch::new();
    watch.attach(&slice);
    let before = gracetrace::clock::boot_now();
    let mut kubelet = Kubelet::connect(&slice, address);
    kubelet.get("/prestop?sleep=2", LIFECYCLE);
    watch.request(kubelet.flow, "/prestop?sleep=2").await;
    kubelet.answer(OK);
    watch.response(kubelet.flow, 200).await;
    let after = gracetrace::clock::boot_now();
    let id = slice.id();
    assert!(watch.events.iter().all(|event| event.cgroup == id && before < event.at && event.at < after));
    assert!(watch.events.is_sorted_by_key(|event| event.at));
    assert_eq!(watch.told(), ["/prestop?sleep=2", "200"]);
    assert_eq!(watch.losses().drops.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn over_ipv4() {
    a_hook_is_seen(V4.into()).await;
}

#[tokio::test]
async fn over_ipv6() {
    a_hook_is_seen((Ipv6Addr::LOCALHOST, 0).into()).await;
}

#[tokio::test]
async fn ipv4_over_an_ipv6_socket() {
    a_hook_is_seen((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0).into()).await;
}

#[tokio::test]
async fn post_start_and_pre_stop_over_one_connection() {
    let slice = Cgroup::slice("reuse");
    let mut watch = Watch::new();
    watch.attach(&slice);
    let mut kubelet = Kubelet::connect(&slice, V4.into());
    kubelet.get("/poststart", LIFECYCLE);
    kubelet.answer(OK);
    kubelet.get("/prestop?sleep=2", LIFECYCLE);
    kubelet.answer(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    kubelet.get("/prestop?sleep=2", LIFECYCLE);
    kubelet.answer(b"HTTP/1.0 404 Not Found\r\n\r\n");
    watch.response(kubelet.flow, 404).await;
    assert_eq!(watch.told(), ["/poststart", "200", "/prestop?sleep=2", "500", "/prestop?sleep=2", "404"]);
}

#[tokio::test]
async fn many_connections_at_once() {
    let slice = Cgroup::slice("many");
    let mut watch = Watch::new();
    watch.attach(&slice);
    let mut kubelets: Vec<Kubelet> = (0..20).map(|_| Kubelet::connect(&slice, V4.into())).collect();
    for kubelet in &mut kubelets {
        kubelet.get("/prestop", LIFECYCLE);
    }
    for (kubelet, status) in kubelets.iter_mut().zip(200..220).rev() {
        kubelet.answer(format!("HTTP/1.1 {status} X\r\n\r\n").as_bytes());
    }
    for (kubelet, status) in kubelets.iter().zip(200..220) {
        watch.request(kubelet.flow, "/prestop").await;
        watch.response(kubelet.flow, status).await;
    }
    assert_eq!(watch.told().len(), 40);
}

#[tokio::test]
async fn all_else_is_left_alone() {
    let slice = Cgroup::slice("else");
    let mut watch = Watch::new();
    watch.attach(&slice);
    let mut kubelet = Kubelet::connect(&slice, V4.into());
    kubelet.get("/healthz", PROBE);
    kubelet.answer(OK);
    kubelet.send(b"POST /prestop HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-lifecycle/1.36\r\nContent-Length: 0\r\n\r\n");
    kubelet.answer(OK);
    // The name of a probe comes first, or the header is only mentioned.
    kubelet.get("/", &format!("User-Agent: curl/8\r\nX: {LIFECYCLE}"));
    kubelet.answer(OK);
    kubelet.get("/", "X: User-Agent: kube-lifecycle/1.36\r\nAccept: */*\r\n\r\n");
    kubelet.answer(OK);
    kubelet.get("/User-Agent:%20kube-lifecycle/1.36", PROBE);
    kubelet.answer(OK);
    kubelet.get("/", "User-Agent: kube-lifecyclf/1.36\r\n\r\n");
    kubelet.answer(OK);
    kubelet.send(&[0x16; 400]);
    kubelet.answer(&[0x17; 400]);
    assert_eq!(watch.told_before(&slice).await, [""; 0]);
}

#[tokio::test]
async fn a_bulk_transfer_arrives_whole() {
    let slice = Cgroup::slice("bulk");
    let mut watch = Watch::with(&Options { stats: true, ..Options::default() });
    watch.attach(&slice);
    let bytes: Vec<u8> = (0..16 << 20_u32).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for address in [V4.into(), (Ipv6Addr::LOCALHOST, 0).into()] {
        let mut kubelet = Kubelet::connect(&slice, address);
        // A hook is waiting for its response on that connection, which is when the most is looked at.
        kubelet.get("/prestop", LIFECYCLE);
        kubelet.send_bulk(&bytes);
        kubelet.answer_bulk(&bytes);
    }
    assert_eq!(watch.told_before(&slice).await, ["/prestop"; 2]);
    for usage in watch.probe.hook_usage().iter().filter(|usage| usage.hook.sees_packets()) {
        assert!(usage.runs > 100, "{usage:?}");
    }
}

#[tokio::test]
async fn long_paths() {
    let slice = Cgroup::slice("long");
    let mut watch = Watch::new();
    watch.attach(&slice);
    for address in [V4.into(), (Ipv6Addr::LOCALHOST, 0).into()] {
        let mut kubelet = Kubelet::connect(&slice, address);
        let path = |len: usize| format!("/{}", "x".repeat(len - 1));
        // Up to where the header is not seen any more: around every edge of what is copied and searched.
        for len in [1, 2, 20, 63, 64, 65, 200, 240, 250, 251, 252, 253, 254, 400, 440, 470, 500, 512, 600, 1200] {
            watch.events.clear();
            kubelet.get(&path(len), LIFECYCLE);
            kubelet.answer(OK);
            let told = watch.told_before(&slice).await;
            match told.as_slice() {
                [seen, status] => {
                    assert_eq!(status, "200");
                    let truncated = watch.events.iter().find_map(|event| match &event.kind {
                        Kind::HookRequest(request) => Some(request.truncated),
                        _ => None,
                    });
                    let kept = len.min(252);
                    assert_eq!((seen, truncated), (&path(kept), Some(len >= 252)), "{len}");
                    assert!(len < 480, "{len}");
                }
                [] => assert!(len > 400, "{len}"),
                told => panic!("{len}: {told:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_request_in_pieces_is_never_taken_for_another() {
    let slice = Cgroup::slice("pieces");
    let mut watch = Watch::new();
    watch.attach(&slice);
    let whole = format!("GET /prestop HTTP/1.1\r\nHost: 10.88.0.18:8080\r\n{LIFECYCLE}");
    for cut in 1..whole.len() {
        watch.events.clear();
        let mut kubelet = Kubelet::connect(&slice, V4.into());
        kubelet.send(&whole.as_bytes()[..cut]);
        kubelet.send(&whole.as_bytes()[cut..]);
        kubelet.answer(OK);
        let told = watch.told_before(&slice).await;
        // Seen when all that tells it from others is in the first piece; its response then comes to it.
        let needed = whole.find("lifecycle/").unwrap() + "lifecycle/".len();
        let expected: &[&str] = if cut >= needed { &["/prestop", "200"] } else { &[] };
        assert_eq!(told, expected, "{cut}");
    }
}

#[tokio::test]
async fn only_the_response_is_taken_for_it() {
    let slice = Cgroup::slice("response");
    let mut watch = Watch::new();
    watch.attach(&slice);
    let told = async |watch: &mut Watch, answers: &[&[u8]]| {
        watch.events.clear();
        let mut kubelet = Kubelet::connect(&slice, V4.into());
        kubelet.get("/a", LIFECYCLE);
        for answer in answers {
            kubelet.answer(answer);
        }
        watch.told_before(&slice).await.split_off(1)
    };
    assert_eq!(told(&mut watch, &[]).await, [""; 0], "none at all");
    assert_eq!(told(&mut watch, &[OK, b"HTTP/1.1 500 Later\r\n\r\n"]).await, ["200"], "not the body");
    assert_eq!(told(&mut watch, &[b"HTT", b"HTTP/1.1 500 Body\r\n\r\n"]).await, [""; 0], "in pieces");
    assert_eq!(told(&mut watch, &[b"HTTP/1.1 100 Continue\r\n\r\n", OK]).await, ["200"], "after an interim one");
    assert_eq!(
        told(&mut watch, &[b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"]).await,
        ["204"]
    );
    assert_eq!(told(&mut watch, &[b"HTTP/1.1 101 Switching Protocols\r\n\r\n"]).await, ["101"]);
    for odd in ["HTTP/2.0 200", "HTTP/1.1  200", "HTTP/1.1 099 X", "HTTP/1.1 2x0 X", "http/1.1 200 OK", "HTTP/1.1 20"] {
        assert_eq!(told(&mut watch, &[odd.as_bytes()]).await, [""; 0], "{odd}");
    }
    assert_eq!(told(&mut watch, &[b"HTTP/1.1 200"]).await, ["200"], "as short as can be");
}

#[tokio::test]
async fn requests_one_right_after_the_other() {
    let slice = Cgroup::slice("pipelined");
    let mut watch = Watch::new();
    watch.attach(&slice);
    let mut kubelet = Kubelet::connect(&slice, V4.into());
    kubelet.get("/first", LIFECYCLE);
    kubelet.get("/second", LIFECYCLE);
    kubelet.answer(OK);
    // Only one can wait on a connection: Go's client never sends a request before it has the last one's response.
    assert_eq!(watch.told_before(&slice).await, ["/first", "/second", "200"]);
}

/// How often both programs ran.
fn runs(watch: &Watch) -> u64 {
    watch.probe.hook_usage().iter().filter(|usage| usage.hook.sees_packets()).map(|usage| usage.runs).sum()
}

#[tokio::test]
async fn traffic_of_other_cgroups_costs_nothing() {
    let slice = Cgroup::slice("others");
    let (kubelet, other) = (slice.child("kubelet"), slice.child("other"));
    let mut watch = Watch::with(&Options { stats: true, ..Options::default() });
    watch.attach(&kubelet);
    let mut outside = Kubelet::connect(&other, V4.into());
    for _ in 0..50 {
        outside.get("/prestop", LIFECYCLE);
        outside.answer(OK);
    }
    assert_eq!(runs(&watch), 0);
    assert_eq!(watch.told_before(&kubelet).await, [""; 0]);
    assert!(runs(&watch) > 0);
}

#[tokio::test]
async fn a_cgroup_that_is_made_anew_is_another_one() {
    let slice = Cgroup::slice("anew");
    let mut watch = Watch::new();
    let dir = slice.path().join("kubelet.service");
    watch.probe.attach_to_kubelet(Ok(std::slice::from_ref(&dir)));
    watch.assert_attached(Some(&format!(
        "cannot use the kubelet's cgroup {}: No such file or directory (os error 2)",
        dir.display()
    )));
    let mut ids: Vec<CgroupId> = Vec::new();
    for _ in 0..3 {
        let cgroup = slice.child("kubelet.service");
        ids.push(cgroup.id());
        watch.attach(&cgroup);
        // The same once more changes nothing.
        watch.attach(&cgroup);
        assert_eq!(watch.told_before(&cgroup).await, [""; 0]);
        watch.events.clear();
        cgroup.remove();
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    watch.probe.attach_to_kubelet(Err("it has gone"));
    watch.assert_attached(Some("it has gone"));
}

#[tokio::test]
async fn several_kubelets() {
    let slice = Cgroup::slice("several");
    let (a, b) = (slice.child("a"), slice.child("b"));
    let mut watch = Watch::new();
    watch.probe.attach_to_kubelet(Ok(&[a.path().to_owned(), b.path().to_owned(), slice.path().join("none")]));
    watch.assert_attached(None);
    assert_eq!(watch.told_before(&a).await, [""; 0]);
    watch.events.clear();
    assert_eq!(watch.told_before(&b).await, [""; 0]);
    watch.events.clear();
    // Taken off one, it stays on the other.
    watch.attach(&b);
    let mut gone = Kubelet::connect(&a, V4.into());
    gone.get("/gone", LIFECYCLE);
    assert_eq!(watch.told_before(&b).await, [""; 0]);
}

#[tokio::test]
async fn two_agents_at_once() {
    let slice = Cgroup::slice("agents");
    let (mut first, mut second) = (Watch::new(), Watch::new());
    first.attach(&slice);
    second.attach(&slice);
    assert_eq!(first.told_before(&slice).await, [""; 0]);
    drop(first);
    second.events.clear();
    second.receive().await;
    second.events.clear();
    assert_eq!(second.told_before(&slice).await, [""; 0]);
}

#[tokio::test]
async fn without_the_capability_it_says_which() {
    let slice = Cgroup::slice("capability");
    let dir = slice.path().to_owned();
    // Capabilities are a thread's own.
    let unprivileged = std::thread::spawn(move || {
        use rustix::thread::CapabilitySet as Set;
        let bpf = Set::BPF | Set::PERFMON;
        let sets = rustix::thread::CapabilitySets { effective: bpf, permitted: bpf, inheritable: Set::empty() };
        rustix::thread::set_capabilities(None, sets).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _context = runtime.enter();
        let mut watch = Watch::new();
        watch.probe.attach_to_kubelet(Ok(&[dir]));
        watch.probe.hooks().iter().filter_map(|status| status.missing.clone()).collect::<Vec<_>>()
    });
    let missing = unprivileged.join().unwrap();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing.iter().all(|cause| cause.contains("CAP_NET_ADMIN") && !cause.contains('\n')), "{missing:?}");
}

#[tokio::test]
async fn one_of_them_left_out() {
    let slice = Cgroup::slice("half");
    let mut watch = Watch::with(&Options { disable: vec![Hook::CgroupSkbIngress], ..Options::default() });
    watch.probe.attach_to_kubelet(Ok(&[slice.path().to_owned()]));
    let status = |hook: Hook| watch.probe.hooks().iter().find(|status| status.hook == hook).unwrap().missing.clone();
    assert_eq!(
        (status(Hook::CgroupSkbEgress), status(Hook::CgroupSkbIngress).as_deref()),
        (None, Some("switched off"))
    );
    let mut kubelet = Kubelet::connect(&slice, V4.into());
    kubelet.get("/prestop", LIFECYCLE);
    kubelet.answer(OK);
    kubelet.get("/prestop", LIFECYCLE);
    watch.request(kubelet.flow, "/prestop").await;
    assert!(!watch.told().contains(&"200".to_owned()));
}
