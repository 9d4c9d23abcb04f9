//! quantize and dequantize of whole codes: the plain functions' integers and bits, NaN counted and placed.

#![no_main]

use std::fmt::Debug;

use arbitrary::Result;
use quantray_core::affine::{self, Code, Pages};
use quantray_core::qparams::DType;
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, bits, everywhere, nan, same, target};

fn of<C: Code + PartialEq + Debug + Into<i32> + TryFrom<i32, Error: Debug>>(
    input: &mut Input<'_>,
) -> Result<()> {
    let layout = input.layout()?;
    let params = input.params(C::DTYPE, layout)?;
    let (scale, allowed) = (input.scale()?, input.flag()?);
    let x = input.floats(layout.len(), scale, allowed)?;
    let shared = input.flag()?;
    let found = nan(&x);
    let code = |i: usize| if x[i].is_nan() { 0 } else { params.quantize(C::DTYPE, i, x[i]) };
    let codes: Vec<C> = (0..x.len()).map(|i| C::try_from(code(i)).expect("a code")).collect();
    let values: Vec<f32> = (0..x.len()).map(|i| params.dequantize(i, codes[i].into())).collect();
    everywhere(shared, |_, on| {
        match (collect(x.len(), |out| affine::quantize::<C>(&x, out, &params.affine())), &found) {
            (Ok(got), None) => same(&got, &codes, on),
            (got, found) => assert_eq!(got.err(), *found, "{on}"),
        }
        let got =
            collect(x.len(), |out| affine::dequantize::<C>(&codes, out, &params.affine(), Pages::There));
        same(&bits(&got.expect("nothing stops it")), &bits(&values), on);
    });
    Ok(())
}

fn run(input: &mut Input<'_>) -> Result<()> {
    match input.one_of(&[DType::QInt8, DType::QUInt8, DType::QInt32])? {
        DType::QInt8 => of::<i8>(input),
        DType::QUInt8 => of::<u8>(input),
        _ => of::<i32>(input),
    }
}

target!(run);
