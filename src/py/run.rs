//! From Python's objects to the kernels: the tables that they need, the GIL released around long work, Ctrl-C.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use quantray_core::affine::{self, Affine, Channels, Pages, Rounding};
use quantray_core::error;
use quantray_core::float::Place;
use quantray_core::memory::{self, Ended};
use quantray_core::qparams::{DType, QParams, Quantizer};
use quantray_core::threads;

use super::array::{Array, Output, elements, elements_mut, elements_over};
use crate::error::{Error, Stopped};

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
    done.map_err(ended)?.map_err(|stopped| {
        let raised = (stopped == Stopped::Interrupted).then(raised).flatten();
        raised.unwrap_or_else(|| Error(stopped.named(arg, shape)).into())
    })
}

/// What a core's function returns that can end early; why it did as an exception.
pub fn caught<T>(f: impl FnOnce() -> Result<T, error::Error>) -> PyResult<T> {
    Ok(memory::caught(f).map_err(ended)?.map_err(Error)?)
}

/// Long work that packs or makes something, without the GIL.
pub fn packing<T: Send>(py: Python<'_>, f: impl FnOnce() -> Result<T, error::Error> + Send) -> PyResult<T> {
    Ok(py.detach(|| memory::caught(f)).map_err(ended)?.map_err(Error)?)
}

/// Why work ended, as an exception.
pub fn ended(why: Ended) -> PyErr {
    match why {
        Ended::OutOfMemory(bytes) => PyMemoryError::new_err(format!("the system has no {bytes} bytes left")),
        Ended::Interrupted => raised().unwrap_or_else(|| Error(error::Error::Interrupted).into()),
    }
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
    rounding: Rounding,
) -> PyResult<()> {
    let x = elements::<f32>(x);
    with_affine(quantizer, shape, |affine| match quantizer.dtype() {
        DType::QInt8 => {
            let out = elements_mut::<i8>(codes);
            kernel(py, x.len(), arg, shape, || affine::quantize_rounded(x, out, affine, rounding))
        }
        DType::QUInt8 => {
            let out = elements_mut::<u8>(codes);
            kernel(py, x.len(), arg, shape, || affine::quantize_rounded(x, out, affine, rounding))
        }
        DType::QInt32 => {
            let out = elements_mut::<i32>(codes);
            kernel(py, x.len(), arg, shape, || affine::quantize_rounded(x, out, affine, rounding))
        }
        dtype @ (DType::QUInt4x2 | DType::QUInt2x4) => {
            let out = elements_mut::<u8>(codes);
            kernel(py, x.len(), arg, shape, || {
                affine::quantize_packed_rounded(dtype, x, out, affine, rounding)
            })
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
    pages: Pages,
) -> PyResult<()> {
    let n = out.len();
    with_affine(quantizer, shape, |affine| match quantizer.dtype() {
        DType::QInt8 => {
            let codes = elements::<i8>(codes);
            kernel(py, n, "codes", shape, || affine::dequantize(codes, out, affine, pages))
        }
        DType::QUInt8 => {
            let codes = elements::<u8>(codes);
            kernel(py, n, "codes", shape, || affine::dequantize(codes, out, affine, pages))
        }
        DType::QInt32 => {
            let codes = elements::<i32>(codes);
            kernel(py, n, "codes", shape, || affine::dequantize(codes, out, affine, pages))
        }
        dtype @ (DType::QUInt4x2 | DType::QUInt2x4) => {
            let codes = elements::<u8>(codes);
            kernel(py, n, "codes", shape, || affine::dequantize_packed(dtype, codes, out, affine))
        }
    })
}
