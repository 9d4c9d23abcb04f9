//! NumPy arrays as memory: checked access to their elements, fresh outputs, conversion of what users pass.
//!
//! rust-numpy's borrow guards are left out: they cost more than a small kernel and see only other users of
//! rust-numpy. Instead type, byte order, alignment, contiguity and overlap are checked here, once.

use std::mem::MaybeUninit;
use std::os::raw::c_int;
use std::ptr;

use numpy::npyffi::{
    NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_TYPES, NpyTypes, PY_ARRAY_API,
    PyArray_Descr, npy_intp,
};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule, PyString};
use quantray_core::affine::Pages;
use quantray_core::qparams::DType;

use super::tensor::QTensor;
use crate::error::{Error, Result};

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

/// Whether two arrays may share memory: their address ranges meet.
pub fn overlap(a: &Array<'_>, b: &Array<'_>) -> bool {
    let range = |a: &Array<'_>| {
        let (mut lo, mut hi) = (data(a) as isize, data(a) as isize);
        for (&n, &s) in a.shape().iter().zip(a.strides()) {
            match n {
                0 => return (0, 0),
                n if s < 0 => lo += (n as isize - 1) * s,
                n => hi += (n as isize - 1) * s,
            }
        }
        (lo, hi + a.dtype().itemsize() as isize)
    };
    let ((a0, a1), (b0, b1)) = (range(a), range(b));
    a0 < b1 && b0 < a1
}

/// Whether two contiguous arrays are the same memory from end to end.
pub fn same_memory(a: &Array<'_>, b: &Array<'_>) -> bool {
    let bytes = |a: &Array<'_>| len(a) * a.dtype().itemsize();
    data(a) == data(b) && bytes(a) == bytes(b)
}

/// A caller's `out=`: the array, checked, and whether results may be written to it at once. Where they may not
/// (it has strides, or shares memory with the input), they go to a fresh array and are copied.
pub struct Output<'py> {
    /// What the caller gets back.
    target: Array<'py>,
    /// Where the kernel writes.
    pub array: Array<'py>,
    /// What that memory is.
    pub pages: Pages,
}

impl<'py> Output<'py> {
    /// A fresh array, or the caller's `out`, which must have this type and shape and be writable.
    pub fn new<T: Element>(
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        input: &Array<'py>,
    ) -> PyResult<Self> {
        Self::of_type(py, T::TYPE, T::NAME, out, shape, |target| !overlap(target, input))
    }

    /// The same, where results may be written over the input: a contiguous array of this type and shape. Whether they
    /// are, `is_over` says.
    pub fn over<T: Element>(
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
        input: &Array<'py>,
    ) -> PyResult<Self> {
        let apart = |target: &Array<'py>| !overlap(target, input) || same_memory(target, input);
        Self::of_type(py, T::TYPE, T::NAME, out, input.shape(), apart)
    }

    /// Whether the kernel writes over the input.
    pub fn is_over(&self, input: &Array<'py>) -> bool {
        same_memory(&self.array, input)
    }

    /// The same for the codes of a dtype.
    pub fn codes(
        py: Python<'py>,
        dtype: DType,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        input: &Array<'py>,
    ) -> PyResult<Self> {
        Self::of_type(py, code_type(dtype), dtype.numpy_name(), out, shape, |target| !overlap(target, input))
    }

    fn of_type(
        py: Python<'py>,
        number: NPY_TYPES,
        name: &str,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        may_be_written: impl Fn(&Array<'py>) -> bool,
    ) -> PyResult<Self> {
        let Some(out) = out else {
            let array = empty(py, number, shape)?;
            return Ok(Self { target: array.clone(), array, pages: Pages::Fresh });
        };
        let target = out
            .cast::<PyUntypedArray>()
            .map_err(|_| Error::type_("out", type_name(out), format!("a NumPy array of {name}")))?
            .clone();
        if !has_type(&target, number) {
            return Err(
                Error::type_("out", format!("dtype {}", target.dtype()), format!("of dtype {name}")).into()
            );
        }
        if target.shape() != shape {
            return Err(Error::value(
                "out",
                tuple_text(target.shape()),
                format!("of shape {}", tuple_text(shape)),
            )
            .into());
        }
        if !is_writable(&target) {
            return Err(Error::value("out", "a read-only array", "writable").into());
        }
        let direct = is_contiguous(&target) && may_be_written(&target);
        let (array, pages) = match direct {
            true => (target.clone(), Pages::There),
            false => (empty(py, number, shape)?, Pages::Fresh),
        };
        Ok(Self { target, array, pages })
    }

    /// The caller's array, filled.
    pub fn finish(self) -> PyResult<Array<'py>> {
        if !self.array.is(&self.target) {
            np(self.target.py())?.call_method1("copyto", (&self.target, &self.array))?;
        }
        Ok(self.target)
    }
}

/// A shape as Python writes it.
pub fn tuple_text(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The name of an object's type, for messages.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an object".into(), |n| n.to_string())
}

/// An axis of an array with `ndim` dimensions, counted from the end where negative.
pub fn axis_in(arg: &str, axis: isize, ndim: usize) -> Result<usize> {
    let n = ndim as isize;
    if (-n..n).contains(&axis) {
        return Ok(if axis < 0 { axis + n } else { axis } as usize);
    }
    let valid = match ndim {
        0 => "an axis of the input, which has no dimensions".into(),
        _ => format!("in {} to {} for {ndim} dimensions", -n, n - 1),
    };
    Err(Error::index(arg, axis, valid))
}

/// The same for torch's methods, which take 0 and -1 where there are no dimensions.
pub fn dim_in(arg: &str, dim: isize, ndim: usize) -> Result<usize> {
    axis_in(arg, dim, ndim.max(1))
}

/// A number that has no elements, as a float64: Python and NumPy numbers, arrays of one element.
pub fn number(object: &Bound<'_, PyAny>, arg: &str) -> PyResult<f64> {
    // NumPy converts only arrays without dimensions; what observers calculate has one, of one element.
    if let Ok(a) = object.cast::<PyUntypedArray>()
        && len(a) == 1
        && b"iuf".contains(&a.dtype().kind())
    {
        return a.call_method0("item")?.extract();
    }
    object.extract::<f64>().map_err(|e| {
        if e.is_instance_of::<PyTypeError>(object.py()) {
            let several =
                arg == "scale" && object.len().is_ok_and(|n| n > 1) && !object.is_instance_of::<PyString>();
            let valid = if several { "one number; quantize_per_channel takes several" } else { "a number" };
            Error::type_(arg, describe(object), valid).into()
        } else {
            e
        }
    })
}

/// An index or a length as a function's argument. One beyond an isize is the nearest isize, which is as far out of
/// every valid range, so that it gets that range's message.
#[derive(Clone, Copy)]
pub struct Int(pub isize);

impl<'py> FromPyObject<'_, 'py> for Int {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<isize>() {
            Err(e) if e.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Self(if object.lt(0)? { isize::MIN } else { isize::MAX }))
            }
            Err(_) => Err(Error::type_("it", describe(&object), "an integer").into()),
            Ok(value) => Ok(Self(value)),
        }
    }
}

/// An integer: Python and NumPy integers, arrays of one; floats that are whole, as observers of float zero points give.
pub fn integer(object: &Bound<'_, PyAny>, arg: &str) -> PyResult<i64> {
    if let Ok(v) = object.extract::<i64>() {
        return Ok(v);
    }
    let item = match object.cast::<PyUntypedArray>() {
        Ok(a) if len(a) == 1 && b"iuf".contains(&a.dtype().kind()) => &a.call_method0("item")?,
        _ => object,
    };
    if let Ok(v) = item.extract::<i64>() {
        return Ok(v);
    }
    if let Ok(v) = item.extract::<f64>()
        && v.fract() == 0.0
        && v.abs() < 9e15
    {
        return Ok(v as i64);
    }
    if object.is_instance_of::<pyo3::types::PyInt>() {
        return Err(Error::value(arg, object, "a 64-bit integer").into());
    }
    Err(Error::type_(arg, describe(object), "an integer").into())
}

/// Lengths as an argument: integers from 0 on.
pub fn lengths(given: Option<Vec<Int>>, arg: &str) -> Result<Option<Vec<usize>>> {
    let Some(given) = given else { return Ok(None) };
    let found: Option<Vec<usize>> = given.iter().map(|n| usize::try_from(n.0).ok()).collect();
    match found {
        Some(found) => Ok(Some(found)),
        None => {
            let got: Vec<isize> = given.iter().map(|n| n.0).collect();
            Err(Error::value(arg, format!("{got:?}"), "lengths from 0 on"))
        }
    }
}

/// A float32 that is neither infinite nor NaN.
pub fn finite(value: f32, arg: &str) -> Result<f32> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(Error::value(arg, value, "finite")),
    }
}

/// An object and its type, for messages.
pub fn describe(object: &Bound<'_, PyAny>) -> String {
    let text = object.repr().map_or_else(|_| "?".into(), |r| r.to_string());
    // In one line, whatever its repr.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(60).collect();
    format!("{short} ({})", type_name(object))
}

/// A NumPy dtype object by name.
pub fn dtype_named<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyArrayDescr>> {
    PyArrayDescr::new(py, name)
}
