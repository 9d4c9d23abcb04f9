//! How numbers are rounded and written, in tensors and by themselves.

use quantray_core::display::{PrintOptions, QParamsText, python_float_repr, repr};

use super::check;

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
