//! The texts are torch 2.15's for a tensor class named `QTensor`, without `torch.`; the lines inside
//! `scale=tensor(...)` stand one column further right, as all other lines but the first do.

mod card;
mod channels;
mod numbers;
mod options;
mod shapes;

use quantray_core::display::{PrintOptions, QParamsText, repr};

/// Checks the text of a tensor whose codes are `first + (i * step) % count` for `(first, step, count)`.
fn check(shape: &[usize], codes: (i64, i64, i64), dtype: &str, qparams: &QParamsText<'_>, expected: &str) {
    check_with(&PrintOptions::default(), shape, codes, dtype, qparams, expected);
}

fn check_with(
    options: &PrintOptions,
    shape: &[usize],
    (first, step, count): (i64, i64, i64),
    dtype: &str,
    qparams: &QParamsText<'_>,
    expected: &str,
) {
    let scheme = match qparams {
        QParamsText::PerTensor { .. } => "per_tensor_affine",
        QParamsText::PerChannel { .. } => "per_channel_affine",
        QParamsText::PerChannelFloat { .. } => "per_channel_affine_float_qparams",
    };
    let value = |index: &[usize]| {
        let flat = index.iter().zip(shape).fold(0, |flat, (&i, &size)| flat * size + i) as i64;
        let code = (first + flat * step % count) as f32;
        let (scale, zero_point) = match *qparams {
            QParamsText::PerTensor { scale, zero_point } => (scale as f32, zero_point as f32),
            QParamsText::PerChannel { scales, zero_points, axis } => {
                (scales[index[axis]] as f32, zero_points[index[axis]] as f32)
            }
            QParamsText::PerChannelFloat { scales, zero_points, axis } => {
                (scales[index[axis]], zero_points[index[axis]])
            }
        };
        (code - zero_point) * scale
    };
    let text = repr(shape, &value, dtype, scheme, qparams, options);
    assert!(text == expected, "printed\n{text}\nexpected\n{expected}");
}
