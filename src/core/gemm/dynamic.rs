//! Scales and zero points for activations, from their own range.

use crate::affine::Channels;
use crate::error::{Result, Stopped};
use crate::memory::filled;
use crate::observe;
use crate::qparams::{DType, range_to_qparams};

/// Scales and zero points.
type Params = (Vec<f32>, Vec<i32>);

/// The scale and the zero point of quint8 for all of `x`, or one of each for each of its `rows`.
///
/// # Errors
/// NaN, or an interrupt; inside, a range that is not finite.
pub fn dynamic_params(x: &[f32], rows: usize, per_row: bool) -> std::result::Result<Result<Params>, Stopped> {
    dynamic_params_in(x, rows, per_row, false)
}

/// The same, of 7 bits where `reduce_range`.
///
/// # Errors
/// As [`dynamic_params`].
pub fn dynamic_params_in(
    x: &[f32],
    rows: usize,
    per_row: bool,
    reduce_range: bool,
) -> std::result::Result<Result<Params>, Stopped> {
    let ranges = if x.is_empty() {
        filled(if per_row { rows } else { 1 }, (0.0, 0.0))
    } else if per_row {
        let layout = Channels { outer: 1, channels: rows, inner: x.len() / rows };
        observe::min_max_per_channel(x, layout)?.into_iter().map(|r| (r.min, r.max)).collect()
    } else {
        let range = observe::min_max(x)?;
        vec![(range.min, range.max)]
    };
    let params = ranges.into_iter().map(|(min, max)| {
        let (scale, zero_point) = range_to_qparams(min, max, DType::QUInt8, reduce_range)?;
        Ok((scale as f32, zero_point))
    });
    Ok(params.collect())
}
