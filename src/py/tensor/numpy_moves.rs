//! NumPy's functions that only move elements: they stay quantized.
//!
//! The rule: a function of NumPy gives what it gives for the values, number for number. Where codes suffice for that
//! (all tensors are of one grid, nothing else is mixed in), it gives a QTensor; else floats. The function itself does
//! the work, on the codes and, where there are channels, on their numbers.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use quantray_core::qparams::{QParams, Quantizer};

use super::QTensor;
use crate::array::{Array, as_array};

/// Which arguments are the tensors (or sequences of them) whose elements a function moves.
const MOVES: &[(&str, &[usize])] = &[
    ("append", &[0, 1]),
    ("array_split", &[0]),
    ("atleast_1d", &[0]),
    ("atleast_2d", &[0]),
    ("atleast_3d", &[0]),
    ("block", &[0]),
    ("broadcast_to", &[0]),
    ("column_stack", &[0]),
    ("compress", &[1]),
    ("concat", &[0]),
    ("concatenate", &[0]),
    ("copy", &[0]),
    ("delete", &[0]),
    ("diag", &[0]),
    ("diagonal", &[0]),
    ("dsplit", &[0]),
    ("dstack", &[0]),
    ("expand_dims", &[0]),
    ("extract", &[1]),
    ("flip", &[0]),
    ("fliplr", &[0]),
    ("flipud", &[0]),
    ("hsplit", &[0]),
    ("hstack", &[0]),
    ("insert", &[0, 2]),
    ("matrix_transpose", &[0]),
    ("moveaxis", &[0]),
    ("pad", &[0]),
    ("partition", &[0]),
    ("permute_dims", &[0]),
    ("ravel", &[0]),
    ("repeat", &[0]),
    ("reshape", &[0]),
    ("resize", &[0]),
    ("roll", &[0]),
    ("rollaxis", &[0]),
    ("rot90", &[0]),
    ("row_stack", &[0]),
    ("sliding_window_view", &[0]),
    ("sort", &[0]),
    ("split", &[0]),
    ("squeeze", &[0]),
    ("stack", &[0]),
    ("swapaxes", &[0]),
    ("take", &[0]),
    ("take_along_axis", &[0]),
    ("tile", &[0]),
    ("transpose", &[0]),
    ("unstack", &[0]),
    ("vsplit", &[0]),
    ("vstack", &[0]),
    ("where", &[1, 2]),
];

/// The tensors in an argument, in order; none where it holds anything else.
fn tensors_in<'py>(object: &Bound<'py, PyAny>, found: &mut Vec<Bound<'py, QTensor>>) -> bool {
    if let Ok(q) = object.cast::<QTensor>() {
        found.push(q.clone());
        return true;
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        return !list.is_empty() && list.iter().all(|item| tensors_in(&item, found));
    }
    match object.cast_exact::<PyTuple>() {
        Ok(tuple) => !tuple.is_empty() && tuple.iter().all(|item| tensors_in(&item, found)),
        Err(_) => false,
    }
}

/// Whether a tensor is anywhere in an argument.
fn has_tensor(object: &Bound<'_, PyAny>) -> bool {
    if object.is_instance_of::<QTensor>() {
        return true;
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        return list.iter().any(|item| has_tensor(&item));
    }
    object.cast_exact::<PyTuple>().is_ok_and(|tuple| tuple.iter().any(|item| has_tensor(&item)))
}

/// The same argument with an array in the place of each tensor.
fn with_arrays<'py>(
    object: &Bound<'py, PyAny>,
    arrays: &mut impl Iterator<Item = Array<'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    if object.is_instance_of::<QTensor>() {
        return Ok(arrays.next().map_or_else(|| py.None().into_bound(py), Bound::into_any));
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        let inner = list.iter().map(|i| with_arrays(&i, arrays)).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyList::new(py, inner)?.into_any());
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        let inner = tuple.iter().map(|i| with_arrays(&i, arrays)).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyTuple::new(py, inner)?.into_any());
    }
    Ok(object.clone())
}

/// A call of one of NumPy's functions whose elements are those of tensors of one grid.
struct Move<'a, 'py> {
    function: &'a Bound<'py, PyAny>,
    args: &'a Bound<'py, PyTuple>,
    kwargs: Bound<'py, PyDict>,
    sources: &'static [usize],
    tensors: Vec<Bound<'py, QTensor>>,
}

impl<'py> Move<'_, 'py> {
    fn first(&self) -> &QTensor {
        self.tensors[0].get()
    }

    /// What the function makes where these arrays take the place of the tensors.
    fn call(&self, arrays: Vec<Array<'py>>, kwargs: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let mut arrays = arrays.into_iter();
        let args = self.args.iter().enumerate().map(|(i, arg)| match self.sources.contains(&i) {
            true => with_arrays(&arg, &mut arrays),
            false => Ok(arg),
        });
        self.function
            .call(PyTuple::new(self.function.py(), args.collect::<PyResult<Vec<_>>>()?)?, Some(kwargs))
    }

    fn numbers(&self) -> PyResult<Option<Vec<Array<'py>>>> {
        self.tensors.iter().map(|q| q.get().channel_numbers(q.py())).collect()
    }

    /// The result; none where it would mix channels.
    fn run(&self) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.function.py();
        let codes = self.tensors.iter().map(|q| q.get().element_codes(py)).collect::<PyResult<Vec<_>>>()?;
        let made = self.call(codes, &self.kwargs)?;
        let Some(numbers) = self.numbers()? else {
            return self.wrapped(&made, &mut |_| Ok(Some(Arc::clone(self.first().quantizer()))));
        };
        let first = numbers[0].clone();
        let kwargs = self.kwargs.copy()?;
        if kwargs.contains("constant_values")? {
            // What is put in at the ends belongs to the channel beside it.
            kwargs.del_item("constant_values")?;
            kwargs.set_item("mode", "edge")?;
        }
        let moved = self.call(numbers, &kwargs)?;
        let many = moved.is_instance_of::<PyList>() || moved.is_instance_of::<PyTuple>();
        let moved = match many {
            true => moved.try_iter()?.collect::<PyResult<Vec<_>>>()?,
            false => vec![moved],
        };
        let mut moved = moved.into_iter();
        self.wrapped(&made, &mut |_| match moved.next() {
            Some(moved) => self.first().follow_moved(&first, &as_array(&moved)?),
            None => Ok(None),
        })
    }

    /// A result, or a list or tuple of them, as tensors.
    fn wrapped(
        &self,
        made: &Bound<'py, PyAny>,
        quantizer: &mut impl FnMut(&Bound<'py, PyAny>) -> PyResult<Option<Arc<Quantizer>>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = made.py();
        let list = made.is_instance_of::<PyList>();
        if !list && !made.is_instance_of::<PyTuple>() {
            let Some(quantizer) = quantizer(made)? else { return Ok(None) };
            return Ok(Some(Bound::new(py, QTensor::wrap(as_array(made)?, quantizer)?)?.into_any()));
        }
        let mut parts = Vec::new();
        for part in made.try_iter()? {
            let Some(part) = self.wrapped(&part?, quantizer)? else { return Ok(None) };
            parts.push(part);
        }
        Ok(Some(if list { PyList::new(py, parts)?.into_any() } else { PyTuple::new(py, parts)?.into_any() }))
    }
}

/// The code of the value 0, where all channels have one.
fn zero_code(quantizer: &Quantizer) -> Option<i32> {
    match quantizer.params() {
        QParams::PerTensor { zero_point, .. } => Some(*zero_point),
        QParams::PerChannel { zero_points, .. } => {
            zero_points.first().copied().filter(|first| zero_points.iter().all(|z| z == first))
        }
        QParams::PerChannelFloat { .. } => None,
    }
}

/// What is special to a function: whether codes suffice for this call, and arguments that are other for codes.
fn codes_suffice(name: &str, call: &Move<'_, '_>) -> PyResult<bool> {
    let first = call.first();
    let py = call.function.py();
    let given = |i: usize, key: &str| match call.args.get_item(i) {
        Ok(arg) => Ok(Some(arg)),
        Err(_) => call.kwargs.get_item(key),
    };
    Ok(match name {
        // Sorting compares: codes of other channels do not.
        "sort" | "partition" => first.single().is_some(),
        // The rest of a matrix of one diagonal is 0, which is another code.
        "diag" => first.dims(py).len() == 2,
        // What is not there is 0 in NumPy.
        "resize" => first.len_of(py) > 0,
        "pad" => {
            let mode = given(2, "mode")?;
            let mode = match &mode {
                None => "constant".to_owned(),
                Some(mode) if mode.is_instance_of::<PyString>() => mode.to_string(),
                Some(_) => return Ok(false),
            };
            match mode.as_str() {
                "edge" | "wrap" => true,
                "reflect" | "symmetric" => !call.kwargs.contains("reflect_type")?,
                "constant" => {
                    let zero = match call.kwargs.get_item("constant_values")? {
                        None => true,
                        Some(value) => value.extract::<f64>().is_ok_and(|v| v == 0.0),
                    };
                    match (zero_code(first.quantizer()), zero && !first.dims(py).contains(&0)) {
                        (Some(code), true) => {
                            call.kwargs.set_item("constant_values", code)?;
                            true
                        }
                        _ => false,
                    }
                }
                _ => false,
            }
        }
        _ => true,
    })
}

/// What a function of NumPy makes of tensors by moving their codes; none where it has to see values.
pub(super) fn by_codes<'py>(
    name: &str,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = function.py();
    if matches!(name, "zeros_like" | "empty_like") && args.len() == 1 && kwargs.is_empty() {
        let like = args.get_item(0)?.cast_into::<QTensor>()?;
        return match (name, like.get().quantizer().params()) {
            ("zeros_like", QParams::PerChannelFloat { .. }) => Ok(None), // 0 may lie between two codes.
            ("zeros_like", _) => Ok(Some(Bound::new(py, QTensor::zeros_like(&like)?)?.into_any())),
            _ => Ok(Some(Bound::new(py, QTensor::empty_like(&like)?)?.into_any())),
        };
    }
    let Ok(at) = MOVES.binary_search_by_key(&name, |(name, _)| *name) else { return Ok(None) };
    let sources = MOVES[at].1;
    let mut tensors = Vec::new();
    for (i, arg) in args.iter().enumerate() {
        let fits = if sources.contains(&i) { tensors_in(&arg, &mut tensors) } else { !has_tensor(&arg) };
        if !fits {
            return Ok(None);
        }
    }
    let plain = ["out", "dtype", "casting"].iter().all(|key| !kwargs.contains(key).unwrap_or(true))
        && kwargs.values().iter().all(|value| !has_tensor(&value));
    let Some(first) = tensors.first() else { return Ok(None) };
    let grid = first.get().quantizer();
    let alike = tensors.iter().all(|q| q.get().quantizer() == grid);
    if !plain || !alike || args.len() <= sources[sources.len() - 1] {
        return Ok(None);
    }
    let call = Move { function, args, kwargs: kwargs.copy()?, sources, tensors };
    match codes_suffice(name, &call)? {
        true => call.run(),
        false => Ok(None),
    }
}
