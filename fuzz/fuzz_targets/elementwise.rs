//! Sums, differences and products of two tensors: dequantize, the float operation, quantize.

#![no_main]

use arbitrary::Result;
use quantray_core::ops::{Binary, Operand, Target, TargetCodes, binary};
use quantray_core::qparams::{DType, dequantize_one, quantize_one};
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, Memory, everywhere, same, target};

fn results(codes: TargetCodes<'_>, (scale, zero_point): (f32, i32)) -> Target<'_> {
    Target { codes, scale, zero_point }
}

fn run(input: &mut Input<'_>) -> Result<()> {
    let short = input.flag()?;
    let n = input.from_to(0, if short { 200 } else { 40_000 })?;
    let (a, b) = (Memory::new(input, n)?, Memory::new(input, n)?);
    // Products of scales near the ends of float32 are infinite or NaN in the plain formula already.
    let scale = |input: &mut Input<'_>| Ok(input.scale()?.clamp(1e-12, 1e12));
    let (a_scale, b_scale, y_scale) = (scale(input)?, scale(input)?, scale(input)?);
    let (a_zero, b_zero) = (input.zero_point(a.dtype)?, input.zero_point(b.dtype)?);
    let to = input.one_of(&[DType::QUInt8, DType::QInt8])?;
    let y_zero = input.zero_point(to)?;
    let op = input.one_of(&[Binary::Add, Binary::Sub, Binary::Mul])?;
    let (relu, shared) = (input.flag()?, input.flag()?);
    let (left, right) = (a.codes(), b.codes());
    let one = |i: usize| {
        let x = dequantize_one(left.at(i), a_scale, a_zero);
        let value = op.of(x, dequantize_one(right.at(i), b_scale, b_zero));
        let value = if relu { value.max(0.0) } else { value };
        quantize_one(value, 1.0 / y_scale, y_zero, to.qmin(), to.qmax())
    };
    let want: Vec<i32> = (0..n).map(one).collect();
    let a = Operand { codes: left, scale: a_scale, zero_point: a_zero };
    let b = Operand { codes: right, scale: b_scale, zero_point: b_zero };
    let to_codes = (y_scale, y_zero);
    everywhere(shared, |_, on| {
        let got: Vec<i32> = match to {
            DType::QInt8 => {
                let got = collect(n, |out| binary(op, a, b, relu, results(TargetCodes::I8(out), to_codes)));
                got.expect("nothing stops it").into_iter().map(i32::from).collect()
            }
            _ => {
                let got = collect(n, |out| binary(op, a, b, relu, results(TargetCodes::U8(out), to_codes)));
                got.expect("nothing stops it").into_iter().map(i32::from).collect()
            }
        };
        same(&got, &want, &format!("{on}: {op:?}, {a_scale} {b_scale} to {y_scale}"));
    });
    Ok(())
}

target!(run);
