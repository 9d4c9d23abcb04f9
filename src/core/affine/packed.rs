//! Codes of 4 and 2 bits, several to a byte: the 8-bit kernels over a small buffer, which is packed while it is in the
//! fastest cache.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dequantize::{self, Dequantize};
use super::quantize::{self, Quantize};
use super::walk::Walk;
use super::{Affine, nan_in};
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::Stopped;
use crate::qparams::DType;
use crate::threads;

/// Elements of the buffer.
pub(super) const PIECE: usize = 2048;

/// Elements of one piece of work: whole bytes, also where channels come in blocks of odd length.
pub(super) fn step(walk: &Walk<'_>, per_byte: usize) -> usize {
    let step = walk.step(threads::CHUNK_BYTES / 4);
    if step.is_multiple_of(per_byte) { step } else { step * per_byte }
}

/// Floats to packed codes.
pub(super) fn quantize(
    dtype: DType,
    x: &[f32],
    out: &mut [MaybeUninit<u8>],
    affine: &Affine<'_>,
) -> Result<(), Stopped> {
    let walk = Walk::new(affine, quantize::uses(true));
    let per_byte = dtype.elements_per_item();
    let step = step(&walk, per_byte);
    let isa = Isa::current();
    let nan = AtomicBool::new(false);
    threads::for_each(x.len() * 4, out.chunks_mut(step / per_byte).enumerate(), |(i, out)| {
        let found = dispatch(isa, Pack { dtype, x, out, start: i * step, walk: &walk });
        if found {
            nan.store(true, Ordering::Relaxed);
        }
        !found
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(()) }
}

/// Packed codes to floats.
pub(super) fn dequantize(
    dtype: DType,
    codes: &[u8],
    out: &mut [MaybeUninit<f32>],
    affine: &Affine<'_>,
) -> Result<(), Stopped> {
    let walk = Walk::new(affine, dequantize::USES);
    let step = step(&walk, dtype.elements_per_item());
    let isa = Isa::current();
    threads::for_each(out.len() * 4, out.chunks_mut(step).enumerate(), |(i, out)| {
        dispatch(isa, Unpack { dtype, codes, out, start: i * step, walk: &walk });
        true
    })
}

/// Codes of a byte each as those of which several share one.
#[inline(always)]
pub(super) fn pack(per_byte: usize, codes: &[u8; PIECE], out: &mut [MaybeUninit<u8>]) {
    if per_byte == 2 {
        for (out, c) in out.iter_mut().zip(codes.as_chunks::<2>().0) {
            out.write(c[0] | c[1] << 4);
        }
    } else {
        for (out, c) in out.iter_mut().zip(codes.as_chunks::<4>().0) {
            out.write(c[0] | c[1] << 2 | c[2] << 4 | c[3] << 6);
        }
    }
}

/// A chunk of whole bytes, which starts at the element `start`. It returns whether it met NaN.
struct Pack<'a> {
    dtype: DType,
    x: &'a [f32],
    out: &'a mut [MaybeUninit<u8>],
    start: usize,
    walk: &'a Walk<'a>,
}

impl Kernel for Pack<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> bool {
        let per_byte = self.dtype.elements_per_item();
        let before = Some(self.dtype.qmax() as f32);
        let mut buffer = [0u8; PIECE];
        let mut nan = false;
        for (i, out) in self.out.chunks_mut(PIECE / per_byte).enumerate() {
            let start = self.start + i * PIECE;
            let len = PIECE.min(self.x.len() - start);
            let kernel = Quantize {
                x: self.x,
                out: &mut buffer[..len],
                start,
                walk: self.walk,
                before,
                stream: false,
            };
            nan |= kernel.run(v);
            // What is left of the last byte is 0.
            buffer[len..].fill(0);
            pack(per_byte, &buffer, out);
        }
        nan
    }
}

/// A chunk, which starts at the element `start`, the first one of a byte.
struct Unpack<'a> {
    dtype: DType,
    codes: &'a [u8],
    out: &'a mut [MaybeUninit<f32>],
    start: usize,
    walk: &'a Walk<'a>,
}

impl Kernel for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let per_byte = self.dtype.elements_per_item();
        let mut buffer = [0u8; PIECE];
        for (i, out) in self.out.chunks_mut(PIECE).enumerate() {
            let start = self.start + i * PIECE;
            let packed = &self.codes[start / per_byte..];
            if per_byte == 2 {
                for (b, &code) in buffer.as_chunks_mut::<2>().0.iter_mut().zip(packed) {
                    *b = [code & 15, code >> 4];
                }
            } else {
                for (b, &code) in buffer.as_chunks_mut::<4>().0.iter_mut().zip(packed) {
                    *b = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
                }
            }
            let codes = &buffer[..out.len()];
            Dequantize { codes, out, start, walk: self.walk, stream: false }.run(v);
        }
    }
}
