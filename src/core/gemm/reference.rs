//! Products as the rounding contract writes them, element by element.

use super::{Finish, Matrix, WeightParams};
use crate::qparams::quantize_one;

fn of<T: Copy>(values: &[T], i: usize) -> T {
    if values.len() == 1 { values[0] } else { values[i] }
}

/// `sum((x - zx) * (w - zw))` of one row and one output, which has a row of weights.
pub fn sum(
    codes: &Matrix<'_>,
    zero_points: &[i32],
    weights: &Matrix<'_>,
    params: WeightParams<'_>,
    row: usize,
    output: usize,
) -> i64 {
    let (zx, zw) = (of(zero_points, row), of(params.zero_points, output));
    (0..weights.columns())
        .map(|k| i64::from(codes.at(row, k) - zx) * i64::from(weights.at(output, k) - zw))
        .sum()
}

/// The sum plus its integer bias.
pub fn to_sum(sum: i64, finish: &Finish<'_>, output: usize) -> i64 {
    sum + finish.int_bias.map_or(0, |bias| i64::from(bias[output]))
}

/// The float that a sum stands for, plus its bias; bent where it is negative, or 0.
pub fn to_float(sum: i64, x_scale: f32, w_scale: f32, finish: &Finish<'_>, output: usize) -> f32 {
    let value = to_sum(sum, finish, output) as i32 as f32 * (x_scale * w_scale)
        + finish.bias.map_or(0.0, |bias| bias[output]);
    match finish.slopes {
        Some(slopes) if value <= 0.0 => value * slopes[output],
        _ if finish.relu => value.max(0.0),
        _ => value,
    }
}

/// The code of scale and zero point `y`, between `qmin` and `qmax`, that a sum becomes; with slopes that of the float.
pub fn to_code(
    sum: i64,
    x_scale: f32,
    w_scale: f32,
    finish: &Finish<'_>,
    output: usize,
    (y_scale, y_zero_point): (f32, i32),
    (qmin, qmax): (i32, i32),
) -> i32 {
    if finish.slopes.is_some() {
        let value = to_float(sum, x_scale, w_scale, finish, output);
        return quantize_one(value, 1.0 / y_scale, y_zero_point, qmin, qmax);
    }
    let product = x_scale * w_scale;
    let bias = finish.bias.map_or(0.0, |bias| bias[output] / product);
    let steps = ((to_sum(sum, finish, output) as i32 as f32 + bias) * (product / y_scale)).round_ties_even();
    let qmin = if finish.relu { qmin.max(y_zero_point) } else { qmin };
    (f64::from(steps) + f64::from(y_zero_point)).clamp(f64::from(qmin), f64::from(qmax)) as i32
}
