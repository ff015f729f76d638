//! What only the pipeline knows: the server asks, and waits for the answer so long and no longer.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::identity::KnownPod;
use crate::report::Vitals;

/// A question. Who asked may have gone before it is answered.
#[derive(Debug)]
pub enum Inquiry {
    /// The pods and containers that are known.
    Pods(oneshot::Sender<Vec<KnownPod>>),
    /// How it is doing.
    Vitals(oneshot::Sender<Box<Vitals>>),
}

/// Where questions go.
#[derive(Debug, Clone)]
pub struct Inquiries(mpsc::Sender<Inquiry>);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("too many others ask the same: try again")]
    Busy,
    #[error("the pipeline does not answer")]
    Silent,
}

impl Inquiries {
    /// How many may wait.
    const WAITING: usize = 16;
    /// The pipeline turns at least once a second.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// Both ends.
    pub fn channel() -> (Inquiries, mpsc::Receiver<Inquiry>) {
        let (sender, receiver) = mpsc::channel(Self::WAITING);
        (Inquiries(sender), receiver)
    }

    pub(super) async fn pods(&self) -> Result<Vec<KnownPod>, NoAnswer> {
        self.ask(Inquiry::Pods).await
    }

    pub(super) async fn vitals(&self) -> Result<Box<Vitals>, NoAnswer> {
        self.ask(Inquiry::Vitals).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Inquiry) -> Result<T, NoAnswer> {
        let (sender, answer) = oneshot::channel();
        self.0.try_send(question(sender)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NoAnswer::Busy,
            mpsc::error::TrySendError::Closed(_) => NoAnswer::Silent,
        })?;
        match timeout(Self::PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(NoAnswer::Silent),
        }
    }
}
