//! `terminations`, and one of them.

use std::sync::{Arc, PoisonError};

use hyper::header::{HeaderMap, HeaderValue};

use super::super::body::Chunks;
use super::super::reply::{self, Tag};
use super::super::response::json_array;
use super::super::stream::event_id;
use super::super::{State, query};
use super::{Answer, EVENT_ID, Refusal, link_next};
use crate::model::BootTime;
use crate::store::Found;

pub(super) async fn list(state: &Arc<State>, query: &str, headers: &HeaderMap) -> Answer {
    let now = (state.now)();
    let asked = query::terminations(query, now)?;
    let (page, size) = {
        let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
        (store.list(&asked.filter, asked.page.cursor.as_ref(), asked.page.limit), store.len())
    };
    let mut tag = Tag::new(state.epoch);
    tag.add((page.digest, size.min(1), second_of(page.in_progress, now)));
    let next = page.next.as_ref().map(query::cursor_text);
    let mut response = match reply::unchanged(headers, &tag) {
        Some(response) => response,
        None => {
            let body = encode(state, page.found, now).await.ok_or(Refusal::Failed("the list could not be encoded"))?;
            reply::tagged(&state.aside, headers, &tag, body).await
        }
    };
    if let Ok(id) = HeaderValue::from_str(&event_id(state.epoch, page.revision)) {
        response.headers_mut().insert(EVENT_ID, id);
    }
    if let Some(next) = next {
        link_next(&mut response, "terminations", query, &next);
    }
    Ok(response)
}

/// Those that go on are encoded now; many of them beside the pipeline's thread.
async fn encode(state: &State, found: Vec<Found>, now: BootTime) -> Option<Chunks> {
    const FEW: usize = 16;

    let array = move |found: Vec<Found>| json_array(found.into_iter().map(|found| found.into_json(now)));
    if found.iter().filter(|found| !found.is_finished()).count() <= FEW {
        return Some(array(found));
    }
    state.aside.run(move || array(found)).await
}

pub(super) async fn one(state: &Arc<State>, id: &str, query: &str, headers: &HeaderMap) -> Answer {
    const NONE: Refusal = Refusal::NotFound("no such termination, or it had to make room for newer ones");

    query::nothing(query)?;
    let now = (state.now)();
    let id = query::decode(id).ok_or(NONE)?;
    let (found, revision) = state.store.lock().unwrap_or_else(PoisonError::into_inner).get(&id).ok_or(NONE)?;
    let mut tag = Tag::new(state.epoch);
    tag.add((revision, second_of(!found.is_finished(), now)));
    match reply::unchanged(headers, &tag) {
        Some(response) => Ok(response),
        None => Ok(reply::tagged(&state.aside, headers, &tag, Chunks::from(found.into_json(now))).await),
    }
}

/// While one goes on its used grace grows: whoever has seen it this second has seen enough.
fn second_of(in_progress: bool, now: BootTime) -> u64 {
    if in_progress { now.0 / 1_000_000_000 } else { 0 }
}
