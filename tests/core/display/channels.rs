//! Scales and zero points for each channel.

use quantray_core::display::QParamsText;

use super::check;

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
