//! Functions of one input: one look-up for each code.

use std::mem::MaybeUninit;

use super::TargetCodes;
use crate::arch::{self, Isa, Kernel, Vector};
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
    let (x, out) = (x.bytes(), out.bytes());
    assert_eq!(x.len(), out.len(), "as many results as codes");
    let isa = Isa::current();
    let range = Range::of(table);
    let step = threads::CHUNK_BYTES / 2;
    threads::for_each(2 * x.len(), x.chunks(step).zip(out.chunks_mut(step)), |(x, out)| {
        match range {
            Some(range) => arch::dispatch(isa, Within { range, x, out }),
            None => arch::look_up(isa, table, x, out),
        }
        true
    })
}

/// Where a table leaves codes as they are, but for those below and above a range: as ReLU6 does in one scale.
#[derive(Clone, Copy)]
struct Range {
    /// What turns codes into unsigned ones.
    flip: u8,
    lo: u8,
    hi: u8,
}

impl Range {
    fn of(table: &[u8; 256]) -> Option<Self> {
        [0, 0x80].into_iter().find_map(|flip| {
            let code = |x: u8| table[usize::from(x ^ flip)] ^ flip;
            let (lo, hi) = (code(0), code(255));
            (lo <= hi && (0..=255).all(|x| code(x) == x.clamp(lo, hi))).then_some(Self { flip, lo, hi })
        })
    }
}

/// One piece, for such a table.
struct Within<'a> {
    range: Range,
    x: &'a [u8],
    out: &'a mut [MaybeUninit<u8>],
}

impl Kernel for Within<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Range { flip, lo, hi } = self.range;
        // So plain that the compiler uses the vectors by itself.
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            out.write((x ^ flip).clamp(lo, hi) ^ flip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_and_give_what_their_tables_give() {
        let codes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let same = |dtype, zero| ((dtype, 0.05, zero), (dtype, 0.05, zero));
        let (signed, unsigned) = (same(DType::QInt8, -3), same(DType::QUInt8, 200));
        for (function, (from, to), found) in [
            (Function::Relu6, signed, true),
            (Function::Relu6, unsigned, true),
            (Function::Relu6, (signed.0, unsigned.1), false),
            (Function::Tanh, signed, false),
        ] {
            let table = table(function, from, to);
            assert_eq!(Range::of(&table).is_some(), found, "{function:?}");
            let mut out = vec![0; codes.len()];
            look_up(&table, Codes::U8(&codes), TargetCodes::U8(arch::slots(&mut out))).unwrap();
            assert!(out.iter().zip(&codes).all(|(&out, &x)| out == table[usize::from(x)]));
        }
    }

    #[test]
    fn values_beyond_float32_have_a_code() {
        let table = table(Function::Silu, (DType::QInt8, 1e37, 0), (DType::QUInt8, 0.1, 7));
        // -128 stands for -1.28e39, whose product with its sigmoid, 0, is 0.
        assert_eq!((table[128], table[127]), (7, 255));
    }
}
