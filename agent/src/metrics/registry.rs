//! Where metrics are registered: each in two forms, as the formats differ in what they can carry.
//!
//! Text has classic histograms, protobuf has native ones too. The library's histogram with exemplars has no native
//! buckets and its native one has no exemplars, so that the protobuf form of a [`super::histogram::Histogram`] is both in a
//! row, and [`Registry::protobuf`] makes one of them.

use std::fmt;
use std::hash::Hash;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, prometheus_protobuf, text};
use prometheus_client::metrics::counter::{Atomic, Counter};
use prometheus_client::metrics::exemplar::CounterWithExemplar;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry;
use prost::Message;

pub(super) use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as protobuf;
pub(super) use prometheus_client::registry::Unit;

/// A metric that can be registered. Clones are the same metric.
pub(super) trait Exposed: EncodeMetric + Clone + fmt::Debug + Send + Sync + 'static {
    /// Its protobuf form, where that is not the same as the one for text.
    fn encode_protobuf(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.encode(encoder)
    }
}

impl<N, A> Exposed for Counter<N, A>
where
    Counter<N, A>: EncodeMetric + fmt::Debug + Send + Sync,
    N: 'static,
    A: 'static,
{
}

impl<N, A> Exposed for Gauge<N, A>
where
    Gauge<N, A>: EncodeMetric + fmt::Debug + Send + Sync,
    N: 'static,
    A: 'static,
{
}

impl<S, N, A> Exposed for CounterWithExemplar<S, N, A>
where
    CounterWithExemplar<S, N, A>: EncodeMetric + fmt::Debug + Send + Sync,
    S: 'static,
    N: Clone + 'static,
    A: Atomic<N> + 'static,
{
}

/// The protobuf form of a metric as a metric of its own.
#[derive(Debug)]
struct AsProtobuf<M>(M);

impl<M: Exposed> EncodeMetric for AsProtobuf<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode_protobuf(encoder)
    }

    fn metric_type(&self) -> prometheus_client::metrics::MetricType {
        self.0.metric_type()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Metrics in the order in which they were registered.
#[derive(Debug, Default)]
pub(super) struct Registry {
    text: registry::Registry,
    protobuf: registry::Registry,
    /// Of those without a value too, for the docs.
    #[cfg(test)]
    names: Vec<String>,
}

impl Registry {
    /// All its names begin with the prefix and an underscore.
    pub(super) fn with_prefix(prefix: &str) -> Registry {
        let empty = || registry::Registry::with_prefix(prefix);
        Registry {
            text: empty(),
            protobuf: empty(),
            #[cfg(test)]
            names: Vec::new(),
        }
    }

    /// Takes in a metric without a unit. Counters get `_total`, the help its full stop.
    pub(super) fn register(&mut self, name: &str, help: &str, metric: impl Exposed) {
        #[cfg(test)]
        self.names.push(name.to_owned());
        self.protobuf.register(name, help, AsProtobuf(metric.clone()));
        self.text.register(name, help, metric);
    }

    /// Takes in a metric with a unit, which is put behind its name.
    pub(super) fn register_with_unit(&mut self, name: &str, help: &str, unit: Unit, metric: impl Exposed) {
        #[cfg(test)]
        self.names.push(format!("{name}_{}", unit.as_str()));
        self.protobuf.register_with_unit(name, help, unit.clone(), AsProtobuf(metric.clone()));
        self.text.register_with_unit(name, help, unit, metric);
    }

    /// Takes in what is always the same.
    pub(super) fn register_info<S>(&mut self, name: &str, help: &str, labels: S)
    where
        S: EncodeLabelSet + Clone + Hash + Eq + fmt::Debug + Send + Sync + 'static,
    {
        #[cfg(test)]
        self.names.push(name.to_owned());
        self.protobuf.register(name, help, Info::new(labels.clone()));
        self.text.register(name, help, Info::new(labels));
    }

    /// Writes all that have a value, as OpenMetrics without its end.
    pub(super) fn openmetrics(&self, out: &mut String) -> fmt::Result {
        text::encode_registry(out, &self.text)
    }

    /// All that have a value.
    pub(super) fn protobuf(&self) -> Result<Vec<protobuf::MetricFamily>, fmt::Error> {
        let mut families = prometheus_protobuf::encode(&self.protobuf)?;
        for family in families.iter_mut().filter(|family| family.r#type() == protobuf::MetricType::Histogram) {
            join(&mut family.metric);
        }
        Ok(families)
    }

    /// Writes all that have a value, each family with its length before it.
    pub(super) fn delimited(&self, out: &mut Vec<u8>) -> fmt::Result {
        // A Vec has room for everything.
        self.protobuf()?.iter().try_for_each(|family| family.encode_length_delimited(out)).map_err(|_| fmt::Error)
    }

    /// The names of all metrics, without the prefix and what their type adds.
    #[cfg(test)]
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// Makes one histogram of each two: classic buckets with exemplars are the first's, the rest is the second's. When a
/// series began is left out: counters and text do not tell it either.
fn join(metrics: &mut Vec<protobuf::Metric>) {
    let mut halves = std::mem::take(metrics).into_iter();
    while let (Some(classic), Some(mut native)) = (halves.next(), halves.next()) {
        if let (Some(classic), Some(native)) = (classic.histogram, &mut native.histogram) {
            native.bucket = classic.bucket;
            native.start_timestamp = None;
        }
        metrics.push(native);
    }
}
