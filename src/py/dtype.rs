//! `quantray.dtype` and `quantray.qscheme`: one object for each of torch's names.

use numpy::PyArrayDescr;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};
use quantray_core::qparams::{DType, Scheme};

use super::array::{describe, dtype_named};
use crate::error::Error;

/// What an element of a quantized tensor is: `qint8`, `quint8`, `qint32`, `quint4x2` or `quint2x4`.
///
/// There is one object for each; compare them with `is` or `==`. Wherever one is asked for, its name ("qint8") or
/// the NumPy dtype of the same range (`np.int8`, `np.uint8`, `np.int32`) will do.
///
/// >>> import quantray as qt
/// >>> qt.qint8.qmin, qt.qint8.qmax, qt.quint4x2.bits
/// (-128, 127, 4)
#[pyclass(name = "dtype", module = "quantray", frozen)]
pub struct PyDType(pub DType);

#[pymethods]
impl PyDType {
    /// The name: `"qint8"`.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// The smallest code.
    #[getter]
    fn qmin(&self) -> i32 {
        self.0.qmin()
    }

    /// The largest code.
    #[getter]
    fn qmax(&self) -> i32 {
        self.0.qmax()
    }

    /// Bits of one element.
    #[getter]
    fn bits(&self) -> usize {
        self.0.bits()
    }

    /// The NumPy dtype of the memory that holds the codes.
    #[getter]
    fn numpy_dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDescr>> {
        dtype_named(py, self.0.numpy_name())
    }

    /// The NumPy dtype of the values, float32: what NumPy sees of a tensor, and so what `numpy.dtype` makes of this.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> Bound<'py, PyArrayDescr> {
        numpy::dtype::<f32>(py)
    }

    /// Bytes of one unit of memory: 1, or 4 for qint32.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.item_size()
    }

    /// Whether codes may be negative.
    #[getter]
    fn is_signed(&self) -> bool {
        self.0.qmin() < 0
    }

    /// False: elements are integers.
    #[getter]
    fn is_floating_point(&self) -> bool {
        false
    }

    /// False: values are real.
    #[getter]
    fn is_complex(&self) -> bool {
        false
    }

    fn __repr__(&self) -> &'static str {
        self.0.name()
    }

    fn __reduce__(&self) -> &'static str {
        self.0.name()
    }
}

/// How codes map to values: `per_tensor_affine`, `per_tensor_symmetric`, `per_channel_affine`,
/// `per_channel_symmetric` or `per_channel_affine_float_qparams`.
///
/// There is one object for each; compare them with `is` or `==`.
///
/// >>> import quantray as qt
/// >>> q = qt.quantize_per_tensor([0.5], 0.1, 0, qt.qint8)
/// >>> q.qscheme() is qt.per_tensor_affine
/// True
#[pyclass(name = "qscheme", module = "quantray", frozen)]
pub struct PyScheme(pub Scheme);

#[pymethods]
impl PyScheme {
    /// The name: `"per_tensor_affine"`.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn __repr__(&self) -> &'static str {
        self.0.name()
    }

    fn __reduce__(&self) -> &'static str {
        self.0.name()
    }
}

static DTYPES: PyOnceLock<[Py<PyDType>; 5]> = PyOnceLock::new();
static SCHEMES: PyOnceLock<[Py<PyScheme>; 5]> = PyOnceLock::new();

/// The one object of each dtype.
pub fn dtype_object(py: Python<'_>, dtype: DType) -> PyResult<Bound<'_, PyDType>> {
    let all = DTYPES.get_or_try_init(py, || {
        let [a, b, c, d, e] = DType::ALL.map(|t| Py::new(py, PyDType(t)));
        Ok::<_, PyErr>([a?, b?, c?, d?, e?])
    })?;
    Ok(all[dtype as usize].bind(py).clone())
}

/// The one object of each scheme.
pub fn scheme_object(py: Python<'_>, scheme: Scheme) -> PyResult<Bound<'_, PyScheme>> {
    let all = SCHEMES.get_or_try_init(py, || {
        let [a, b, c, d, e] = Scheme::ALL.map(|s| Py::new(py, PyScheme(s)));
        Ok::<_, PyErr>([a?, b?, c?, d?, e?])
    })?;
    Ok(all[scheme as usize].bind(py).clone())
}

/// Makes them attributes of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for dtype in DType::ALL {
        module.add(dtype.name(), dtype_object(module.py(), dtype)?)?;
    }
    for scheme in Scheme::ALL {
        module.add(scheme.name(), scheme_object(module.py(), scheme)?)?;
    }
    Ok(())
}

/// A dtype as users write it: the object, its name, or the NumPy dtype of the same range.
pub fn parse_dtype(object: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(d) = object.cast::<PyDType>() {
        return Ok(d.get().0);
    }
    let named = |name: &str| DType::ALL.into_iter().find(|d| d.name() == name);
    let numpy = |name: &str| {
        [DType::QInt8, DType::QUInt8, DType::QInt32].into_iter().find(|d| d.numpy_name() == name)
    };
    let found = if let Ok(text) = object.cast::<PyString>() {
        let text = text.to_string();
        named(text.strip_prefix("torch.").unwrap_or(&text)).or_else(|| numpy(&text))
    } else if object.is_instance_of::<PyArrayDescr>() || object.is_instance_of::<PyType>() {
        // `np.int8` is a type, `np.dtype("int8")` a dtype; Python's own `int` names none of ours.
        PyArrayDescr::new(object.py(), object).ok().and_then(|d| numpy(&d.to_string()))
    } else {
        // torch.qint8, for those who move.
        object.str().ok().and_then(|s| s.to_string().strip_prefix("torch.").and_then(named))
    };
    found.ok_or_else(|| {
        let valid = "one of qint8, quint8, qint32, quint4x2, quint2x4 (or np.int8, np.uint8, np.int32, or a name); \
                     quantize_per_group has integers of 1 to 16 bits";
        let wrong_kind = !object.is_instance_of::<PyString>()
            && !object.is_instance_of::<PyArrayDescr>()
            && !object.is_instance_of::<PyType>();
        match wrong_kind {
            true => Error::type_("dtype", describe(object), valid).into(),
            false => Error::value("dtype", describe(object), valid).into(),
        }
    })
}

/// A scheme as users write it: the object or its name; `None` stands for `default`.
pub fn parse_scheme(object: Option<&Bound<'_, PyAny>>, valid: &[Scheme]) -> PyResult<Option<Scheme>> {
    let Some(object) = object else { return Ok(None) };
    let found = match object.cast::<PyScheme>() {
        Ok(s) => Some(s.get().0),
        Err(_) => {
            let text = object.str()?.to_string();
            let name = text.strip_prefix("torch.").unwrap_or(&text);
            Scheme::ALL.into_iter().find(|s| s.name() == name)
        }
    };
    found.filter(|s| valid.contains(s)).map(Some).ok_or_else(|| {
        let names: Vec<_> = valid.iter().map(|s| s.name()).collect();
        Error::value("qscheme", describe(object), format!("one of {}", names.join(", "))).into()
    })
}
