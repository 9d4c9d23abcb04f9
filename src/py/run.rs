//! From Python's objects to the kernels: the tables that they need, the GIL released around long work, Ctrl-C.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use pyo3::prelude::*;

use super::array::{Array, Output, elements, elements_mut, elements_over};
use crate::affine::{self, Affine, Channels};
use crate::error::{Error, Stopped};
use crate::float::Place;
use crate::memory::{self, Ended};
use crate::qparams::{DType, QParams, Quantizer};
use crate::threads;

/// From this many elements on, a kernel runs long enough to let other Python threads go on meanwhile.
const LONG: usize = 1 << 15;

thread_local! {
    /// What a signal handler raised while this thread was in a kernel.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Asks Python whether a signal (Ctrl-C) wants the work to stop.
fn signal_arrived() -> bool {
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(e) => {
            RAISED.with(|r| *r.borrow_mut() = Some(e));
            true
        }
    })
}

/// Lets the kernels ask Python for signals. Called once, when the module is made.
pub fn install_interrupt_check() {
    threads::set_interrupt_check(signal_arrived);
}

/// What the signal handler raised.
fn raised() -> Option<PyErr> {
    RAISED.with(|r| r.borrow_mut().take())
}

/// Runs a kernel on `work` elements, without the GIL where that is worth it.
pub fn kernel<T: Send>(
    py: Python<'_>,
    work: usize,
    arg: &str,
    shape: &[usize],
    f: impl FnOnce() -> Result<T, Stopped> + Send,
) -> PyResult<T> {
    let f = || memory::caught(f);
    let done = if work < LONG { f() } else { py.detach(f) };
    done?.map_err(|stopped| {
        let raised = (stopped == Stopped::Interrupted).then(raised).flatten();
        raised.unwrap_or_else(|| stopped.named(arg, shape).into())
    })
}

/// Long work that packs or makes something, without the GIL.
pub fn packing<T: Send>(py: Python<'_>, f: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    Ok(py.detach(|| memory::caught(f))??)
}

/// Where a function of floats finds them and leaves its results: apart, or over them.
pub fn place<'a>(x: &'a Array<'_>, output: &'a Output<'_>) -> Place<'a> {
    match output.is_over(x) {
        true => Place::Over(elements_over(&output.array)),
        false => Place::Apart(elements(x), elements_mut(&output.array)),
    }
}

/// Calls `f` with the parameters of a quantizer as kernels take them, for an array of this shape.
pub fn with_affine<T>(quantizer: &Quantizer, shape: &[usize], f: impl FnOnce(&Affine<'_>) -> T) -> T {
    match quantizer.params() {
        QParams::PerTensor { scale, zero_point } => {
            f(&Affine::PerTensor { scale: *scale as f32, zero_point: *zero_point })
        }
        QParams::PerChannel { scales, zero_points, axis } => {
            let narrow: Vec<f32> = scales.iter().map(|&s| s as f32).collect();
            f(&Affine::PerChannel { scales: &narrow, zero_points, layout: Channels::of(shape, *axis) })
        }
        QParams::PerChannelFloat { scales, zero_points, axis } => {
            f(&Affine::PerChannelFloat { scales, zero_points, layout: Channels::of(shape, *axis) })
        }
    }
}

/// Quantizes `x`, of this shape, into `codes`: contiguous arrays that do not overlap.
pub fn quantize(
    py: Python<'_>,
    quantizer: &Quantizer,
    shape: &[usize],
    x: &Array<'_>,
    codes: &Array<'_>,
    arg: &str,
) -> PyResult<()> {
    let x = elements::<f32>(x);
    with_affine(quantizer, shape, |affine| match quantizer.dtype() {
        DType::QInt8 => {
            let out = elements_mut::<i8>(codes);
            kernel(py, x.len(), arg, shape, || affine::quantize(x, out, affine))
        }
        DType::QUInt8 => {
            let out = elements_mut::<u8>(codes);
            kernel(py, x.len(), arg, shape, || affine::quantize(x, out, affine))
        }
        DType::QInt32 => {
            let out = elements_mut::<i32>(codes);
            kernel(py, x.len(), arg, shape, || affine::quantize(x, out, affine))
        }
        dtype @ (DType::QUInt4x2 | DType::QUInt2x4) => {
            let out = elements_mut::<u8>(codes);
            kernel(py, x.len(), arg, shape, || affine::quantize_packed(dtype, x, out, affine))
        }
    })
}

/// Dequantizes contiguous `codes` of a tensor of this shape into `out`.
pub fn dequantize(
    py: Python<'_>,
    quantizer: &Quantizer,
    shape: &[usize],
    codes: &Array<'_>,
    out: &mut [MaybeUninit<f32>],
) -> PyResult<()> {
    let n = out.len();
    with_affine(quantizer, shape, |affine| match quantizer.dtype() {
        DType::QInt8 => {
            let codes = elements::<i8>(codes);
            kernel(py, n, "codes", shape, || affine::dequantize(codes, out, affine))
        }
        DType::QUInt8 => {
            let codes = elements::<u8>(codes);
            kernel(py, n, "codes", shape, || affine::dequantize(codes, out, affine))
        }
        DType::QInt32 => {
            let codes = elements::<i32>(codes);
            kernel(py, n, "codes", shape, || affine::dequantize(codes, out, affine))
        }
        dtype @ (DType::QUInt4x2 | DType::QUInt2x4) => {
            let codes = elements::<u8>(codes);
            kernel(py, n, "codes", shape, || affine::dequantize_packed(dtype, codes, out, affine))
        }
    })
}

impl From<Ended> for PyErr {
    fn from(why: Ended) -> Self {
        match why {
            Ended::OutOfMemory(bytes) => {
                pyo3::exceptions::PyMemoryError::new_err(format!("the system has no {bytes} bytes left"))
            }
            Ended::Interrupted => raised().unwrap_or_else(|| Error::Interrupted.into()),
        }
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        use pyo3::exceptions::{PyIndexError, PyKeyboardInterrupt, PyOSError, PyTypeError, PyValueError};
        let text = error.to_string();
        match error {
            Error::Type { .. } => PyTypeError::new_err(text),
            Error::Index { .. } => PyIndexError::new_err(text),
            Error::Interrupted => PyKeyboardInterrupt::new_err(()),
            Error::File { .. } => PyOSError::new_err(text),
            Error::Value { .. } | Error::Unsupported { .. } | Error::Nan { .. } => {
                PyValueError::new_err(text)
            }
        }
    }
}
