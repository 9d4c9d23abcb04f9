//! The texts are torch 2.15's for a tensor class named `QTensor`, without `torch.`; the lines inside
//! `scale=tensor(...)` stand one column further right, as all other lines but the first do.

use std::cell::Cell;

use quantray_core::display::{CardStats, PrintOptions, QParamsText, html, python_float_repr, repr};

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

#[test]
fn one_dimension() {
    let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 10 };
    check(
        &[3],
        (20, 10, 256),
        "quint8",
        &qparams,
        r"QTensor([1., 2., 3.], size=(3,), dtype=quint8,
        quantization_scheme=per_tensor_affine, scale=0.1, zero_point=10)",
    );
}

#[test]
fn scalar() {
    let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 10 };
    check(
        &[],
        (23, 1, 256),
        "quint8",
        &qparams,
        r"QTensor(1.3000, size=(), dtype=quint8,
        quantization_scheme=per_tensor_affine, scale=0.1, zero_point=10)",
    );
}

#[test]
fn empty() {
    let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 10 };
    check(
        &[0],
        (0, 1, 256),
        "quint8",
        &qparams,
        r"QTensor([], size=(0,), dtype=quint8,
        quantization_scheme=per_tensor_affine, scale=0.1, zero_point=10)",
    );
}

#[test]
fn empty_in_three_dimensions() {
    let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 10 };
    check(
        &[2, 0, 3],
        (0, 1, 256),
        "quint8",
        &qparams,
        r"QTensor([], size=(2, 0, 3), dtype=quint8,
        quantization_scheme=per_tensor_affine, scale=0.1, zero_point=10)",
    );
}

#[test]
fn zeros_are_whole() {
    let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 10 };
    check(
        &[2, 2],
        (10, 0, 256),
        "quint8",
        &qparams,
        r"QTensor([[0., 0.],
         [0., 0.]], size=(2, 2), dtype=quint8,
        quantization_scheme=per_tensor_affine, scale=0.1, zero_point=10)",
    );
}

#[test]
fn whole_numbers_summarised() {
    let qparams = QParamsText::PerTensor { scale: 10.0, zero_point: 0 };
    check(
        &[2000],
        (0, 1, 201),
        "quint8",
        &qparams,
        r"QTensor([   0.,   10.,   20.,  ..., 1880., 1890., 1900.], size=(2000,),
        dtype=quint8, quantization_scheme=per_tensor_affine,
        scale=10.0, zero_point=0)",
    );
}

#[test]
fn three_dimensions() {
    let qparams = QParamsText::PerTensor { scale: 0.01, zero_point: 0 };
    check(
        &[2, 2, 3],
        (-128, 37, 256),
        "qint8",
        &qparams,
        r"QTensor([[[-1.2800, -0.9100, -0.5400],
          [-0.1700,  0.2000,  0.5700]],

         [[ 0.9400, -1.2500, -0.8800],
          [-0.5100, -0.1400,  0.2300]]], size=(2, 2, 3), dtype=qint8,
        quantization_scheme=per_tensor_affine, scale=0.01, zero_point=0)",
    );
}

#[test]
fn rows_wrap_for_the_wider_name() {
    let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 100 };
    check(
        &[2, 20],
        (0, 37, 200),
        "quint8",
        &qparams,
        r"QTensor([[-10.0000,  -6.3000,  -2.6000,   1.1000,   4.8000,   8.5000,  -7.8000,
           -4.1000,  -0.4000,   3.3000,   7.0000,  -9.3000,  -5.6000,  -1.9000,
            1.8000,   5.5000,   9.2000,  -7.1000,  -3.4000,   0.3000],
         [  4.0000,   7.7000,  -8.6000,  -4.9000,  -1.2000,   2.5000,   6.2000,
            9.9000,  -6.4000,  -2.7000,   1.0000,   4.7000,   8.4000,  -7.9000,
           -4.2000,  -0.5000,   3.2000,   6.9000,  -9.4000,  -5.7000]],
        size=(2, 20), dtype=quint8,
        quantization_scheme=per_tensor_affine, scale=0.1, zero_point=100)",
    );
}

#[test]
fn rows_summarised() {
    let qparams = QParamsText::PerTensor { scale: 0.02, zero_point: 128 };
    check(
        &[40, 40],
        (0, 37, 256),
        "quint8",
        &qparams,
        r"QTensor([[-2.5600, -1.8200, -1.0800,  ..., -0.7800, -0.0400,  0.7000],
         [ 1.4400,  2.1800, -2.2000,  ..., -1.9000, -1.1600, -0.4200],
         [ 0.3200,  1.0600,  1.8000,  ...,  2.1000, -2.2800, -1.5400],
         ...,
         [ 2.0800, -2.3000, -1.5600,  ..., -1.2600, -0.5200,  0.2200],
         [ 0.9600,  1.7000,  2.4400,  ..., -2.3800, -1.6400, -0.9000],
         [-0.1600,  0.5800,  1.3200,  ...,  1.6200,  2.3600, -2.0200]],
        size=(40, 40), dtype=quint8,
        quantization_scheme=per_tensor_affine, scale=0.02, zero_point=128)",
    );
}

#[test]
fn four_dimensions_summarised() {
    let qparams = QParamsText::PerTensor { scale: 0.5, zero_point: 1 };
    check(
        &[7, 2, 9, 9],
        (-128, 37, 256),
        "qint8",
        &qparams,
        r"QTensor([[[[-64.5000, -46.0000, -27.5000,  ...,  46.5000, -63.0000,
            -44.5000],
           [-26.0000,  -7.5000,  11.0000,  ..., -43.0000, -24.5000,
             -6.0000],
           [ 12.5000,  31.0000,  49.5000,  ...,  -4.5000,  14.0000,
             32.5000],
           ...,
           [ 38.5000,  57.0000, -52.5000,  ...,  21.5000,  40.0000,
             58.5000],
           [-51.0000, -32.5000, -14.0000,  ...,  60.0000, -49.5000,
            -31.0000],
           [-12.5000,   6.0000,  24.5000,  ..., -29.5000, -11.0000,
              7.5000]],

          [[ 26.0000,  44.5000,  63.0000,  ...,   9.0000,  27.5000,
             46.0000],
           [-63.5000, -45.0000, -26.5000,  ...,  47.5000, -62.0000,
            -43.5000],
           [-25.0000,  -6.5000,  12.0000,  ..., -42.0000, -23.5000,
             -5.0000],
           ...,
           [  1.0000,  19.5000,  38.0000,  ..., -16.0000,   2.5000,
             21.0000],
           [ 39.5000,  58.0000, -51.5000,  ...,  22.5000,  41.0000,
             59.5000],
           [-50.0000, -31.5000, -13.0000,  ...,  61.0000, -48.5000,
            -30.0000]]],


         [[[-11.5000,   7.0000,  25.5000,  ..., -28.5000, -10.0000,
              8.5000],
           [ 27.0000,  45.5000, -64.0000,  ...,  10.0000,  28.5000,
             47.0000],
           [-62.5000, -44.0000, -25.5000,  ...,  48.5000, -61.0000,
            -42.5000],
           ...,
           [-36.5000, -18.0000,   0.5000,  ..., -53.5000, -35.0000,
            -16.5000],
           [  2.0000,  20.5000,  39.0000,  ..., -15.0000,   3.5000,
             22.0000],
           [ 40.5000,  59.0000, -50.5000,  ...,  23.5000,  42.0000,
             60.5000]],

          [[-49.0000, -30.5000, -12.0000,  ...,  62.0000, -47.5000,
            -29.0000],
           [-10.5000,   8.0000,  26.5000,  ..., -27.5000,  -9.0000,
              9.5000],
           [ 28.0000,  46.5000, -63.0000,  ...,  11.0000,  29.5000,
             48.0000],
           ...,
           [ 54.0000, -55.5000, -37.0000,  ...,  37.0000,  55.5000,
            -54.0000],
           [-35.5000, -17.0000,   1.5000,  ..., -52.5000, -34.0000,
            -15.5000],
           [  3.0000,  21.5000,  40.0000,  ..., -14.0000,   4.5000,
             23.0000]]],


         [[[ 41.5000,  60.0000, -49.5000,  ...,  24.5000,  43.0000,
             61.5000],
           [-48.0000, -29.5000, -11.0000,  ...,  63.0000, -46.5000,
            -28.0000],
           [ -9.5000,   9.0000,  27.5000,  ..., -26.5000,  -8.0000,
             10.5000],
           ...,
           [ 16.5000,  35.0000,  53.5000,  ...,  -0.5000,  18.0000,
             36.5000],
           [ 55.0000, -54.5000, -36.0000,  ...,  38.0000,  56.5000,
            -53.0000],
           [-34.5000, -16.0000,   2.5000,  ..., -51.5000, -33.0000,
            -14.5000]],

          [[  4.0000,  22.5000,  41.0000,  ..., -13.0000,   5.5000,
             24.0000],
           [ 42.5000,  61.0000, -48.5000,  ...,  25.5000,  44.0000,
             62.5000],
           [-47.0000, -28.5000, -10.0000,  ..., -64.0000, -45.5000,
            -27.0000],
           ...,
           [-21.0000,  -2.5000,  16.0000,  ..., -38.0000, -19.5000,
             -1.0000],
           [ 17.5000,  36.0000,  54.5000,  ...,   0.5000,  19.0000,
             37.5000],
           [ 56.0000, -53.5000, -35.0000,  ...,  39.0000,  57.5000,
            -52.0000]]],


         ...,


         [[[ 19.5000,  38.0000,  56.5000,  ...,   2.5000,  21.0000,
             39.5000],
           [ 58.0000, -51.5000, -33.0000,  ...,  41.0000,  59.5000,
            -50.0000],
           [-31.5000, -13.0000,   5.5000,  ..., -48.5000, -30.0000,
            -11.5000],
           ...,
           [ -5.5000,  13.0000,  31.5000,  ..., -22.5000,  -4.0000,
             14.5000],
           [ 33.0000,  51.5000, -58.0000,  ...,  16.0000,  34.5000,
             53.0000],
           [-56.5000, -38.0000, -19.5000,  ...,  54.5000, -55.0000,
            -36.5000]],

          [[-18.0000,   0.5000,  19.0000,  ..., -35.0000, -16.5000,
              2.0000],
           [ 20.5000,  39.0000,  57.5000,  ...,   3.5000,  22.0000,
             40.5000],
           [ 59.0000, -50.5000, -32.0000,  ...,  42.0000,  60.5000,
            -49.0000],
           ...,
           [-43.0000, -24.5000,  -6.0000,  ..., -60.0000, -41.5000,
            -23.0000],
           [ -4.5000,  14.0000,  32.5000,  ..., -21.5000,  -3.0000,
             15.5000],
           [ 34.0000,  52.5000, -57.0000,  ...,  17.0000,  35.5000,
             54.0000]]],


         [[[-55.5000, -37.0000, -18.5000,  ...,  55.5000, -54.0000,
            -35.5000],
           [-17.0000,   1.5000,  20.0000,  ..., -34.0000, -15.5000,
              3.0000],
           [ 21.5000,  40.0000,  58.5000,  ...,   4.5000,  23.0000,
             41.5000],
           ...,
           [ 47.5000, -62.0000, -43.5000,  ...,  30.5000,  49.0000,
            -60.5000],
           [-42.0000, -23.5000,  -5.0000,  ..., -59.0000, -40.5000,
            -22.0000],
           [ -3.5000,  15.0000,  33.5000,  ..., -20.5000,  -2.0000,
             16.5000]],

          [[ 35.0000,  53.5000, -56.0000,  ...,  18.0000,  36.5000,
             55.0000],
           [-54.5000, -36.0000, -17.5000,  ...,  56.5000, -53.0000,
            -34.5000],
           [-16.0000,   2.5000,  21.0000,  ..., -33.0000, -14.5000,
              4.0000],
           ...,
           [ 10.0000,  28.5000,  47.0000,  ...,  -7.0000,  11.5000,
             30.0000],
           [ 48.5000, -61.0000, -42.5000,  ...,  31.5000,  50.0000,
            -59.5000],
           [-41.0000, -22.5000,  -4.0000,  ..., -58.0000, -39.5000,
            -21.0000]]],


         [[[ -2.5000,  16.0000,  34.5000,  ..., -19.5000,  -1.0000,
             17.5000],
           [ 36.0000,  54.5000, -55.0000,  ...,  19.0000,  37.5000,
             56.0000],
           [-53.5000, -35.0000, -16.5000,  ...,  57.5000, -52.0000,
            -33.5000],
           ...,
           [-27.5000,  -9.0000,   9.5000,  ..., -44.5000, -26.0000,
             -7.5000],
           [ 11.0000,  29.5000,  48.0000,  ...,  -6.0000,  12.5000,
             31.0000],
           [ 49.5000, -60.0000, -41.5000,  ...,  32.5000,  51.0000,
            -58.5000]],

          [[-40.0000, -21.5000,  -3.0000,  ..., -57.0000, -38.5000,
            -20.0000],
           [ -1.5000,  17.0000,  35.5000,  ..., -18.5000,   0.0000,
             18.5000],
           [ 37.0000,  55.5000, -54.0000,  ...,  20.0000,  38.5000,
             57.0000],
           ...,
           [ 63.0000, -46.5000, -28.0000,  ...,  46.0000, -63.5000,
            -45.0000],
           [-26.5000,  -8.0000,  10.5000,  ..., -43.5000, -25.0000,
             -6.5000],
           [ 12.0000,  30.5000,  49.0000,  ...,  -5.0000,  13.5000,
             32.0000]]]], size=(7, 2, 9, 9), dtype=qint8,
        quantization_scheme=per_tensor_affine, scale=0.5, zero_point=1)",
    );
}

#[test]
fn ties_round_to_even() {
    let qparams = QParamsText::PerTensor { scale: 0.03125, zero_point: 0 };
    check(
        &[6],
        (1, 2, 100),
        "qint8",
        &qparams,
        r"QTensor([0.0312, 0.0938, 0.1562, 0.2188, 0.2812, 0.3438], size=(6,),
        dtype=qint8, quantization_scheme=per_tensor_affine,
        scale=0.03125, zero_point=0)",
    );
}

#[test]
fn scientific_by_ratio() {
    let qparams = QParamsText::PerTensor { scale: 0.001, zero_point: 0 };
    check(
        &[2],
        (1, 999999, 1000000000),
        "qint32",
        &qparams,
        r"QTensor([1.0000e-03, 1.0000e+03], size=(2,), dtype=qint32,
        quantization_scheme=per_tensor_affine, scale=0.001, zero_point=0)",
    );
}

#[test]
fn scientific_by_size() {
    let qparams = QParamsText::PerTensor { scale: 1e-09, zero_point: 0 };
    check(
        &[2],
        (100, 100, 1000000000),
        "qint32",
        &qparams,
        r"QTensor([1.0000e-07, 2.0000e-07], size=(2,), dtype=qint32,
        quantization_scheme=per_tensor_affine, scale=1e-09, zero_point=0)",
    );
}

#[test]
fn a_long_scale() {
    let qparams = QParamsText::PerTensor { scale: 0.007843137718737125, zero_point: 128 };
    check(
        &[2],
        (255, 0, 256),
        "quint8",
        &qparams,
        r"QTensor([0.9961, 0.9961], size=(2,), dtype=quint8,
        quantization_scheme=per_tensor_affine, scale=0.007843137718737125,
        zero_point=128)",
    );
}

#[test]
fn per_channel() {
    let qparams = QParamsText::PerChannel { scales: &[0.1, 0.01, 0.001], zero_points: &[-1, 0, 1], axis: 2 };
    check(
        &[2, 2, 3],
        (-128, 37, 256),
        "qint8",
        &qparams,
        r"QTensor([[[-12.7000,  -0.9100,  -0.0550],
          [ -1.6000,   0.2000,   0.0560]],

         [[  9.5000,  -1.2500,  -0.0890],
          [ -5.0000,  -0.1400,   0.0220]]], size=(2, 2, 3), dtype=qint8,
        quantization_scheme=per_channel_affine,
        scale=tensor([0.1000, 0.0100, 0.0010], dtype=float64),
        zero_point=tensor([-1,  0,  1]), axis=2)",
    );
}

#[test]
fn many_channels() {
    let qparams = QParamsText::PerChannel {
        scales: &[
            0.0636, 0.0746, 0.0593, 0.0161, 0.0932, 0.0957, 0.0954, 0.0144, 0.0531, 0.0918, 0.0937, 0.0802,
        ],
        zero_points: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        axis: 0,
    };
    check(
        &[12, 2],
        (-128, 37, 256),
        "qint8",
        &qparams,
        r"QTensor([[ -8.1408,  -5.7876],
         [ -4.0284,  -1.2682],
         [  1.1860,   3.3801],
         [  1.5134,  -2.0125],
         [ -8.2016,  -4.7532],
         [ -1.3398,   2.2011],
         [  5.7240,   9.2538],
         [ -1.7568,  -1.2240],
         [ -2.5488,  -0.5841],
         [  2.3868,   5.7834],
         [  9.3700, -11.1503],
         [ -6.5764,  -3.6090]], size=(12, 2), dtype=qint8,
        quantization_scheme=per_channel_affine,
        scale=tensor([0.0636, 0.0746, 0.0593, 0.0161, 0.0932, 0.0957, 0.0954, 0.0144, 0.0531,
         0.0918, 0.0937, 0.0802], dtype=float64),
        zero_point=tensor([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), axis=0)",
    );
}

#[test]
fn wrapped_zero_points() {
    let qparams = QParamsText::PerChannel {
        scales: &[
            0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
            0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
        ],
        zero_points: &[
            -15, -14, -13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
            10, 11, 12, 13, 14,
        ],
        axis: 0,
    };
    check(
        &[30, 1],
        (-128, 37, 256),
        "qint8",
        &qparams,
        r"QTensor([[-56.5000],
         [-38.5000],
         [-20.5000],
         [ -2.5000],
         [ 15.5000],
         [ 33.5000],
         [ 51.5000],
         [-58.5000],
         [-40.5000],
         [-22.5000],
         [ -4.5000],
         [ 13.5000],
         [ 31.5000],
         [ 49.5000],
         [-60.5000],
         [-42.5000],
         [-24.5000],
         [ -6.5000],
         [ 11.5000],
         [ 29.5000],
         [ 47.5000],
         [-62.5000],
         [-44.5000],
         [-26.5000],
         [ -8.5000],
         [  9.5000],
         [ 27.5000],
         [ 45.5000],
         [-64.5000],
         [-46.5000]], size=(30, 1), dtype=qint8,
        quantization_scheme=per_channel_affine,
        scale=tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000,
         0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000,
         0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000,
         0.5000, 0.5000, 0.5000], dtype=float64),
        zero_point=tensor([-15, -14, -13, -12, -11, -10,  -9,  -8,  -7,  -6,  -5,  -4,  -3,  -2,
          -1,   0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,
          13,  14]),
        axis=0)",
    );
}

#[test]
fn no_channels() {
    let qparams = QParamsText::PerChannel { scales: &[], zero_points: &[], axis: 0 };
    check(
        &[0, 2],
        (0, 1, 256),
        "qint8",
        &qparams,
        r"QTensor([], size=(0, 2), dtype=qint8,
        quantization_scheme=per_channel_affine,
        scale=tensor([], dtype=float64),
        zero_point=tensor([], dtype=int64), axis=0)",
    );
}

#[test]
fn float_zero_points() {
    let qparams = QParamsText::PerChannelFloat { scales: &[0.5, 0.25], zero_points: &[1.5, 10.0], axis: 0 };
    check(
        &[2, 3],
        (0, 37, 256),
        "quint8",
        &qparams,
        r"QTensor([[-0.7500, 17.7500, 36.2500],
         [25.2500, 34.5000, 43.7500]], size=(2, 3), dtype=quint8,
        quantization_scheme=per_channel_affine_float_qparams,
        scale=tensor([0.5000, 0.2500]), zero_point=tensor([ 1.5000, 10.0000]),
        axis=0)",
    );
}

#[test]
fn the_short_profile() {
    let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 10 };
    let options = PrintOptions { precision: 2, edgeitems: 2, ..PrintOptions::default() };
    check_with(
        &options,
        &[4, 300],
        (0, 37, 256),
        "quint8",
        &qparams,
        r"QTensor([[-1.00,  2.70,  ...,  0.80,  4.50],
         [ 8.20, 11.90,  ..., 10.00, 13.70],
         [17.40, 21.10,  ..., 19.20, 22.90],
         [ 1.00,  4.70,  ...,  2.80,  6.50]], size=(4, 300),
        dtype=quint8, quantization_scheme=per_tensor_affine,
        scale=0.1, zero_point=10)",
    );
}

#[test]
fn scientific_on_demand() {
    let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 10 };
    let options = PrintOptions { sci_mode: Some(true), linewidth: 40, ..PrintOptions::default() };
    check_with(
        &options,
        &[2, 3],
        (0, 37, 256),
        "quint8",
        &qparams,
        r"QTensor([[-1.0000e+00,  2.7000e+00,
           6.4000e+00],
         [ 1.0100e+01,  1.3800e+01,
           1.7500e+01]], size=(2, 3),
        dtype=quint8,
        quantization_scheme=per_tensor_affine,
        scale=0.1, zero_point=10)",
    );
}

#[test]
fn nothing_at_the_edges() {
    let qparams =
        QParamsText::PerChannel { scales: &[0.5, 0.5, 0.5, 0.5], zero_points: &[0, 0, 0, 0], axis: 0 };
    let options = PrintOptions { threshold: 3, edgeitems: 0, ..PrintOptions::default() };
    check_with(
        &options,
        &[4, 5],
        (0, 3, 100),
        "qint8",
        &qparams,
        r"QTensor([...], size=(4, 5), dtype=qint8,
        quantization_scheme=per_channel_affine,
        scale=tensor([...], size=(4,), dtype=float64),
        zero_point=tensor([...], size=(4,)), axis=0)",
    );
}

#[test]
fn a_huge_tensor_is_asked_for_its_edges_only() {
    let asked = Cell::new(0);
    let value = |_: &[usize]| {
        asked.set(asked.get() + 1);
        1.5
    };
    let qparams = QParamsText::PerTensor { scale: 0.5, zero_point: 0 };
    let shape = [usize::MAX, usize::MAX, 2];
    let text = repr(&shape, &value, "qint8", "per_tensor_affine", &qparams, &PrintOptions::default());
    assert_eq!(asked.get(), 6 * 6 * 2);
    assert!(text.contains(&format!("size=({0}, {0}, 2)", usize::MAX)));
}

#[test]
fn values_that_are_not_finite_print_as_in_python() {
    let values = [1.0, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 2.5];
    let qparams = QParamsText::PerTensor { scale: 1e38, zero_point: 0 };
    let options = PrintOptions::default();
    let text = |n: usize| repr(&[n], &|i| values[i[0]], "qint8", "per_tensor_affine", &qparams, &options);
    assert!(text(4).starts_with("QTensor([1., inf, -inf, nan], size=(4,)"), "{}", text(4));
    assert!(text(5).starts_with("QTensor([1.0000,    inf,   -inf,    nan, 2.5000], "), "{}", text(5));
    assert!(text(4).ends_with("scale=1e+38, zero_point=0)"), "{}", text(4));
}

#[test]
fn floats_print_as_in_python() {
    let cases = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.01, "0.01"),
        (1e-9, "1e-09"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.5e-38, "1.5e-38"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (9007199254740992.0, "9007199254740992.0"),
        (1.234e100, "1.234e+100"),
        (-12345.678, "-12345.678"),
        (1.0 / 3.0, "0.3333333333333333"),
        (0.007843137718737125, "0.007843137718737125"),
        // Two texts of 17 digits are equally near; Python takes the even one.
        (5663827612080961.0 / 4.0, "1415956903020240.2"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (-f64::NAN, "nan"),
    ];
    for (value, text) in cases {
        assert_eq!(python_float_repr(value), text);
    }
}

#[test]
fn extreme_options_do_not_panic() {
    let qparams = QParamsText::PerChannel { scales: &[0.3, 1e-9], zero_points: &[1, 2], axis: 0 };
    for n in [0, usize::MAX] {
        for sci_mode in [None, Some(true), Some(false)] {
            let options = PrintOptions { precision: n, threshold: n, edgeitems: n, linewidth: n, sci_mode };
            repr(&[2, 1], &|i| i[0] as f32 + 0.3, "qint8", "per_channel_affine", &qparams, &options);
        }
    }
}

#[test]
fn profiles_are_those_of_torch() {
    assert_eq!(PrintOptions::profile("default"), Some(PrintOptions::default()));
    let short = PrintOptions { precision: 2, edgeitems: 2, ..PrintOptions::default() };
    assert_eq!(PrintOptions::profile("short"), Some(short));
    assert_eq!(PrintOptions::profile("full").map(|o| o.threshold), Some(usize::MAX));
    assert_eq!(PrintOptions::profile("long"), None);
}

const PER_TENSOR: QParamsText<'_> = QParamsText::PerTensor { scale: 0.1, zero_point: 100 };

fn stats(histogram: &[u64]) -> CardStats<'_> {
    let numel = histogram.iter().sum();
    let (first, last) = (histogram.first().copied(), histogram.last().copied());
    CardStats {
        histogram,
        qmin: 0,
        qmax: 255,
        clipped_low: first.unwrap_or(0),
        clipped_high: last.unwrap_or(0),
        numel,
    }
}

fn card(shape: &[usize], stats: Option<&CardStats<'_>>) -> String {
    html(
        shape,
        "quint8",
        "per_tensor_affine",
        &PER_TENSOR,
        shape.iter().product::<usize>() as u64,
        stats,
        "text",
    )
}

#[test]
fn a_card_tells_what_there_is_to_know() {
    let mut histogram: Vec<u64> = (0..256).map(|i| i % 128).collect();
    histogram[0] = 200;
    let card = card(&[64, 254], Some(&stats(&histogram)));
    for part in [
        "<strong>QTensor</strong> 64 × 254",
        ">quint8<",
        ">per_tensor_affine<",
        ">0.1<",
        ">100<",
        "15.9 KiB, 4.0x smaller than float32",
        "role=\"img\" aria-label=\"Histogram of the codes, from 0 to 255, peak at 124 to 127\"",
        ">code 0</text>",
        ">code 255</text>",
        ">zero: 100</text>",
        "1.2% of codes are 0, 0.8% are 255; these may have been clipped",
        "<details>",
    ] {
        assert!(card.contains(part), "no {part} in\n{card}");
    }
    for part in ["<script", "<style", "prefers-color-scheme", "NaN", "inf"] {
        assert!(!card.contains(part), "{part} in\n{card}");
    }
    assert!(card.len() < 5000, "{} bytes", card.len());
}

#[test]
fn a_card_is_well_formed_whatever_the_names() {
    let text = "<script>alert(\"1\") && '2'</script>";
    let histogram = [1; 256];
    let card = html(&[256], text, text, &PER_TENSOR, 256, Some(&stats(&histogram)), text);
    let escaped = "&lt;script&gt;alert(&quot;1&quot;) &amp;&amp; &#39;2&#39;&lt;/script&gt;";
    assert_eq!(card.matches(escaped).count(), 3);
    let mut open = Vec::new();
    for tag in card.split('<').skip(1) {
        let name = tag.split([' ', '>', '/']).find(|name| !name.is_empty()).unwrap_or("");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.split('>').next().is_some_and(|tag| tag.ends_with('/')) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_card_of_nothing_says_so() {
    let empty = card(&[0, 3], Some(&stats(&[0; 256])));
    assert!(empty.contains("the tensor is empty") && !empty.contains("<svg") && !empty.contains("clipped"));
    assert!(!card(&[], None).contains("codes"));
    assert!(card(&[], None).contains("scalar"));
    // Counts that do not belong to the tensor must not break the card.
    for histogram in [&[][..], &[0; 3], &[u64::MAX; 300]] {
        let odd = CardStats { qmin: i64::MIN, qmax: i64::MAX, numel: 5, ..stats(&[]) };
        assert!(!card(&[5], Some(&CardStats { histogram, ..odd })).contains("NaN"));
    }
}

#[test]
fn a_card_is_honest_about_the_ends() {
    let with = |low, high, numel| {
        let stats = CardStats { clipped_low: low, clipped_high: high, numel, ..stats(&[1]) };
        card(&[5], Some(&stats))
    };
    assert!(with(0, 0, 9).contains("no code is 0 or 255: nothing was clipped"));
    assert!(with(1, 0, 100_000).contains("&lt;0.1% of codes are 0 and may have been clipped"));
    assert!(with(0, 99_999, 100_000).contains("&gt;99.9% of codes are 255 and may"));
    assert!(with(5, 0, 5).contains("100% of codes are 0 "));
}

#[test]
fn a_card_sums_up_channels() {
    let (scales, zero_points) = ([0.0144, 0.0957, 1.0 / 30.0], [0; 3]);
    let qparams = QParamsText::PerChannel { scales: &scales, zero_points: &zero_points, axis: 1 };
    let card = html(&[2, 3], "qint8", "per_channel_affine", &qparams, 6, None, "");
    for part in [">3, along axis 1<", ">0.0144 to 0.0957<", ">0 in every channel<"] {
        assert!(card.contains(part), "no {part} in\n{card}");
    }
    let qparams = QParamsText::PerChannelFloat { scales: &[1.0 / 3.0], zero_points: &[1.5], axis: 0 };
    let card = html(&[1, 8], "quint4x2", "per_channel_affine_float_qparams", &qparams, 4, None, "");
    for part in [">1, along axis 0<", ">0.3333<", ">1.5<", "4 B, 8.0x smaller"] {
        assert!(card.contains(part), "no {part} in\n{card}");
    }
    let none = QParamsText::PerChannel { scales: &[], zero_points: &[], axis: 0 };
    assert!(html(&[0], "qint8", "per_channel_affine", &none, 0, None, "").contains("0, along axis 0"));
}
