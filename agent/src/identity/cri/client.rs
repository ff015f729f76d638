//! The calls, each with a deadline and with what went wrong in words.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gracetrace_cri_api::image_service_client::ImageServiceClient;
use gracetrace_cri_api::runtime_service_client::RuntimeServiceClient;
use gracetrace_cri_api::{
    ImageSpec, ImageStatusRequest, ImageStatusResponse, ListContainersRequest, ListPodSandboxRequest,
    PodSandboxStatusRequest, PodSandboxStatusResponse,
};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use tower::service_fn;

use super::answers::Listing;

/// Why the runtime cannot be asked.
#[derive(Debug, Error)]
pub enum CriError {
    /// Nobody is there.
    #[error("cannot connect to the container runtime at {path}: {reason}{hint}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// The way out, if one is known.
        hint: &'static str,
    },
    /// It does not answer.
    #[error("the container runtime at {path} has not answered {call} within {} s", deadline.as_secs())]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// What it was asked.
        call: &'static str,
        /// How long it had.
        deadline: Duration,
    },
    /// It knows nothing of pods.
    #[error(
        "what listens at {path} does not serve CRI v1 ({reason}): it may be Docker's containerd, or its CRI plugin may \
         be switched off (disabled_plugins in containerd's config.toml); name the socket that the kubelet uses with --cri"
    )]
    NotCri {
        /// The socket.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// It answers with an error, or what it says cannot be understood.
    #[error("the container runtime at {path} failed {call}: {reason}")]
    Call {
        /// The socket.
        path: PathBuf,
        /// What it was asked.
        call: &'static str,
        /// What it said.
        reason: String,
        /// The runtime is fine, it has no answer to this question.
        is_answer: bool,
    },
}

impl CriError {
    /// A socket that was there is not any more.
    pub(super) fn gone(path: &Path) -> CriError {
        CriError::Connect { path: path.to_owned(), reason: "its socket is gone".to_owned(), hint: "" }
    }

    /// Whether the runtime is fine, and has no answer to this question alone. A runtime may have its images served by
    /// somebody else.
    pub(super) fn is_about_the_question(&self) -> bool {
        matches!(self, CriError::Call { is_answer: true, .. } | CriError::NotCri { .. })
    }
}

/// How long a runtime may take for an answer. The kubelet gives it two minutes; one that is slower than this is asked
/// again later.
const DEADLINE: Duration = Duration::from_secs(10);
/// The kubelet's own limit for an answer (k8s.io/cri-client, pkg/utils.go, `maxMsgSize`).
const MAX_ANSWER: usize = 16 << 20;
/// How much is told of what a runtime says, in characters.
const MAX_REASON: usize = 300;

/// A connection to a runtime.
#[derive(Debug)]
pub(super) struct Client {
    path: PathBuf,
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    deadline: Duration,
}

impl Client {
    pub(super) async fn connect(path: &Path) -> Result<Client, CriError> {
        Client::connect_within(path, DEADLINE).await
    }

    pub(super) async fn connect_within(path: &Path, deadline: Duration) -> Result<Client, CriError> {
        let socket = path.to_owned();
        let connector = service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The name is for the protocol alone; gRPC servers in Go refuse an authority that is a path.
        let endpoint = Endpoint::from_static("http://localhost");
        let failed = |reason, hint| CriError::Connect { path: path.to_owned(), reason, hint };
        let connected = tokio::time::timeout(deadline, endpoint.connect_with_connector(connector)).await;
        let channel = match connected {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(failed(cut(&root(&error).to_string()), hint(&error))),
            Err(_) => return Err(failed("nobody accepts the connection".to_owned(), "")),
        };
        Ok(Client {
            path: path.to_owned(),
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            images: ImageServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER),
            deadline,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that the runtime has. The containers first: so their sandboxes are in the other list.
    pub(super) async fn list(&self) -> Result<Listing, CriError> {
        let mut runtime = self.runtime.clone();
        let containers = runtime.list_containers(ListContainersRequest::default());
        let containers = self.call("ListContainers", containers).await?.containers;
        let sandboxes = runtime.list_pod_sandbox(ListPodSandboxRequest::default());
        let sandboxes = self.call("ListPodSandbox", sandboxes).await?.items;
        Ok(Listing::new(sandboxes, containers))
    }

    /// Addresses and namespaces of a pod.
    pub(super) async fn sandbox(&self, id: &str) -> Result<PodSandboxStatusResponse, CriError> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let mut runtime = self.runtime.clone();
        self.call("PodSandboxStatus", runtime.pod_sandbox_status(request)).await
    }

    /// An image with its configuration.
    pub(super) async fn image(&self, image: &str) -> Result<ImageStatusResponse, CriError> {
        let image = ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
        let mut images = self.images.clone();
        let request = ImageStatusRequest { image: Some(image), verbose: true };
        self.call("ImageStatus", images.image_status(request)).await
    }

    async fn call<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CriError> {
        let path = || self.path.clone();
        let deadline = self.deadline;
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if status.code() == Code::Unimplemented => {
                Err(CriError::NotCri { path: path(), reason: cut(status.message()) })
            }
            Ok(Err(status)) => {
                Err(CriError::Call { path: path(), call, reason: reason(&status), is_answer: is_answer(&status) })
            }
            Err(_) => Err(CriError::Timeout { path: path(), call, deadline }),
        }
    }
}

/// What a failed call says; of a broken connection the reason, not that there was one.
fn reason(status: &Status) -> String {
    match status.source() {
        Some(source) => cut(&format!("{}: {}", status.message(), root(source))),
        None => cut(status.message()),
    }
}

/// Whether the runtime has said so itself; not that it is on its way up or down, or that the connection broke.
fn is_answer(status: &Status) -> bool {
    let is_away = matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded);
    status.source().is_none() && !is_away
}

fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

fn hint(error: &(dyn Error + 'static)) -> &'static str {
    match root(error).downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::NotFound) => {
            "; the runtime may be down, or its directory is not mounted here; --cri names another one"
        }
        Some(io::ErrorKind::ConnectionRefused) => "; nobody listens there now",
        Some(io::ErrorKind::PermissionDenied) => "; it needs root, or the group that owns the socket",
        _ => "",
    }
}

/// What somebody else wrote, as one line of bounded length without control characters.
fn cut(text: &str) -> String {
    text.chars().take(MAX_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
