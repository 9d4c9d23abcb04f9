//! Functions of two numbers, which are broadcast.

use std::sync::Arc;

use super::super::super::chain::Tile;
use super::super::super::dims::Known;
use super::super::super::op::{Hint, Op, Planned, Task};
use super::super::super::tile::of;
use super::super::super::value::{Type, Value, broadcast};
use super::super::each_element;
use super::division;
use crate::error::{Error, Result};
use crate::float::plain;

/// What two numbers become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as NumPy names them")]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    /// Of floats.
    Div,
    Maximum,
    Minimum,
    Power,
    /// The quotient, rounded down.
    FloorDivide,
    /// The quotient of integers, without its fraction.
    TruncDivide,
    /// What is left, of the divisor's sign.
    Remainder,
    /// What is left, of the dividend's sign.
    Fmod,
    And,
    Or,
    Xor,
    LeftShift,
    RightShift,
    /// The first number where it is greater than 0, else times the second one.
    Prelu,
}

/// How two numbers stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as NumPy names them")]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// What two truth values become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as NumPy names them")]
pub enum Logic {
    And,
    Or,
    Xor,
}

/// A function of two numbers of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "said by what they hold")]
pub enum Zip {
    Arithmetic(Arithmetic),
    Compare(Compare),
    Logic(Logic),
}

impl Zip {
    /// The one with NumPy's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "add" => Self::Arithmetic(Arithmetic::Add),
            "sub" | "subtract" => Self::Arithmetic(Arithmetic::Sub),
            "mul" | "multiply" => Self::Arithmetic(Arithmetic::Mul),
            "div" | "divide" => Self::Arithmetic(Arithmetic::Div),
            "maximum" => Self::Arithmetic(Arithmetic::Maximum),
            "minimum" => Self::Arithmetic(Arithmetic::Minimum),
            "pow" | "power" => Self::Arithmetic(Arithmetic::Power),
            "floor_divide" => Self::Arithmetic(Arithmetic::FloorDivide),
            "trunc_divide" => Self::Arithmetic(Arithmetic::TruncDivide),
            "remainder" => Self::Arithmetic(Arithmetic::Remainder),
            "fmod" => Self::Arithmetic(Arithmetic::Fmod),
            "bitwise_and" => Self::Arithmetic(Arithmetic::And),
            "bitwise_or" => Self::Arithmetic(Arithmetic::Or),
            "bitwise_xor" => Self::Arithmetic(Arithmetic::Xor),
            "left_shift" => Self::Arithmetic(Arithmetic::LeftShift),
            "right_shift" => Self::Arithmetic(Arithmetic::RightShift),
            "prelu" => Self::Arithmetic(Arithmetic::Prelu),
            "equal" => Self::Compare(Compare::Equal),
            "not_equal" => Self::Compare(Compare::NotEqual),
            "less" => Self::Compare(Compare::Less),
            "less_equal" => Self::Compare(Compare::LessEqual),
            "greater" => Self::Compare(Compare::Greater),
            "greater_equal" => Self::Compare(Compare::GreaterEqual),
            "logical_and" => Self::Logic(Logic::And),
            "logical_or" => Self::Logic(Logic::Or),
            "logical_xor" => Self::Logic(Logic::Xor),
            _ => return None,
        })
    }

    /// What makes a tile; none of a type that it does not know.
    fn tile(self, ty: Type) -> Option<Arc<Tile>> {
        match (self, ty) {
            (_, Type::Codes(_)) => None,
            (Self::Arithmetic(op), Type::F32) => floats(op),
            (Self::Arithmetic(op), Type::I64) => integers_of_64(op),
            (Self::Arithmetic(op), Type::I32) => integers_of_32(op),
            (Self::Arithmetic(op), Type::U8) => integers_of_8(op),
            (Self::Arithmetic(op), Type::I8) => signed_of_8(op),
            (Self::Arithmetic(Arithmetic::And) | Self::Logic(Logic::And), Type::Bool) => {
                Some(of!(|a: u8, b| -> u8 { u8::from(a != 0) & u8::from(b != 0) }))
            }
            (Self::Arithmetic(Arithmetic::Or) | Self::Logic(Logic::Or), Type::Bool) => {
                Some(of!(|a: u8, b| -> u8 { u8::from(a != 0) | u8::from(b != 0) }))
            }
            (Self::Arithmetic(Arithmetic::Xor) | Self::Logic(Logic::Xor), Type::Bool) => {
                Some(of!(|a: u8, b| -> u8 { u8::from(a != 0) ^ u8::from(b != 0) }))
            }
            (Self::Arithmetic(_), Type::Bool) | (Self::Logic(_), _) => None,
            (Self::Compare(op), Type::F32) => Some(compare_floats(op)),
            (Self::Compare(op), Type::I64) => Some(compare_64(op)),
            (Self::Compare(op), Type::I32) => Some(compare_32(op)),
            (Self::Compare(op), Type::U8 | Type::Bool) => Some(compare_8(op)),
            (Self::Compare(op), Type::I8) => Some(compare_signed_8(op)),
        }
    }
}

fn floats(op: Arithmetic) -> Option<Arc<Tile>> {
    Some(match op {
        Arithmetic::Add => of!(|a: f32, b| -> f32 { a + b }),
        Arithmetic::Sub => of!(|a: f32, b| -> f32 { a - b }),
        Arithmetic::Mul => of!(|a: f32, b| -> f32 { a * b }),
        Arithmetic::Div => of!(|a: f32, b| -> f32 { a / b }),
        // NaN where one is NaN.
        Arithmetic::Maximum => of!(|a: f32, b| -> f32 { if (a > b) | a.is_nan() { a } else { b } }),
        Arithmetic::Minimum => of!(|a: f32, b| -> f32 { if (a < b) | a.is_nan() { a } else { b } }),
        Arithmetic::Power => of!(|a: f32, b| -> f32 { plain::pow(a, b) }),
        Arithmetic::FloorDivide => of!(short |a: f32, b| -> f32 { division::floor_divide(a, b) }),
        Arithmetic::Remainder => of!(short |a: f32, b| -> f32 { division::remainder(a, b) }),
        Arithmetic::Fmod => of!(short |a: f32, b| -> f32 { a % b }),
        Arithmetic::Prelu => of!(|a: f32, b| -> f32 { if a > 0.0 { a } else { a * b } }),
        _ => return None,
    })
}

macro_rules! integers {
    ($name:ident, $compare:ident, $t:ty) => {
        fn $name(op: Arithmetic) -> Option<Arc<Tile>> {
            Some(match op {
                Arithmetic::Add => of!(short |a: $t, b| -> $t { a.wrapping_add(b) }),
                Arithmetic::Sub => of!(short |a: $t, b| -> $t { a.wrapping_sub(b) }),
                Arithmetic::Mul => of!(short |a: $t, b| -> $t { a.wrapping_mul(b) }),
                Arithmetic::Maximum => of!(short |a: $t, b| -> $t { a.max(b) }),
                Arithmetic::Minimum => of!(short |a: $t, b| -> $t { a.min(b) }),
                Arithmetic::Power => of!(short |a: $t, b| -> $t {
                    // NumPy refuses negative powers of integers; here they are those of no power at all.
                    a.wrapping_pow(u32::try_from(b).unwrap_or(0))
                }),
                // By 0 it is 0, as in NumPy.
                Arithmetic::FloorDivide => of!(short |a: $t, b| -> $t {
                    if b == 0 {
                        return 0;
                    }
                    let whole = a.wrapping_div(b);
                    let rest = a.wrapping_rem(b);
                    // A rest of another sign than the divisor: the quotient was rounded up.
                    if rest != 0 && (rest ^ b) < 0 as $t { whole.wrapping_sub(1) } else { whole }
                }),
                Arithmetic::TruncDivide => of!(short |a: $t, b| -> $t { if b == 0 { 0 } else { a.wrapping_div(b) } }),
                Arithmetic::Remainder => of!(short |a: $t, b| -> $t {
                    if b == 0 {
                        return 0;
                    }
                    let rest = a.wrapping_rem(b);
                    if rest != 0 && (rest ^ b) < 0 as $t { rest.wrapping_add(b) } else { rest }
                }),
                Arithmetic::Fmod => of!(short |a: $t, b| -> $t { if b == 0 { 0 } else { a.wrapping_rem(b) } }),
                Arithmetic::And => of!(short |a: $t, b| -> $t { a & b }),
                Arithmetic::Or => of!(short |a: $t, b| -> $t { a | b }),
                Arithmetic::Xor => of!(short |a: $t, b| -> $t { a ^ b }),
                // By more bits than there are nothing is left, or the sign alone.
                Arithmetic::LeftShift => of!(short |a: $t, b| -> $t {
                    u32::try_from(b).ok().and_then(|b| a.checked_shl(b)).unwrap_or(0)
                }),
                Arithmetic::RightShift => of!(short |a: $t, b| -> $t {
                    let most = <$t>::BITS - 1;
                    match u32::try_from(b).ok().and_then(|b| a.checked_shr(b)) {
                        Some(shifted) => shifted,
                        None => if <$t>::MIN == 0 { 0 } else { a >> most },
                    }
                }),
                Arithmetic::Div | Arithmetic::Prelu => return None,
            })
        }
        comparisons!($compare, $t);
    };
}

macro_rules! comparisons {
    ($compare:ident, $t:ty) => {
        fn $compare(op: Compare) -> Arc<Tile> {
            match op {
                Compare::Equal => of!(short |a: $t, b| -> u8 { u8::from(a == b) }),
                Compare::NotEqual => of!(short |a: $t, b| -> u8 { u8::from(a != b) }),
                Compare::Less => of!(short |a: $t, b| -> u8 { u8::from(a < b) }),
                Compare::LessEqual => of!(short |a: $t, b| -> u8 { u8::from(a <= b) }),
                Compare::Greater => of!(short |a: $t, b| -> u8 { u8::from(a > b) }),
                Compare::GreaterEqual => of!(short |a: $t, b| -> u8 { u8::from(a >= b) }),
            }
        }
    };
}
integers!(integers_of_64, compare_64, i64);
integers!(integers_of_32, compare_32, i32);
#[allow(clippy::absurd_extreme_comparisons, unused_comparisons, reason = "one text for all integers")]
mod bytes {
    use super::*;
    integers!(unsigned, compare, u8);
    integers!(signed, compare_signed, i8);
    pub(super) fn of_8(op: Arithmetic) -> Option<Arc<Tile>> {
        unsigned(op)
    }
    pub(super) fn of_signed_8(op: Arithmetic) -> Option<Arc<Tile>> {
        signed(op)
    }
    pub(super) fn compare_8(op: Compare) -> Arc<Tile> {
        compare(op)
    }
    pub(super) fn compare_signed_8(op: Compare) -> Arc<Tile> {
        compare_signed(op)
    }
}
use bytes::{compare_8, compare_signed_8, of_8 as integers_of_8, of_signed_8 as signed_of_8};

fn compare_floats(op: Compare) -> Arc<Tile> {
    match op {
        Compare::Equal => of!(|a: f32, b| -> u8 { u8::from(a == b) }),
        Compare::NotEqual => of!(|a: f32, b| -> u8 { u8::from(a != b) }),
        Compare::Less => of!(|a: f32, b| -> u8 { u8::from(a < b) }),
        Compare::LessEqual => of!(|a: f32, b| -> u8 { u8::from(a <= b) }),
        Compare::Greater => of!(|a: f32, b| -> u8 { u8::from(a > b) }),
        Compare::GreaterEqual => of!(|a: f32, b| -> u8 { u8::from(a >= b) }),
    }
}

/// What values that are broadcast become, of a type of its own: in the order of one that has its shape.
pub(super) fn meeting(from: &[&Value], ty: Type) -> Result<Value> {
    let mut shape = from[0].shape.clone();
    for x in &from[1..] {
        shape = broadcast(&shape, &x.shape)?;
    }
    let like = from.iter().find(|x| x.shape == shape && x.is_dense());
    let like = like.or_else(|| from.iter().find(|x| x.shape == shape));
    Ok(like.map_or_else(|| Value::new(ty, shape), |like| like.dense(ty)))
}

impl Op for Zip {
    fn name(&self) -> &'static str {
        match self {
            Self::Arithmetic(Arithmetic::Add) => "add",
            Self::Arithmetic(Arithmetic::Sub) => "sub",
            Self::Arithmetic(Arithmetic::Mul) => "mul",
            Self::Arithmetic(Arithmetic::Div) => "div",
            Self::Arithmetic(Arithmetic::Maximum) => "maximum",
            Self::Arithmetic(Arithmetic::Minimum) => "minimum",
            Self::Arithmetic(Arithmetic::Power) => "pow",
            Self::Arithmetic(Arithmetic::FloorDivide) => "floor_divide",
            Self::Arithmetic(Arithmetic::TruncDivide) => "trunc_divide",
            Self::Arithmetic(Arithmetic::Remainder) => "remainder",
            Self::Arithmetic(Arithmetic::Fmod) => "fmod",
            Self::Arithmetic(Arithmetic::And) => "bitwise_and",
            Self::Arithmetic(Arithmetic::Or) => "bitwise_or",
            Self::Arithmetic(Arithmetic::Xor) => "bitwise_xor",
            Self::Arithmetic(Arithmetic::LeftShift) => "left_shift",
            Self::Arithmetic(Arithmetic::RightShift) => "right_shift",
            Self::Arithmetic(Arithmetic::Prelu) => "prelu",
            Self::Compare(_) => "compare",
            Self::Logic(_) => "logic",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (a, b) = (from[0], from[1]);
        if a.ty != b.ty {
            let got = format!("{} and {}", a.ty.name(), b.ty.name());
            return Err(Error::type_(
                "inputs",
                got,
                "of one dtype, not quantized: cast and dequantize steps make it so",
            ));
        }
        let tile = self.tile(a.ty).ok_or_else(|| {
            Error::type_("inputs", a.ty.name(), format!("of a dtype that {} takes", self.name()))
        })?;
        let ty = if matches!(self, Self::Arithmetic(_)) { a.ty } else { Type::Bool };
        let made = meeting(from, ty)?;
        let work = 3 * made.bytes();
        Ok(Task::each(made, from, tile).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}
