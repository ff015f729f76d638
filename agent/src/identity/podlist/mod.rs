//! Kubernetes JSON to [`Pod`]: one reader for the API server, the kubelet's `/pods` and the file. Takes a PodList, a
//! List as kubectl prints it, or a single Pod; JSON only. Knows just the fields it needs and is tolerant of the rest:
//! unknown, null or missing. A pod that cannot be read is left out and named, the others are used.
#![forbid(unsafe_code)]

mod pod;
mod workload;
mod reason;
mod container;
mod event;
mod json;

use serde_json::value::RawValue;
use thiserror::Error;

use crate::model::Pod;
pub use event::WatchEvent;

/// What a list said.
#[derive(Debug, Default)]
pub struct PodList {
    /// The pods.
    pub pods: Vec<Pod>,
    /// Items that could not be read.
    pub skipped: Vec<Skipped>,
    /// The API server's version of this list: where a watch goes on.
    pub version: Option<String>,
    /// What the API server wants to hear to tell the rest of the list.
    pub next: Option<String>,
}

/// An item that could not be read.
#[derive(Debug, Error)]
#[error("items[{index}] ({name}): {reason}")]
pub struct Skipped {
    /// Its place in the list.
    pub index: usize,
    /// `namespace/name`, as far as it has them.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why nothing of a list can be used.
#[derive(Debug, Error)]
pub enum ParseError {
    /// Not JSON, ends early, or has something else where the list should be.
    #[error("line {line}, column {column}: cannot be read as JSON: {what}{hint}", hint = if *yaml { "; it looks like YAML: convert it, for example with kubectl create --dry-run=client -o json -f FILE" } else { "" })]
    Json {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What the JSON reader says.
        what: String,
        /// Whether the text looks like YAML instead.
        yaml: bool,
    },
    /// JSON, but neither pods nor a pod.
    #[error(
        "expected a Kubernetes PodList or Pod as JSON, got {0}; the kubelet serves one at /pods, and kubectl get pods -o json prints one"
    )]
    Kind(String),
    /// There is nothing in it.
    #[error(
        "empty; expected a Kubernetes PodList as JSON, which without any pod is {{\"kind\":\"PodList\",\"items\":[]}}"
    )]
    Empty,
}

impl PodList {
    /// Reads a list or a single pod.
    pub fn parse(text: &str) -> Result<PodList, ParseError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().is_empty() {
            return Err(ParseError::Empty);
        }
        let not_json = |error: serde_json::Error| ParseError::Json {
            line: error.line(),
            column: error.column(),
            what: reason(&error),
            yaml: !text.trim_start().starts_with(['{', '[']),
        };
        let raw: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        if !raw.get().starts_with('{') {
            return Err(ParseError::Kind(kind_of_json(raw.get()).to_owned()));
        }
        let top: json::Top<'_> = serde_json::from_str(text).map_err(not_json)?;
        match (top.kind.as_deref(), top.items) {
            (Some("Pod"), _) => Ok(PodList::from_items(&[raw])),
            (None, None) if top.metadata.is_some() => Ok(PodList::from_items(&[raw])),
            (None | Some("PodList" | "List"), Some(items)) => {
                let metadata = top.metadata.unwrap_or_default();
                let [version, next] =
                    [metadata.resource_version, metadata.next].map(|text| text.filter(|text| !text.is_empty()));
                Ok(PodList { version, next, ..PodList::from_items(&items) })
            }
            // The kubelet without any pod says `"items":null`.
            (Some("PodList" | "List"), None) => Ok(PodList::default()),
            (Some(kind), _) => Err(ParseError::Kind(format!("the kind {kind}"))),
            (None, _) => Err(ParseError::Kind("an object with neither kind nor items".to_owned())),
        }
    }

    fn from_items(items: &[&RawValue]) -> PodList {
        let mut list = PodList::default();
        for (index, item) in items.iter().enumerate() {
            match read(item) {
                Ok(pod) => list.pods.push(pod),
                Err((name, reason)) => list.skipped.push(Skipped { index, name, reason }),
            }
        }
        list
    }
}

/// One pod; else its name, as far as it has one, and what is wrong with it.
fn read(item: &RawValue) -> Result<Pod, (String, String)> {
    match serde_json::from_str::<json::Pod>(item.get()) {
        Ok(item) => {
            let name = item.metadata.as_ref().map_or_else(String::new, json::Metadata::full_name);
            pod::pod(item).map_err(|reason| (name, reason))
        }
        Err(error) => {
            let name = serde_json::from_str::<json::Named>(item.get()).ok().and_then(|named| named.metadata);
            let name = name.map_or_else(|| "?".to_owned(), |metadata| metadata.full_name());
            Err((name, reason(&error)))
        }
    }
}

/// The reader's message without its own "at line 1 column 2".
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

fn kind_of_json(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'[') => "a JSON array",
        Some(b'"') => "a JSON string",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a JSON boolean",
        _ => "a JSON number",
    }
}

#[cfg(test)]
mod tests;
