//! A number over time, in bounded room.

use crate::model::BootTime;

/// Samples sorted by time. What is left out to stay within bounds is what changes the curve least.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Samples {
    points: Vec<(BootTime, u64)>,
}

impl Samples {
    /// Samples kept at most.
    pub(super) const MAX: usize = 192;
    /// Samples left when some have to go.
    const THINNED: usize = 128;

    /// Takes note of a sample. `wanted`: what was before is wanted too; else the oldest go first.
    pub(super) fn record(&mut self, at: BootTime, value: u64, wanted: bool) {
        let index = self.points.partition_point(|point| *point <= (at, value));
        if index > 0 && self.points[index - 1] == (at, value) {
            return;
        }
        self.points.insert(index, (at, value));
        if self.points.len() > Self::MAX {
            if wanted {
                thin(&mut self.points, Self::THINNED);
            } else {
                self.points.drain(..Self::MAX - Self::THINNED);
            }
        }
    }

    /// The same of a count that only grows: all that is wanted is when it came to how many.
    pub(super) fn record_growth(&mut self, at: BootTime, value: u64, wanted: bool) {
        if value <= self.value_at(at) {
            return;
        }
        self.points.retain(|(known, count)| *known < at || *count > value);
        self.record(at, value, wanted);
    }

    /// The last value at `at`; 0 before the first.
    pub(super) fn value_at(&self, at: BootTime) -> u64 {
        let index = self.points.partition_point(|(known, _)| *known <= at);
        index.checked_sub(1).map_or(0, |index| self.points[index].1)
    }

    /// The curve from `start` on, where it was at `first`, to `end` if there is one: `max` points at most, and none that changes nothing, but for
    /// the last.
    pub(super) fn curve(&self, start: BootTime, end: Option<BootTime>, first: u64, max: usize) -> Vec<(BootTime, u64)> {
        let mut curve = vec![(start, first)];
        let mut after = self.points.iter().filter(|(at, _)| *at > start && end.is_none_or(|end| *at <= end));
        for point in after.clone() {
            if curve.last().is_none_or(|(_, value)| *value != point.1) {
                curve.push(*point);
            }
        }
        let end = after.next_back().filter(|end| curve.last() != Some(end));
        thin(&mut curve, max.saturating_sub(usize::from(end.is_some())));
        curve.extend(end);
        curve
    }

    pub(super) fn points(&self) -> &[(BootTime, u64)] {
        &self.points
    }
}

/// Takes out points until `max` are left: those that make the smallest triangles with their neighbours (Visvalingam and
/// Whyatt, "Line generalisation by repeated elimination of points", 1993). In passes, because that is cheap: of two
/// neighbours one stays in each. The first and the last point stay, and the least and the greatest value.
fn thin(points: &mut Vec<(BootTime, u64)>, max: usize) {
    let max = max.max(4);
    while points.len() > max {
        let values = || points.iter().map(|(_, value)| *value).enumerate();
        let least = values().min_by_key(|(_, value)| *value).map(|(index, _)| index);
        let greatest = values().rev().max_by_key(|(_, value)| *value).map(|(index, _)| index);
        let mut inner: Vec<(u128, usize)> =
            points.windows(3).enumerate().map(|(index, near)| (triangle(near), index + 1)).collect();
        inner.retain(|(_, index)| Some(*index) != least && Some(*index) != greatest);
        inner.sort_unstable();
        let mut goes = vec![false; points.len()];
        let mut left = points.len() - max;
        for (_, index) in inner {
            if left > 0 && !goes[index - 1] && !goes[index + 1] {
                goes[index] = true;
                left -= 1;
            }
        }
        let mut goes = goes.into_iter();
        points.retain(|_| !goes.next().unwrap_or(false));
    }
}

/// Twice the area that three points span.
fn triangle(points: &[(BootTime, u64)]) -> u128 {
    let [(t0, v0), (t1, v1), (t2, v2)] = *points else { return u128::MAX };
    let (x1, x2) = (i128::from(t1.0 - t0.0), i128::from(t2.0 - t0.0));
    let (y1, y2) = (i128::from(v1) - i128::from(v0), i128::from(v2) - i128::from(v0));
    x2.saturating_mul(y1).saturating_sub(x1.saturating_mul(y2)).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(points: impl IntoIterator<Item = (u64, u64)>) -> Samples {
        let mut samples = Samples::default();
        points.into_iter().for_each(|(at, value)| samples.record(BootTime(at), value, true));
        samples
    }

    fn curve(samples: &Samples, start: u64, first: u64, max: usize) -> Vec<(u64, u64)> {
        samples.curve(BootTime(start), None, first, max).into_iter().map(|(at, value)| (at.0, value)).collect()
    }

    #[test]
    fn what_changes_nothing_is_left_out() {
        let of = samples([(1, 9), (5, 3), (6, 3), (7, 3), (8, 3), (9, 4), (10, 0), (11, 0), (12, 0)]);
        assert_eq!(curve(&of, 2, 3, 64), [(2, 3), (9, 4), (10, 0), (12, 0)]);
        assert_eq!(curve(&Samples::default(), 2, 3, 64), [(2, 3)]);
    }

    #[test]
    fn thinned_out_it_keeps_its_ends_its_peak_and_its_shape() {
        // A long rise and fall with ripples, a peak and a gap of one sample each.
        let shape = |at: u64| match at {
            700 => 5_000,
            900 => 0,
            _ => 1 + 1_000u64.saturating_sub(at.abs_diff(500) * 2) + at % 3,
        };
        let of = samples((0..2_000).map(|at| (at, shape(at))));
        assert!(of.points().len() <= Samples::MAX);
        let curve = curve(&of, 0, shape(0), 64);
        assert_eq!(curve.len(), 64);
        assert_eq!((curve[0], curve[63]), ((0, shape(0)), (1_999, shape(1_999))));
        assert!(curve.contains(&(700, 5_000)) && curve.contains(&(900, 0)), "{curve:?}");
        for (at, value) in &curve {
            assert_eq!(*value, shape(*at), "nothing is made up");
        }
    }

    #[test]
    fn of_what_is_not_wanted_the_latest_stays() {
        let mut of = Samples::default();
        (0..1_000).for_each(|at| of.record(BootTime(at), at % 7, false));
        assert!(of.points().len() <= Samples::MAX);
        assert!((900..1_000).all(|at| of.points().contains(&(BootTime(at), at % 7))));
    }

    #[test]
    fn growth_in_any_order() {
        let points = [(10, 1), (20, 1), (30, 4), (40, 4), (50, 6)];
        let mut orders = vec![points.to_vec(), points.iter().rev().copied().collect()];
        orders.push(vec![points[1], points[3], points[0], points[4], points[2]]);
        for order in orders {
            let mut of = Samples::default();
            order.iter().for_each(|(at, value)| of.record_growth(BootTime(*at), *value, true));
            assert_eq!(of.points(), [(BootTime(10), 1), (BootTime(30), 4), (BootTime(50), 6)], "{order:?}");
            assert_eq!([5, 10, 29, 30, 99].map(|at| of.value_at(BootTime(at))), [0, 1, 1, 4, 6]);
        }
    }

    #[test]
    fn hostile_numbers() {
        let of = samples((0..1_000).map(|at| (u64::MAX - at % 500, if at % 2 == 0 { u64::MAX } else { 0 })));
        assert!(of.points().len() <= Samples::MAX && curve(&of, 0, u64::MAX, 64).len() <= 64);
    }
}
