//! NumPy arrays as memory: checked access to their elements, fresh outputs, conversion of what users pass.
//!
//! rust-numpy's borrow guards are left out: they cost more than a small kernel and see only other users of
//! rust-numpy. Instead type, byte order, alignment, contiguity and overlap are checked here, once.

mod arguments;
mod floats;
mod output;

use std::mem::MaybeUninit;
use std::os::raw::c_int;
use std::ptr;

use numpy::npyffi::{
    NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_TYPES, NpyTypes, PY_ARRAY_API,
    PyArray_Descr, npy_intp,
};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;
use quantray_core::qparams::DType;

pub use arguments::*;
pub use floats::*;
pub use output::*;

use crate::error::Error;

/// Any NumPy array.
pub type Array<'py> = Bound<'py, PyUntypedArray>;

/// The `numpy` module.
pub fn np(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static NUMPY: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    Ok(NUMPY.get_or_try_init(py, || Ok::<_, PyErr>(py.import("numpy")?.unbind()))?.bind(py))
}

/// An element type that arrays are read and written as.
pub trait Element: Copy + Send + Sync + 'static {
    /// NumPy's number of the type.
    const TYPE: NPY_TYPES;
    /// NumPy's name of the type.
    const NAME: &'static str;
}

macro_rules! elements {
    ($($t:ty, $number:ident, $name:literal;)*) => {$(
        impl Element for $t {
            const TYPE: NPY_TYPES = NPY_TYPES::$number;
            const NAME: &'static str = $name;
        }
    )*};
}
elements! {
    f32, NPY_FLOAT, "float32";
    f64, NPY_DOUBLE, "float64";
    i8, NPY_BYTE, "int8";
    u8, NPY_UBYTE, "uint8";
    bool, NPY_BOOL, "bool";
    i32, NPY_INT, "int32";
}

impl Element for i64 {
    /// The one that NumPy calls int64.
    const TYPE: NPY_TYPES =
        if size_of::<std::os::raw::c_long>() == 8 { NPY_TYPES::NPY_LONG } else { NPY_TYPES::NPY_LONGLONG };
    const NAME: &'static str = "int64";
}

/// NumPy's number of the type that holds codes of a dtype.
pub fn code_type(dtype: DType) -> NPY_TYPES {
    match dtype {
        DType::QInt8 => i8::TYPE,
        DType::QInt32 => i32::TYPE,
        _ => u8::TYPE,
    }
}

fn flags(a: &Array<'_>) -> c_int {
    // SAFETY: a live array object.
    unsafe { (*a.as_array_ptr()).fields.flags }
}

/// The number of bytes from one element to the next along each axis; 0 for axes of length 0 and 1, whose strides mean
/// nothing: NumPy lets them be anything, and a flipped one is negative.
pub fn strides_that_matter(a: &Array<'_>) -> Vec<isize> {
    a.shape().iter().zip(a.strides()).map(|(&n, &s)| if n > 1 { s } else { 0 }).collect()
}

/// The address of the first element.
pub fn data(a: &Array<'_>) -> *mut u8 {
    // SAFETY: a live array object.
    unsafe { (*a.as_array_ptr()).fields.data.cast() }
}

/// Whether the elements may be changed.
pub fn is_writable(a: &Array<'_>) -> bool {
    flags(a) & NPY_ARRAY_WRITEABLE != 0
}

/// Whether the elements lie in C order without gaps, aligned.
pub fn is_contiguous(a: &Array<'_>) -> bool {
    const NEED: c_int = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;
    flags(a) & NEED == NEED
}

/// Whether the elements are of this type, in the machine's byte order.
pub fn has_type(a: &Array<'_>, number: NPY_TYPES) -> bool {
    let dtype = a.dtype();
    let num = dtype.num();
    // Platforms have two names for one of their integers: C's long is also its int, or its long long.
    let long = NPY_TYPES::NPY_LONG as c_int;
    let same = num == number as c_int
        || (number as c_int == i32::TYPE as c_int && num == long && dtype.itemsize() == 4)
        || (number as c_int == i64::TYPE as c_int
            && [long, NPY_TYPES::NPY_LONGLONG as c_int].contains(&num)
            && dtype.itemsize() == 8);
    same && dtype.is_native_byteorder() != Some(false)
}

/// Number of elements.
pub fn len(a: &Array<'_>) -> usize {
    a.shape().iter().product()
}

/// The memory of a contiguous array.
pub fn bytes_of<'a>(a: &'a Array<'_>) -> &'a [u8] {
    let n = len(a) * a.dtype().itemsize();
    if n == 0 {
        return &[];
    }
    // SAFETY: a contiguous array's elements, as bytes; it outlives the borrow.
    unsafe { std::slice::from_raw_parts(data(a), n) }
}

/// The elements of a contiguous array of type `T`.
///
/// # Panics
/// Where it is not one: callers convert first.
pub fn elements<'a, T: Element>(a: &'a Array<'_>) -> &'a [T] {
    assert!(has_type(a, T::TYPE) && is_contiguous(a), "a contiguous {} array", T::NAME);
    let n = len(a);
    if n == 0 {
        return &[];
    }
    // SAFETY: type, alignment and contiguity were checked; the array object outlives the borrow. Python code that
    // writes to the same memory at the same time races, as it does with NumPy's own functions.
    unsafe { std::slice::from_raw_parts(data(a).cast(), n) }
}

/// The elements of a contiguous, writable array of type `T`, to be written. The array may be uninitialized.
///
/// # Panics
/// Where it is not one: callers convert first.
// One array object may be shared by many; exclusive use is the caller's word, as for every NumPy function.
#[allow(clippy::mut_from_ref)]
pub fn elements_mut<'a, T: Element>(a: &'a Array<'_>) -> &'a mut [MaybeUninit<T>] {
    assert!(
        has_type(a, T::TYPE) && is_contiguous(a) && is_writable(a),
        "a contiguous, writable {} array",
        T::NAME
    );
    let n = len(a);
    if n == 0 {
        return &mut [];
    }
    // SAFETY: as in `elements`; callers have checked that no input overlaps this output.
    unsafe { std::slice::from_raw_parts_mut(data(a).cast(), n) }
}

/// The elements of a contiguous, writable array of type `T`, to be read and written.
///
/// # Panics
/// Where it is not one: callers convert first.
#[allow(clippy::mut_from_ref)] // as `elements_mut`
pub fn elements_over<'a, T: Element>(a: &'a Array<'_>) -> &'a mut [T] {
    let slots = elements_mut::<T>(a);
    // SAFETY: callers hand in an array that holds elements, of a type for which any bytes are valid.
    unsafe { std::slice::from_raw_parts_mut(slots.as_mut_ptr().cast(), slots.len()) }
}

/// A fresh array in C order, uninitialized, from NumPy's own allocator (which asks for huge pages).
pub fn empty<'py>(py: Python<'py>, number: NPY_TYPES, shape: &[usize]) -> PyResult<Array<'py>> {
    if let Some(&n) = shape.iter().find(|&&n| npy_intp::try_from(n).is_err()) {
        return Err(Error::value("shape", n, "small enough to be allocated").into());
    }
    let mut dims = Lengths::new(shape.iter().map(|&n| n as npy_intp));
    // SAFETY: the descriptor is a new reference that NewFromDescr takes over; dims holds shape.len() entries.
    unsafe {
        let descr = PY_ARRAY_API.PyArray_DescrFromType(py, number as c_int);
        new_from_descr(py, descr, dims.get(), ptr::null_mut(), ptr::null_mut(), 0)
    }
}

/// Lengths or strides as NumPy's functions want them, signed and mutable; few of them without an allocation.
enum Lengths {
    Few([npy_intp; 6], usize),
    Many(Vec<npy_intp>),
}

impl Lengths {
    fn new(lengths: impl ExactSizeIterator<Item = npy_intp>) -> Self {
        let n = lengths.len();
        let mut few = [0; 6];
        if n > few.len() {
            return Self::Many(lengths.collect());
        }
        for (to, from) in few.iter_mut().zip(lengths) {
            *to = from;
        }
        Self::Few(few, n)
    }

    fn get(&mut self) -> &mut [npy_intp] {
        match self {
            Self::Few(few, n) => &mut few[..*n],
            Self::Many(many) => many,
        }
    }
}

/// # Safety
/// `descr` is an owned reference; `strides` and `data` are null, or describe memory that a base keeps alive.
unsafe fn new_from_descr<'py>(
    py: Python<'py>,
    descr: *mut PyArray_Descr,
    dims: &mut [npy_intp],
    strides: *mut npy_intp,
    data: *mut u8,
    flags: c_int,
) -> PyResult<Array<'py>> {
    // SAFETY: the caller's promise; the result is an ndarray or an exception.
    unsafe {
        let made = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            numpy::npyffi::get_type_object(py, NpyTypes::PyArray_Type),
            descr,
            dims.len() as c_int,
            dims.as_mut_ptr(),
            strides,
            data.cast(),
            flags,
            ptr::null_mut(),
        );
        Ok(Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked())
    }
}

/// A plain ndarray over part of the memory of `base`, which it keeps alive: `offset` in bytes.
///
/// # Safety
/// The described elements lie inside of the memory of `base`.
pub unsafe fn view_of<'py>(
    base: &Array<'py>,
    offset: isize,
    shape: &[usize],
    strides: &[isize],
) -> PyResult<Array<'py>> {
    let py = base.py();
    // SAFETY: dims and strides have shape.len() entries (copied, since NumPy's signature wants them mutable); the
    // base is kept alive by SetBaseObject, which takes over the reference, also where it fails.
    unsafe {
        let old = &(*base.as_array_ptr()).fields;
        pyo3::ffi::Py_INCREF(old.descr.cast());
        assert_eq!(shape.len(), strides.len());
        let mut dims = Lengths::new(shape.iter().map(|&n| n as npy_intp));
        let mut steps = Lengths::new(strides.iter().copied());
        let view = new_from_descr(
            py,
            old.descr,
            dims.get(),
            steps.get().as_mut_ptr(),
            old.data.cast::<u8>().offset(offset),
            old.flags & NPY_ARRAY_WRITEABLE,
        )?;
        let code = PY_ARRAY_API.PyArray_SetBaseObject(py, view.as_array_ptr(), base.clone().into_ptr());
        if code < 0 { Err(PyErr::fetch(py)) } else { Ok(view) }
    }
}

/// A fresh plain ndarray over the same memory: a user who assigns `.shape` or `.dtype` to it changes only it.
pub fn fresh_view<'py>(a: &Array<'py>) -> PyResult<Array<'py>> {
    // SAFETY: the same elements.
    unsafe { view_of(a, 0, a.shape(), a.strides()) }
}

/// A fresh plain ndarray over the same memory, with one axis moved.
pub fn with_moved_axis<'py>(a: &Array<'py>, from: usize, to: usize) -> PyResult<Array<'py>> {
    let (mut shape, mut strides) = (a.shape().to_vec(), a.strides().to_vec());
    let (length, stride) = (shape.remove(from), strides.remove(from));
    shape.insert(to, length);
    strides.insert(to, stride);
    // SAFETY: the same elements.
    unsafe { view_of(a, 0, &shape, &strides) }
}

/// A fresh plain ndarray over the same memory, with axis `i` of it being axis `axes[i]` of the array.
pub fn with_axes<'py>(a: &Array<'py>, axes: &[usize]) -> PyResult<Array<'py>> {
    let (shape, strides) = (a.shape(), a.strides());
    let moved: (Vec<usize>, Vec<isize>) = axes.iter().map(|&axis| (shape[axis], strides[axis])).unzip();
    // SAFETY: the same elements; callers name each axis once.
    unsafe { view_of(a, 0, &moved.0, &moved.1) }
}

/// A fresh one-dimensional array of these values.
pub fn from_slice<'py, T: Element>(py: Python<'py>, values: &[T]) -> PyResult<Array<'py>> {
    let made = empty(py, T::TYPE, &[values.len()])?;
    for (to, &from) in elements_mut::<T>(&made).iter_mut().zip(values) {
        to.write(from);
    }
    Ok(made)
}

/// The result of a NumPy function as an array (reductions give scalars).
pub fn as_array<'py>(object: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
    if let Ok(a) = object.cast::<PyUntypedArray>() {
        return Ok(a.clone());
    }
    Ok(np(object.py())?.call_method1("asarray", (object,))?.cast_into()?)
}

/// The same elements in C order without gaps: itself where it is so already, else a copy.
pub fn contiguous<'py>(a: &Array<'py>) -> PyResult<Array<'py>> {
    if is_contiguous(a) {
        return Ok(a.clone());
    }
    // `ascontiguousarray` would make a 0-d array 1-d, and may keep a misaligned one.
    let made = np(a.py())?.call_method1("array", (a,))?.call_method1("copy", ("C",))?;
    Ok(made.cast_into()?)
}
