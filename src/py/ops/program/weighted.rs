//! Layers with weights of integers, from what Python says of them.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;

use super::lower::{Lowered, check};
use super::params::Params;
use crate::array::{as_float32, describe, elements, tuple_text};
use crate::error::Error;
use crate::ops::conv::conv_of;
use crate::ops::linear::PackedLinear;
use crate::ops::results::Bias;
use crate::ops::weight_only::PackedWeightOnlyLinear;
use quantray_core::gemm::Formula;
use quantray_core::ops::{Function, table};
use quantray_core::program::ops::{AtMost, Clamp, Conv, Dynamic, Layer, Linear, Quantize, WeightOnlyLinear};
use quantray_core::qparams::{DType, QParams, Quantizer};

/// The scales of a weight: one, or one for each channel.
fn scales(quantizer: &Quantizer) -> Vec<f32> {
    match quantizer.params() {
        QParams::PerTensor { scale, .. } => vec![*scale as f32],
        QParams::PerChannel { scales, .. } => scales.iter().map(|&scale| scale as f32).collect(),
        QParams::PerChannelFloat { scales, .. } => scales.to_vec(),
    }
}

/// A layer with weights.
pub fn weighted(op: &str, p: &Params<'_, '_>, sources: usize, made: &mut Lowered) -> PyResult<()> {
    let packed = p.need("packed")?;
    if let Ok(held) = packed.cast::<PackedWeightOnlyLinear>() {
        check(p, sources, 1..=1)?;
        let PackedWeightOnlyLinear { packed, bias, input_bits } = held.get();
        let bias = bias.finish(false).bias.map(Arc::from);
        let (weights, relu) = (Arc::clone(packed), p.flag("relu")?);
        made.push(WeightOnlyLinear { weights, input_bits: *input_bits, bias, relu }, made.all());
        return Ok(());
    }
    check(p, sources, 1..=2)?;
    let (relu, relu6) = (p.flag("relu")?, p.flag("relu6")?);
    let grid = p.grid("to")?;
    let to = grid.map(|grid| grid.0);
    let layer = |bias: &Bias, quantizer: &Quantizer, outputs: usize| -> PyResult<Layer> {
        Ok(Layer {
            bias: if let Bias::Float(bias) = bias { Some(bias.clone()) } else { None },
            int_bias: if let Bias::Int(bias) = bias { Some(bias.clone()) } else { None },
            scales: scales(quantizer),
            relu: relu || relu6,
            slopes: slopes(p, outputs, relu || relu6)?,
            to,
        })
    };
    let (per_row, reduce_range) = (p.flag_or("per_row", !p.flag("reduce_range")?)?, p.flag("reduce_range")?);
    if per_row && reduce_range {
        return Err(Error::value(p.arg("reduce_range"), "True", "False with per_row").into());
    }
    let is_onnx = p.flag("onnx")?;
    if is_onnx && reduce_range {
        return Err(Error::value(p.arg("reduce_range"), "True", "False with onnx").into());
    }
    let formula = match (is_onnx, reduce_range) {
        (true, _) => Formula::Onnx,
        (_, true) => Formula::SevenBits,
        _ => Formula::Contract,
    };
    let dynamic = Dynamic { apart: per_row, formula };
    let from = made.all();
    if op == "linear" {
        let held = packed
            .cast::<PackedLinear>()
            .map_err(|_| PyErr::from(Error::type_(p.arg("packed"), describe(&packed), "a PackedLinear")))?;
        let (weights, (_, bias, quantizer)) = (held.get().shared(), held.get().parts());
        let layer = layer(bias, quantizer, weights.columns())?;
        made.push(Linear { weights, layer, dynamic }, from);
    } else {
        let held = conv_of(&packed).map_err(|_| {
            PyErr::from(Error::type_(p.arg("packed"), describe(&packed), "a packed convolution"))
        })?;
        let (conv, (_, bias, quantizer)) = (held.shared(), held.parts());
        let layer = layer(bias, quantizer, conv.channels().1)?;
        made.push(Conv { conv, dims: held.dims(), layer, dynamic }, from);
    }
    if let Some((to, range)) = grid {
        // Of floats a layer gives floats; codes stay as they are.
        made.push(Quantize { grid: to, divides: false }, vec![made.last()]);
        made.within(range);
    }
    match to {
        Some(to) if relu6 => {
            // Nothing is left to do where codes end below 6, as they do where the grid was found behind it.
            let (least, greatest) = to.range();
            let dtype = if to.signed { DType::QInt8 } else { DType::QUInt8 };
            let params = (dtype, to.step(), to.zero_point);
            let top = table(Function::Relu6, params, params)[usize::from(greatest as u8)];
            let top = if to.signed { i32::from(top as i8) } else { i32::from(top) };
            made.push(Clamp(least, top), vec![made.last()]);
        }
        None if relu6 => {
            made.push(AtMost(6.0), vec![made.last()]);
        }
        _ => {}
    }
    Ok(())
}

/// Slopes of a layer's outputs, one for each of them.
fn slopes(p: &Params<'_, '_>, outputs: usize, relu: bool) -> PyResult<Option<Vec<f32>>> {
    let Some(given) = p.get("slopes")? else { return Ok(None) };
    if relu {
        return Err(Error::value(p.arg("slopes"), "given with relu", "given without").into());
    }
    let given = as_float32(&given, &p.arg("slopes"))?;
    let numbers = elements::<f32>(&given);
    if given.shape() != [1] && given.shape() != [outputs] {
        let valid = format!("of shape (1,) or ({outputs},), one for each output");
        return Err(Error::value(p.arg("slopes"), tuple_text(given.shape()), valid).into());
    }
    if let Some(wrong) = numbers.iter().find(|slope| !slope.is_finite()) {
        return Err(Error::value(p.arg("slopes"), wrong, "finite").into());
    }
    Ok(Some(numbers.iter().copied().cycle().take(outputs).collect()))
}
