//! Functions of one input by tables: every code, then look-ups of any length.

#![no_main]

use arbitrary::Result;
use quantray_core::gemm::Codes;
use quantray_core::ops::{Function, TargetCodes, look_up, table};
use quantray_core::qparams::{DType, dequantize_one, quantize_one};
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, everywhere, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let number = input.finite()?;
    let function = input.one_of(&[
        Function::Sigmoid,
        Function::Tanh,
        Function::Hardswish,
        Function::Hardsigmoid,
        Function::LeakyRelu(number),
        Function::Elu(number),
        Function::Gelu,
        Function::GeluTanh,
        Function::Silu,
        Function::Relu6,
    ])?;
    let (from, to) =
        (input.one_of(&[DType::QUInt8, DType::QInt8])?, input.one_of(&[DType::QUInt8, DType::QInt8])?);
    let (x_scale, y_scale) = (input.scale()?, input.scale()?);
    let (x_zero, y_zero) = (input.zero_point(from)?, input.zero_point(to)?);
    let table = table(function, (from, x_scale, x_zero), (to, y_scale, y_zero));
    for byte in 0..=255u8 {
        let code = if from == DType::QInt8 { i32::from(byte as i8) } else { i32::from(byte) };
        let value = function.of(dequantize_one(code, x_scale, x_zero).clamp(f32::MIN, f32::MAX));
        assert!(!value.is_nan(), "{function:?} of code {code}, {x_scale}");
        let want = quantize_one(value, 1.0 / y_scale, y_zero, to.qmin(), to.qmax());
        assert_eq!(table[usize::from(byte)], want as u8, "{function:?} of code {code}");
    }
    let short = input.flag()?;
    let n = input.from_to(0, if short { 200 } else { 70_000 })?;
    let (x, shared) = (input.bytes(n)?, input.flag()?);
    let want: Vec<u8> = x.iter().map(|&x| table[usize::from(x)]).collect();
    everywhere(shared, |_, on| {
        let made = collect(n, |out| look_up(&table, Codes::U8(&x), TargetCodes::U8(out)));
        same(&made.expect("nothing stops it"), &want, on);
    });
    Ok(())
}

target!(run);
