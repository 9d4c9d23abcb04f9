//! What users pass for floats.

use numpy::npyffi::NpyTypes;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::{Array, Element, contiguous, describe, has_type, is_contiguous, np};
use crate::error::Error;
use crate::tensor::QTensor;

/// Whatever `numpy.asarray` takes and float32 can approximate, as a contiguous float32 array: itself where it is
/// one already, else a copy rounded to float32. Too large becomes infinity.
///
/// # Errors
/// TypeError for objects, text, dates and complex numbers.
pub fn as_float32<'py>(object: &Bound<'py, PyAny>, arg: &str) -> PyResult<Array<'py>> {
    let py = object.py();
    let array: Array<'py> = match object.cast::<PyUntypedArray>() {
        Ok(a) if a.get_type().is(numpy_array_type(py)) && has_type(a, f32::TYPE) && is_contiguous(a) => {
            return Ok(a.clone());
        }
        Ok(a) => unmasked(a, arg)?,
        Err(_) => match object.cast::<QTensor>() {
            Ok(q) => return q.get().dequantized(py),
            Err(_) => match np(py)?.call_method1("asarray", (object,)) {
                Ok(a) => a.cast_into()?,
                Err(e) => from_torch(e, object, arg)?,
            },
        },
    };
    if has_type(&array, f32::TYPE) {
        return contiguous(&array);
    }
    let dtype = array.dtype();
    let float32 = numpy::dtype::<f32>(py);
    let known = b"biuf".contains(&dtype.kind())
        // bfloat16 and the 8-bit floats of ml_dtypes are user types that can be cast safely.
        || (dtype.kind() == b'V' && np(py)?.call_method1("can_cast", (&dtype, &float32))?.is_truthy()?);
    if !known {
        let valid = match dtype.kind() {
            b'U' | b'S' | b'T' => {
                "an array of real numbers, not of texts: use numpy.asarray(input, dtype=float)"
            }
            _ => "an array of real numbers (or anything that numpy.asarray makes one from)",
        };
        let got = match dtype.kind() {
            // Of a model, a dict or None, NumPy makes an array of one object.
            b'O' if array.ndim() == 0 => describe(object),
            _ => format!("dtype {dtype}"),
        };
        return Err(Error::type_(arg, got, valid).into());
    }
    let quiet = PyDict::new(py);
    quiet.set_item("over", "ignore")?;
    quiet.set_item("under", "ignore")?;
    let errstate = np(py)?.getattr("errstate")?.call((), Some(&quiet))?;
    errstate.call_method0("__enter__")?;
    let cast = array.call_method1("astype", (float32, "C"));
    errstate.call_method1("__exit__", (py.None(), py.None(), py.None()))?;
    Ok(cast?.cast_into()?)
}

/// NumPy's own class of arrays.
fn numpy_array_type(py: Python<'_>) -> &Bound<'_, PyAny> {
    // SAFETY: NumPy's type object, which lives as long as the module.
    unsafe {
        let object = numpy::npyffi::get_type_object(py, NpyTypes::PyArray_Type);
        static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        TYPE.get_or_init(py, || Bound::from_borrowed_ptr(py, object.cast()).unbind()).bind(py)
    }
}

/// An array of NumPy's own class: of a masked one the data, unless elements are masked, which no tensor can be.
fn unmasked<'py>(a: &Array<'py>, arg: &str) -> PyResult<Array<'py>> {
    let py = a.py();
    if a.get_type().is(numpy_array_type(py)) {
        return Ok(a.clone());
    }
    if a.hasattr("_mask")? && np(py)?.getattr("ma")?.call_method1("is_masked", (a,))?.is_truthy()? {
        let got = "a masked array";
        return Err(Error::type_(arg, got, "without masked elements: use its .filled(value) first").into());
    }
    Ok(np(py)?.call_method1("asarray", (a,))?.cast_into()?)
}

/// NumPy's error for nested lists of uneven lengths, with the argument's name.
fn ragged(error: PyErr, object: &Bound<'_, PyAny>, arg: &str) -> PyErr {
    let py = object.py();
    if !error.is_instance_of::<PyValueError>(py) {
        return error;
    }
    let valid = format!("something that numpy.asarray makes an array from ({})", error.value(py));
    Error::value(arg, describe(object), valid).into()
}

/// What NumPy could not read, where it is a tensor of torch: one that asks for gradients, of bfloat16, quantized.
fn from_torch<'py>(error: PyErr, object: &Bound<'py, PyAny>, arg: &str) -> PyResult<Array<'py>> {
    let found = object.py().import("quantray._torch")?.call_method1("values_of", (object,))?;
    if found.is_none() { Err(ragged(error, object, arg)) } else { Ok(found.cast_into()?) }
}
