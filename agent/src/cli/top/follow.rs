//! Follows an agent: its list, then its stream, and both again when that ends.

use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::board::News;
use crate::cli::client::Agent;
use crate::report::Termination;

/// How soon to try again, at first and at most.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Tells all there is, and what changes, until nobody listens.
pub(super) async fn follow(agent: Agent, news: mpsc::Sender<News>) {
    let mut wait = PATIENCE.0;
    loop {
        let mut was_live = false;
        match watch(&agent, &news, &mut was_live).await {
            Ok(()) => return,
            Err(error) => {
                if was_live {
                    wait = PATIENCE.0;
                }
                if news.send(News::Down(format!("{error:#}"), wait)).await.is_err() {
                    return;
                }
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(PATIENCE.1);
    }
}

/// Until the connection breaks, which is an error, or nobody listens.
async fn watch(agent: &Agent, news: &mpsc::Sender<News>, was_live: &mut bool) -> anyhow::Result<()> {
    loop {
        let answer = agent.get("/api/v1/terminations?limit=1000").await?;
        let list: Vec<Termination> = answer.json()?;
        let from = answer.header("gracetrace-event-id").context("this agent is too old to tell of changes")?.to_owned();
        let mut events = agent.stream(Some(&from)).await?;
        *was_live = true;
        if news.send(News::List(list)).await.is_err() {
            return Ok(());
        }
        loop {
            let event = events.next().await?;
            let item = match event.name.as_str() {
                "changed" | "finished" => {
                    News::Changed(serde_json::from_str(&event.data).context("the agent tells of something else")?)
                }
                "gone" => {
                    #[derive(Deserialize)]
                    struct Gone {
                        id: String,
                    }
                    let gone: Gone = serde_json::from_str(&event.data).context("the agent tells of something else")?;
                    News::Gone(gone.id)
                }
                // What was missed is in the list.
                "reset" | "dropped" => break,
                _ => continue,
            };
            if news.send(item).await.is_err() {
                return Ok(());
            }
        }
    }
}
