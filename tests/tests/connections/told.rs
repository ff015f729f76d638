//! What the agent tells of a container's connections.

use gracetrace_tests::demo::missed;
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
    /// Has the only container of a termination be this. Where the kernel leaves out runs of programs, the agent says how
    /// many at most, and its counts may be off by so many; elsewhere by none.
    pub(crate) fn assert_of(&self, termination: &Value) {
        let missed = missed(termination);
        let told = Told::of(termination);
        let near = told.counts().iter().zip(self.counts()).all(|(told, is)| told.abs_diff(is) <= missed);
        assert!(near, "{told:?}, but it is {self:?}, and {missed} events may be missing: {termination:#}");
    }

    fn counts(&self) -> [u64; 6] {
        [self.at_start, self.opened, self.zombies, self.late, self.aborted, self.refused]
    }

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
