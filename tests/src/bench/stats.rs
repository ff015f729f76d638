//! Medians: what is measured has outliers to one side only.

/// Median and the middle half of a set of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    /// A quarter of them are smaller.
    pub(super) low: f64,
    /// A quarter of them are larger.
    pub(super) high: f64,
}

impl Spread {
    /// NaN of an empty set.
    pub(super) fn of(numbers: &[f64]) -> Spread {
        Spread { median: median(numbers), low: quantile(numbers, 0.25), high: quantile(numbers, 0.75) }
    }
}

/// NaN of an empty set.
pub(super) fn median(numbers: &[f64]) -> f64 {
    quantile(numbers, 0.5)
}

/// With linear interpolation between neighbours.
fn quantile(numbers: &[f64], part: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = part * last as f64;
    // Within the slice: `part` is at most 1.
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(Spread::of(&[1.0, 2.0, 3.0, 4.0, 5.0]), Spread { median: 3.0, low: 2.0, high: 4.0 });
        assert!(median(&[]).is_nan());
    }
}
