//! A family of metrics, ordered by labels: the same values encode to the same bytes. (The library's own family is a hash
//! map, and its order is another one in each process.)

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;

use super::scope::PodUidLabel;

/// A histogram that remembers one pod per bucket.
pub(super) type Histogram = HistogramWithExemplars<PodUidLabel>;

/// Seconds of a termination or a part of it. 30 is Kubernetes' default grace period, 35 takes in the 2 s that the kubelet
/// grants on top.
pub(super) const SECONDS: [f64; 16] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 45.0, 60.0, 120.0, 300.0];

/// Parts of a grace period.
pub(super) const RATIO: [f64; 14] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.5, 2.0];

/// A histogram of [`SECONDS`].
pub(super) fn histogram_of_seconds() -> Histogram {
    Histogram::new(SECONDS.into_iter())
}

/// A histogram of [`RATIO`].
pub(super) fn histogram_of_ratio() -> Histogram {
    Histogram::new(RATIO.into_iter())
}

/// How many series a histogram is: its buckets, the one of +Inf, sum and count.
pub(super) const fn histogram_series(buckets: usize) -> usize {
    buckets + 3
}

/// How many series there are, over several families.
pub(super) type Total = Arc<AtomicUsize>;

/// Metrics by label set. Clones are the same family.
pub(super) struct Series<L, M> {
    inner: Arc<Inner<L, M>>,
}

struct Inner<L, M> {
    metrics: Mutex<BTreeMap<L, M>>,
    make: fn() -> M,
    weight: usize,
    total: Total,
}

impl<L, M> Clone for Series<L, M> {
    fn clone(&self) -> Self {
        Series { inner: self.inner.clone() }
    }
}

impl<L, M> fmt::Debug for Series<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").field("len", &self.metrics().len()).finish_non_exhaustive()
    }
}

impl<L: Ord, M> Series<L, M> {
    /// A family whose label sets count as `weight` series each.
    pub(super) fn new(total: &Total, weight: usize, make: fn() -> M) -> Self {
        Series { inner: Arc::new(Inner { metrics: Mutex::default(), make, weight, total: total.clone() }) }
    }

    /// The metric of these labels, made if it is not there.
    pub(super) fn with<R>(&self, labels: L, then: impl FnOnce(&M) -> R) -> R {
        let mut metrics = self.metrics();
        then(metrics.entry(labels).or_insert_with(|| {
            self.inner.total.fetch_add(self.inner.weight, Ordering::Relaxed);
            (self.inner.make)()
        }))
    }

    /// Forgets all there is, and takes these.
    pub(super) fn replace(&self, all: BTreeMap<L, M>) {
        *self.metrics() = all;
    }
}

impl<L, M> Series<L, M> {
    fn metrics(&self) -> MutexGuard<'_, BTreeMap<L, M>> {
        self.inner.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: EncodeLabelSet, M: EncodeMetric + TypedMetric> EncodeMetric for Series<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, metric) in self.metrics().iter() {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.metrics().is_empty()
    }
}
