//! Whose httpGet hook a request is: the kernel shows from where to where it goes and for what it asks, the pods say who
//! would ask for that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::{Container, Index};
use crate::model::{CgroupId, Event, Flow, HookRequest, Kind, LifecycleHandler, Pod};

/// More than hooks of one node are waiting for a response at once.
const MAX_FLOWS: usize = 1024;

/// Requests that wait for their response, by connection; the oldest goes first when there are too many.
#[derive(Debug, Default)]
pub(super) struct Flows {
    cgroups: BTreeMap<Flow, CgroupId>,
    order: VecDeque<Flow>,
}

/// How well a handler fits a request for its path and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Where it goes is not known.
    Unknown,
    /// It goes where the request went.
    Address,
}

impl Index {
    /// The container's cgroup for an event that tells of a request of an httpGet hook, or of the response to it. `None`,
    /// and counted, for a request that no container that is there would be sent, or more than one pod's might be.
    pub fn hook_target(&mut self, event: &Event) -> Option<CgroupId> {
        match &event.kind {
            Kind::HookRequest(request) => {
                let target = self.requested(request);
                match target.and_then(|cgroup| self.containers.get_mut(&cgroup)) {
                    Some(container) => container.hook_at = container.hook_at.max(event.at),
                    None => self.refused.hooks += 1,
                }
                self.flows.set(request.flow, target);
                target
            }
            Kind::HookResponse { flow, .. } => self.flows.take(flow),
            _ => None,
        }
    }

    fn requested(&self, request: &HookRequest) -> Option<CgroupId> {
        let fits = self.containers.iter().filter(|(_, container)| !container.removed);
        let fits = fits.filter_map(|(cgroup, container)| Some((container.fit(request)?, *cgroup, container)));
        let fits: Vec<_> = fits.collect();
        let best = fits.iter().map(|(fit, ..)| *fit).max()?;
        let mut fits: Vec<_> = fits.into_iter().filter(|(fit, ..)| *fit == best).collect();
        if !is_one_pod(&fits) {
            // Pods with the same spec: one that is being deleted is the more likely one.
            let is_ending = |container: &Container| container.pod().is_some_and(|pod| pod.requested.is_some());
            fits.retain(|(_, _, container)| is_ending(container));
            if !is_one_pod(&fits) {
                return None;
            }
        }
        // Containers of a pod may share a hook's path, and each sends a request of its own.
        fits.into_iter().min_by_key(|(_, cgroup, container)| (container.hook_at, *cgroup)).map(|(_, cgroup, _)| cgroup)
    }
}

fn is_one_pod(fits: &[(Fit, CgroupId, &Container)]) -> bool {
    fits.iter().map(|(_, _, container)| &container.identity.pod_uid).collect::<BTreeSet<_>>().len() == 1
}

impl Container {
    fn pod(&self) -> Option<&Pod> {
        self.identity.pod.as_deref()
    }

    /// How well the better of its hooks fits a request.
    fn fit(&self, request: &HookRequest) -> Option<Fit> {
        let (spec, pod) = (self.spec.as_ref()?, self.pod()?);
        [&spec.pre_stop, &spec.post_start].into_iter().flatten().filter_map(|handler| fit(handler, pod, request)).max()
    }
}

fn fit(handler: &LifecycleHandler, pod: &Pod, request: &HookRequest) -> Option<Fit> {
    let LifecycleHandler::Http { https: false, host, port, path } = handler else { return None };
    let server = request.flow.server;
    if port.parse() != Ok(server.port()) || !asks_for(request, path) {
        return None;
    }
    let addresses = match host.as_deref().filter(|host| !host.is_empty()) {
        // One by its name is anywhere.
        Some(host) => {
            host.trim_matches(['[', ']']).parse().map_or_else(|_| Vec::new(), |address: IpAddr| vec![address])
        }
        None => pod.addresses.clone(),
    };
    match addresses.iter().any(|address| address.to_canonical() == server.ip()) {
        true => Some(Fit::Address),
        false => addresses.is_empty().then_some(Fit::Unknown),
    }
}

/// Whether a request asks for what the spec has as `path`, as far as it was kept. The kubelet makes a URL of it
/// (`FormatURL` in pkg/probe/http/request.go): with a slash in front, without a fragment, and odd bytes escaped; or, if
/// it can't be taken for a URL, with all that has a meaning there escaped.
fn asks_for(request: &HookRequest, path: &str) -> bool {
    let asked = unescape(&request.path);
    let is = |path: &str| {
        let path = unescape(path);
        let path = path.strip_prefix(b"/").unwrap_or(&path);
        asked.strip_prefix(b"/").is_some_and(|asked| match request.truncated {
            // The cut may have gone through an escape.
            true => path.starts_with(&asked[..asked.len().saturating_sub(2)]),
            false => asked == path,
        })
    };
    is(path) || path.split_once('#').is_some_and(|(path, _)| is(path))
}

/// With what is written as `%2F` put in place.
fn unescape(path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.first_chunk::<2>()).flatten();
        let escaped = escaped.and_then(|[high, low]| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        });
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

impl Flows {
    /// Takes note of whose request was sent last over a connection; nobody's, if it is not known.
    fn set(&mut self, flow: Flow, cgroup: Option<CgroupId>) {
        let _ = self.take(&flow);
        let Some(cgroup) = cgroup else { return };
        self.cgroups.insert(flow, cgroup);
        self.order.push_back(flow);
        if self.order.len() > MAX_FLOWS
            && let Some(oldest) = self.order.pop_front()
        {
            self.cgroups.remove(&oldest);
        }
    }

    fn take(&mut self, flow: &Flow) -> Option<CgroupId> {
        let cgroup = self.cgroups.remove(flow)?;
        self.order.retain(|other| other != flow);
        Some(cgroup)
    }
}

#[cfg(test)]
mod tests;
