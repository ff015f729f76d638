//! The runtime's socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gracetrace_cri_api::image_service_client::ImageServiceClient;
use gracetrace_cri_api::runtime_service_client::RuntimeServiceClient;
use gracetrace_cri_api::{ImageSpec, ImageStatusRequest, StatusRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// How long a question may take that is not about containers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Both services behind it. Connects when it is called, and again when the runtime was away.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) runtime: RuntimeServiceClient<Channel>,
    pub(super) images: ImageServiceClient<Channel>,
}

impl Client {
    /// Needs a tokio runtime around it.
    pub(super) fn new(socket: &Path) -> Result<Client> {
        let socket = PathBuf::from(socket);
        let connect = service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect);
        Ok(Client { runtime: RuntimeServiceClient::new(channel.clone()), images: ImageServiceClient::new(channel) })
    }

    /// Whether the runtime has a network for pods and all else, as the kubelet asks it.
    pub(super) async fn is_ready(&self) -> Result<()> {
        let mut runtime = self.runtime.clone();
        let answer = timeout(PATIENCE, runtime.status(StatusRequest { verbose: false })).await;
        let status = answer.context("no answer")??.into_inner().status.context("no status")?;
        match status.conditions.into_iter().find(|condition| !condition.status) {
            Some(condition) => bail!("{}: {}", condition.r#type, condition.message),
            None => Ok(()),
        }
    }

    /// Waits until it is, as a kubelet does before it syncs pods: its connection may be to a runtime that is gone.
    pub(super) async fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.is_ready().await {
                Err(error) if Instant::now() > deadline => return Err(error).context("the runtime is not ready"),
                Err(_) => pause().await,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// The id of an image, once it is there: the CRI hears of an import later than the importer.
    pub(super) async fn image_id(&self, name: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let image = Some(ImageSpec { image: name.to_owned(), ..ImageSpec::default() });
            let request = ImageStatusRequest { image, verbose: false };
            let answer = self.images.clone().image_status(request).await;
            if let Some(image) = answer.with_context(|| format!("ImageStatus of {name}"))?.into_inner().image {
                return Ok(image.id);
            }
            if Instant::now() > deadline {
                bail!("the runtime has no image {name}");
            }
            pause().await;
        }
    }
}

/// Between two looks at the same thing.
pub(super) async fn pause() {
    sleep(Duration::from_millis(5)).await;
}

/// Where the client works. One thread is enough: calls wait, they do not compute.
pub(super) fn tokio_runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}
