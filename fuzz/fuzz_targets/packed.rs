//! Codes of 4 and 2 bits: packed as the plain functions' codes are, and back.

#![no_main]

use arbitrary::Result;
use quantray_core::affine;
use quantray_core::qparams::DType;
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, bits, everywhere, nan, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let dtype = input.one_of(&[DType::QUInt4x2, DType::QUInt2x4])?;
    let layout = input.layout()?;
    let params = input.params(dtype, layout)?;
    let (scale, allowed) = (input.scale()?, input.flag()?);
    let x = input.floats(layout.len(), scale, allowed)?;
    let shared = input.flag()?;
    let found = nan(&x);
    let code = |i: usize| if x[i].is_nan() { 0 } else { params.quantize(dtype, i, x[i]) };
    let codes: Vec<i32> = (0..x.len()).map(code).collect();
    let join = |some: &[i32]| some.iter().rev().fold(0, |byte, &code| byte << dtype.bits() | code as u8);
    let packed: Vec<u8> = codes.chunks(dtype.elements_per_item()).map(join).collect();
    let values: Vec<f32> = (0..x.len()).map(|i| params.dequantize(i, codes[i])).collect();
    everywhere(shared, |_, on| {
        let quantize = |out: &mut _| affine::quantize_packed(dtype, &x, out, &params.affine());
        match (collect(packed.len(), quantize), &found) {
            (Ok(got), None) => same(&got, &packed, on),
            (got, found) => assert_eq!(got.err(), *found, "{on}"),
        }
        let got = collect(x.len(), |out| affine::dequantize_packed(dtype, &packed, out, &params.affine()));
        same(&bits(&got.expect("nothing stops it")), &bits(&values), on);
    });
    Ok(())
}

target!(run);
