//! Functions of one input: one look-up for each code.

use std::mem::MaybeUninit;

use super::TargetCodes;
use crate::arch::Byte;
use crate::error::Stopped;
use crate::gemm::Codes;
use crate::qparams::{DType, dequantize_one, quantize_one};
use crate::threads;

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// tanh(x)
    Tanh,
    /// x * min(max(x + 3, 0), 6) / 6
    Hardswish,
    /// min(max(x + 3, 0), 6) / 6
    Hardsigmoid,
    /// x where it is positive, else this slope times x.
    LeakyRelu(f32),
    /// x where it is positive, else this times (exp(x) - 1).
    Elu(f32),
    /// x times the standard normal distribution's function of x.
    Gelu,
    /// Its approximation, x / 2 times (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
    GeluTanh,
    /// x / (1 + exp(-x))
    Silu,
    /// min(max(x, 0), 6)
    Relu6,
}

impl Function {
    /// Its value, rounded to float32 once. `libm` gives the same bits on every platform.
    pub fn of(self, x: f32) -> f32 {
        let x = f64::from(x);
        let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        let value = match self {
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => libm::tanh(x),
            Self::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Hardsigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(slope) * x
                }
            }
            Self::Elu(alpha) => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(alpha) * libm::expm1(x)
                }
            }
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let slope = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
                0.5 * x * (1.0 + libm::tanh(slope * (x + 0.044715 * x * x * x)))
            }
            Self::Silu => x * sigmoid(x),
            Self::Relu6 => x.clamp(0.0, 6.0),
        };
        value as f32
    }
}

/// What each code becomes, by its byte: from one data type, scale and zero point to another.
pub fn table(
    function: Function,
    (from, x_scale, x_zero): (DType, f32, i32),
    (to, y_scale, y_zero): (DType, f32, i32),
) -> [u8; 256] {
    let inv = 1.0 / y_scale;
    std::array::from_fn(|byte| {
        let code = if from == DType::QInt8 { i32::from(byte as u8 as i8) } else { byte as i32 };
        // What leaves float32 is its end, since infinity times 0 is no number.
        let x = dequantize_one(code, x_scale, x_zero).clamp(f32::MIN, f32::MAX);
        let value = function.of(x);
        quantize_one(value, inv, y_zero, to.qmin(), to.qmax()) as u8
    })
}

/// The table's value for each byte.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn look_up(table: &[u8; 256], x: Codes<'_>, out: TargetCodes<'_>) -> Result<(), Stopped> {
    match (x, out) {
        (Codes::U8(x), TargetCodes::U8(out)) => share(table, x, out),
        (Codes::U8(x), TargetCodes::I8(out)) => share(table, x, out),
        (Codes::I8(x), TargetCodes::U8(out)) => share(table, x, out),
        (Codes::I8(x), TargetCodes::I8(out)) => share(table, x, out),
    }
}

fn share<X: Byte, Y: Byte>(table: &[u8; 256], x: &[X], out: &mut [MaybeUninit<Y>]) -> Result<(), Stopped> {
    assert_eq!(x.len(), out.len(), "as many results as codes");
    let step = threads::CHUNK_BYTES / 2;
    // A look-up takes as long as some bytes do to be moved.
    let bytes = 8 * x.len();
    threads::for_each(bytes, x.chunks(step).zip(out.chunks_mut(step)), |(x, out)| {
        for (out, &x) in out.iter_mut().zip(x) {
            out.write(Y::of_byte(table[usize::from(x.byte())]));
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_float32_have_a_code() {
        let table = table(Function::Silu, (DType::QInt8, 1e37, 0), (DType::QUInt8, 0.1, 7));
        // -128 stands for -1.28e39, whose product with its sigmoid, 0, is 0.
        assert_eq!((table[128], table[127]), (7, 255));
    }
}
