//! Sums of floats and a tensor: dequantize, add, quantize; NaN is found.

#![no_main]

use arbitrary::Result;
use quantray_core::ops::{Operand, Target, TargetCodes, add_floats};
use quantray_core::qparams::{DType, dequantize_one, quantize_one};
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, Memory, everywhere, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let short = input.flag()?;
    let n = input.from_to(0, if short { 200 } else { 40_000 })?;
    // Values of scales near the end of float32 are infinite.
    let scale = |input: &mut Input<'_>| Ok(input.scale()?.clamp(1e-12, 1e12));
    let (y_scale, scale) = (scale(input)?, scale(input)?);
    let with_nan = input.flag()?;
    let (x, y) = (input.floats(n, scale, with_nan)?, Memory::new(input, n)?);
    let y_zero = input.zero_point(y.dtype)?;
    let to = input.one_of(&[DType::QUInt8, DType::QInt8])?;
    let zero_point = input.zero_point(to)?;
    let (relu, shared) = (input.flag()?, input.flag()?);
    let nan = x.iter().any(|x| x.is_nan());
    let one = |i: usize| {
        let value = x[i] + dequantize_one(y.codes().at(i), y_scale, y_zero);
        let value = if relu { value.max(0.0) } else { value };
        quantize_one(value, 1.0 / scale, zero_point, to.qmin(), to.qmax())
    };
    let want: Vec<i32> = if nan { Vec::new() } else { (0..n).map(one).collect() };
    let y = Operand { codes: y.codes(), scale: y_scale, zero_point: y_zero };
    everywhere(shared, |_, on| {
        let got: std::result::Result<Vec<i32>, _> = match to {
            DType::QInt8 => collect(n, |out| {
                add_floats(&x, y, relu, Target { codes: TargetCodes::I8(out), scale, zero_point })
            })
            .map(|codes| codes.into_iter().map(i32::from).collect()),
            _ => collect(n, |out| {
                add_floats(&x, y, relu, Target { codes: TargetCodes::U8(out), scale, zero_point })
            })
            .map(|codes| codes.into_iter().map(i32::from).collect()),
        };
        match got {
            Ok(got) if !nan => same(&got, &want, &format!("{on}: {y_scale} to {scale}")),
            Ok(_) => panic!("{on}: NaN was not found"),
            Err(error) => assert!(nan, "{on}: {error:?} without NaN"),
        }
    });
    Ok(())
}

target!(run);
