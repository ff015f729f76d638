//! What a dashboard is made of. Only what these dashboards use of what Grafana has.

/// A dashboard.
#[derive(Debug)]
pub(super) struct Dashboard {
    /// Its name in addresses, and of its file.
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    /// For whom it is, in a sentence.
    pub(super) description: &'static str,
    pub(super) variables: Vec<Variable>,
    pub(super) rows: Vec<Row>,
}

/// Something to choose at the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    /// One of the Prometheus data sources.
    DataSource,
    /// Values of a label, or all, which is also right where nothing has the label.
    Label {
        /// The label, by which the variable goes too.
        name: &'static str,
        title: &'static str,
        /// The metric that has it, with matchers.
        of: &'static str,
        /// Whether one may choose several.
        multi: bool,
    },
    /// How much time ratios and quantiles are taken over: what they are made of is rare.
    Window,
}

/// Panels side by side. Their widths add up to 24 at most.
#[derive(Debug)]
pub(super) struct Row {
    /// A heading above them.
    pub(super) title: Option<&'static str>,
    pub(super) height: u32,
    pub(super) panels: Vec<Panel>,
}

/// A panel.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) width: u32,
    pub(super) kind: Kind,
    pub(super) queries: Vec<Query>,
    pub(super) scale: Scale,
    /// Colours of series by their names.
    pub(super) colours: &'static [(&'static str, &'static str)],
    /// What stands there without data.
    pub(super) no_data: &'static str,
    /// The least time between two points.
    pub(super) interval: Option<&'static str>,
}

/// How a panel shows its data.
#[derive(Debug)]
pub(super) enum Kind {
    Stat,
    TimeSeries(Style),
    Heatmap,
    BarGauge,
    /// Bars made of the queries' values, one bar per value of a label.
    BarChart {
        label: &'static str,
    },
    /// What is 1 or 0, over time.
    States,
    Table {
        /// One per query, in their order.
        columns: Vec<Column>,
        /// The column to sort by, the largest first.
        sort: &'static str,
        /// Whether namespace and workload lead to the dashboard of the workload.
        linked: bool,
    },
}

/// How a time series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Lines,
    /// Counts per interval, on top of each other.
    Bars,
    /// Parts of a whole, on top of each other.
    Areas,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
}

/// A unit, and where values begin to be bad.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) unit: Unit,
    /// From here on it needs a look.
    pub(super) warn: Option<f64>,
    /// From here on it is wrong.
    pub(super) bad: Option<f64>,
    /// Whether it is the small values that are bad, below the limits.
    pub(super) reversed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    PerSecond,
    Ratio,
    Seconds,
    Bytes,
    /// CPU seconds per second.
    Cores,
}

/// A query.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) expr: String,
    /// The name of its series, with labels as `{{label}}`.
    pub(super) legend: &'static str,
    /// Over time, or at the end of the time shown.
    pub(super) over_time: bool,
}

impl Scale {
    pub(super) const fn of(unit: Unit) -> Scale {
        Scale { unit, warn: None, bad: None, reversed: false }
    }

    pub(super) const fn limits(self, warn: f64, bad: f64) -> Scale {
        Scale { warn: Some(warn), bad: Some(bad), ..self }
    }

    pub(super) const fn bad_from(self, bad: f64) -> Scale {
        Scale { bad: Some(bad), ..self }
    }

    pub(super) const fn bad_below(self, bad: f64) -> Scale {
        Scale { bad: Some(bad), reversed: true, ..self }
    }
}

impl Query {
    /// One value per series, at the end of the time shown.
    pub(super) fn now(expr: impl Into<String>) -> Query {
        Query { expr: expr.into(), legend: "", over_time: false }
    }

    /// The course of values.
    pub(super) fn over_time(expr: impl Into<String>, legend: &'static str) -> Query {
        Query { expr: expr.into(), legend, over_time: true }
    }

    pub(super) fn named(self, legend: &'static str) -> Query {
        Query { legend, ..self }
    }
}

impl Panel {
    pub(super) fn new(kind: Kind, title: &'static str, description: &'static str) -> Panel {
        let interval = match kind {
            // So that one interval holds several scrapes.
            Kind::TimeSeries(Style::Bars) | Kind::Heatmap => Some("2m"),
            _ => None,
        };
        Panel {
            title,
            description,
            width: 12,
            kind,
            queries: Vec::new(),
            scale: Scale::of(Unit::Count),
            colours: &[],
            no_data: "No data",
            interval,
        }
    }

    pub(super) fn width(self, width: u32) -> Panel {
        Panel { width, ..self }
    }

    pub(super) fn scale(self, scale: Scale) -> Panel {
        Panel { scale, ..self }
    }

    pub(super) fn colours(self, colours: &'static [(&'static str, &'static str)]) -> Panel {
        Panel { colours, ..self }
    }

    pub(super) fn no_data(self, no_data: &'static str) -> Panel {
        Panel { no_data, ..self }
    }

    pub(super) fn query(mut self, query: Query) -> Panel {
        self.queries.push(query);
        self
    }
}
