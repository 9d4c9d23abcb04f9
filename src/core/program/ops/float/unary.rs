//! Functions of one number.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::super::super::chain::Tile;
use super::super::super::dims::Known;
use super::super::super::op::{Hint, Op, Planned, Task};
use super::super::super::tile::{Element, of};
use super::super::super::value::{Type, Value};
use super::super::each_element;
use crate::error::{Error, Result};
use crate::float::{self, Place, plain};

/// A function of numbers.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "as NumPy, or torch, names them")]
pub enum Function {
    /// One of the float kernels.
    Kernel(float::Function),
    Relu,
    Negative,
    Absolute,
    Square,
    Sign,
    Sqrt,
    /// 1 / sqrt(x)
    Rsqrt,
    Reciprocal,
    Floor,
    Ceil,
    /// To the nearest integer, halves to even.
    Rint,
    Trunc,
    Exp,
    Expm1,
    Log,
    Log1p,
    Erf,
    Sin,
    Cos,
    /// relu6(x + 3) / 6
    Hardsigmoid,
    /// x relu6(x + 3) / 6
    Hardswish,
    /// x / (1 + |x|)
    Softsign,
    /// x tanh(log(1 + exp(x)))
    Mish,
    /// Negative numbers times a slope.
    LeakyRelu(f32),
    /// `alpha (exp(x) - 1)` for negative numbers.
    Elu(f32),
    /// `alpha (exp(x / alpha) - 1)` for negative numbers.
    Celu(f32),
    /// `log(1 + exp(beta x)) / beta`; x where `beta x` is above a threshold.
    Softplus(f32, f32),
    /// Numbers below the first one become it, those above the second one that; NaN stays.
    Clip(f32, f32),
    /// A function of the platform's independent library, one number after the other.
    Slow(&'static str, fn(f32) -> f32),
}

impl Function {
    /// The one with this name, of those without settings.
    pub fn from_name(name: &str) -> Option<Self> {
        let slow = |&(own, f): &(&'static str, fn(f32) -> f32)| (own == name).then_some(Self::Slow(own, f));
        Some(match name {
            "gelu" => Self::Kernel(float::Function::Gelu),
            "gelu_tanh" => Self::Kernel(float::Function::GeluTanh),
            "silu" => Self::Kernel(float::Function::Silu),
            "sigmoid" => Self::Kernel(float::Function::Sigmoid),
            "tanh" => Self::Kernel(float::Function::Tanh),
            "relu" => Self::Relu,
            "negative" => Self::Negative,
            "absolute" => Self::Absolute,
            "square" => Self::Square,
            "sign" => Self::Sign,
            "sqrt" => Self::Sqrt,
            "rsqrt" => Self::Rsqrt,
            "reciprocal" => Self::Reciprocal,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            "rint" => Self::Rint,
            "trunc" => Self::Trunc,
            "exp" => Self::Exp,
            "expm1" => Self::Expm1,
            "log" => Self::Log,
            "log1p" => Self::Log1p,
            "erf" => Self::Erf,
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "hardsigmoid" => Self::Hardsigmoid,
            "hardswish" => Self::Hardswish,
            "softsign" => Self::Softsign,
            "mish" => Self::Mish,
            _ => return SLOW.iter().find_map(slow),
        })
    }
}

/// A function by its name.
type Named = (&'static str, fn(f32) -> f32);

/// Functions that few models have.
const SLOW: [Named; 14] = [
    ("tan", libm::tanf),
    ("arcsin", libm::asinf),
    ("arccos", libm::acosf),
    ("arctan", libm::atanf),
    ("sinh", libm::sinhf),
    ("cosh", libm::coshf),
    ("arcsinh", libm::asinhf),
    ("arccosh", libm::acoshf),
    ("arctanh", libm::atanhf),
    ("log2", libm::log2f),
    ("log10", libm::log10f),
    ("exp2", libm::exp2f),
    ("cbrt", libm::cbrtf),
    ("radians", f32::to_radians),
];

/// A function of each number: of floats all, of integers those that need no fractions.
#[derive(Debug)]
pub struct Unary(pub Function);

impl Unary {
    fn tile(&self, ty: Type) -> Option<Arc<Tile>> {
        macro_rules! integers {
            ($t:ty) => {
                Some(match self.0 {
                    Function::Negative => of!(|x: $t| -> $t { x.wrapping_neg() }),
                    Function::Absolute => of!(|x: $t| -> $t { if x < 0 { x.wrapping_neg() } else { x } }),
                    Function::Square => of!(|x: $t| -> $t { x.wrapping_mul(x) }),
                    Function::Sign => of!(|x: $t| -> $t { <$t>::from(x > 0) - <$t>::from(x < 0) }),
                    Function::Relu => of!(|x: $t| -> $t { if x < 0 { 0 } else { x } }),
                    Function::Floor | Function::Ceil | Function::Rint | Function::Trunc => {
                        of!(|x: $t| -> $t { x })
                    }
                    _ => return None,
                })
            };
        }
        match ty {
            Type::F32 => Some(floats(self.0)),
            Type::I64 => integers!(i64),
            Type::I32 => integers!(i32),
            Type::I8 => integers!(i8),
            _ => None,
        }
    }
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        match self.0 {
            Function::Kernel(float::Function::Gelu) => "gelu",
            Function::Kernel(float::Function::GeluTanh) => "gelu_tanh",
            Function::Kernel(float::Function::Silu) => "silu",
            Function::Kernel(float::Function::Sigmoid) => "sigmoid",
            Function::Kernel(float::Function::Tanh) => "tanh",
            Function::Relu => "relu",
            Function::Negative => "negative",
            Function::Absolute => "absolute",
            Function::Square => "square",
            Function::Sign => "sign",
            Function::Sqrt => "sqrt",
            Function::Rsqrt => "rsqrt",
            Function::Reciprocal => "reciprocal",
            Function::Floor => "floor",
            Function::Ceil => "ceil",
            Function::Rint => "rint",
            Function::Trunc => "trunc",
            Function::Exp => "exp",
            Function::Expm1 => "expm1",
            Function::Log => "log",
            Function::Log1p => "log1p",
            Function::Erf => "erf",
            Function::Sin => "sin",
            Function::Cos => "cos",
            Function::Hardsigmoid => "hardsigmoid",
            Function::Hardswish => "hardswish",
            Function::Softsign => "softsign",
            Function::Mish => "mish",
            Function::LeakyRelu(_) => "leaky_relu",
            Function::Elu(_) => "elu",
            Function::Celu(_) => "celu",
            Function::Softplus(..) => "softplus",
            Function::Clip(..) => "clip",
            Function::Slow(name, _) => name,
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let tile = self.tile(x.ty).ok_or_else(|| {
            let valid = format!("float32, or integers where {} needs no fractions", self.name());
            Error::type_("input", x.ty.name(), valid)
        })?;
        let made = x.dense(x.ty);
        let work = 16 * made.len();
        Ok(Task::each(made, from, tile).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

/// As NumPy: NaN stays.
#[inline(always)]
fn clip(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

fn floats(function: Function) -> Arc<Tile> {
    match function {
        Function::Kernel(function) => kernel(function),
        Function::Relu => of!(|x: f32| -> f32 { if x < 0.0 { 0.0 } else { x } }),
        Function::Negative => of!(|x: f32| -> f32 { -x }),
        Function::Absolute => of!(|x: f32| -> f32 { x.abs() }),
        Function::Square => of!(|x: f32| -> f32 { x * x }),
        Function::Sign => of!(|x: f32| -> f32 {
            let sign = f32::from(i8::from(x > 0.0) - i8::from(x < 0.0));
            if x.is_nan() { x } else { sign }
        }),
        Function::Sqrt => of!(|x: f32| -> f32 { x.sqrt() }),
        Function::Rsqrt => of!(|x: f32| -> f32 { 1.0 / x.sqrt() }),
        Function::Reciprocal => of!(|x: f32| -> f32 { 1.0 / x }),
        Function::Floor => of!(|x: f32| -> f32 { x.floor() }),
        Function::Ceil => of!(|x: f32| -> f32 { x.ceil() }),
        Function::Rint => of!(|x: f32| -> f32 { x.round_ties_even() }),
        Function::Trunc => of!(|x: f32| -> f32 { x.trunc() }),
        Function::Exp => of!(|x: f32| -> f32 { plain::exp(x) }),
        Function::Expm1 => of!(|x: f32| -> f32 { plain::expm1(x) }),
        Function::Log => of!(|x: f32| -> f32 { plain::log(x) }),
        Function::Log1p => of!(|x: f32| -> f32 { plain::log1p(x) }),
        Function::Erf => of!(|x: f32| -> f32 { plain::erf(x) }),
        Function::Sin => turning(of!(|x: f32| -> f32 { plain::sin(x) }), libm::sinf),
        Function::Cos => turning(of!(|x: f32| -> f32 { plain::cos(x) }), libm::cosf),
        Function::Hardsigmoid => of!(|x: f32| -> f32 { clip(x + 3.0, 0.0, 6.0) / 6.0 }),
        Function::Hardswish => of!(|x: f32| -> f32 { x * clip(x + 3.0, 0.0, 6.0) / 6.0 }),
        Function::Softsign => of!(|x: f32| -> f32 { x / (1.0 + x.abs()) }),
        Function::Mish => of!(|x: f32| -> f32 {
            // tanh(log(1 + e)) is (e^2 + 2 e) / (e^2 + 2 e + 2), 1 in float32 from 20 on.
            let e = plain::exp(if x > 20.0 { 20.0 } else { x });
            let n = e * (e + 2.0);
            let y = x * (n / (n + 2.0));
            if x > 20.0 { x } else { y }
        }),
        Function::LeakyRelu(slope) => {
            of!([slope: f32 = slope] |x: f32| -> f32 { if x < 0.0 { x * slope } else { x } })
        }
        Function::Elu(alpha) => of!([alpha: f32 = alpha] |x: f32| -> f32 {
            let y = alpha * plain::expm1(if x > 0.0 { 0.0 } else { x });
            if x > 0.0 { x } else { y }
        }),
        Function::Celu(alpha) => of!([alpha: f32 = alpha] |x: f32| -> f32 {
            let y = alpha * plain::expm1(if x > 0.0 { 0.0 } else { x / alpha });
            if x > 0.0 { x } else { y }
        }),
        Function::Softplus(beta, threshold) => {
            of!([beta: f32 = beta, threshold: f32 = threshold] |x: f32| -> f32 {
                let t = x * beta;
                let curved = plain::log1p(plain::exp(if t > threshold { threshold } else { t })) / beta;
                if t > threshold { x } else { curved }
            })
        }
        Function::Clip(low, high) => {
            of!([low: f32 = low, high: f32 = high] |x: f32| -> f32 { clip(x, low, high) })
        }
        Function::Slow(_, f) => of!([f: fn(f32) -> f32 = f] |x: f32| -> f32 { f(x) }),
    }
}

fn kernel(function: float::Function) -> Arc<Tile> {
    Arc::new(move |from, to| {
        let (x, to) = (f32::read(from[0]), f32::room(to));
        let repeated: Vec<f32>;
        let x = match x.len() == to.len() {
            true => x,
            false => {
                repeated = vec![x[0]; to.len()];
                &repeated[..]
            }
        };
        // A tile is less than what threads share: nothing waits, and nothing is interrupted.
        for (x, to) in x.chunks(4096).zip(to.chunks_mut(4096)) {
            _ = float::apply(function, Place::Apart(x, to));
        }
    })
}

/// Numbers that are too large for a few turns are the library's, each by itself.
fn turning(tile: Arc<Tile>, far: fn(f32) -> f32) -> Arc<Tile> {
    Arc::new(move |from, to| {
        let (x, to) = (f32::read(from[0]), f32::room(to));
        tile(from, super::super::super::memory::Room::F32(&mut *to));
        let one = x.len() != to.len();
        if x.iter().any(|x| x.abs() > plain::TURNS) {
            for (i, to) in to.iter_mut().enumerate() {
                let x = x[if one { 0 } else { i }];
                if x.abs() > plain::TURNS {
                    *to = MaybeUninit::new(far(x));
                }
            }
        }
    })
}
