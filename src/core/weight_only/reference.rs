//! The product as the module's head writes it, element by element; and in float64, for what is multiplied as floats.

use super::{Finish, Groups, InputBits, Layout};

/// The unit of these; NaN where one of them is not finite.
pub fn unit(x: &[f32], bits: InputBits) -> f32 {
    if x.iter().any(|x| !x.is_finite()) {
        return f32::NAN;
    }
    let largest = x.iter().fold(0f32, |a, x| a.max(x.abs()));
    let greatest = match bits {
        InputBits::Eight => return (largest / 127.0).max(f32::MIN_POSITIVE),
        InputBits::Sixteen => 32_639.0,
        InputBits::TwentyFour => 8_355_711.0,
    };
    let mut unit = f64::from(f32::MIN_POSITIVE);
    while (f64::from(largest) / unit).round_ties_even() > greatest {
        unit *= 2.0;
    }
    unit as f32
}

/// The output `n` of one row of inputs.
pub fn output(
    x: &[f32],
    bits: InputBits,
    layout: &Layout,
    weights: &Groups<'_>,
    finish: &Finish<'_>,
    n: usize,
) -> f32 {
    let mut y = 0f32;
    for g in 0..layout.groups() {
        let x = &x[layout.part(g)];
        let codes = &weights.codes[n * layout.depth..][layout.part(g)];
        let at = n * layout.groups() + g;
        let zero_point = i64::from(weights.zero_point(layout, at));
        let unit = unit(x, bits);
        let (mut high, mut low) = (0i64, 0i64);
        for (&x, &code) in x.iter().zip(codes) {
            let x = (x * (1.0 / unit)).round_ties_even() as i64;
            let top = if bits == InputBits::TwentyFour { (x + 128).div_euclid(256) } else { 0 };
            high += top * (i64::from(code) - zero_point);
            low += (x - 256 * top) * (i64::from(code) - zero_point);
        }
        y += (high as f32 * 256.0 + low as f32) * unit * weights.scales[at];
    }
    if let Some(bias) = finish.bias {
        y += bias[n];
    }
    if finish.relu && y < 0.0 { 0.0 } else { y }
}

/// Whether a result is as near to the output `n` of one row of inputs in real numbers as sums of float32 are, in whatever
/// order; NaN is for a row that holds what is not finite.
pub fn is_near(
    result: f32,
    x: &[f32],
    layout: &Layout,
    weights: &Groups<'_>,
    finish: &Finish<'_>,
    n: usize,
) -> bool {
    if x.iter().any(|x| !x.is_finite()) {
        return result.is_nan();
    }
    let weight = |k: usize| {
        let at = n * layout.groups() + k / layout.group;
        let code = f64::from(weights.codes[n * layout.depth + k]);
        f64::from(weights.scales[at]) * (code - f64::from(weights.zero_point(layout, at)))
    };
    let bias = finish.bias.map_or(0.0, |bias| f64::from(bias[n]));
    let parts = x.iter().enumerate().map(|(k, &x)| f64::from(x) * weight(k));
    let (sum, size) = parts.fold((bias, bias.abs()), |(sum, size), y| (sum + y, size + y.abs()));
    let wanted = if finish.relu { sum.max(0.0) } else { sum };
    // A weight's last bit is as small as those of float32 get, and each input meets it.
    let inputs: f64 = x.iter().map(|&x| f64::from(x).abs() + 1.0).sum();
    let room = size * (x.len() + 4) as f64 * 2f64.powi(-23) + inputs * 2f64.powi(-149);
    // What leaves float32 on the way may be anything.
    let leaves = (0..x.len()).any(|k| weight(k).abs() > f64::from(f32::MAX));
    leaves || size > f64::from(f32::MAX) / 2.0 || (f64::from(result) - wanted).abs() <= room
}
