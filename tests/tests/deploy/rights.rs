//! What the agent may do.

use gracetrace_tests::manifest;
use serde_json::{Value, json};

use super::{RUNTIMES, daemon_set, list};

#[test]
fn the_agent_is_not_privileged() {
    for folder in RUNTIMES {
        let set = daemon_set(folder);
        let pod = &set["spec"]["template"]["spec"];
        let container = manifest::container(&set).unwrap();
        let context = &container["securityContext"];
        assert_eq!(context["privileged"], false);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(manifest::capabilities(container), ["BPF", "PERFMON", "NET_ADMIN"]);
        assert_eq!(pod["hostNetwork"], false);
        assert_eq!(pod["hostIPC"], Value::Null);
        assert_eq!(pod["initContainers"], Value::Null);
        // Needed, and a reason to look twice if ever it is not.
        assert_eq!(pod["hostPID"], true);
    }
    assert_eq!(daemon_set(RUNTIMES[0])["spec"]["template"]["spec"]["securityContext"], seccomp("RuntimeDefault"));
    assert_eq!(daemon_set(RUNTIMES[1])["spec"]["template"]["spec"]["securityContext"], seccomp("Unconfined"));
}

fn seccomp(kind: &str) -> Value {
    json!({"seccompProfile": {"type": kind}})
}

#[test]
fn it_sees_three_folders_of_the_host_and_writes_to_its_own_only() {
    for (folder, runtime) in RUNTIMES.into_iter().zip(["/run/containerd", "/run/crio"]) {
        let set = daemon_set(folder);
        let mut mounts: Vec<(String, bool)> = list(&manifest::container(&set).unwrap()["volumeMounts"])
            .map(|mount| {
                let volumes = &set["spec"]["template"]["spec"]["volumes"];
                let volume = list(volumes).find(|volume| volume["name"] == mount["name"]).unwrap();
                let path = volume["hostPath"]["path"].as_str().unwrap();
                assert_eq!(mount["mountPath"], path, "paths in messages are those of the node");
                (path.to_owned(), mount["readOnly"] == true)
            })
            .collect();
        mounts.sort();
        let expected = [(runtime, true), ("/sys/fs/cgroup", true), ("/var/lib/gracetrace", false)];
        assert_eq!(mounts, expected.map(|(path, read_only)| (path.to_owned(), read_only)));
        assert_eq!(list(&set["spec"]["template"]["spec"]["volumes"]).count(), mounts.len());
    }
}

#[test]
fn it_reads_pods_and_asks_for_events() {
    let objects = manifest::build("base").unwrap();
    let role = manifest::only(&objects, "ClusterRole").unwrap();
    let expected = json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    ]);
    assert_eq!(role["rules"], expected);
    let binding = manifest::only(&objects, "ClusterRoleBinding").unwrap();
    let account = &manifest::only(&objects, "ServiceAccount").unwrap()["metadata"];
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let subject = json!([{"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}]);
    assert_eq!(binding["subjects"], subject);
}
