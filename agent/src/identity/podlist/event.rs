//! A line of the API server's watch.

use super::{ParseError, json, read, reason};
use crate::model::Pod;

/// What a watch says, one line at a time.
#[derive(Debug)]
pub enum WatchEvent {
    /// A pod is new or has changed.
    Applied(Box<Pod>),
    /// A pod is gone; this is how it was at last.
    Deleted(Box<Pod>),
    /// A pod that cannot be read.
    Skipped {
        /// `namespace/name`, as far as it has them.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing but a newer version.
    Bookmark,
    /// The server ends the watch: the Status object as JSON.
    Error(String),
    /// A kind of event that is not known: nothing to do, as the API's rules for clients say.
    Other,
}

impl WatchEvent {
    /// Reads a line; also the version from which the next watch would go on, unless the event has none.
    pub fn parse(line: &str) -> Result<(WatchEvent, Option<String>), ParseError> {
        let not_json = |error: serde_json::Error| ParseError::Json {
            line: error.line(),
            column: error.column(),
            what: reason(&error),
            yaml: false,
        };
        let event: json::Event<'_> = serde_json::from_str(line).map_err(not_json)?;
        let Some((kind, object)) = event.kind.zip(event.object) else {
            return Err(ParseError::Kind("an object that is no event of a watch".to_owned()));
        };
        if kind == "ERROR" {
            return Ok((WatchEvent::Error(object.get().to_owned()), None));
        }
        let version = serde_json::from_str::<json::Versioned>(object.get()).ok();
        let version = version.and_then(|object| object.metadata?.resource_version).filter(|text| !text.is_empty());
        let event = match (&*kind, read(object)) {
            ("ADDED" | "MODIFIED", Ok(pod)) => WatchEvent::Applied(Box::new(pod)),
            ("DELETED", Ok(pod)) => WatchEvent::Deleted(Box::new(pod)),
            ("ADDED" | "MODIFIED" | "DELETED", Err((name, reason))) => WatchEvent::Skipped { name, reason },
            ("BOOKMARK", _) => WatchEvent::Bookmark,
            _ => WatchEvent::Other,
        };
        Ok((event, version))
    }
}
