//! Fake quantization to any range of codes, its mask, and the gradient that follows it.

#![no_main]

use std::mem::MaybeUninit;

use arbitrary::Result;
use quantray_core::affine::gradient::Grid;
use quantray_core::affine::{self, Pages};
use quantray_core::qparams::DType;
use quantray_fuzz::common::{Params, collect};
use quantray_fuzz::{Input, bits, everywhere, nan, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let layout = input.layout()?;
    let params = input.params(DType::QUInt8, layout)?;
    let (scale, allowed) = (input.scale()?, input.flag()?);
    let x = input.floats(layout.len(), scale, allowed)?;
    let shared = input.flag()?;
    let (a, b) = (input.integer()?, input.integer()?);
    let (lo, hi) = input.one_of(&[(a.min(b), a.max(b)), (0, 255), (-8, 7)])?;
    let found = nan(&x);
    let one = |i: usize| if x[i].is_nan() { (0.0, false) } else { params.fake_quantize(i, x[i], lo, hi) };
    let (values, passes): (Vec<f32>, Vec<bool>) = (0..x.len()).map(one).unzip();
    everywhere(shared, |_, on| {
        let affine = params.affine();
        match (
            collect(x.len(), |out| affine::fake_quantize(&x, out, None, &affine, (lo, hi), Pages::There)),
            &found,
        ) {
            (Ok(got), None) => same(&bits(&got), &bits(&values), on),
            (got, found) => assert_eq!(got.err(), *found, "{on}"),
        }
        let mut mask = vec![MaybeUninit::new(false); x.len()];
        let got = collect(x.len(), |out| {
            affine::fake_quantize(&x, out, Some(&mut mask), &affine, (lo, hi), Pages::There)
        });
        if let Ok(got) = got {
            same(&bits(&got), &bits(&values), on);
            // SAFETY: initialized above.
            let mask: Vec<bool> = mask.iter().map(|m| unsafe { m.assume_init() }).collect();
            same(&mask, &passes, on);
        }
    });
    let (scales, zero_points) = match &params {
        Params::Channel(scales, zero_points, _) => (scales, zero_points),
        _ => return Ok(()),
    };
    let grid = Grid { scales, zero_points, layout, quant_min: lo, quant_max: hi };
    let grad = input.floats(x.len(), 1.0, true)?;
    let dx = collect(x.len(), |dx| {
        grid.backward(&grad, &x, dx);
        Ok(())
    });
    let kept = |i: usize| if passes[i] { grad[i] } else { 0.0 };
    let want: Vec<f32> = (0..x.len()).map(kept).collect();
    same(&bits(&dx.expect("nothing stops it")), &bits(&want), "gradient");
    Ok(())
}

target!(run);
