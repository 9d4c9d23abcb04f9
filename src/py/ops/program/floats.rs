//! Steps of floats, from what Python says of them.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;

use super::layers;
use super::lower::{Lowered, check};
use super::params::Params;
use super::values::{HeldElements, constant};
use crate::array::{as_float32, contiguous, describe, elements, finite, tuple_text};
use crate::error::Error;
use crate::tensor::QTensor;
use quantray_core::program::ops::{
    Attention, Embedding, Function, Given, LayerNorm, Rows, Softmax, Unary, Where, Zip,
};

/// The step; none where there is no operation of this name.
pub fn floats(op: &str, p: &Params<'_, '_>, sources: usize) -> PyResult<Option<Lowered>> {
    let mut made = Lowered::new(sources);
    let from = made.all();
    match op {
        "constant" => {
            check(p, sources, 0..=0)?;
            let (value, elements) = constant(&p.need("value")?, &p.arg("value"))?;
            made.push(Given { value, elements }, from);
        }
        "softmax" => {
            check(p, sources, 1..=2)?;
            let factor = finite(p.number("factor", 1.0)? as f32, &p.arg("factor"))?;
            made.push(Softmax { axis: p.int("axis", -1)? as isize, factor }, from);
        }
        "layer_norm" | "rms_norm" => {
            check(p, sources, 1..=2)?;
            made.push(layer_norm(p, op == "layer_norm")?, from);
        }
        "embedding" => {
            check(p, sources, 1..=1)?;
            made.push(embedding(p)?, from);
        }
        "attention" => {
            check(p, sources, 1..=2)?;
            let heads = p.int("heads", 0)?.max(p.int("num_heads", 0)?);
            let heads = usize::try_from(heads).ok().filter(|&heads| heads > 0);
            let heads = heads.ok_or_else(|| PyErr::from(Error::value(p.arg("heads"), 0, "at least 1")))?;
            made.push(Attention { heads }, from);
        }
        "linear" => {
            check(p, sources, 1..=2)?;
            made.push(layers::linear(p)?, from);
        }
        "conv" => {
            check(p, sources, 1..=2)?;
            made.push(layers::conv(p)?, from);
        }
        "where" => {
            check(p, sources, 3..=3)?;
            made.push(Where, from);
        }
        _ => {
            if let Some(zip) = Zip::from_name(op) {
                check(p, sources, 2..=2)?;
                p.get("grid")?;
                made.push(zip, from);
                if p.flag("relu")? {
                    made.push(Unary(Function::Relu), vec![made.last()]);
                }
                return Ok(Some(made));
            }
            return Ok(None);
        }
    }
    Ok(Some(made))
}

fn layer_norm(p: &Params<'_, '_>, centered: bool) -> PyResult<LayerNorm> {
    let shape = p.need("normalized_shape")?;
    let lengths: Vec<usize> = match shape.extract::<usize>() {
        Ok(n) => vec![n],
        Err(_) => shape.extract().map_err(|_| {
            PyErr::from(Error::type_(p.arg("normalized_shape"), describe(&shape), "a length or lengths"))
        })?,
    };
    if lengths.is_empty() || lengths.contains(&0) {
        let valid = "at least one length, none of them 0";
        return Err(Error::value(p.arg("normalized_shape"), tuple_text(&lengths), valid).into());
    }
    let eps = p.number("eps", 1e-5)?;
    if !(eps.is_finite() && eps >= 0.0) {
        return Err(Error::value(p.arg("eps"), eps, "finite, at least 0").into());
    }
    let along = |name: &'static str| -> PyResult<Option<Arc<[f32]>>> {
        let Some(given) = p.get(name)? else { return Ok(None) };
        let array = as_float32(&given, &p.arg(name))?;
        if array.shape() != lengths {
            let valid = format!("of the normalized shape, {}", tuple_text(&lengths));
            return Err(Error::value(p.arg(name), tuple_text(array.shape()), valid).into());
        }
        Ok(Some(Arc::from(elements::<f32>(&array))))
    };
    let (weight, bias) = (along("weight")?, along("bias")?);
    Ok(LayerNorm { lengths, eps, weight, bias, centered })
}

fn embedding(p: &Params<'_, '_>) -> PyResult<Embedding> {
    let (given, from_end) = (p.need("table")?, p.flag_or("from_end", false)?);
    let py = given.py();
    let wrong = |shape: &[usize]| {
        PyErr::from(Error::value(
            p.arg("table"),
            tuple_text(shape),
            "of shape (rows, width), not without width",
        ))
    };
    if let Ok(q) = given.cast::<QTensor>() {
        let q = q.get();
        let (rows, width) = sides(q.dims(py)).ok_or_else(|| wrong(q.dims(py)))?;
        let codes = contiguous(q.codes(py))?;
        let of = Rows::Codes(q.quantizer().dtype(), q.quantizer().params().clone());
        let table = Arc::new(HeldElements::new(codes)?);
        return Ok(Embedding { table, rows, width, of: Arc::new(of), from_end });
    }
    let array = as_float32(&given, &p.arg("table"))?;
    let (rows, width) = sides(array.shape()).ok_or_else(|| wrong(array.shape()))?;
    let table = Arc::new(HeldElements::new(array)?);
    Ok(Embedding { table, rows, width, of: Arc::new(Rows::Floats), from_end })
}

/// Rows, and their width, which is not 0.
fn sides(shape: &[usize]) -> Option<(usize, usize)> {
    match *shape {
        [rows, width] if width > 0 => Some((rows, width)),
        _ => None,
    }
}
