//! Sums of floats and codes: what a product leaves unrounded, and a tensor.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use super::binary::values;
use super::{Operand, Target, TargetCodes};
use crate::affine::nan_in;
use crate::arch::{self, Byte, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::gemm::Codes;
use crate::threads;

/// `quantize(x + dequantize(y))`, with negative values as 0 where `relu`.
///
/// # Errors
/// NaN in `x`, and an interrupt. After an error the target holds anything.
///
/// # Panics
/// Lengths that disagree.
pub fn add_floats(x: &[f32], y: Operand<'_>, relu: bool, to: Target<'_>) -> Result<(), Stopped> {
    match y.codes {
        Codes::U8(codes) => with_codes(x, codes, y, relu, to),
        Codes::I8(codes) => with_codes(x, codes, y, relu, to),
    }
}

fn with_codes<B: Byte>(
    x: &[f32],
    codes: &[B],
    y: Operand<'_>,
    relu: bool,
    to: Target<'_>,
) -> Result<(), Stopped> {
    let params = Params {
        scale: y.scale,
        y_zero_point: y.zero_point as f32,
        inv: 1.0 / to.scale,
        zero_point: to.zero_point as i16,
        relu,
    };
    match to.codes {
        TargetCodes::U8(out) => share(x, codes, params, out),
        TargetCodes::I8(out) => share(x, codes, params, out),
    }
}

#[derive(Clone, Copy)]
struct Params {
    scale: f32,
    y_zero_point: f32,
    inv: f32,
    zero_point: i16,
    relu: bool,
}

fn share<B: Byte, C: Byte>(
    x: &[f32],
    y: &[B],
    params: Params,
    out: &mut [MaybeUninit<C>],
) -> Result<(), Stopped> {
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

/// One piece. It returns whether it met NaN.
struct Run<'a, B, C> {
    x: &'a [f32],
    y: &'a [B],
    out: &'a mut [MaybeUninit<C>],
    params: Params,
}

impl<B: Byte, C: Byte> Run<'_, B, C> {
    /// The codes of a group, and where there was NaN.
    #[inline(always)]
    fn group<V: Vector>(v: V, x: &[f32], y: &[B], p: &Params, nan: V::M) -> (V::B, V::M) {
        let (x, y) = (v.load(x), values(v, y, p.y_zero_point, p.scale));
        let nan = v.or(nan, v.or(v.unordered(x[0], x[1]), v.unordered(x[2], x[3])));
        let mut steps = x;
        for j in 0..4 {
            let sum = v.add(x[j], y[j]);
            let sum = if p.relu { v.max(sum, v.splat(0.0)) } else { sum };
            steps[j] = v.mul(sum, v.splat(p.inv));
        }
        (v.narrow::<C>(steps, v.splat16(p.zero_point)), nan)
    }
}

impl<B: Byte, C: Byte> Kernel for Run<'_, B, C> {
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
            v.store_bytes::<C, _, false>(codes, out);
        }
        if !rest.is_empty() {
            let (mut x, mut y, mut some) = ([0.0; 64], [B::default(); 64], [C::default(); 64]);
            x[..rest.len()].copy_from_slice(&self.x[whole..]);
            y[..rest.len()].copy_from_slice(&self.y[whole..]);
            let codes;
            (codes, nan) = Self::group(v, &x, &y, &self.params, nan);
            v.store_bytes::<C, C, false>(codes, &mut some);
            arch::copy_to(&some[..rest.len()], rest);
        }
        v.any(nan)
    }
}
