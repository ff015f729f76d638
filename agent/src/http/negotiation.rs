//! What a client wants: formats by `Accept`, compression by `Accept-Encoding` (RFC 9110, 12.4 and 12.5).

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName};

use crate::metrics::Format;

/// The format of the metrics that a client likes best. Of equals it is the richest. A wildcard is for what a person can
/// read, and so is everything that is not understood: a scrape never fails for its headers.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let accept = joined(headers, ACCEPT);
    let ranges: Vec<Range<'_>> = accept.split(',').map(Range::parse).collect();
    let quality = |format| {
        let all = ranges.iter().filter(|range| range.means(format)).map(|range| range.quality);
        all.fold(0.0, f32::max)
    };
    let mut best = (Format::Text, quality(Format::Text));
    for format in [Format::OpenMetrics, Format::Protobuf] {
        let quality = quality(format);
        if quality > 0.0 && quality >= best.1 {
            best = (format, quality);
        }
    }
    best.0
}

/// Whether a client takes gzip, and does not like it less than no compression.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let accept = joined(headers, ACCEPT_ENCODING);
    let quality = |names: &[&str]| {
        let mut ranges = accept.split(',').map(Range::parse);
        ranges.find(|range| names.iter().any(|name| range.name.eq_ignore_ascii_case(name))).map(|range| range.quality)
    };
    // A star is for what is not named. Identity is always welcome, if least.
    let gzip = quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"])).unwrap_or(0.0);
    gzip > 0.0 && gzip >= quality(&["identity"]).unwrap_or(0.0)
}

/// One item of a list, `name;parameter=value;q=0.5`.
#[derive(Debug)]
struct Range<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Range<'a> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let mut range = Range { name, parameters: Vec::new(), quality: 1.0 };
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("q") {
                let quality = value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality));
                range.quality = quality.unwrap_or(0.0);
            } else {
                range.parameters.push((name, value));
            }
        }
        range
    }

    fn means(&self, format: Format) -> bool {
        let is = |name| self.name.eq_ignore_ascii_case(name);
        match format {
            // Other versions may have what this one has not, such as names in quotes.
            Format::Text => is("*/*") || is("text/*") || is("text/plain") && self.has("version", "0.0.4"),
            Format::OpenMetrics => is("application/openmetrics-text") && self.has("version", "1.0.0"),
            Format::Protobuf => {
                is("application/vnd.google.protobuf")
                    && self.has("proto", "io.prometheus.client.MetricFamily")
                    && self.has("encoding", "delimited")
            }
        }
    }

    /// Whether a parameter has this value, or is not there.
    fn has(&self, name: &str, value: &str) -> bool {
        let mut named = self.parameters.iter().filter(|(parameter, _)| parameter.eq_ignore_ascii_case(name));
        named.all(|(_, found)| *found == value)
    }
}

/// A header's values as one list (RFC 9110, 5.3).
fn joined(headers: &HeaderMap, name: impl AsHeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn formats() {
        // As Prometheus 2.42 sends them, without and with native histograms, and as 3.0 does.
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let native_2 = &format!(
            "{PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        );
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus_2, Format::OpenMetrics),
            (prometheus_3, Format::OpenMetrics),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("text/plain;q=0.9, application/openmetrics-text", Format::OpenMetrics),
            (native_2, Format::Protobuf),
            (PROTOBUF, Format::Protobuf),
            (&format!("{PROTOBUF};q=0.5, application/openmetrics-text;q=0.5"), Format::Protobuf),
            (&PROTOBUF.replace("delimited", "\"delimited\""), Format::Protobuf),
            (&PROTOBUF.replace("delimited", "text"), Format::Text),
            (&PROTOBUF.replace("io.prometheus.client", "io.other"), Format::Text),
            (&format!("{PROTOBUF};q=0.1, text/plain;q=0.2"), Format::Text),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("*/*", Format::Text),
            ("", Format::Text),
            ("text/plain", Format::Text),
            ("text/html,*/*;q=0.8", Format::Text),
            ("text/plain, application/openmetrics-text;q=0.5", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=nan;q", Format::Text),
            ("application/openmetrics-text;q=2", Format::Text),
            (",;,q=;", Format::Text),
        ] {
            assert_eq!(super::format(&with(ACCEPT, accept)), format, "{accept}");
        }
        assert_eq!(super::format(&HeaderMap::new()), Format::Text);
        let mut headers = with(ACCEPT, "text/plain;q=0.5");
        headers.append(ACCEPT, HeaderValue::from_static("application/openmetrics-text"));
        assert_eq!(super::format(&headers), Format::OpenMetrics, "two lines are one list");
    }

    #[test]
    fn compression() {
        for (accept, expect) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("x-gzip", true),
            ("*", true),
            ("identity;q=0.5, gzip", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip;q=0.5, identity", false),
            ("br, zstd", false),
            ("identity", false),
            ("", false),
            ("gzip;q=x", false),
        ] {
            assert_eq!(gzip(&with(ACCEPT_ENCODING, accept)), expect, "{accept}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }
}
