//! Steps that are functions of single numbers, from what Python says of them.

use pyo3::prelude::*;

use super::lower::{Lowered, check};
use super::params::Params;
use crate::error::Error;
use quantray_core::program::Type;
use quantray_core::program::ops::{Cast, Function, Test, Unary};

/// The type of plain numbers that a dtype's name says.
pub fn plain_type(p: &Params<'_, '_>, name: &'static str) -> PyResult<Type> {
    let given = p.need(name)?.str()?.to_string();
    Ok(match &given[..] {
        "float32" => Type::F32,
        "int32" => Type::I32,
        "int64" => Type::I64,
        "uint8" => Type::U8,
        "int8" => Type::I8,
        "bool" => Type::Bool,
        _ => {
            let valid = "float32, int32, int64, uint8, int8 or bool";
            return Err(Error::value(p.arg(name), given, valid).into());
        }
    })
}

/// The step; none where there is no operation of this name.
pub fn elements(op: &str, p: &Params<'_, '_>, sources: usize) -> PyResult<Option<Lowered>> {
    let mut made = Lowered::new(sources);
    let from = made.all();
    let number = |name, absent: f64| Ok::<f32, PyErr>(p.number(name, absent)? as f32);
    if let Some(test) = Test::from_name(op) {
        check(p, sources, 1..=1)?;
        made.push(test, from);
        return Ok(Some(made));
    }
    let function = match op {
        "cast" => {
            check(p, sources, 1..=1)?;
            made.push(Cast(plain_type(p, "dtype")?), from);
            return Ok(Some(made));
        }
        "gelu" => match &p.text("approximate", "none")?[..] {
            "tanh" => Function::from_name("gelu_tanh"),
            "none" => Function::from_name(op),
            other => {
                let valid = "\"none\" or \"tanh\"";
                return Err(Error::value(p.arg("approximate"), format!("{other:?}"), valid).into());
            }
        },
        "leaky_relu" => Some(Function::LeakyRelu(number("slope", 0.01)?)),
        "elu" => Some(Function::Elu(number("alpha", 1.0)?)),
        "celu" => Some(Function::Celu(number("alpha", 1.0)?)),
        "softplus" => Some(Function::Softplus(number("beta", 1.0)?, number("threshold", 20.0)?)),
        "clip" => Some(Function::Clip(number("low", f64::NEG_INFINITY)?, number("high", f64::INFINITY)?)),
        _ => Function::from_name(op),
    };
    let Some(function) = function else { return Ok(None) };
    check(p, sources, 1..=1)?;
    made.push(Unary(function), from);
    Ok(Some(made))
}
