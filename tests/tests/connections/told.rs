//! What the agent tells of a container's connections.

use serde_json::Value;

/// The counts of one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Told {
    pub(crate) at_start: u64,
    pub(crate) opened: u64,
    pub(crate) zombies: u64,
    pub(crate) late: u64,
    pub(crate) aborted: u64,
    pub(crate) refused: u64,
}

impl Told {
    /// Of the only container of a termination that is complete.
    pub(crate) fn of(termination: &Value) -> Told {
        let containers = termination["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1, "{termination:#}");
        Told::of_container(termination, &containers[0])
    }

    fn of_container(termination: &Value, container: &Value) -> Told {
        assert_eq!(termination["complete"], true, "{termination:#}");
        let connections = &container["connections"];
        assert_eq!(connections["partial"], false, "{termination:#}");
        let count = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("a count is missing: {connections:#}"));
        Told {
            at_start: count(&connections["at_start"]["inbound"]),
            opened: count(&connections["opened"]["inbound"]),
            zombies: count(&connections["zombie"]["inbound"]),
            late: count(&connections["late"]),
            aborted: count(&connections["aborted"]),
            refused: count(&connections["refused"]),
        }
    }
}

/// The connections of the only container.
pub(crate) fn connections(termination: &Value) -> &Value {
    &termination["containers"][0]["connections"]
}

/// Another count of it.
pub(crate) fn count(termination: &Value, field: &str) -> u64 {
    let value = &connections(termination)[field];
    value.as_u64().unwrap_or_else(|| panic!("no {field} in {termination:#}"))
}
