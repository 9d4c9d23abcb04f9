//! Codes, scales and zero points for float weights, group by group.

use super::Layout;
use crate::affine::nan_in;
use crate::error::{Error, Result, Stopped};
use crate::memory::filled;
use crate::qparams::quantize_one;
use crate::threads;

/// The smallest scale, as observers have it.
const EPS: f32 = f32::EPSILON;

/// The codes, scales and zero points of a matrix with one row for each output, whose groups are quantized from their own
/// range as observers do it: symmetric with `scale = largest / ((qmax - qmin) / 2)` and the middle for a zero point, which
/// are then none; or affine with `scale = (max - min) / (qmax - qmin)` and `zero_point = -round(min / scale)`, of a range
/// that holds 0.
///
/// # Errors
/// NaN, or an interrupt; inside, an infinity.
///
/// # Panics
/// A length that is not the layout's.
#[expect(clippy::type_complexity, reason = "three arrays")]
pub fn quantize(
    x: &[f32],
    layout: &Layout,
    symmetric: bool,
) -> std::result::Result<Result<(Vec<u8>, Vec<f32>, Option<Vec<u8>>)>, Stopped> {
    assert_eq!(x.len(), layout.columns * layout.depth, "a float for each input and output");
    if x.iter().any(|x| x.is_nan()) {
        return Err(nan_in(x));
    }
    if let Some(at) = x.iter().position(|x| x.is_infinite()) {
        let at = format!("weight[{}, {}]", at / layout.depth, at % layout.depth);
        return Ok(Err(Error::value(at, f32::INFINITY, "finite")));
    }
    let groups = layout.groups();
    let mut codes = filled(x.len(), 0);
    let mut scales = filled(layout.columns * groups, 0.0);
    let mut zero_points = filled(layout.columns * groups, 0);
    let tables = scales.chunks_mut(groups.max(1)).zip(zero_points.chunks_mut(groups.max(1)));
    let rows = x.chunks(layout.depth.max(1)).zip(codes.chunks_mut(layout.depth.max(1))).zip(tables);
    threads::for_each(6 * x.len(), rows, |((x, codes), (scales, zero_points))| {
        for g in 0..groups {
            let x = &x[layout.part(g)];
            let (scale, zero_point) = params(x, layout, symmetric);
            let inverse = 1.0 / scale;
            (scales[g], zero_points[g]) = (scale, zero_point);
            for (code, &x) in codes[layout.part(g)].iter_mut().zip(x) {
                *code = quantize_one(x, inverse, zero_point.into(), 0, layout.greatest().into()) as u8;
            }
        }
        true
    })?;
    Ok(Ok((codes, scales, (!symmetric).then_some(zero_points))))
}

fn params(x: &[f32], layout: &Layout, symmetric: bool) -> (f32, u8) {
    let (min, max) = x.iter().fold((0f32, 0f32), |(min, max), &x| (min.min(x), max.max(x)));
    let steps = f32::from(layout.greatest());
    if symmetric {
        return ((max.max(-min) / (steps / 2.0)).max(EPS), layout.middle());
    }
    // Halved, so that a range of all floats is finite.
    let scale = ((max / 2.0 - min / 2.0) / (steps / 2.0)).max(EPS);
    (scale, (-(min / scale).round_ties_even()).clamp(0.0, steps) as u8)
}
