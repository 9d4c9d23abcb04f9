//! Layers with weights of floats, from what Python says of them.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;

use super::params::Params;
use crate::array::{Array, as_float32, describe, elements, number, tuple_text};
use crate::error::Error;
use crate::ops::axes::{per_axis, space};
use crate::run::packing;
use quantray_core::arch::Isa;
use quantray_core::conv::Geometry;
use quantray_core::float::Function;
use quantray_core::float::conv::FloatConv as PackedConv;
use quantray_core::float::product::{PackedFloats, Plain};
use quantray_core::program::ops::{FloatConv, FloatLayer, FloatLinear};

/// What a layer has beside its weights; `outputs` are the numbers of its bias.
fn layer(p: &Params<'_, '_>, outputs: usize) -> PyResult<FloatLayer> {
    let bias = match p.get("bias")? {
        None => None,
        Some(bias) => {
            let bias = as_float32(&bias, &p.arg("bias"))?;
            if bias.shape() != [outputs] {
                let valid = format!("of shape ({outputs},), one for each output");
                return Err(Error::value(p.arg("bias"), tuple_text(bias.shape()), valid).into());
            }
            Some(Arc::from(elements::<f32>(&bias)))
        }
    };
    let mut limits = match p.get("limits")? {
        None => (f32::NEG_INFINITY, f32::INFINITY),
        Some(given) => {
            let valid = "a pair of numbers, of which either may be None";
            let wrong = |_| PyErr::from(Error::type_(p.arg("limits"), describe(&given), valid));
            let pair: (Bound<'_, PyAny>, Bound<'_, PyAny>) = given.extract().map_err(wrong)?;
            let end = |given: &Bound<'_, PyAny>, none: f32| match given.is_none() {
                true => Ok::<_, PyErr>(none),
                false => Ok(number(given, &p.arg("limits"))? as f32),
            };
            (end(&pair.0, f32::NEG_INFINITY)?, end(&pair.1, f32::INFINITY)?)
        }
    };
    if p.flag("relu")? {
        limits.0 = limits.0.max(0.0);
    }
    let then = match &p.text("activation", "")?[..] {
        "" => None,
        "gelu" => Some(Function::Gelu),
        "gelu_tanh" => Some(Function::GeluTanh),
        "silu" => Some(Function::Silu),
        "sigmoid" => Some(Function::Sigmoid),
        "tanh" => Some(Function::Tanh),
        other => {
            let valid = "gelu, gelu_tanh, silu, sigmoid or tanh";
            return Err(Error::value(p.arg("activation"), format!("{other:?}"), valid).into());
        }
    };
    Ok(FloatLayer { bias, limits, then })
}

fn weight<'py>(p: &Params<'_, 'py>) -> PyResult<Array<'py>> {
    as_float32(&p.need("weight")?, &p.arg("weight"))
}

/// A linear layer.
pub fn linear(p: &Params<'_, '_>) -> PyResult<FloatLinear> {
    let weight = weight(p)?;
    let &[outputs, inputs] = weight.shape() else {
        let valid = "of shape (outputs, inputs), none of them 0";
        return Err(Error::value(p.arg("weight"), tuple_text(weight.shape()), valid).into());
    };
    if outputs == 0 || inputs == 0 {
        let valid = "of shape (outputs, inputs), none of them 0";
        return Err(Error::value(p.arg("weight"), tuple_text(weight.shape()), valid).into());
    }
    let layer = layer(p, outputs)?;
    let from = Plain { x: elements::<f32>(&weight), down: 1, right: inputs };
    let packed = packing(weight.py(), || Ok(PackedFloats::new(Isa::current(), inputs, outputs, from)))?;
    Ok(FloatLinear { weights: Arc::new(packed), layer })
}

/// A convolution.
pub fn conv(p: &Params<'_, '_>) -> PyResult<FloatConv> {
    let weight = weight(p)?;
    let shape = weight.shape().to_vec();
    if !(3..=5).contains(&shape.len()) || shape.contains(&0) {
        let valid = "of shape (outputs, inputs / groups, and 1 to 3 lengths), none of them 0";
        return Err(Error::value(p.arg("weight"), tuple_text(&shape), valid).into());
    }
    let dims = shape.len() - 2;
    let numbers = |name: &'static str, least: usize| match p.get(name)? {
        None => Ok(vec![least; dims]),
        Some(given) => per_axis(&given, &p.arg(name), dims, least),
    };
    let (stride, dilation) = (numbers("stride", 1)?, numbers("dilation", 1)?);
    let groups = p.int("groups", 1)?;
    let Some(groups) = usize::try_from(groups).ok().filter(|&g| g > 0 && shape[0].is_multiple_of(g)) else {
        let valid = format!("at least 1, and a divisor of {}, the weight's first axis", shape[0]);
        return Err(Error::value(p.arg("groups"), groups, valid).into());
    };
    let padding: Vec<(usize, usize)> = match p.get("padding")? {
        None => vec![(0, 0); dims],
        Some(given) => match given.extract::<Vec<(usize, usize)>>() {
            Ok(pairs) if pairs.len() == dims && pairs.iter().all(|&(a, b)| a.max(b) <= 1 << 24) => pairs,
            _ => per_axis(&given, &p.arg("padding"), dims, 0)?.into_iter().map(|n| (n, n)).collect(),
        },
    };
    let transposed = p.flag("transposed")?;
    let more = numbers("output_padding", 0)?;
    if let Some(a) = (0..dims).find(|&a| more[a] >= stride[a].max(dilation[a]) && (transposed || more[a] > 0))
    {
        let valid = "of a transposed convolution alone, less than its stride or dilation";
        return Err(Error::value(p.arg("output_padding"), more[a], valid).into());
    }
    let geometry = Geometry {
        kernel: space(&shape[2..], 1),
        stride: space(&stride, 1),
        dilation: space(&dilation, 1),
        padding: space(&padding, (0, 0)),
        groups,
        transposed: transposed.then(|| space(&more, 0)),
    };
    let channels = match transposed {
        false => (shape[1] * groups, shape[0]),
        true => (shape[0], shape[1] * groups),
    };
    let layer = layer(p, channels.1)?;
    let all = elements::<f32>(&weight);
    let conv = packing(weight.py(), || Ok(PackedConv::new(Isa::current(), geometry, channels, all)))?;
    Ok(FloatConv { conv: Arc::new(conv), dims, layer })
}
