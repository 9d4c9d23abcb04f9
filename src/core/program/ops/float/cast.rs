//! Numbers of another type, and what kind of number a float is.

use std::sync::Arc;

use super::super::super::chain::Tile;
use super::super::super::dims::Known;
use super::super::super::op::{Hint, Op, Planned, Task};
use super::super::super::tile::of;
use super::super::super::value::{Type, Value};
use super::super::each_element;
use crate::error::{Error, Result};

/// Numbers of another type, as NumPy's `astype` makes them; codes are dequantized first.
///
/// Integers wrap around. Floats that an integer does not hold have no number that NumPy promises: they become the
/// nearest one, and NaN becomes 0.
#[derive(Debug)]
pub struct Cast(pub Type);

impl Op for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, to) = (from[0], self.0);
        if x.ty == to {
            return Ok(Planned::View(x.clone(), 0));
        }
        if let Type::Codes(_) = x.ty {
            return Err(Error::type_("input", x.ty.name(), "numbers: a dequantize step makes them"));
        }
        Ok(Task::each(x.dense(to), from, cast(x.ty, to)).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

fn cast(from: Type, to: Type) -> Arc<Tile> {
    macro_rules! to {
        ($a:ty, $zero:expr) => {
            match to {
                Type::F32 => of!(narrow |x: $a| -> f32 { x as f32 }),
                Type::I32 => of!(short |x: $a| -> i32 { x as i32 }),
                Type::I64 => of!(narrow |x: $a| -> i64 { x as i64 }),
                Type::U8 => of!(short |x: $a| -> u8 { x as u8 }),
                Type::I8 => of!(short |x: $a| -> i8 { x as i8 }),
                Type::Bool => of!(short |x: $a| -> u8 { u8::from(x != $zero) }),
                Type::Codes(_) => panic!("numbers as planned"),
            }
        };
    }
    match (from, to) {
        // Through wide integers, so that what does not fit wraps around.
        (Type::F32, Type::U8) => of!(short |x: f32| -> u8 { x as i32 as u8 }),
        (Type::F32, Type::I8) => of!(short |x: f32| -> i8 { x as i32 as i8 }),
        (Type::F32, _) => to!(f32, 0.0),
        (Type::I32, _) => to!(i32, 0),
        (Type::I64, _) => to!(i64, 0),
        (Type::U8 | Type::Bool, _) => to!(u8, 0),
        (Type::I8, _) => to!(i8, 0),
        (Type::Codes(_), _) => panic!("numbers as planned"),
    }
}

/// What a number is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as NumPy names them")]
pub enum Test {
    IsNan,
    IsInf,
    IsFinite,
    /// Of truth values.
    LogicalNot,
}

impl Test {
    /// The one with NumPy's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "isnan" => Self::IsNan,
            "isinf" => Self::IsInf,
            "isfinite" => Self::IsFinite,
            "logical_not" => Self::LogicalNot,
            _ => return None,
        })
    }
}

impl Op for Test {
    fn name(&self) -> &'static str {
        match self {
            Self::IsNan => "isnan",
            Self::IsInf => "isinf",
            Self::IsFinite => "isfinite",
            Self::LogicalNot => "logical_not",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let tile = match (self, x.ty) {
            (Self::LogicalNot, Type::Bool) => of!(short |x: u8| -> u8 { u8::from(x == 0) }),
            (Self::IsNan, Type::F32) => of!(short |x: f32| -> u8 { u8::from(x.is_nan()) }),
            (Self::IsInf, Type::F32) => of!(short |x: f32| -> u8 { u8::from(x.is_infinite()) }),
            (Self::IsFinite, Type::F32) => of!(short |x: f32| -> u8 { u8::from(x.is_finite()) }),
            (Self::LogicalNot, _) => return Err(Error::type_("input", x.ty.name(), "bool")),
            _ => return Err(Error::type_("input", x.ty.name(), "float32")),
        };
        Ok(Task::each(x.dense(Type::Bool), from, tile).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}
