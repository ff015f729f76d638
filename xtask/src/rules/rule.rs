//! What a rule is, before it is written as YAML.

/// Rules that Prometheus evaluates one after another, at one time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Unique in its file.
    pub(super) name: &'static str,
    /// What it is for: a comment in the file.
    pub(super) about: &'static str,
    /// In the order in which they build on each other.
    pub(super) rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// What it gives.
    pub(super) kind: Kind,
    /// PromQL, over several lines.
    pub(super) expr: String,
    /// Labels of what it gives.
    pub(super) labels: Vec<(&'static str, String)>,
}

/// What a rule gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A series of that name.
    Record(String),
    /// An alert.
    Alert(Alert),
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alert {
    /// Its name, which is its runbook's too.
    pub(super) name: &'static str,
    /// How long it must hold; empty for at once.
    pub(super) hold: &'static str,
    /// One line.
    pub(super) summary: String,
    /// With its numbers.
    pub(super) description: String,
}

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Now.
    Critical,
    /// On the next working day.
    Warning,
    /// When there is time: something that may be meant to be so.
    Info,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

impl Rule {
    /// A recording rule.
    pub(super) fn record(name: impl Into<String>, expr: impl Into<String>) -> Rule {
        Rule { kind: Kind::Record(name.into()), expr: expr.into(), labels: Vec::new() }
    }

    /// An alert.
    pub(super) fn alert(severity: Severity, alert: Alert, expr: impl Into<String>) -> Rule {
        Rule { kind: Kind::Alert(alert), expr: expr.into(), labels: vec![("severity", severity.word().to_owned())] }
    }

    /// The same with one more label.
    pub(super) fn with(mut self, label: &'static str, value: impl Into<String>) -> Rule {
        self.labels.push((label, value.into()));
        self
    }

    /// The alert's name, if it is one.
    pub(super) fn alert_name(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Alert(alert) => Some(alert.name),
            Kind::Record(_) => None,
        }
    }
}
