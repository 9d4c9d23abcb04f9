//! Packed dtypes: several elements to a byte. Views begin and end at a byte's border; assignment unpacks, assigns
//! and packs again.

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::qparams::{DType, Quantizer};

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::QTensor;
use crate::array::{Array, Element, contiguous, elements, elements_mut, empty, from_slice, len, np, view_of};
use crate::error::Error;

/// The code of each element.
fn unpack(dtype: DType, bytes: &[u8], out: &mut [MaybeUninit<u8>]) {
    let (per_byte, bits) = (dtype.elements_per_item(), dtype.bits());
    let mask = dtype.qmax() as u8;
    for (i, code) in out.iter_mut().enumerate() {
        code.write(bytes[i / per_byte] >> (i % per_byte * bits) & mask);
    }
}

/// The bytes of codes, the first in the low bits.
fn pack(dtype: DType, codes: &[u8], out: &mut [MaybeUninit<u8>]) {
    let (per_byte, bits) = (dtype.elements_per_item(), dtype.bits());
    for (byte, codes) in out.iter_mut().zip(codes.chunks(per_byte)) {
        byte.write(codes.iter().enumerate().fold(0, |byte, (i, code)| byte | code << (i * bits)));
    }
}

impl QTensor {
    fn unpacked<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        let out = empty(py, u8::TYPE, self.dims(py))?;
        unpack(self.quantizer().dtype(), elements(self.codes(py)), elements_mut(&out));
        Ok(out)
    }

    /// The codes, one to an element, in the tensor's shape: the memory itself unless it is packed.
    pub(super) fn element_codes<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        match self.packed() {
            Some(_) => self.unpacked(py),
            None => Ok(self.codes(py).clone()),
        }
    }

    /// A tensor of codes, one to an element, which nobody else holds: packed where the dtype is.
    pub(super) fn wrap(codes: Array<'_>, quantizer: Arc<Quantizer>) -> PyResult<QTensor> {
        let dtype = quantizer.dtype();
        if !dtype.is_packed() {
            return Ok(QTensor::from_parts(codes, quantizer, None));
        }
        let shape = codes.shape().into();
        let codes = contiguous(&codes)?;
        let bytes = empty(codes.py(), u8::TYPE, &[len(&codes).div_ceil(dtype.elements_per_item())])?;
        pack(dtype, elements(&codes), elements_mut(&bytes));
        Ok(QTensor::from_parts(bytes, quantizer, Some(shape)))
    }

    /// A view of a packed tensor, which is contiguous and begins and ends at a byte's border.
    pub(super) fn packed_view(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyTuple>,
        basic: bool,
    ) -> PyResult<QTensor> {
        let dtype = self.quantizer().dtype();
        let refused = |why: &str| {
            Error::unsupported(
                format!("{} elements share bytes, and {why}", dtype.name()),
                "index with whole rows at a byte's border, or call dequantize() first",
            )
        };
        if !basic {
            return Err(refused("an index array or mask picks single ones").into());
        }
        // Positions without memory of their own: an array of one-byte items over nothing but its strides.
        let shape = self.dims(py);
        let positions = Positions::of(py, shape)?;
        let view: Array<'_> = positions.array.get_item(key)?.cast_into()?;
        let n: usize = view.shape().iter().product();
        let mut expected = 1;
        for (&d, &s) in view.shape().iter().zip(view.strides()).rev() {
            if d != 1 && s != expected && n > 0 {
                return Err(refused("this view is not contiguous").into());
            }
            expected *= d as isize;
        }
        let first = if n == 0 { 0 } else { positions.offset(&view) };
        let per_byte = dtype.elements_per_item();
        let ends_inside = !(first + n).is_multiple_of(per_byte) && first + n != self.len_of(py);
        if !first.is_multiple_of(per_byte) || ends_inside {
            return Err(refused("this view begins or ends inside of one").into());
        }
        let quantizer = self.follow(py, |a| a.get_item(key))?;
        // SAFETY: the bytes of elements first .. first + n, all inside.
        let bytes =
            unsafe { view_of(self.codes(py), (first / per_byte) as isize, &[n.div_ceil(per_byte)], &[1])? };
        Ok(QTensor::from_parts(bytes, quantizer, Some(view.shape().into())))
    }

    /// Assignment to a packed tensor.
    pub(super) fn assign_packed(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyTuple>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let values = self.dequantized(py)?;
        let chosen = np(py)?.call_method1("zeros", (values.getattr("shape")?, "bool"))?;
        values.set_item(key, crate::array::as_float32(value, "value")?)?;
        chosen.set_item(key, true)?;
        let changed = crate::create::quantize_array(py, &values, self.quantizer(), None, "value")?;
        let codes = np(py)?.call_method1("where", (chosen, changed.unpacked(py)?, self.unpacked(py)?))?;
        let packed = QTensor::wrap(codes.cast_into()?, Arc::clone(self.quantizer()))?;
        np(py)?.call_method1("copyto", (self.codes(py), packed.codes(py)))?;
        Ok(())
    }
}

/// An array of one-byte items with the strides of a shape in C order, whose addresses tell positions. It is never
/// read.
struct Positions<'py> {
    array: Array<'py>,
}

impl<'py> Positions<'py> {
    fn of(py: Python<'py>, shape: &[usize]) -> PyResult<Self> {
        let base = from_slice::<u8>(py, &[0])?;
        let mut strides = vec![0; shape.len()];
        let mut step = 1;
        for (s, &d) in strides.iter_mut().zip(shape).rev() {
            *s = step;
            step *= d as isize;
        }
        // SAFETY: indexing moves the address and reads nothing; the array is not handed out.
        Ok(Self { array: unsafe { view_of(&base, 0, shape, &strides)? } })
    }

    fn offset(&self, view: &Bound<'py, PyUntypedArray>) -> usize {
        crate::array::data(view) as usize - crate::array::data(&self.array) as usize
    }
}
