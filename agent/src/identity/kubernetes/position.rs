//! Where the source stands in the server's history.

use super::encoded;

/// Versions are the server's own and never compared. The rules are those of client-go
/// (staging/src/k8s.io/client-go/tools/cache/reflector.go, `relistResourceVersion`): a list is answered from the server's
/// memory, and never goes back behind what was seen.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) enum Position {
    /// Nothing is known yet: any list will do.
    #[default]
    Start,
    /// The watch goes on from here.
    At(String),
    /// A list is needed, and not an older one.
    Behind(String),
    /// The server does not know what was seen: a list from the store itself.
    Lost,
}

impl Position {
    /// From where to watch, unless a list is needed first.
    pub(super) fn watched(&self) -> Option<&str> {
        match self {
            Position::At(version) => Some(version),
            _ => None,
        }
    }

    pub(super) fn set(&mut self, version: &str) {
        *self = Position::At(version.to_owned());
    }

    /// The watch cannot go on.
    pub(super) fn list_again(&mut self) {
        *self = match std::mem::take(self) {
            Position::At(version) => Position::Behind(version),
            other => other,
        };
    }

    /// The server does not know this version.
    pub(super) fn forget(&mut self) {
        *self = Position::Lost;
    }

    /// What to add to the query of a list; `next` is the server's word for the rest of one.
    pub(super) fn query(&self, next: Option<&str>) -> String {
        match (next, self) {
            (Some(next), _) => format!("&continue={}", encoded(next)),
            (None, Position::Start) => "&resourceVersion=0&resourceVersionMatch=NotOlderThan".to_owned(),
            (None, Position::At(version) | Position::Behind(version)) => {
                format!("&resourceVersion={}&resourceVersionMatch=NotOlderThan", encoded(version))
            }
            (None, Position::Lost) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let mut position = Position::default();
        assert_eq!(
            (position.watched(), position.query(None).as_str()),
            (None, "&resourceVersion=0&resourceVersionMatch=NotOlderThan")
        );
        position.list_again();
        assert_eq!(position, Position::Start);
        assert_eq!(position.query(Some("a/b=")), "&continue=a%2Fb%3D");
        position.set("7");
        assert_eq!(position.watched(), Some("7"));
        position.list_again();
        assert_eq!(
            (position.watched(), position.query(None).as_str()),
            (None, "&resourceVersion=7&resourceVersionMatch=NotOlderThan")
        );
        position.forget();
        assert_eq!((position.watched(), position.query(None).as_str()), (None, ""));
    }
}
