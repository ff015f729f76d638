//! The API server: where it is, who asks, one request.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{ACCEPT, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use kube::Config;
use kube::client::{Body, Client};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::body;
use super::error::{ApiError, KubernetesError, causes, one_line};
use super::pace::Pace;

/// The longest wait that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// Bytes of an answer that says what is wrong.
const MAX_STATUS: usize = 64 << 10;

/// A client that can be made anew when what it was made from has changed.
pub(super) struct Api {
    client: Mutex<Client>,
    url: String,
    kubeconfig: Option<PathBuf>,
    pace: Pace,
}

/// What a request is for, as RBAC calls it.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
}

impl Api {
    /// Reads the configuration; does not connect yet.
    pub(super) async fn open(kubeconfig: Option<PathBuf>, pace: Pace) -> Result<Api, KubernetesError> {
        let (client, url) = load(kubeconfig.clone(), pace).await?;
        Ok(Api { client: Mutex::new(client), url, kubeconfig, pace })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Reads token, certificates and address again. What was there before stays when they cannot be read.
    pub(super) async fn renew(&self) -> Result<(), KubernetesError> {
        let (client, _) = load(self.kubeconfig.clone(), self.pace).await?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    /// Asks; the answer has a good status and its body is still to be read.
    pub(super) async fn get(&self, path: &str, asked: Asked) -> Result<Response<Body>, ApiError> {
        let request = Request::get(path)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("gracetrace/", env!("CARGO_PKG_VERSION")))
            .body(Body::empty())
            .map_err(|error| ApiError::Request { url: self.url.clone(), cause: error.to_string() })?;
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = timeout(self.pace.answer, client.send(request)).await.map_err(|_| self.silent())?;
        let answer = answer.map_err(|error| ApiError::of_request(&self.url, &error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refusal(answer, asked).await) }
    }

    /// Asks, and reads all of the answer.
    pub(super) async fn get_text(&self, path: &str, asked: Asked, most: usize) -> Result<String, ApiError> {
        let read = async {
            let answer = self.get(path, asked).await?;
            body::text(answer.into_body(), most, self.pace.answer).await
        };
        let silent = ApiError::Silent { url: self.url.clone(), after: self.pace.whole };
        timeout(self.pace.whole, read).await.unwrap_or(Err(silent))
    }

    fn silent(&self) -> ApiError {
        ApiError::Silent { url: self.url.clone(), after: self.pace.answer }
    }

    async fn refusal(&self, answer: Response<Body>, asked: Asked) -> ApiError {
        let code = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        let text = body::text(answer.into_body(), MAX_STATUS, self.pace.answer).await;
        let text = text.unwrap_or_default();
        let error = Status::parse(&text).message.unwrap_or(text);
        status(code.as_u16(), &error, asked, retry_after)
    }
}

/// What the API says when it does not do what it was asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Status {
    pub(super) code: Option<u16>,
    pub(super) message: Option<String>,
}

impl Status {
    /// What can be read of it.
    pub(super) fn parse(text: &str) -> Status {
        serde_json::from_str(text).unwrap_or_default()
    }
}

pub(super) fn status(code: u16, message: &str, asked: Asked, retry_after: Option<Duration>) -> ApiError {
    let text = one_line(message);
    match StatusCode::from_u16(code) {
        Ok(StatusCode::UNAUTHORIZED) => ApiError::Unauthorized(text),
        Ok(StatusCode::FORBIDDEN) => ApiError::Forbidden { verb: asked.verb, resource: asked.resource, message: text },
        Ok(StatusCode::GONE) => ApiError::Gone,
        // A server that has come back with less than it had (staging/src/k8s.io/apiserver/pkg/storage/errors.go,
        // `NewTooLargeResourceVersionError`).
        Ok(StatusCode::GATEWAY_TIMEOUT) if text.contains("Too large resource version") => ApiError::Gone,
        _ => ApiError::Status { code, message: text, retry_after },
    }
}

/// In a thread of its own: it reads files, and a kubeconfig may name a program that has to be run for a token.
async fn load(kubeconfig: Option<PathBuf>, pace: Pace) -> Result<(Client, String), KubernetesError> {
    let runtime = Handle::current();
    let made = spawn_blocking(move || {
        let mut config = runtime.block_on(configuration(kubeconfig)).map_err(KubernetesError::Config)?;
        config.connect_timeout = Some(pace.connect);
        // The source has its own way of trying again, which counts and shows failures.
        config.default_retry = false;
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| KubernetesError::Client(causes(&error)))?;
        Ok((client, url.trim_end_matches('/').to_owned()))
    });
    made.await.unwrap_or_else(|error| Err(KubernetesError::Client(error.to_string())))
}

async fn configuration(kubeconfig: Option<PathBuf>) -> Result<Config, String> {
    let Some(path) = kubeconfig else { return Config::infer().await.map_err(|error| causes(&error)) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| causes(&error))?;
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| causes(&error))
}
