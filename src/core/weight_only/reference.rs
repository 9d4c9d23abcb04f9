//! The product as the module's head writes it, element by element.

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
