//! A family of metrics, ordered by labels: the same values encode to the same bytes. (The library's own family is a hash
//! map, and its order is another one in each process.)

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::TypedMetric;

pub(super) use super::histogram::Histogram;
use super::registry::Exposed;
use super::scope::{PodScope, Scoped};

/// Seconds of a termination or a part of it. 30 is Kubernetes' default grace period, 35 takes in the 2 s that the kubelet
/// grants on top. The last ones are for grace periods of up to an hour, as queues and databases have them.
pub(super) const SECONDS: [f64; 19] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 45.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

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

/// Families about pods: how many series they have together, and a way to have them forget a workload's.
#[derive(Clone, Default)]
pub(super) struct Total {
    series: Arc<AtomicUsize>,
    families: Arc<Mutex<Vec<Weak<dyn Forget>>>>,
}

/// A family, whatever its labels and metrics.
trait Forget: Send + Sync {
    /// Drops the series of all but these pods.
    fn keep_only(&self, is_kept: &dyn Fn(&PodScope) -> bool);
}

impl fmt::Debug for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Total").field(&self.get()).finish()
    }
}

impl Total {
    /// How many there are.
    pub(super) fn get(&self) -> usize {
        self.series.load(Ordering::Relaxed)
    }

    /// Some more.
    pub(super) fn add(&self, series: usize) {
        self.series.fetch_add(series, Ordering::Relaxed);
    }

    /// Some less.
    pub(super) fn sub(&self, series: usize) {
        self.series.fetch_sub(series, Ordering::Relaxed);
    }

    /// Drops the series of all but these pods from every family.
    pub(super) fn keep_only(&self, is_kept: &dyn Fn(&PodScope) -> bool) {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.iter().filter_map(Weak::upgrade).for_each(|family| family.keep_only(is_kept));
    }
}

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

impl<L: Scoped + Ord + Send + 'static, M: Send + 'static> Series<L, M> {
    /// A family about pods, whose label sets count as `weight` series each.
    pub(super) fn new(total: &Total, weight: usize, make: fn() -> M) -> Self {
        let inner = Arc::new(Inner { metrics: Mutex::default(), make, weight, total: total.clone() });
        let family = Arc::downgrade(&inner);
        total.families.lock().unwrap_or_else(PoisonError::into_inner).push(family);
        Series { inner }
    }
}

impl<L: Ord, M> Series<L, M> {
    /// A family whose labels are a closed list, or which is replaced as a whole: no cap, nothing to forget.
    pub(super) fn uncapped(make: fn() -> M) -> Self {
        Series { inner: Arc::new(Inner { metrics: Mutex::default(), make, weight: 0, total: Total::default() }) }
    }

    /// The metric of these labels, made if it is not there.
    pub(super) fn with<R>(&self, labels: L, then: impl FnOnce(&M) -> R) -> R {
        let mut metrics = self.metrics();
        then(metrics.entry(labels).or_insert_with(|| {
            self.inner.total.add(self.inner.weight);
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
        self.inner.metrics()
    }
}

impl<L, M> Inner<L, M> {
    fn metrics(&self) -> MutexGuard<'_, BTreeMap<L, M>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Scoped + Ord + Send, M: Send> Forget for Inner<L, M> {
    fn keep_only(&self, is_kept: &dyn Fn(&PodScope) -> bool) {
        let mut metrics = self.metrics();
        let before = metrics.len();
        metrics.retain(|labels, _| is_kept(labels.pod()));
        self.total.sub((before - metrics.len()) * self.weight);
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

impl<L, M> Exposed for Series<L, M>
where
    L: EncodeLabelSet + Send + 'static,
    M: Exposed + TypedMetric,
{
    fn encode_protobuf(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, metric) in self.metrics().iter() {
            metric.encode_protobuf(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }
}
