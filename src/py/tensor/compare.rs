//! Comparisons: element by element on the values, and of whole tensors.

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::QTensor;
use crate::array::{as_array, describe, np};
use crate::error::Error;

#[pymethods]
impl QTensor {
    /// Element by element, on the values: a bool array.
    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let function = match op {
            CompareOp::Lt => "less",
            CompareOp::Le => "less_equal",
            CompareOp::Eq => "equal",
            CompareOp::Ne => "not_equal",
            CompareOp::Gt => "greater",
            CompareOp::Ge => "greater_equal",
        };
        if other.is_none() || other.is_instance_of::<PyString>() {
            // Nothing that could be equal; an order does not exist.
            return Ok(py.NotImplemented().into_bound(py));
        }
        np(py)?.call_method1(function, (self.dequantized(py)?, other))
    }

    // The same by torch's and NumPy's names.

    /// Where values are equal to another tensor's, an array's or a number: a bool array.
    fn eq<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "equal", other)
    }

    /// Where values are not equal to another tensor's, an array's or a number: a bool array.
    fn ne<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "not_equal", other)
    }

    /// Where values are not equal to another tensor's, an array's or a number: a bool array.
    fn not_equal<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "not_equal", other)
    }

    /// Where values are less than another tensor's, an array's or a number: a bool array.
    fn lt<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "less", other)
    }

    /// Where values are less than another tensor's, an array's or a number: a bool array.
    fn less<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "less", other)
    }

    /// Where values are at most another tensor's, an array's or a number: a bool array.
    fn le<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "less_equal", other)
    }

    /// Where values are at most another tensor's, an array's or a number: a bool array.
    fn less_equal<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "less_equal", other)
    }

    /// Where values are greater than another tensor's, an array's or a number: a bool array.
    fn gt<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "greater", other)
    }

    /// Where values are greater than another tensor's, an array's or a number: a bool array.
    fn greater<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "greater", other)
    }

    /// Where values are at least another tensor's, an array's or a number: a bool array.
    fn ge<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "greater_equal", other)
    }

    /// Where values are at least another tensor's, an array's or a number: a bool array.
    fn greater_equal<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.compared(py, "greater_equal", other)
    }

    /// By identity: tensors are mutable, and `==` gives an array.
    fn __hash__(slf: &Bound<'_, Self>) -> isize {
        slf.as_ptr() as isize >> 4
    }

    /// Whether some element has this value.
    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let same = np(py)?.call_method1("equal", (self.dequantized(py)?, value))?;
        as_array(&same)?.call_method0("any")?.is_truthy()
    }

    /// Whether another tensor has the same shape, dtype, scheme, parameters and codes.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0], 1.0, 0, qt.qint8)
    /// >>> q.equal(q.clone()), q.equal(q.requantize(2.0, 0))
    /// (True, False)
    pub(super) fn equal(&self, py: Python<'_>, other: &Bound<'_, QTensor>) -> PyResult<bool> {
        let other = other.get();
        if self.dims(py) != other.dims(py) || self.quantizer() != other.quantizer() {
            return Ok(false);
        }
        let same =
            np(py)?.call_method1("array_equal", (self.element_codes(py)?, other.element_codes(py)?))?;
        same.is_truthy()
    }

    /// Whether all values lie within `atol + rtol * abs(other)` of another tensor's, or an array's.
    #[pyo3(signature = (other, rtol=1e-5, atol=1e-8, equal_nan=false))]
    pub(super) fn allclose(
        &self,
        py: Python<'_>,
        other: &Bound<'_, PyAny>,
        rtol: f64,
        atol: f64,
        equal_nan: bool,
    ) -> PyResult<bool> {
        let function = np(py)?.getattr(PyString::intern(py, "allclose"))?;
        function.call1((self.dequantized(py)?, other, rtol, atol, equal_nan))?.is_truthy()
    }
}

impl QTensor {
    fn compared<'py>(
        &self,
        py: Python<'py>,
        function: &str,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if other.is_none() || other.is_instance_of::<PyString>() {
            return Err(Error::type_("other", describe(other), "a tensor, an array or a number").into());
        }
        np(py)?.call_method1(function, (self.dequantized(py)?, other))
    }
}
