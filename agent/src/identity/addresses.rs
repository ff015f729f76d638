//! Addresses of this node's pods: which are in use, and which a pod has left and nobody has taken since. Pure.
//!
//! An address is gone when the last container of its pod is forgotten: its cgroup is removed and its end was reported. A
//! pod's sandbox is among those, and keeps the address until then. Addresses of the host's network are no pod's.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{BootTime, CgroupId, ContainerIdentity, Pod, PodUid, Workload};

/// How many addresses that are gone are watched at once: as many as the kernel side has room for.
const MAX_GONE: usize = 1024;
/// How long one is. A route that is still out of date then is not late but broken, and pods on other nodes may have got the
/// address.
const GONE_KEPT: Duration = Duration::from_secs(600);
/// How many addresses a pod can have: one of each family for each of a few networks.
const MAX_OF_POD: usize = 16;

/// Whose an address is or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// Its workload.
    pub workload: Workload,
}

/// What the kernel side has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressChange {
    /// Nobody has this address any more.
    Gone(IpAddr),
    /// Somebody has it again, or it has been watched for long enough.
    Taken(IpAddr),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Addresses {
    pods: BTreeMap<PodUid, Holder>,
    cgroups: BTreeMap<CgroupId, PodUid>,
    gone: BTreeMap<IpAddr, (Whose, BootTime)>,
    /// Those that are watched no more, until what the kernel side has still counted was told.
    taken: BTreeMap<IpAddr, Whose>,
    changes: VecDeque<AddressChange>,
}

/// A pod with containers.
#[derive(Debug)]
struct Holder {
    whose: Whose,
    /// Every one that it ever had.
    addresses: BTreeSet<IpAddr>,
    containers: BTreeSet<CgroupId>,
}

impl Addresses {
    /// Takes what is known of a container.
    pub fn handle_container(&mut self, identity: &ContainerIdentity) {
        let Some(pod) = identity.pod.as_ref().filter(|pod| !pod.host_network) else { return };
        let holder = self.pods.entry(identity.pod_uid.clone()).or_insert_with(|| Holder {
            whose: whose(pod),
            addresses: BTreeSet::new(),
            containers: BTreeSet::new(),
        });
        holder.whose = whose(pod);
        holder.containers.insert(identity.cgroup);
        self.cgroups.insert(identity.cgroup, identity.pod_uid.clone());
        for address in pod.addresses.iter().map(IpAddr::to_canonical) {
            if !address.is_unspecified() && !address.is_loopback() && holder.addresses.len() < MAX_OF_POD {
                holder.addresses.insert(address);
            }
        }
        let addresses: Vec<IpAddr> = holder.addresses.iter().copied().collect();
        for address in addresses {
            self.take(address);
        }
    }

    /// A cgroup is forgotten.
    pub fn handle_untracked(&mut self, cgroup: CgroupId, now: BootTime) {
        let Some(uid) = self.cgroups.remove(&cgroup) else { return };
        let Some(holder) = self.pods.get_mut(&uid) else { return };
        holder.containers.remove(&cgroup);
        if !holder.containers.is_empty() {
            return;
        }
        let Some(Holder { whose, addresses, .. }) = self.pods.remove(&uid) else { return };
        for address in addresses {
            if self.pods.values().any(|other| other.addresses.contains(&address)) {
                continue;
            }
            if self.gone.len() >= MAX_GONE
                && let Some(oldest) = self.gone.iter().min_by_key(|(_, (_, since))| *since).map(|(it, _)| *it)
            {
                self.take(oldest);
            }
            self.taken.remove(&address);
            self.gone.insert(address, (whose.clone(), now));
            self.changes.push_back(AddressChange::Gone(address));
        }
    }

    /// Time goes on.
    pub fn handle_tick(&mut self, now: BootTime) {
        let old = self.gone.iter().filter(|(_, (_, since))| now.since(*since) >= GONE_KEPT);
        for address in old.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.take(address);
        }
    }

    /// Whose an address was that connects have gone to. Told once of one that is watched no more.
    pub fn handle_stale(&mut self, address: IpAddr) -> Option<Whose> {
        self.taken.remove(&address).or_else(|| self.gone.get(&address).map(|(whose, _)| whose.clone()))
    }

    /// The next thing that the kernel side has to know.
    pub fn poll_change(&mut self) -> Option<AddressChange> {
        self.changes.pop_front()
    }

    fn take(&mut self, address: IpAddr) {
        let Some((whose, _)) = self.gone.remove(&address) else { return };
        // Answered at once; of those that are not, as many as can be watched are remembered.
        if self.taken.len() >= MAX_GONE {
            self.taken.pop_first();
        }
        self.taken.insert(address, whose);
        self.changes.push_back(AddressChange::Taken(address));
    }
}

fn whose(pod: &Pod) -> Whose {
    Whose { namespace: pod.namespace.clone(), workload: pod.workload.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContainerId, Role};

    const SECOND: u64 = 1_000_000_000;

    fn container(cgroup: u64, uid: &str, addresses: &[&str]) -> ContainerIdentity {
        let uid = PodUid::new(uid);
        let mut pod = Pod::new(uid.clone(), "default", format!("pod-{uid}"));
        pod.addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let id = ContainerId::new(cgroup.to_string());
        let cgroup = CgroupId(cgroup);
        let pod = Some(Arc::new(pod));
        ContainerIdentity { cgroup, id, pod_uid: uid, role: Role::App, pod, older_than_agent: false }
    }

    fn changes(addresses: &mut Addresses) -> Vec<AddressChange> {
        std::iter::from_fn(|| addresses.poll_change()).collect()
    }

    fn gone(address: &str) -> AddressChange {
        AddressChange::Gone(address.parse().unwrap())
    }

    fn taken(address: &str) -> AddressChange {
        AddressChange::Taken(address.parse().unwrap())
    }

    fn whose_is(addresses: &mut Addresses, address: &str) -> Option<String> {
        addresses.handle_stale(address.parse().unwrap()).map(|whose| whose.workload.name.to_string())
    }

    #[test]
    fn gone_with_the_last_container() {
        let mut addresses = Addresses::default();
        addresses.handle_container(&container(1, "a", &["10.0.0.1", "fd00::1"]));
        addresses.handle_container(&container(2, "a", &["10.0.0.1", "fd00::1"]));
        addresses.handle_untracked(CgroupId(1), BootTime(1));
        assert_eq!(changes(&mut addresses), []);
        // At its end it is said to have none.
        addresses.handle_container(&container(2, "a", &[]));
        addresses.handle_untracked(CgroupId(2), BootTime(2));
        assert_eq!(changes(&mut addresses), [gone("10.0.0.1"), gone("fd00::1")]);
        assert_eq!(whose_is(&mut addresses, "10.0.0.1").as_deref(), Some("pod-a"));
        assert_eq!(whose_is(&mut addresses, "10.0.0.1").as_deref(), Some("pod-a"), "as long as it is watched");
        assert_eq!(whose_is(&mut addresses, "10.0.0.2"), None);
    }

    #[test]
    fn two_pods_in_turn() {
        let mut addresses = Addresses::default();
        addresses.handle_container(&container(1, "a", &["10.0.0.1"]));
        addresses.handle_untracked(CgroupId(1), BootTime(1));
        addresses.handle_container(&container(2, "b", &["::ffff:10.0.0.1"]));
        assert_eq!(changes(&mut addresses), [gone("10.0.0.1"), taken("10.0.0.1")]);
        assert_eq!(whose_is(&mut addresses, "10.0.0.1").as_deref(), Some("pod-a"), "what was still counted");
        assert_eq!(whose_is(&mut addresses, "10.0.0.1"), None, "and no more");
        addresses.handle_untracked(CgroupId(2), BootTime(2));
        assert_eq!(changes(&mut addresses), [gone("10.0.0.1")]);
        assert_eq!(whose_is(&mut addresses, "10.0.0.1").as_deref(), Some("pod-b"));
    }

    #[test]
    fn a_new_pod_may_have_it_before_the_old_one_is_forgotten() {
        let mut addresses = Addresses::default();
        addresses.handle_container(&container(1, "a", &["10.0.0.1"]));
        addresses.handle_container(&container(2, "b", &["10.0.0.1"]));
        addresses.handle_untracked(CgroupId(1), BootTime(1));
        assert_eq!(changes(&mut addresses), []);
        addresses.handle_untracked(CgroupId(2), BootTime(2));
        assert_eq!(changes(&mut addresses), [gone("10.0.0.1")]);
    }

    #[test]
    fn the_hosts_addresses_are_no_pods() {
        let mut addresses = Addresses::default();
        let mut identity = container(1, "a", &["10.0.0.1"]);
        Arc::get_mut(identity.pod.as_mut().unwrap()).unwrap().host_network = true;
        addresses.handle_container(&identity);
        addresses.handle_untracked(CgroupId(1), BootTime(1));
        addresses.handle_container(&container(2, "b", &["127.0.0.1", "0.0.0.0"]));
        addresses.handle_untracked(CgroupId(2), BootTime(1));
        assert_eq!(changes(&mut addresses), []);
    }

    #[test]
    fn watched_for_a_time_and_in_a_number() {
        let mut addresses = Addresses::default();
        for number in 0..MAX_GONE as u64 + 10 {
            let address = format!("10.0.{}.{}", number >> 8, number & 0xff);
            addresses.handle_container(&container(number, &number.to_string(), &[&address]));
            addresses.handle_untracked(CgroupId(number), BootTime(number));
        }
        let told = changes(&mut addresses);
        let taken: Vec<_> = told.iter().filter(|change| matches!(change, AddressChange::Taken(_))).collect();
        assert_eq!((taken.len(), *taken[0]), (10, AddressChange::Taken("10.0.0.0".parse().unwrap())));
        addresses.handle_tick(BootTime(599 * SECOND));
        assert_eq!(changes(&mut addresses), []);
        addresses.handle_tick(BootTime(601 * SECOND));
        assert_eq!(changes(&mut addresses).len(), MAX_GONE);
        assert_eq!((addresses.gone.len(), addresses.pods.len(), addresses.cgroups.len()), (0, 0, 0));
        assert_eq!(addresses.taken.len(), MAX_GONE);
    }
}
