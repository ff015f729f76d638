//! The workload that a person would name, from a pod's labels and its name: the runtime knows of no owners. The names
//! are taken apart as the controllers put them together.

use std::collections::HashMap;

use super::annotations::is_static;
use crate::model::Workload;

/// What a ReplicaSet of a Deployment gives its pods (pkg/apis/apps, `DefaultDeploymentUniqueLabelKey`).
const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// The same from Argo Rollouts, whose ReplicaSets are owned by no Deployment.
const ROLLOUT_HASH: &str = "rollouts-pod-template-hash";
/// What StatefulSets and DaemonSets give theirs (`ControllerRevisionHashLabelKey`).
const REVISION_HASH: &str = "controller-revision-hash";
/// What StatefulSets give theirs (`StatefulSetPodNameLabel`).
const STATEFUL_SET_POD: &str = "statefulset.kubernetes.io/pod-name";
/// What DaemonSets give theirs (`DaemonSetTemplateGenerationKey`, pkg/apis/extensions).
const TEMPLATE_GENERATION: &str = "pod-template-generation";
/// What Jobs give theirs; the second until Kubernetes 1.27, and since then as well (`JobNameLabel`).
const JOB_NAME: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
/// How many letters a generated name ends with (apiserver, pkg/storage/names/generate.go), and how long what comes
/// before them may be.
const RANDOM: usize = 5;
const MAX_GENERATED_PREFIX: usize = 63 - RANDOM;

type Strings = HashMap<String, String>;

pub(super) fn workload(pod: &str, labels: &Strings, annotations: &Strings) -> Workload {
    let owner = if is_static(annotations) { None } else { owner(pod, labels) };
    let (kind, name) = owner.filter(|(_, name)| !name.is_empty()).unwrap_or(("Pod", pod));
    Workload { kind: kind.into(), name: name.into() }
}

fn owner<'a>(pod: &'a str, labels: &'a Strings) -> Option<(&'static str, &'a str)> {
    let label = |name: &str| labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(hash) = label(POD_TEMPLATE_HASH) {
        return deployment(generated(pod)?, hash).map(|name| ("Deployment", name));
    }
    if label(ROLLOUT_HASH).is_some() {
        return Some(("ReplicaSet", generated(pod)?.trim_end_matches('-')));
    }
    if let Some(job) = JOB_NAME.iter().find_map(|name| label(name)) {
        return Some(cron_job(job).map_or(("Job", job), |name| ("CronJob", name)));
    }
    let revision = label(REVISION_HASH);
    if label(STATEFUL_SET_POD).is_some() {
        return ordinal(pod).map(|name| ("StatefulSet", name));
    }
    if label(TEMPLATE_GENERATION).is_some() {
        return Some(("DaemonSet", generated(pod)?.trim_end_matches('-')));
    }
    // A StatefulSet's revision begins with its name, a DaemonSet's is the bare hash.
    match (revision?, ordinal(pod)) {
        (revision, Some(name)) if revision.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')) => {
            Some(("StatefulSet", name))
        }
        _ => Some(("DaemonSet", generated(pod)?.trim_end_matches('-'))),
    }
}

/// A generated name without its random letters: `web-5d8c9f7b6-` of `web-5d8c9f7b6-x7k2p`.
fn generated(pod: &str) -> Option<&str> {
    let at = pod.len().checked_sub(RANDOM)?;
    let prefix = pod.get(..at)?;
    (prefix.ends_with('-') || prefix.len() == MAX_GENERATED_PREFIX).then_some(prefix)
}

/// `web` of `web-5d8c9f7b6-`. A long name is cut before its random letters are added: then only the beginning of the hash
/// is there, or nothing.
fn deployment<'a>(prefix: &'a str, hash: &str) -> Option<&'a str> {
    let whole = prefix.strip_suffix('-').and_then(|name| name.strip_suffix(hash)?.strip_suffix('-'));
    let cut = || {
        let (name, rest) = prefix.rsplit_once('-').unwrap_or((prefix, ""));
        Some(if hash.starts_with(rest) { name } else { prefix })
    };
    whole.or_else(|| if prefix.len() == MAX_GENERATED_PREFIX { cut() } else { None })
}

/// `db` of `db-12`.
fn ordinal(pod: &str) -> Option<&str> {
    let (name, number) = pod.rsplit_once('-')?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

/// The CronJob controller ends a Job's name with the scheduled minute since 1970, formerly second.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    (!name.is_empty() && minute.len() >= 8 && minute.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pod: &str, labels: &[(&str, &str)]) -> String {
        let labels: Strings = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let Workload { kind, name } = workload(pod, &labels, &Strings::new());
        format!("{kind}/{name}")
    }

    #[test]
    fn as_the_controllers_name_them() {
        let hash = (POD_TEMPLATE_HASH, "5d8c9f7b6");
        assert_eq!(named("web-5d8c9f7b6-x7k2p", &[hash]), "Deployment/web");
        assert_eq!(named("web-5d8c9f7b6-5d8c9f7b6-x7k2p", &[hash]), "Deployment/web-5d8c9f7b6");
        assert_eq!(named("canary-78d9f-x7k2p", &[(ROLLOUT_HASH, "78d9f")]), "ReplicaSet/canary-78d9f");
        let revision = (REVISION_HASH, "db-6f7d9");
        assert_eq!(named("db-12", &[revision, (STATEFUL_SET_POD, "db-12")]), "StatefulSet/db");
        assert_eq!(named("db-12", &[revision]), "StatefulSet/db");
        assert_eq!(
            named("node-exporter-k9x2m", &[(REVISION_HASH, "7c9"), (TEMPLATE_GENERATION, "1")]),
            "DaemonSet/node-exporter"
        );
        assert_eq!(named("node-exporter-k9x2m", &[(REVISION_HASH, "7c9")]), "DaemonSet/node-exporter");
        assert_eq!(named("migrate-abcde", &[("job-name", "migrate")]), "Job/migrate");
        assert_eq!(named("report-29384756-abcde", &[(JOB_NAME[0], "report-29384756")]), "CronJob/report");
        assert_eq!(named("alone", &[("app", "alone")]), "Pod/alone");
    }

    #[test]
    fn static_pods_are_their_own() {
        let labels = Strings::from([(POD_TEMPLATE_HASH.to_owned(), "5d8c9f7b6".to_owned())]);
        let of = |source: &str| {
            let annotations = Strings::from([("kubernetes.io/config.source".to_owned(), source.to_owned())]);
            workload("web-5d8c9f7b6-x7k2p", &labels, &annotations)
        };
        assert_eq!(&*of("file").kind, "Pod");
        assert_eq!(&*of("api").kind, "Deployment");
    }

    #[test]
    fn long_names_are_cut() {
        let hash = (POD_TEMPLATE_HASH, "5d8c9f7b6");
        let long = "a".repeat(52);
        assert_eq!(named(&format!("{long}-5d8c9x7k2p"), &[hash]), format!("Deployment/{long}"));
        let longer = "a".repeat(57);
        assert_eq!(named(&format!("{longer}-x7k2p"), &[hash]), format!("Deployment/{longer}"));
        let longest = "a".repeat(58);
        assert_eq!(named(&format!("{longest}x7k2p"), &[hash]), format!("Deployment/{longest}"));
    }

    #[test]
    fn what_does_not_fit_is_a_pod() {
        for pod in ["", "x", "web", "web-", "-5d8c9f7b6-x7k2p", "5d8c9f7b6-x7k2p", "äöüäöü", "web-other-x7k2p"] {
            assert_eq!(named(pod, &[(POD_TEMPLATE_HASH, "5d8c9f7b6")]), format!("Pod/{pod}"));
        }
        assert_eq!(named("db", &[(STATEFUL_SET_POD, "db")]), "Pod/db");
        assert_eq!(named("-1", &[(STATEFUL_SET_POD, "-1")]), "Pod/-1");
    }
}
