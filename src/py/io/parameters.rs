//! The parameters of a tensor as JSON, and back.

use pyo3::prelude::*;
use quantray_core::qparams::{DType, QParams, Quantizer, Scheme};
use quantray_core::safetensors::Element;
use serde_json::{Value, json};

use crate::array::{Array, from_slice};
use crate::tensor::QTensor;

/// The key, in the place of numbers, of the tensor that holds them.
pub const TABLE: &str = "tensor";

/// The parameters of a tensor as JSON; `table` puts numbers of channels into a tensor and says what stands for it.
pub fn describe_quantizer(
    q: &QTensor,
    shape: &[usize],
    mut table: impl FnMut(&str, Table<'_>) -> PyResult<Value>,
) -> PyResult<Value> {
    let z = q.quantizer();
    let mut about = json!({"dtype": z.dtype().name(), "qscheme": z.scheme().name()});
    match z.params() {
        QParams::PerTensor { scale, zero_point } => {
            about["scale"] = json!(scale);
            about["zero_point"] = json!(zero_point);
        }
        QParams::PerChannel { scales, zero_points, axis } => {
            about["scale"] = table("scale", Table::Floats(scales))?;
            about["zero_point"] = match zero_points.first() {
                Some(first) if zero_points.iter().all(|z| z == first) => json!(first),
                _ => table("zero_point", Table::Integers(zero_points, z.dtype()))?,
            };
            about["axis"] = json!(axis);
        }
        QParams::PerChannelFloat { scales, zero_points, axis } => {
            about["scale"] = table("scale", Table::Narrow(scales))?;
            about["zero_point"] = table("zero_point", Table::Narrow(zero_points))?;
            about["axis"] = json!(axis);
        }
    }
    if z.dtype().is_packed() {
        about["size"] = json!(shape);
    }
    Ok(about)
}

/// Numbers of channels.
pub enum Table<'a> {
    Floats(&'a [f64]),
    Narrow(&'a [f32]),
    /// Of codes of this dtype.
    Integers(&'a [i32], DType),
}

impl Table<'_> {
    /// An array of the smallest type that holds them exactly.
    pub fn array<'py>(&self, py: Python<'py>) -> PyResult<(Array<'py>, Element)> {
        match self {
            Self::Floats(values) if values.iter().all(|&v| f64::from(v as f32) == v) => {
                let narrow: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                Ok((from_slice(py, &narrow)?, Element::F32))
            }
            Self::Floats(values) => Ok((from_slice(py, values)?, Element::F64)),
            Self::Narrow(values) => Ok((from_slice(py, values)?, Element::F32)),
            Self::Integers(values, DType::QInt8) => {
                let narrow: Vec<i8> = values.iter().map(|&v| v as i8).collect();
                Ok((from_slice(py, &narrow)?, Element::I8))
            }
            Self::Integers(values, DType::QInt32) => Ok((from_slice(py, values)?, Element::I32)),
            Self::Integers(values, _) => {
                let narrow: Vec<u8> = values.iter().map(|&v| v as u8).collect();
                Ok((from_slice(py, &narrow)?, Element::U8))
            }
        }
    }
}

/// Numbers from JSON: one, several, or those of a tensor.
fn numbers(value: &Value, tables: &Tables<'_>) -> Result<Vec<f64>, String> {
    let wrong = || "is not made of numbers".to_owned();
    match value {
        Value::Array(many) => many.iter().map(|v| v.as_f64().ok_or_else(wrong)).collect(),
        Value::Object(table) => {
            let name = table.get(TABLE).and_then(Value::as_str).ok_or_else(wrong)?;
            tables(name)
        }
        one => Ok(vec![one.as_f64().ok_or_else(wrong)?]),
    }
}

/// The numbers of a file's tensor.
pub type Tables<'a> = dyn Fn(&str) -> Result<Vec<f64>, String> + 'a;

/// The parameters and, for a packed tensor, the shape from JSON.
pub fn parse_quantizer(
    about: &Value,
    tables: &Tables<'_>,
) -> Result<(Quantizer, Option<Vec<usize>>), String> {
    let text = |key: &str| about[key].as_str().ok_or_else(|| format!("{key:?} is missing"));
    let dtype = text("dtype")?;
    let dtype =
        DType::ALL.into_iter().find(|d| d.name() == dtype).ok_or(format!("unknown dtype {dtype:?}"))?;
    let scheme = text("qscheme")?;
    let scheme =
        Scheme::ALL.into_iter().find(|s| s.name() == scheme).ok_or(format!("unknown qscheme {scheme:?}"))?;
    let named = |key: &str| numbers(&about[key], tables).map_err(|e| format!("{key:?} {e}"));
    let scales = named("scale")?;
    let axis = || about["axis"].as_u64().map(|a| a as usize).ok_or("\"axis\" is missing");
    let integers = || -> Result<Vec<i64>, String> {
        let found = named("zero_point")?;
        match found.iter().all(|z| z.fract() == 0.0 && z.abs() < 1e15) {
            true => Ok(found.iter().map(|&z| z as i64).collect()),
            false => Err("\"zero_point\" is not made of integers".into()),
        }
    };
    // One for all channels is written once.
    let each = |zeros: Vec<i64>| if zeros.len() == 1 { vec![zeros[0]; scales.len()] } else { zeros };
    let made = match scheme {
        Scheme::PerTensorAffine | Scheme::PerTensorSymmetric => {
            let (&[s], &[z]) = (&scales[..], &integers()?[..]) else {
                return Err("one scale is wanted".into());
            };
            Quantizer::per_tensor(dtype, s, z, scheme.is_symmetric())
        }
        Scheme::PerChannelAffine | Scheme::PerChannelSymmetric => {
            Quantizer::per_channel(dtype, &scales, &each(integers()?), axis()?, scheme.is_symmetric())
        }
        Scheme::PerChannelAffineFloatQParams => {
            let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
            Quantizer::per_channel_float(dtype, &narrow(&scales), &narrow(&named("zero_point")?), axis()?)
        }
    };
    let size = match &about["size"] {
        Value::Null => None,
        Value::Array(lengths) => {
            let lengths: Option<Vec<usize>> =
                lengths.iter().map(|v| v.as_u64().map(|d| d as usize)).collect();
            Some(lengths.ok_or("\"size\" is not made of lengths")?)
        }
        _ => return Err("\"size\" is not made of lengths".into()),
    };
    Ok((made.map_err(|e| e.to_string())?, size))
}
