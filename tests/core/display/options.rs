//! What options change, and what is read for it.

use std::cell::Cell;

use quantray_core::display::{PrintOptions, QParamsText, repr};

use super::check_with;

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
