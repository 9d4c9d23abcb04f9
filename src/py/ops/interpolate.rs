//! Images of another size.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::ops::TargetCodes;
use quantray_core::ops::resize::{Places, resize as fill};
use quantray_core::qparams::DType;

use super::images::{channels_first, image, moved_last, planes, without_negative_strides};
use super::matrices::activation;
use super::results::handed_out;
use crate::array::{Array, Output, elements, elements_mut, tuple_text};
use crate::error::Error;
use crate::run::kernel;
use crate::tensor::Given;

/// Images (N, C, lengths) with elements at other places: for each length, which element lies at or before each place,
/// int64, and how far it is from there to the next one, float32; without `parts` these elements themselves. Means are
/// taken along the last length first. The result lies in memory as the input does: channels first or channels last.
///
/// For `quantray.ops.interpolate`, which knows how places come from lengths.
#[pyfunction]
#[pyo3(name = "_resize")]
pub fn resize<'py>(
    input: Given<'py>,
    lows: Vec<Array<'py>>,
    parts: Option<Vec<Array<'py>>>,
) -> PyResult<Bound<'py, PyAny>> {
    let input = &*input;
    let (py, q) = (input.py(), input.get());
    let (_, zero_point) = activation(q, "input")?;
    let codes = without_negative_strides(q.codes(py))?;
    let dims = lows.len();
    if !(1..=3).contains(&dims) || codes.ndim() != dims + 2 {
        let valid = format!("of shape (N, C, and {dims} more)");
        return Err(Error::value("input", tuple_text(codes.shape()), valid).into());
    }
    if let Some(parts) = &parts
        && (parts.len() != dims || (0..dims).any(|a| parts[a].shape() != lows[a].shape()))
    {
        return Err(Error::value("parts", parts.len(), "as long as lows").into());
    }
    let lengths = &codes.shape()[2..];
    let whole = Places { low: vec![0], part: if parts.is_some() { vec![0.0] } else { vec![] } };
    let mut places = [whole.clone(), whole.clone(), whole];
    for (a, low) in lows.iter().enumerate() {
        let low = elements::<i64>(low);
        if let Some(at) = low.iter().find(|&&i| i < 0 || i >= lengths[a] as i64) {
            return Err(Error::index("lows", at, format!("from 0 to {}", lengths[a] as i64 - 1)).into());
        }
        let part = parts.as_ref().map_or(vec![], |parts| elements::<f32>(&parts[a]).to_vec());
        places[3 - dims + a] = Places { low: low.iter().map(|&i| i as usize).collect(), part };
    }
    let shape: Vec<usize> =
        codes.shape()[..2].iter().copied().chain(lows.iter().map(|l| l.shape()[0])).collect();
    let image = image(&codes, dims, true);
    let first = planes(&image);
    let lies = if first.is_some() { shape.clone() } else { moved_last(&shape, 1) };
    let image = first.unwrap_or(image);
    let dtype = q.quantizer().dtype();
    let output = Output::codes(py, dtype, None, &lies, &codes)?;
    let to = match dtype {
        DType::QInt8 => TargetCodes::I8(elements_mut(&output.array)),
        _ => TargetCodes::U8(elements_mut(&output.array)),
    };
    let work = shape.iter().product();
    kernel(py, work, "input", &shape, || fill(&image, &places, zero_point, to))?;
    let made = output.finish()?;
    let made = if first.is_some() { made } else { channels_first(made, None, 1)? };
    handed_out(made, Some(Arc::clone(q.quantizer())), false)
}
