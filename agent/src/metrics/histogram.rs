//! A histogram with classic buckets, native ones and exemplars.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::histogram::{self, NativeHistogramConfig};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::registry::Exposed;
use super::scope::PodUidLabel;

/// Each native bucket is at most this much wider than the one before it: finer than any of the classic ones.
pub(super) const GROWTH: f64 = 1.1;
/// Native buckets, at most: with more than these their resolution is halved. From a millisecond to 20 minutes there are
/// 160 of them.
pub(super) const MAX_NATIVE_BUCKETS: usize = 160;

/// Remembers one pod per classic bucket. Clones are the same histogram. The library notes the time when a native one is
/// made; it is not shown (see [`super::registry`]), and no reset depends on it.
#[derive(Debug, Clone)]
pub(super) struct Histogram(Arc<Both>);

#[derive(Debug)]
struct Both {
    classic: HistogramWithExemplars<PodUidLabel>,
    native: histogram::Histogram,
}

impl Histogram {
    /// With these classic buckets.
    pub(super) fn new(buckets: impl Iterator<Item = f64>) -> Histogram {
        let config = NativeHistogramConfig::with_bucket_factor(GROWTH).max_buckets(MAX_NATIVE_BUCKETS);
        let native = histogram::Histogram::new_native(config);
        Histogram(Arc::new(Both { classic: HistogramWithExemplars::new(buckets), native }))
    }

    /// Takes in a value, and whose it is.
    pub(super) fn observe(&self, value: f64, exemplar: Option<PodUidLabel>) {
        self.0.classic.observe(value, exemplar, None);
        self.0.native.observe(value);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.classic.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl Exposed for Histogram {
    /// Two histograms in a row, for [`super::registry::Registry::protobuf`] to join.
    fn encode_protobuf(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        const NO_MORE_LABELS: [(&str, &str); 0] = [];
        self.0.classic.encode(encoder.encode_family(&NO_MORE_LABELS)?)?;
        self.0.native.encode(encoder.encode_family(&NO_MORE_LABELS)?)
    }
}
