//! Sums of floats and codes: what a product leaves unrounded, and a tensor.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use super::binary::{MIXED, values};
use super::{Operand, Target};
use crate::affine::nan_in;
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// `quantize(x + dequantize(y))`, with negative values as 0 where `relu`.
///
/// # Errors
/// NaN in `x`, and an interrupt. After an error the target holds anything.
///
/// # Panics
/// Lengths that disagree.
pub fn add_floats(x: &[f32], y: Operand<'_>, relu: bool, to: Target<'_>) -> Result<(), Stopped> {
    let ((y_flip, y_zero_point), (flip, zero_point)) = (y.unsigned(), to.unsigned());
    let params = Params {
        scale: y.scale,
        y_zero_point: y_zero_point as f32,
        y_flip,
        inv: 1.0 / to.scale,
        zero_point: zero_point as i16,
        flip,
        relu,
    };
    let (y, out) = (y.codes.bytes(), to.codes.bytes());
    assert!(x.len() == out.len() && y.len() == out.len(), "as many results as floats and codes");
    let (isa, nan) = (Isa::current(), AtomicBool::new(false));
    let step = threads::CHUNK_BYTES / 8;
    let pieces = x.chunks(step).zip(y.chunks(step)).zip(out.chunks_mut(step));
    threads::for_each(8 * x.len(), pieces, |((x, y), out)| {
        let found = arch::dispatch(isa, Run { x, y, out, params });
        if found {
            nan.store(true, Ordering::Relaxed);
        }
        !found
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(()) }
}

#[derive(Clone, Copy)]
struct Params {
    scale: f32,
    y_zero_point: f32,
    y_flip: u8,
    inv: f32,
    zero_point: i16,
    flip: u8,
    relu: bool,
}

/// One piece. It returns whether it met NaN.
struct Run<'a> {
    x: &'a [f32],
    y: &'a [u8],
    out: &'a mut [MaybeUninit<u8>],
    params: Params,
}

impl Run<'_> {
    /// The codes of a group, and where there was NaN.
    #[inline(always)]
    fn group<V: Vector>(v: V, x: &[f32], y: &[u8], p: &Params, nan: V::M) -> (V::B, V::M) {
        let (x, y) = (v.load(x), values::<V, MIXED>(v, y, p.y_flip, p.y_zero_point, p.scale));
        let nan = v.or(nan, v.or(v.unordered(x[0], x[1]), v.unordered(x[2], x[3])));
        let mut steps = x;
        for j in 0..4 {
            let sum = v.add(x[j], y[j]);
            let sum = if p.relu { v.max(sum, v.splat(0.0)) } else { sum };
            steps[j] = v.mul(sum, v.splat(p.inv));
        }
        (v.flip(v.narrow::<u8>(steps, v.splat16(p.zero_point)), p.flip), nan)
    }
}

impl Kernel for Run<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> bool {
        let whole = self.out.len() / V::GROUP * V::GROUP;
        let (out, rest) = self.out.split_at_mut(whole);
        let pieces = self.x.chunks_exact(V::GROUP).zip(self.y.chunks_exact(V::GROUP));
        let mut nan = v.none();
        for ((x, y), out) in pieces.zip(out.chunks_exact_mut(V::GROUP)) {
            let codes;
            (codes, nan) = Self::group(v, x, y, &self.params, nan);
            v.store_bytes::<u8, _, false>(codes, out);
        }
        if !rest.is_empty() {
            let (mut x, mut y, mut some) = ([0.0; 64], [0; 64], [0; 64]);
            x[..rest.len()].copy_from_slice(&self.x[whole..]);
            y[..rest.len()].copy_from_slice(&self.y[whole..]);
            let codes;
            (codes, nan) = Self::group(v, &x, &y, &self.params, nan);
            v.store_bytes::<u8, u8, false>(codes, &mut some);
            arch::copy_to(&some[..rest.len()], rest);
        }
        v.any(nan)
    }
}
