//! The formats of the exposition. The two of text differ in the names of counters, exemplars, units and the end.

/// A format of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4: what is sent to who does not ask for anything else. No exemplars, classic histograms.
    Text,
    /// OpenMetrics 1.0 as text. Classic histograms.
    OpenMetrics,
    /// Prometheus protobuf, each family with its length before it. Classic and native histograms.
    Protobuf,
}

impl Format {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Prometheus text, from OpenMetrics as `prometheus_client` writes it: HELP before TYPE before UNIT.
pub(super) fn text_of(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = "";
    // Not `lines`: a label value may hold a carriage return.
    for line in openmetrics.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            out.extend(["# HELP ", name, suffix, " ", help, "\n# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([without_exemplar(line), "\n"]);
        }
    }
    out
}

/// A sample is `name value` or `name{labels} value`, and an exemplar follows as ` # {…} …`. Label values are quoted and
/// may hold anything, the mark of an exemplar too.
fn without_exemplar(sample: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in sample.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return sample[..index].trim_end(),
            _ => {}
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_units_exemplars_and_end() {
        let openmetrics = "# HELP a_seconds Help.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                           a_seconds_total{l=\"x\"} 1 # {uid=\"u\"} 1.0\n\
                           # HELP b B.\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP g G.\n# TYPE g gauge\ng 2\n# EOF\n";
        assert_eq!(
            text_of(openmetrics),
            "# HELP a_seconds_total Help.\n# TYPE a_seconds_total counter\na_seconds_total{l=\"x\"} 1\n\
             # HELP b_info B.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP g G.\n# TYPE g gauge\ng 2\n"
        );
    }

    #[test]
    fn a_label_may_look_like_an_exemplar() {
        let sample = r#"a{l="x\" # {y=\"\\",m="} 9 # {"} 1"#;
        assert_eq!(without_exemplar(sample), sample);
        assert_eq!(without_exemplar(&format!("{sample} # {{uid=\"#\"}} 3")), sample);
    }
}
