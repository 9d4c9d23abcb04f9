//! Whether float32 holds what turns sums into codes.

use crate::error::{Error, Result};

/// Float32 holds what turns sums into codes: `sx * sw`, its part of a step of the output, and the bias in its steps.
/// Where it does not, results would be wrong without a word. `scale` has the scales of `n` channels of the weight, which
/// outputs share in turn.
///
/// # Errors
/// It does not.
pub fn check_scales(
    x_scale: f32,
    (n, scale): (usize, impl Fn(usize) -> f32),
    y_scale: f32,
    bias: Option<&[f32]>,
) -> Result<()> {
    // Nearly all are far from the ends.
    const FAR: std::ops::Range<f32> = 1e-12..1e12;
    let far = |x: f32| FAR.contains(&x);
    let small = bias.is_none_or(|bias| bias.iter().all(|b| b.abs() < FAR.end));
    if far(x_scale) && far(y_scale) && small && (0..n).all(|i| far(scale(i))) {
        return Ok(());
    }
    for i in 0..bias.map_or(n, <[f32]>::len) {
        let product = x_scale * scale(i % n);
        if !product.is_normal() || !(product / y_scale).is_finite() {
            let got =
                format!("{y_scale:e}, with {x_scale:e} of the input and {:e} of the weight", scale(i % n));
            let valid = "such that the input's times the weight's, and that divided by it, are normal float32 numbers";
            return Err(Error::value("scale", got, valid));
        }
        if let Some(bias) = bias
            && !(bias[i] / product).is_finite()
        {
            let valid = format!("finite in steps of {product:e}, the input's scale times the weight's");
            return Err(Error::value(format!("bias[{i}]"), bias[i], valid));
        }
    }
    Ok(())
}
