//! `workloads`.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use hyper::header::HeaderMap;
use tokio::sync::Mutex;

use super::super::State;
use super::super::query::{self, Listing};
use super::super::reply::{self, Tag};
use super::super::response::json_array;
use super::{Answer, Refusal, link_next};
use crate::model;
use crate::report::{Workload, WorkloadSummary};
use crate::store::{Revision, WorkloadFilter};

/// The summaries as of a revision: whoever asks while nothing has changed gets the same, and of many who ask at once one
/// has the work done.
#[derive(Debug, Default)]
pub(in crate::http) struct Cache(Mutex<Option<(Revision, Arc<Vec<WorkloadSummary>>)>>);

impl Cache {
    async fn get(&self, state: &State) -> Option<(Revision, Arc<Vec<WorkloadSummary>>)> {
        let mut cache = self.0.lock().await;
        let (revision, collected) = {
            let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
            let revision = store.revision();
            if let Some((of, summaries)) = &*cache
                && *of == revision
            {
                return Some((revision, Arc::clone(summaries)));
            }
            (revision, store.collect())
        };
        let summaries = Arc::new(state.aside.run(move || collected.summaries()).await?);
        *cache = Some((revision, Arc::clone(&summaries)));
        Some((revision, summaries))
    }
}

pub(super) async fn list(state: &Arc<State>, query: &str, headers: &HeaderMap) -> Answer {
    const FAILED: Refusal = Refusal::Failed("the workloads could not be summed up");

    let asked = query::workloads(query)?;
    let (revision, summaries) = state.workloads.get(state).await.ok_or(FAILED)?;
    let mut tag = Tag::new(state.epoch);
    tag.add(("workloads", revision, query));
    // Its links are those that it had.
    if let Some(response) = reply::unchanged(headers, &tag) {
        return Ok(response);
    }
    let (items, next) = state.aside.run(move || part(&summaries, &asked)).await.ok_or(FAILED)?;
    let mut response = reply::tagged(&state.aside, headers, &tag, json_array(items.into_iter())).await;
    if let Some(next) = next {
        link_next(&mut response, "workloads", query, &next);
    }
    Ok(response)
}

/// What was asked for, and the cursor of what comes after.
fn part(summaries: &[WorkloadSummary], asked: &Listing) -> (Vec<Bytes>, Option<String>) {
    let (mut items, mut last) = (Vec::new(), None);
    let wanted = summaries.iter().filter(|summary| passes(summary, asked));
    for summary in wanted {
        let place = place(summary);
        if asked.page.cursor.as_ref().is_some_and(|after| place <= *after) {
            continue;
        }
        if items.len() == asked.page.limit {
            return (items, last);
        }
        items.push(Bytes::from(serde_json::to_vec(summary).unwrap_or_default()));
        last = Some(place);
    }
    (items, None)
}

fn passes(summary: &WorkloadSummary, asked: &Listing) -> bool {
    let is = |wanted: &WorkloadFilter, is: &Workload| {
        wanted.is(&model::Workload { kind: is.kind.as_str().into(), name: is.name.as_str().into() })
    };
    let whose = &asked.whose;
    whose.namespace.as_ref().is_none_or(|wanted| summary.namespace.as_ref() == Some(wanted))
        && whose.workload.as_ref().is_none_or(|wanted| summary.workload.as_ref().is_some_and(|it| is(wanted, it)))
}

/// Where it stands in the list: sorts as the summaries do. Nothing in Kubernetes' names sorts before a space.
fn place(summary: &WorkloadSummary) -> String {
    let (kind, name) = summary.workload.as_ref().map_or(("", ""), |it| (it.kind.as_str(), it.name.as_str()));
    format!("{} {kind} {name}", summary.namespace.as_deref().unwrap_or_default())
}
