//! That the parts fit each other, and the agent as it is built.

use std::process::Command;

use gracetrace_tests::agent::{self, Piped};
use gracetrace_tests::manifest;
use gracetrace_tests::node::slice::Slice;
use serde_json::Value;

use super::{RUNTIMES, daemon_set, list};

#[test]
fn labels_accounts_and_ports_fit() {
    let objects = manifest::build(RUNTIMES[0]).unwrap();
    let set = manifest::only(&objects, "DaemonSet").unwrap();
    let pod = &set["spec"]["template"];
    let selects = |selector: &Value| {
        let wanted = selector["matchLabels"].as_object().unwrap();
        !wanted.is_empty() && wanted.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value)
    };
    assert!(selects(&set["spec"]["selector"]));
    let account = manifest::only(&objects, "ServiceAccount").unwrap();
    assert_eq!(pod["spec"]["serviceAccountName"], account["metadata"]["name"]);
    let namespace = &manifest::only(&objects, "Namespace").unwrap()["metadata"]["name"];
    for object in &objects {
        let own = &object["metadata"]["namespace"];
        assert!(own.is_null() || own == namespace, "{object:#}");
    }
    let container = manifest::container(set).unwrap();
    let port = &container["ports"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], port["name"]);
    }
    let listen = list(&container["args"]).find_map(|arg| arg.as_str()?.strip_prefix("--listen=")).unwrap();
    assert!(listen.ends_with(&format!(":{}", port["containerPort"])));
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], port["containerPort"].to_string());

    let monitoring = manifest::build("overlays/prometheus-operator").unwrap();
    let monitor = manifest::only(&monitoring, "PodMonitor").unwrap();
    assert!(selects(&monitor["spec"]["selector"]));
    assert_eq!(monitor["metadata"]["namespace"], *namespace);
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["port"], port["name"]);
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["path"], annotations["prometheus.io/path"]);
}

#[test]
fn the_image_is_the_one_that_is_built_here() {
    let set = daemon_set("base");
    let image = format!("localhost/gracetrace:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest::container(&set).unwrap()["image"], image, "raise it with the version");
}

#[test]
fn the_runtime_s_socket_is_in_what_is_mounted() {
    for folder in RUNTIMES {
        let set = daemon_set(folder);
        let container = manifest::container(&set).unwrap();
        let socket = list(&container["env"]).find(|variable| variable["name"] == "GRACETRACE_CRI").unwrap();
        let mount = list(&container["volumeMounts"]).find(|mount| mount["name"] == "runtime").unwrap();
        let folder = mount["mountPath"].as_str().unwrap();
        assert!(socket["value"].as_str().unwrap().starts_with(&format!("{folder}/")));
    }
}

#[test]
fn the_agent_knows_what_it_is_told() {
    let help = agent::output(Command::new(agent::built()).args(["run", "--help"]));
    // Lines are broken to fit a terminal.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for folder in RUNTIMES {
        let set = daemon_set(folder);
        let container = manifest::container(&set).unwrap();
        let mut arguments = list(&container["args"]).map(|argument| argument.as_str().unwrap());
        assert_eq!(arguments.next(), Some("run"));
        let flags: Vec<&str> = arguments.map(|argument| argument.split('=').next().unwrap()).collect();
        for flag in flags {
            assert!(help.contains(&format!(" {flag} ")), "no {flag}:\n{help}");
        }
        for name in list(&container["env"]).map(|variable| variable["name"].as_str().unwrap()) {
            assert!(help.contains(&format!("[env: {name}=")), "nobody reads {name}:\n{help}");
        }
    }
}

#[test]
fn the_agent_answers_what_it_is_asked() {
    let slice = Slice::new("deploy");
    let agent = Piped::start(slice.path(), &[]);
    let set = daemon_set("base");
    let container = manifest::container(&set).unwrap();
    let probes = ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| &container[probe]["httpGet"]["path"]);
    let metrics = &set["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"];
    for path in probes.into_iter().chain([metrics]) {
        let answer = agent.get(path.as_str().unwrap());
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    agent.stop();
}
