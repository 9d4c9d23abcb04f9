//! NumPy's functions on QTensors: they see the dequantized float32 values, or move the codes.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::QTensor;
use super::numpy_moves::by_codes;
use super::operators::{narrow, values};
use crate::error::Error;

#[pymethods]
impl QTensor {
    /// NumPy's universal functions see the values; `out=` may be a QTensor, which the result is requantized to.
    #[pyo3(signature = (ufunc, method, *inputs, **kwargs))]
    fn __array_ufunc__<'py>(
        &self,
        py: Python<'py>,
        ufunc: &Bound<'py, PyAny>,
        method: &str,
        inputs: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if method == "at" && inputs.get_item(0)?.is_instance_of::<QTensor>() {
            let valid = "an array of floats: ufunc.at changes it in place, and a QTensor would lend a copy of its values; \
                         change q.dequantize(), and q[...] = what that gives";
            return Err(Error::type_("the first operand of ufunc.at", "a QTensor", valid).into());
        }
        let inputs = PyTuple::new(py, inputs.iter().map(|i| values(&i)).collect::<PyResult<Vec<_>>>()?)?;
        let options = PyDict::new(py);
        let mut outs: Option<Bound<'py, PyTuple>> = None;
        let mut plain = true;
        for (name, value) in kwargs.into_iter().flat_map(|k| k.iter()) {
            match name.to_string().as_str() {
                "out" => {
                    let given: Bound<'py, PyTuple> = value.cast_into()?;
                    let any = given.iter().any(|o| o.is_instance_of::<QTensor>());
                    if any {
                        outs = Some(given)
                    } else {
                        options.set_item(&name, given)?
                    }
                    plain = false;
                }
                "where" => options.set_item(&name, values(&value)?)?,
                other => {
                    plain &= other != "dtype";
                    options.set_item(&name, value)?;
                }
            }
        }
        let made = ufunc.getattr(method)?.call(&inputs, Some(&options))?;
        match outs {
            Some(outs) => write_outs(&made, &outs),
            None if plain => narrow(&made),
            None => Ok(made),
        }
    }

    /// NumPy's other functions: those that only move elements of tensors of one grid give tensors of that grid, all
    /// others see the values. Those that would write to a QTensor raise: assign to it instead.
    fn __array_function__<'py>(
        &self,
        py: Python<'py>,
        func: &Bound<'py, PyAny>,
        _types: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        const WRITERS: [&str; 6] = ["copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"];
        let name: String = func.getattr("__name__")?.extract()?;
        let first_is_ours = args.get_item(0).is_ok_and(|a| a.is_instance_of::<QTensor>());
        if WRITERS.contains(&name.as_str()) && first_is_ours {
            let valid =
                format!("an array: numpy.{name} would write to a copy; assign instead, q[...] = values");
            return Err(Error::type_("the first argument", "a QTensor", valid).into());
        }
        if ["save", "savez", "savez_compressed"].contains(&name.as_str()) {
            let valid = format!(
                "an array: numpy.{name} would keep the values and lose scale and zero point; use quantray.save, or \
                 numpy.{name} of numpy.asarray(q)"
            );
            return Err(Error::type_("arr", "a QTensor", valid).into());
        }
        if let Some(made) = by_codes(&name, func, args, kwargs)? {
            return Ok(made);
        }
        let args: Bound<'py, PyTuple> = deep_values(args.as_any())?.cast_into()?;
        let options = PyDict::new(py);
        let mut out = None;
        for (key, value) in kwargs.iter() {
            match key.to_string() == "out" && value.is_instance_of::<QTensor>() {
                true => out = Some(value),
                false => options.set_item(key, deep_values(&value)?)?,
            }
        }
        let made = func.call(args, Some(&options))?;
        match out {
            Some(out) => write_outs(&made, &PyTuple::new(py, [out])?),
            None => Ok(made),
        }
    }
}

/// Values in place of QTensors, inside of lists, tuples and dicts too.
fn deep_values<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    if let Ok(list) = object.cast_exact::<PyList>() {
        let inner = list.iter().map(|i| deep_values(&i)).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyList::new(py, inner)?.into_any());
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        let inner = tuple.iter().map(|i| deep_values(&i)).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyTuple::new(py, inner)?.into_any());
    }
    values(object)
}

/// Assigns results to the QTensors that were given as `out`.
fn write_outs<'py>(made: &Bound<'py, PyAny>, outs: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = made.py();
    let results: Vec<Bound<'py, PyAny>> = match made.cast::<PyTuple>() {
        Ok(many) => many.iter().collect(),
        Err(_) => vec![made.clone()],
    };
    for (out, result) in outs.iter().zip(results) {
        if !out.is_none() {
            out.set_item(py.Ellipsis(), result)?;
        }
    }
    match outs.len() {
        1 => outs.get_item(0),
        _ => Ok(outs.clone().into_any()),
    }
}
