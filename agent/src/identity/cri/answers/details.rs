//! What a list does not say and is asked one by one: the image's stop signal and name, the pod's addresses. They do not
//! change, so each is asked once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gracetrace_cri_api::{Container, ImageStatusResponse, NamespaceMode, PodSandboxStatusResponse};
use serde::Deserialize;

use super::listing::{Listing, is_alive, is_ready};
use crate::model::Signal;

/// How often something is asked that was not answered.
const MAX_TRIES: u8 = 3;
/// A pod has one address a family.
const MAX_ADDRESSES: usize = 8;
/// References of images and ids of sandboxes are shorter.
const MAX_REFERENCE: usize = 1024;

/// The answers so far, of what is still listed.
#[derive(Debug, Default)]
pub(crate) struct Details {
    images: BTreeMap<String, Image>,
    sandboxes: BTreeMap<String, Network>,
    tries: BTreeMap<Question, u8>,
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Image {
    pub(super) stop_signal: Option<Signal>,
    /// A name that it has now: its first tag, else its digest in a repository.
    pub(super) name: Option<String>,
}

/// A pod's network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Network {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) is_host: bool,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// An image, as the runtime refers to it.
    Image(String),
    /// A sandbox, by its id.
    Sandbox(String),
}

impl Details {
    /// What is worth asking about this list, once each.
    pub(crate) fn wanted(&self, listing: &Listing) -> Vec<Question> {
        let images = listing.containers.iter().filter(|container| is_alive(container)).map(image_reference);
        let images: BTreeSet<&str> = images.filter(|image| !self.images.contains_key(*image)).collect();
        let sandboxes = listing.sandboxes.iter().filter(|sandbox| is_ready(sandbox)).map(|sandbox| sandbox.id.as_str());
        let sandboxes = sandboxes.filter(|id| !self.sandboxes.contains_key(*id));
        let fits = |name: &&str| (1..=MAX_REFERENCE).contains(&name.len());
        let mut wanted: Vec<Question> =
            images.into_iter().filter(fits).map(|name| Question::Image(name.into())).collect();
        wanted.extend(sandboxes.filter(fits).map(|id| Question::Sandbox(id.into())));
        wanted.retain(|question| self.tries.get(question).is_none_or(|tries| *tries < MAX_TRIES));
        wanted
    }

    /// Forgets what is not listed any more.
    pub(crate) fn retain(&mut self, listing: &Listing) {
        let images: BTreeSet<&str> = listing.containers.iter().map(image_reference).collect();
        let sandboxes: BTreeSet<&str> = listing.sandboxes.iter().map(|sandbox| sandbox.id.as_str()).collect();
        self.images.retain(|image, _| images.contains(image.as_str()));
        self.sandboxes.retain(|id, _| sandboxes.contains(id.as_str()));
        self.tries.retain(|question, _| match question {
            Question::Image(image) => images.contains(image.as_str()),
            Question::Sandbox(id) => sandboxes.contains(id.as_str()),
        });
    }

    /// Takes what the runtime says of an image.
    pub(crate) fn image(&mut self, image: String, answer: &ImageStatusResponse) {
        let mut names = answer.image.iter().flat_map(|image| image.repo_tags.iter().chain(&image.repo_digests));
        let name = names.find(|name| (1..=MAX_REFERENCE).contains(&name.len())).cloned();
        self.images.insert(image, Image { stop_signal: stop_signal(answer), name });
    }

    /// Takes what the runtime says of a sandbox.
    pub(crate) fn sandbox(&mut self, id: String, answer: &PodSandboxStatusResponse) {
        let network = network(answer);
        if network == Network::default() {
            // It has none yet.
            self.unanswered(Question::Sandbox(id));
        } else {
            self.sandboxes.insert(id, network);
        }
    }

    /// Takes note that there was no answer.
    pub(crate) fn unanswered(&mut self, question: Question) {
        let tries = self.tries.entry(question).or_default();
        *tries = tries.saturating_add(1);
    }

    /// What is known of a container's image.
    pub(super) fn image_of(&self, container: &Container) -> Option<&Image> {
        self.images.get(image_reference(container))
    }

    pub(super) fn network(&self, sandbox: &str) -> Option<&Network> {
        self.sandboxes.get(sandbox)
    }
}

/// The image by its digest, which stays what it is when a tag moves on.
fn image_reference(container: &Container) -> &str {
    match container.image_ref.as_str() {
        "" => container.image.as_ref().map_or("", |image| image.image.as_str()),
        reference => reference,
    }
}

/// containerd and CRI-O put the image's own configuration there, in the same form (containerd,
/// internal/cri/server/images/image_status.go, `verboseImageInfo`; CRI-O, server/image_status.go, `createImageInfo`).
const INFO: &str = "info";

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "imageSpec")]
    image_spec: Option<ImageSpec>,
}

/// As the Open Container Initiative has it.
#[derive(Deserialize)]
struct ImageSpec {
    config: Option<ImageConfig>,
}

#[derive(Deserialize)]
struct ImageConfig {
    #[serde(rename = "StopSignal")]
    stop_signal: Option<String>,
}

fn stop_signal(answer: &ImageStatusResponse) -> Option<Signal> {
    let info: Info = serde_json::from_str(answer.info.get(INFO)?).ok()?;
    Signal::parse(&info.image_spec?.config?.stop_signal?)
}

fn network(answer: &PodSandboxStatusResponse) -> Network {
    let Some(status) = &answer.status else { return Network::default() };
    let network = status.network.as_ref();
    let first = network.map(|network| network.ip.as_str());
    let more = network.into_iter().flat_map(|network| &network.additional_ips).map(|ip| ip.ip.as_str());
    let addresses = first.into_iter().chain(more).filter_map(|ip| ip.parse().ok()).take(MAX_ADDRESSES).collect();
    let options = status.linux.as_ref().and_then(|linux| linux.namespaces.as_ref()?.options.as_ref());
    Network { addresses, is_host: options.is_some_and(|options| options.network == NamespaceMode::Node as i32) }
}
