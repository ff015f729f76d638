use std::collections::HashMap;
use std::time::Duration;

use gracetrace_cri_api as cri;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::model::{LifecycleHandler, Signal, Workload};

/// Messages as `crictl -o json` prints them: numbers of 64 bits as text, enumerations by name, defaults left out.
mod dump {
    use super::*;

    #[derive(Deserialize)]
    pub(super) struct Dump {
        #[serde(default)]
        items: Vec<Sandbox>,
        #[serde(default)]
        containers: Vec<Item>,
    }

    #[derive(Deserialize)]
    struct Sandbox {
        #[serde(flatten)]
        common: Common,
        state: Option<String>,
    }

    #[derive(Deserialize)]
    struct Item {
        #[serde(flatten)]
        common: Common,
        state: Option<String>,
        pod_sandbox_id: String,
        image: Image,
        image_ref: String,
    }

    #[derive(Deserialize)]
    struct Common {
        id: String,
        created_at: String,
        metadata: Metadata,
        #[serde(default)]
        labels: HashMap<String, String>,
        #[serde(default)]
        annotations: HashMap<String, String>,
    }

    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        #[serde(default)]
        namespace: String,
        #[serde(default)]
        uid: String,
        #[serde(default)]
        attempt: u32,
    }

    #[derive(Deserialize)]
    struct Image {
        image: String,
        #[serde(default)]
        user_specified_image: String,
    }

    #[derive(Deserialize)]
    pub(super) struct SandboxStatus {
        pub(super) status: Status,
    }

    #[derive(Deserialize)]
    pub(super) struct Status {
        pub(super) id: String,
        #[serde(default)]
        pub(super) network: Network,
        #[serde(default)]
        pub(super) linux: serde_json::Value,
    }

    #[derive(Deserialize, Default)]
    pub(super) struct Network {
        #[serde(default)]
        pub(super) ip: String,
    }

    #[derive(Deserialize)]
    pub(super) struct ImageStatus {
        pub(super) image_ref: String,
        pub(super) info: HashMap<String, String>,
    }

    pub(super) fn listing(sandboxes: &str, containers: &str) -> Listing {
        let sandboxes: Dump = serde_json::from_str(sandboxes).unwrap();
        let containers: Dump = serde_json::from_str(containers).unwrap();
        let sandbox = |Sandbox { common, state }| cri::PodSandbox {
            id: common.id,
            state: state.map_or(0, |state| cri::PodSandboxState::from_str_name(&state).unwrap() as i32),
            created_at: common.created_at.parse().unwrap(),
            metadata: Some(cri::PodSandboxMetadata {
                name: common.metadata.name,
                uid: common.metadata.uid,
                namespace: common.metadata.namespace,
                attempt: common.metadata.attempt,
            }),
            labels: common.labels,
            annotations: common.annotations,
            ..Default::default()
        };
        let container = |Item { common, state, pod_sandbox_id, image, image_ref }| Container {
            id: common.id,
            state: state.map_or(0, |state| cri::ContainerState::from_str_name(&state).unwrap() as i32),
            created_at: common.created_at.parse().unwrap(),
            metadata: Some(cri::ContainerMetadata { name: common.metadata.name, attempt: common.metadata.attempt }),
            labels: common.labels,
            annotations: common.annotations,
            pod_sandbox_id,
            image: Some(cri::ImageSpec {
                image: image.image,
                user_specified_image: image.user_specified_image,
                ..Default::default()
            }),
            image_ref,
            ..Default::default()
        };
        Listing::new(
            sandboxes.items.into_iter().map(sandbox).collect(),
            containers.containers.into_iter().map(container).collect(),
        )
    }
}

macro_rules! recorded {
    ($case:literal) => {
        dump::listing(
            include_str!(concat!("../../testdata/", $case, "/cri-running-ListPodSandbox.json")),
            include_str!(concat!("../../testdata/", $case, "/cri-running-ListContainers.json")),
        )
    };
}

fn all(listing: &Listing) -> BTreeMap<String, Pod> {
    let (pods, skipped) = pods(listing, &Details::default());
    assert_eq!(skipped, 0);
    pods.into_iter().map(|pod| (pod.uid.as_str().to_owned(), pod)).collect()
}

fn ids(pod: &Pod, name: &str) -> Vec<String> {
    let named = pod.containers.iter().filter(|spec| &*spec.name == name);
    named.map(|spec| spec.id.as_ref().unwrap().as_str()[..8].to_owned()).collect()
}

#[test]
fn an_exec_hook_of_a_real_node() {
    let pods = all(&recorded!("exec-prestop"));
    let pod = &pods["8c577ce9-7ba8-49d7-bb86-02e0dd29498b"];
    assert_eq!((&*pod.namespace, &*pod.name, pod.node.as_deref()), ("default", "exec-prestop", None));
    assert_eq!(pod.workload, Workload { kind: "Pod".into(), name: "exec-prestop".into() });
    assert_eq!((pod.grace_period, pod.requested), (Some(Duration::from_secs(10)), None));
    let [sandbox, main] = &pod.containers[..] else { panic!("{pod:?}") };
    assert_eq!((&*sandbox.name, sandbox.role), ("POD", Role::Sandbox));
    assert_eq!(ids(pod, "POD"), ["57169247"]);
    assert_eq!((&*main.name, main.role, &*main.image), ("main", Role::App, "k8s.local/busybox:1"));
    assert_eq!(ids(pod, "main"), ["4cbdc819"]);
    let script = "echo prestop-start > /proc/1/fd/1; sleep 3; echo prestop-end > /proc/1/fd/1";
    assert_eq!(main.pre_stop, Some(LifecycleHandler::Exec(["sh", "-c", script].map(str::to_owned).to_vec())));
    // The pod of the same name that was there before lingers without a container.
    let before = &pods["310f130f-48a9-4acb-8aa0-19b400cc9545"];
    assert_eq!((&*before.name, ids(before, "POD")), ("exec-prestop", vec!["e882de26".to_owned()]));
    assert_eq!((before.containers.len(), before.grace_period), (1, None));
}

#[test]
fn a_restarted_container_has_two_instances() {
    let pods = all(&recorded!("http-prestop"));
    let pod = &pods["fb546894-fccd-4cd1-b842-75bbb37451d3"];
    // The one that runs comes first.
    assert_eq!(ids(pod, "web"), ["7bccc3ef", "1a9a44fd"]);
    let hook = LifecycleHandler::Http {
        https: false,
        host: None,
        port: "8080".to_owned(),
        path: "/prestop?sleep=2".to_owned(),
    };
    assert!(
        pod.containers.iter().filter(|spec| &*spec.name == "web").all(|spec| spec.pre_stop.as_ref() == Some(&hook))
    );
}

#[test]
fn a_sleep_hook_of_a_real_node() {
    let pods = all(&recorded!("sleep-prestop"));
    let specs: Vec<_> =
        pods.values().flat_map(|pod| &pod.containers).filter_map(|spec| spec.pre_stop.as_ref()).collect();
    assert!(matches!(specs[..], [LifecycleHandler::Sleep(time)] if !time.is_zero()), "{specs:?}");
}

/// Lists and details as containerd 1.6.20 gives them: pods with a network of their own and in the host's, an image with
/// a stop signal and one without.
#[test]
fn details_of_a_real_containerd() {
    let listing = dump::listing(
        include_str!("../../testdata/containerd-1.6/ListPodSandbox.json"),
        include_str!("../../testdata/containerd-1.6/ListContainers.json"),
    );
    let mut details = Details::default();
    assert_eq!(details.wanted(&listing).len(), 4);
    let bare = pods(&listing, &details).0;
    assert!(bare.iter().all(|pod| pod.addresses.is_empty() && !pod.host_network), "{bare:?}");

    for line in include_str!("../../testdata/containerd-1.6/ImageStatus_verbose.jsonl").lines() {
        let dump::ImageStatus { image_ref, info } = serde_json::from_str(line).unwrap();
        details.image(image_ref, &cri::ImageStatusResponse { image: None, info });
    }
    for line in include_str!("../../testdata/containerd-1.6/PodSandboxStatus.jsonl").lines() {
        let dump::Status { id, network, linux } = serde_json::from_str::<dump::SandboxStatus>(line).unwrap().status;
        let is_host = linux["namespaces"]["options"]["network"] == "NODE";
        details.sandbox(id, &sandbox_status(&network.ip, &[], is_host));
    }
    assert_eq!(details.wanted(&listing), []);
    let pods: BTreeMap<String, Pod> =
        pods(&listing, &details).0.into_iter().map(|pod| (pod.workload.kind.to_string(), pod)).collect();
    let web = &pods["Deployment"];
    assert_eq!((&*web.workload.name, web.host_network), ("web", false));
    assert_eq!(web.addresses, ["10.88.7.2".parse::<std::net::IpAddr>().unwrap()]);
    let spec = |pod: &Pod, name: &str| pod.containers.iter().find(|spec| &*spec.name == name).cloned().unwrap();
    assert_eq!(spec(web, "app").effective_stop_signal(), Signal(10));
    assert_eq!((spec(web, "istio-proxy").role, spec(web, "istio-proxy").image_stop_signal), (Role::Sidecar, None));
    assert!(
        matches!(spec(web, "istio-proxy").pre_stop, Some(LifecycleHandler::Http { port, .. }) if port == "15020"),
        "the named port has its number"
    );
    let db = &pods["StatefulSet"];
    assert_eq!((&*db.workload.name, db.host_network, db.addresses.len()), ("db", true, 0));
    // Made, not started: known already.
    assert_eq!(spec(db, "db").id.unwrap().as_str().len(), 64);

    details.retain(&Listing::default());
    assert_eq!(details.wanted(&listing).len(), 4);
}

fn sandbox_status(ip: &str, more: &[&str], is_host: bool) -> cri::PodSandboxStatusResponse {
    let network = if is_host { cri::NamespaceMode::Node } else { cri::NamespaceMode::Pod } as i32;
    let options = cri::NamespaceOption { network, ..Default::default() };
    cri::PodSandboxStatusResponse {
        status: Some(cri::PodSandboxStatus {
            network: Some(cri::PodSandboxNetworkStatus {
                ip: ip.to_owned(),
                additional_ips: more.iter().map(|ip| cri::PodIp { ip: (*ip).to_owned() }).collect(),
            }),
            linux: Some(cri::LinuxPodSandboxStatus { namespaces: Some(cri::Namespace { options: Some(options) }) }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn sandbox(id: &str, uid: &str, name: &str) -> PodSandbox {
    PodSandbox {
        id: id.to_owned(),
        metadata: Some(cri::PodSandboxMetadata {
            name: name.to_owned(),
            uid: uid.to_owned(),
            namespace: "shop".to_owned(),
            attempt: 0,
        }),
        ..Default::default()
    }
}

fn container(id: &str, sandbox: &str, name: &str) -> Container {
    Container {
        id: id.to_owned(),
        pod_sandbox_id: sandbox.to_owned(),
        metadata: Some(cri::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        ..Default::default()
    }
}

fn labelled(mut container: Container, labels: &[(&str, &str)]) -> Container {
    container.labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    container
}

#[test]
fn without_the_kubelets_labels_the_sandbox_tells() {
    let listing = Listing::new(vec![sandbox("a1", "u1", "web")], vec![container("b1", "a1", "main")]);
    let pods = all(&listing);
    assert_eq!((&*pods["u1"].namespace, &*pods["u1"].name), ("shop", "web"));
    assert_eq!(ids_of(&pods["u1"]), [("POD", "a1"), ("main", "b1")]);
}

#[test]
fn without_its_sandbox_a_container_tells_itself() {
    let labels = [(POD_NAME, "web"), (POD_NAMESPACE, "shop"), (POD_UID, "u1"), (CONTAINER_NAME, "main")];
    let pods = all(&Listing::new(Vec::new(), vec![labelled(container("b1", "a1", ""), &labels)]));
    assert_eq!(ids_of(&pods["u1"]), [("main", "b1")]);
    let (none, skipped) = super::pods(
        &Listing::new(Vec::new(), vec![labelled(container("b1", "a1", "main"), &labels[..2])]),
        &Details::default(),
    );
    assert_eq!((none, skipped), (Vec::new(), 1));
}

fn ids_of(pod: &Pod) -> Vec<(&str, &str)> {
    pod.containers.iter().map(|spec| (&*spec.name, spec.id.as_ref().unwrap().as_str())).collect()
}

#[test]
fn a_sandbox_that_was_made_again_gives_its_address() {
    let mut old = sandbox("a1", "u1", "web");
    (old.state, old.created_at) = (cri::PodSandboxState::SandboxNotready as i32, 5);
    let mut new = sandbox("a2", "u1", "web");
    new.created_at = 3;
    let listing = Listing::new(vec![old, new], Vec::new());
    let mut details = Details::default();
    assert_eq!(details.wanted(&listing), [Question::Sandbox("a2".to_owned())]);
    details.sandbox("a1".to_owned(), &sandbox_status("10.0.0.1", &[], false));
    details.sandbox("a2".to_owned(), &sandbox_status("10.0.0.2", &["fd00::2", "junk", ""], false));
    let pod = &super::pods(&listing, &details).0[0];
    assert_eq!(pod.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.2", "fd00::2"]);
    assert_eq!(ids_of(pod), [("POD", "a2"), ("POD", "a1")]);
}

#[test]
fn a_sidecar_is_one_beside_something_else() {
    let roles = |names: &[&str]| {
        let containers = names.iter().map(|name| container(name.get(..2).unwrap(), "a1", name)).collect();
        let pods = super::pods(&Listing::new(vec![sandbox("a1", "u1", "web")], containers), &Details::default()).0;
        pods[0].containers.iter().map(|spec| spec.role).collect::<Vec<_>>()
    };
    assert_eq!(roles(&["istio-proxy"]), [Role::Sandbox, Role::App]);
    assert_eq!(roles(&["istio-proxy", "main"]), [Role::Sandbox, Role::Sidecar, Role::App]);
    assert_eq!(roles(&["istio-proxy", "vault-agent"]), [Role::Sandbox, Role::App, Role::App]);
}

#[test]
fn an_image_is_named_as_well_as_it_can_be() {
    let digest = format!("sha256:{}", "a1".repeat(32));
    let named = |image: &str, specified: &str, answer: Option<cri::Image>| {
        let mut container = container("b1", "a1", "main");
        container.image_ref.clone_from(&digest);
        let (image, user_specified_image) = (image.to_owned(), specified.to_owned());
        container.image = Some(cri::ImageSpec { image, user_specified_image, ..Default::default() });
        let mut details = Details::default();
        details.image(digest.clone(), &cri::ImageStatusResponse { image: answer, ..Default::default() });
        let listing = Listing::new(vec![sandbox("a1", "u1", "web")], vec![container]);
        super::pods(&listing, &details).0[0].containers[1].image.to_string()
    };
    let answer = |tags: &[&str], digests: &[&str]| {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Some(cri::Image { repo_tags: all(tags), repo_digests: all(digests), ..Default::default() })
    };
    assert_eq!(named(&digest, "shop/web:1", answer(&["shop/web:2"], &[])), "shop/web:1");
    assert_eq!(named(&digest, "", answer(&["shop/web:2"], &["shop/web@sha256:0"])), "shop/web:2");
    assert_eq!(named(&digest, "", answer(&[], &["shop/web@sha256:0"])), "shop/web@sha256:0");
    assert_eq!(named(&digest, "", None), digest);
    assert_eq!(named("shop/web:1", "", answer(&["shop/web:2"], &[])), "shop/web:1");
}

#[test]
fn what_is_never_answered_is_asked_a_few_times() {
    let listing = Listing::new(vec![sandbox("a1", "u1", "web")], Vec::new());
    let mut details = Details::default();
    let mut asked = 0;
    while let [question] = &details.wanted(&listing)[..] {
        asked += 1;
        // Neither an error nor an address.
        match asked {
            1 => details.sandbox("a1".to_owned(), &cri::PodSandboxStatusResponse::default()),
            _ => details.unanswered(question.clone()),
        }
    }
    assert_eq!(asked, 3);
}

#[test]
fn hostile_names_are_cut_or_left_out() {
    let long = "ä".repeat(1000);
    let good = sandbox("a1", "u1", &long);
    let bad =
        [sandbox("a/b", "u2", "web"), sandbox("a2", "../u2", "web"), sandbox("a3", "", "web"), sandbox("a4", "u4", "")];
    let mut sandboxes = bad.to_vec();
    sandboxes.push(good);
    let mut evil = container("b1", "a1", "ma\nin\u{1b}[2J");
    evil.image = Some(cri::ImageSpec { image: "i".repeat(5000), ..Default::default() });
    evil.annotations = HashMap::from([
        ("io.kubernetes.pod.terminationGracePeriod".to_owned(), "9".repeat(400)),
        ("io.kubernetes.container.preStopHandler".to_owned(), "[".repeat(100_000)),
    ]);
    let (pods, skipped) = super::pods(&Listing::new(sandboxes, vec![evil]), &Details::default());
    assert_eq!((pods.len(), skipped), (1, 4));
    assert_eq!(pods[0].name.chars().count(), 126);
    let spec = &pods[0].containers[1];
    assert_eq!((&*spec.name, spec.image.len(), &spec.pre_stop), ("ma?in?[2J", 512, &None));
    assert_eq!(pods[0].grace_period, None);
}

#[test]
fn too_many_are_left_out_the_dead_first() {
    let dead = |number: usize| {
        let mut sandbox = sandbox(&format!("dead{number}"), &format!("u{number}"), "web");
        (sandbox.state, sandbox.created_at) = (cri::PodSandboxState::SandboxNotready as i32, 1000);
        sandbox
    };
    let mut sandboxes: Vec<PodSandbox> = (0..5000).map(dead).collect();
    sandboxes.push(sandbox("a1", "alive", "web"));
    let containers = (0..300).map(|number| container(&format!("b{number}"), "a1", "main")).collect();
    let (pods, skipped) = super::pods(&Listing::new(sandboxes, containers), &Details::default());
    let alive = pods.iter().find(|pod| pod.uid.as_str() == "alive").unwrap();
    assert_eq!((pods.len(), alive.containers.len()), (4096, 256));
    assert_eq!(skipped, 5001 - 4096 + 301 - 256);
}

proptest! {
    #[test]
    fn nothing_panics(
        texts in prop::collection::vec("\\PC{0,70}", 12),
        state in -1..4,
        created_at in any::<i64>(),
        info in "\\PC{0,40}|\\{\"imageSpec\":\\{\"config\":\\{\"StopSignal\":\"[A-Z0-9+-]{0,9}\"\\}\\}\\}",
    ) {
        let text = |index: usize| texts[index].clone();
        let labels = [POD_NAME, POD_NAMESPACE, POD_UID, CONTAINER_NAME, "pod-template-hash", "job-name"];
        let labels: HashMap<String, String> =
            labels.iter().enumerate().map(|(index, name)| ((*name).to_owned(), text(index))).collect();
        let annotations = HashMap::from([
            ("io.kubernetes.container.preStopHandler".to_owned(), format!("{{\"httpGet\":{{\"port\":{:?}}}}}", text(6))),
            ("io.kubernetes.container.ports".to_owned(), text(7)),
            ("io.kubernetes.pod.terminationGracePeriod".to_owned(), created_at.to_string()),
        ]);
        let sandbox = PodSandbox { state, created_at, labels: labels.clone(), ..sandbox(&text(8), &text(9), &text(10)) };
        let container = Container {
            state,
            created_at,
            labels,
            annotations,
            image_ref: text(11),
            ..container(&text(10), &text(8), &text(9))
        };
        let listing = Listing::new(vec![sandbox], vec![container]);
        let mut details = Details::default();
        details.image(text(11), &cri::ImageStatusResponse { image: None, info: HashMap::from([("info".to_owned(), info)]) });
        details.sandbox(text(8), &sandbox_status(&text(0), &[&text(1)], false));
        details.retain(&listing);
        let (pods, skipped) = super::pods(&listing, &details);
        prop_assert!(pods.len() as u64 + skipped <= 3);
    }
}
