//! Which labels say whose a series is.

use std::fmt;
use std::str::FromStr;

/// The labels of series about pods. Without one of them, what differed only in it is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    /// `namespace`
    pub namespace: bool,
    /// `workload`
    pub workload: bool,
    /// `container`
    pub container: bool,
}

impl Default for Labels {
    fn default() -> Labels {
        Labels { namespace: true, workload: true, container: true }
    }
}

/// Not a list of labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no label: a list of namespace, workload and container is understood, or none")]
pub struct LabelsError(String);

/// No label at all.
const NONE: &str = "none";

impl FromStr for Labels {
    type Err = LabelsError;

    /// Reads `namespace,workload,container`, a part of it, or `none`.
    fn from_str(text: &str) -> Result<Labels, LabelsError> {
        let mut labels = Labels { namespace: false, workload: false, container: false };
        if text == NONE {
            return Ok(labels);
        }
        for name in text.split(',') {
            match name.trim() {
                "namespace" => labels.namespace = true,
                "workload" => labels.workload = true,
                "container" => labels.container = true,
                other => return Err(LabelsError(other.to_owned())),
            }
        }
        Ok(labels)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [(self.namespace, "namespace"), (self.workload, "workload"), (self.container, "container")];
        let list: Vec<&str> = all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, name)| name).collect();
        f.write_str(if list.is_empty() { NONE } else { "" })?;
        f.write_str(&list.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        for text in ["namespace,workload,container", "namespace,workload", "workload", "none"] {
            assert_eq!(text.parse::<Labels>().unwrap().to_string(), text);
        }
        assert_eq!("container, namespace".parse::<Labels>().unwrap().to_string(), "namespace,container");
        assert_eq!(Labels::default().to_string(), "namespace,workload,container");
        for text in ["", "pod", "namespace,", "none,workload", "Workload"] {
            assert!(text.parse::<Labels>().is_err(), "{text}");
        }
    }
}
