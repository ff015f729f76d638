//! What can go wrong with the API server, in words that say what to do.

use std::error::Error;
use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why the Kubernetes API cannot be used at all.
#[derive(Debug, Error)]
pub enum KubernetesError {
    /// Nobody said whose pods.
    #[error(
        "--kubernetes needs the name of this node: give it with --node-name or NODE_NAME, which a DaemonSet gets from the downward API (fieldRef: spec.nodeName)"
    )]
    NoNode,
    /// That is no name of a node.
    #[error("cannot watch the pods of the node {0:?}: a node's name has only letters, digits, '-' and '.'")]
    BadNode(String),
    /// Neither a service account nor a kubeconfig.
    #[error(
        "cannot tell where the Kubernetes API is: {0}; run in a pod with a service account, or name a kubeconfig with KUBECONFIG"
    )]
    Config(String),
    /// There is one, but what is in it cannot be used.
    #[error("cannot use what is configured for the Kubernetes API: {0}; check the kubeconfig or the service account")]
    Client(String),
}

/// Why one request, or the reading of its answer, has failed.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error("cannot ask the API server at {url}: {cause}")]
    Request { url: String, cause: String },
    #[error(
        "no TLS connection to the API server at {url}: {cause}; check certificate-authority of the kubeconfig, or ca.crt of the service account"
    )]
    Tls { url: String, cause: String },
    #[error(
        "the API server takes neither token nor certificate (401): {0}; they are read again before each further try"
    )]
    Unauthorized(String),
    #[error(
        "the API server forbids to {verb} {resource} (403): {message}; a ClusterRole of the agent must allow the verb \"{verb}\" on \"{resource}\""
    )]
    Forbidden { verb: &'static str, resource: &'static str, message: String },
    /// The version that was asked for is too old, or newer than what the server has.
    #[error("the API server does not know that version any more (410)")]
    Gone,
    #[error("the API server answers {code}: {message}")]
    Status { code: u16, message: String, retry_after: Option<Duration> },
    #[error("the API server at {url} says nothing for {} s", after.as_secs())]
    Silent { url: String, after: Duration },
    #[error("the connection to the API server broke off: {0}")]
    Cut(String),
    #[error("the API server's answer cannot be read: {0}")]
    Unreadable(String),
    #[error("the API server's answer is longer than the {0} bytes that are read")]
    TooLong(usize),
}

impl ApiError {
    /// The same for errors that are alike: each is worth one line in the log until all is well again.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            ApiError::Request { .. } => "request",
            ApiError::Tls { .. } => "tls",
            ApiError::Unauthorized(_) => "unauthorized",
            ApiError::Forbidden { .. } => "forbidden",
            ApiError::Gone => "gone",
            ApiError::Status { .. } => "status",
            ApiError::Silent { .. } => "silent",
            ApiError::Cut(_) => "cut",
            ApiError::Unreadable(_) => "unreadable",
            ApiError::TooLong(_) => "too long",
        }
    }

    /// A request that did not get as far as an answer.
    pub(super) fn of_request(url: &str, error: &kube::Error) -> ApiError {
        let cause = match error {
            // Its own words are the name of the variant.
            kube::Error::Service(inner) => causes(inner.as_ref()),
            error => causes(error),
        };
        let url = url.to_owned();
        if is_tls(error) { ApiError::Tls { url, cause } } else { ApiError::Request { url, cause } }
    }
}

/// An error with what is behind it, on one line; without what the one before has said already.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = one_line(&error.to_string());
    for cause in chain(error).skip(1) {
        let said = one_line(&cause.to_string());
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
    }
    text
}

/// An error and all that is behind it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        // An io::Error's own `source` is that of the error inside it, and skips that one.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// At most this much of what others say goes into a message.
const MAX_TEXT: usize = 400;

pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(MAX_TEXT) {
        line.truncate(end);
        line.push('…');
    }
    line
}

fn is_tls(error: &kube::Error) -> bool {
    chain(error).any(|cause| cause.is::<rustls::Error>())
}
