//! Scales and zero points from floats' own range, for all of them and for each row.

#![no_main]

use arbitrary::Result;
use quantray_core::gemm::{Formula, dynamic_params};
use quantray_core::qparams::{DType, check_scale, range_to_qparams};
use quantray_fuzz::{Input, everywhere, nan, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let (rows, columns) = (input.from_to(1, 40)?, input.from_to(1, 100)?);
    let (scale, allowed) = (input.scale()?, input.flag()?);
    let mut x = input.floats(rows * columns, scale, allowed)?;
    if input.flag()? {
        x.iter_mut().for_each(|x| *x = if x.is_infinite() { 1.0 } else { *x });
    }
    let per_row = input.flag()?;
    let found = nan(&x);
    let range = |x: &[f32]| {
        let (min, max) = x.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &x| (lo.min(x), hi.max(x)));
        range_to_qparams(min, max, DType::QUInt8, false)
    };
    let parts: Vec<&[f32]> = if per_row { x.chunks(columns).collect() } else { vec![&x] };
    everywhere(false, |_, on| match (dynamic_params(&x, rows, per_row, Formula::Contract), &found) {
        (Ok(Ok((scales, zero_points))), None) => {
            assert_eq!((scales.len(), zero_points.len()), (parts.len(), parts.len()), "{on}");
            for ((part, scale), zero_point) in parts.iter().zip(scales).zip(zero_points) {
                let (own, zero) = range(part).expect("all of them are finite");
                assert_eq!((scale, zero_point), (own as f32, zero), "{on}");
                check_scale("scale", scale.into()).expect("a scale that can be divided by");
                assert!((0..=255).contains(&zero_point), "{on}: {zero_point}");
            }
        }
        (Ok(Err(_)), None) => assert!(parts.iter().any(|part| range(part).is_err()), "{on}"),
        (got, found) => assert_eq!(got.err(), *found, "{on}"),
    });
    Ok(())
}

target!(run);
