//! The smallest and the largest value.

use crate::affine::Channels;
use crate::error::Stopped;

/// The smallest and the largest value seen: a commutative monoid under [`MinMax::merge`], with [`MinMax::EMPTY`].
///
/// A zero is always +0, so that the answer does not depend on the order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinMax {
    /// The smallest; infinity if nothing was seen.
    pub min: f32,
    /// The largest; -infinity if nothing was seen.
    pub max: f32,
}

impl MinMax {
    /// Nothing seen yet.
    pub const EMPTY: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// What both saw.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self { min: self.min.min(other.min) + 0.0, max: self.max.max(other.max) + 0.0 }
    }
}

/// Of all values.
///
/// # Errors
/// NaN has no place in a range.
pub fn min_max(x: &[f32]) -> Result<MinMax, Stopped> {
    let mut all = MinMax::EMPTY;
    for &value in x {
        all = all.merge(MinMax { min: value, max: value });
    }
    if x.iter().any(|x| x.is_nan()) { Err(crate::affine::nan_in(x)) } else { Ok(all) }
}

/// Of each channel.
///
/// # Errors
/// NaN has no place in a range.
///
/// # Panics
/// The layout and the array disagree.
pub fn min_max_per_channel(x: &[f32], layout: Channels) -> Result<Vec<MinMax>, Stopped> {
    assert_eq!(layout.len(), x.len(), "the channels' layout and the array disagree");
    let mut all = vec![MinMax::EMPTY; layout.channels];
    for (i, &value) in x.iter().enumerate() {
        let one = &mut all[i / layout.inner % layout.channels];
        *one = one.merge(MinMax { min: value, max: value });
    }
    if x.iter().any(|x| x.is_nan()) { Err(crate::affine::nan_in(x)) } else { Ok(all) }
}
