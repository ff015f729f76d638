//! `pods`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use hyper::header::HeaderMap;

use super::super::State;
use super::super::query::{self, Listing};
use super::super::reply;
use super::super::response::json_array;
use super::{Answer, Refusal, link_next};
use crate::identity::KnownPod;
use crate::model::{ContainerIdentity, ContainerSpec, LifecycleHandler, PodUid, TerminationId};
use crate::report::{self, KnownContainer, PreStop, Time, Workload, role_word};

pub(super) async fn list(state: &Arc<State>, query: &str, headers: &HeaderMap) -> Answer {
    let asked = query::pods(query)?;
    let known = state.inquiries.pods().await?;
    let going_on: BTreeMap<PodUid, TerminationId> = {
        let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.in_progress().map(|timeline| (timeline.uid.clone(), timeline.id.clone())).collect()
    };
    let work = move || part(&known, &going_on, &asked);
    let (items, next) = state.aside.run(work).await.ok_or(Refusal::Failed("the pods could not be encoded"))?;
    let mut response = reply::json(&state.aside, headers, json_array(items.into_iter())).await;
    if let Some(next) = next {
        link_next(&mut response, "pods", query, &next);
    }
    Ok(response)
}

/// What was asked for, by uid, and the cursor of what comes after.
fn part(
    known: &[KnownPod],
    going_on: &BTreeMap<PodUid, TerminationId>,
    asked: &Listing,
) -> (Vec<Bytes>, Option<String>) {
    let (mut items, mut last) = (Vec::new(), None);
    for of in known.iter().filter(|of| passes(of, asked)) {
        if asked.page.cursor.as_ref().is_some_and(|after| of.uid.as_str() <= after.as_str()) {
            continue;
        }
        if items.len() == asked.page.limit {
            return (items, last);
        }
        let pod = pod(of, going_on.get(&of.uid));
        items.push(Bytes::from(serde_json::to_vec(&pod).unwrap_or_default()));
        last = Some(of.uid.to_string());
    }
    (items, None)
}

fn passes(of: &KnownPod, asked: &Listing) -> bool {
    let (whose, pod) = (&asked.whose, of.pod.as_ref());
    whose.namespace.as_ref().is_none_or(|wanted| pod.is_some_and(|pod| *pod.namespace == **wanted))
        && whose.pod.as_ref().is_none_or(|wanted| pod.is_some_and(|pod| *pod.name == **wanted))
        && whose.workload.as_ref().is_none_or(|wanted| pod.is_some_and(|pod| wanted.is(&pod.workload)))
}

fn pod(of: &KnownPod, termination: Option<&TerminationId>) -> report::KnownPod {
    let pod = of.pod.as_ref();
    report::KnownPod {
        uid: of.uid.to_string(),
        namespace: pod.map(|pod| pod.namespace.to_string()),
        pod: pod.map(|pod| pod.name.to_string()),
        node: pod.and_then(|pod| pod.node.as_deref()).map(str::to_owned),
        workload: pod.map(|pod| Workload { kind: pod.workload.kind.to_string(), name: pod.workload.name.to_string() }),
        sources: of.sources.iter().map(|source| source.as_str().into()).collect(),
        requested: pod.and_then(|pod| pod.requested).map(Time),
        reason: pod.and_then(|pod| pod.reason).map(|reason| reason.as_str().into()),
        grace_period_seconds: pod.and_then(|pod| pod.grace_period).map(|grace| grace.as_secs()),
        addresses: pod.map_or_else(Vec::new, |pod| pod.addresses.iter().map(ToString::to_string).collect()),
        host_network: pod.map(|pod| pod.host_network),
        termination: termination.map(|id| id.to_string()),
        containers: containers(of),
    }
}

/// Those whose cgroups are there, then those that only the spec has.
fn containers(of: &KnownPod) -> Vec<KnownContainer> {
    let specs = of.pod.iter().flat_map(|pod| &pod.containers);
    let watched = |spec: &ContainerSpec| of.containers.iter().any(|known| Some(&known.id) == spec.id.as_ref());
    let here = of.containers.iter().map(|known| container(known.spec(), Some(known)));
    here.chain(specs.filter(|spec| !watched(spec)).map(|spec| container(Some(spec), None))).collect()
}

fn container(spec: Option<&ContainerSpec>, known: Option<&Arc<ContainerIdentity>>) -> KnownContainer {
    let id = known.map(|known| &known.id).or(spec.and_then(|spec| spec.id.as_ref()));
    let role = known.map(|known| known.role).or(spec.map(|spec| spec.role));
    KnownContainer {
        name: spec.map(|spec| spec.name.to_string()),
        id: id.map(ToString::to_string),
        image: spec.map(|spec| spec.image.to_string()),
        role: role.map_or("app", role_word).into(),
        cgroup: known.map(|known| known.cgroup.0),
        older_than_agent: known.map(|known| known.older_than_agent),
        pre_stop: spec.and_then(|spec| spec.pre_stop.as_ref()).map(pre_stop),
        stop_signal: spec.map(|spec| spec.effective_stop_signal().to_string()),
    }
}

fn pre_stop(of: &LifecycleHandler) -> PreStop {
    let (handler, seconds) = match of {
        LifecycleHandler::Exec(_) => ("exec", None),
        LifecycleHandler::Http { .. } => ("http", None),
        LifecycleHandler::Sleep(time) => ("sleep", Some(time.as_secs())),
        LifecycleHandler::Tcp => ("tcp", None),
    };
    PreStop { handler: handler.into(), seconds }
}
