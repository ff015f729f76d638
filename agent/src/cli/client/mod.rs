//! A client of an agent's API, for the commands that show what another process knows.

mod events;
mod place;

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, HeaderMap, LINK, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(super) use events::Events;
pub(super) use place::Place;

/// Where the agent is.
#[derive(Debug, Clone, Args)]
pub(super) struct Agent {
    /// The agent to ask; of another node by `kubectl port-forward`, which gives it an address here
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464", env = "GRACETRACE_URL")]
    pub(super) url: Place,
}

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take, from the request to its end.
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes of an answer, at most: a thousand terminations with all that each can have.
const MOST: usize = 256 << 20;

/// An answer with status 200.
#[derive(Debug)]
pub(super) struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Reads it as JSON.
    ///
    /// # Errors
    /// When it is something else, as that of a program that is no agent.
    pub(super) fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).context("the answer is not what an agent says: is it one?")
    }

    /// A header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Path and query of the next part of a list.
    pub(super) fn next(&self) -> Option<String> {
        let link = self.headers.get(LINK)?.to_str().ok()?;
        let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
        rest.contains("rel=\"next\"").then(|| target.to_owned())
    }
}

impl Agent {
    /// The answer to a question; `None` when there is no such thing.
    ///
    /// # Errors
    /// When there is no answer, or it is another one.
    pub(super) async fn find(&self, path: &str) -> anyhow::Result<Option<Answer>> {
        let exchange = async {
            let response = self.send(path, None).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MOST).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error)).context("the answer breaks off")?.to_bytes();
            anyhow::Ok((head.status, Answer { headers: head.headers, body }))
        };
        let within = timeout(ANSWER, exchange).await;
        let (status, answer) = within
            .context("it does not answer")
            .flatten()
            .with_context(|| format!("cannot ask the agent at {}", self.url))?;
        match status {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("the agent at {} refuses: {}", self.url, problem(status, &answer.body)),
        }
    }

    /// The same of what every agent has.
    ///
    /// # Errors
    /// When there is no answer, or it is another one.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        let answer = self.find(path).await?;
        answer.with_context(|| format!("what is at {} has no {path}: is it an agent, and a new one?", self.url))
    }

    /// The stream, from an event on.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn stream(&self, last_event_id: Option<&str>) -> anyhow::Result<Events> {
        let within = timeout(ANSWER, self.send("/api/v1/stream", last_event_id)).await;
        let response = within.context("it does not answer").flatten();
        let response = response.with_context(|| format!("cannot ask the agent at {}", self.url))?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = Limited::new(response.into_body(), MOST).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            bail!("the agent at {} refuses: {}", self.url, problem(status, &body));
        }
        Ok(Events::new(response.into_body()))
    }

    async fn send(&self, path: &str, last_event_id: Option<&str>) -> anyhow::Result<Response<Incoming>> {
        let connect = timeout(CONNECT, TcpStream::connect((self.url.host(), self.url.port()))).await;
        let stream =
            connect.context("nobody answers")?.context("is an agent running there? --url names another place")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the last of the two others, the sender and the body.
        tokio::spawn(connection);
        let mut request = Request::get(self.url.path(path))
            .header(HOST, self.url.authority())
            .header(USER_AGENT, concat!("gracetrace/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json, text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?)
    }
}

/// What an error says of itself (RFC 9457), or else its status.
fn problem(status: StatusCode, body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match problem["detail"].as_str() {
        Some(detail) => super::text::Escaped(detail).to_string(),
        None => status.to_string(),
    }
}

/// Runs a command that asks an agent: one thread, and no more.
///
/// # Errors
/// Those of the command.
pub(super) fn run<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(command)
}
