//! Floats to codes by division: what ONNX's QuantizeLinear does, where the contract multiplies by the inverse.

use std::mem::MaybeUninit;

use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// `rint(x / scale) + zero_point`, clamped, of finite floats.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn quantize_by_division(
    x: &[f32],
    out: &mut [MaybeUninit<u8>],
    scale: f32,
    zero_point: u8,
) -> Result<(), Stopped> {
    assert_eq!(x.len(), out.len(), "as many codes as floats");
    let isa = Isa::current();
    let step = threads::CHUNK_BYTES / 5;
    threads::for_each(5 * x.len(), x.chunks(step).zip(out.chunks_mut(step)), |(x, out)| {
        arch::dispatch(isa, Divide { x, out, scale, zero_point });
        true
    })
}

/// One piece.
struct Divide<'a> {
    x: &'a [f32],
    out: &'a mut [MaybeUninit<u8>],
    scale: f32,
    zero_point: u8,
}

impl Kernel for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        divided(v, self.x, self.out, (self.scale, self.zero_point));
    }
}

/// The same, on one instruction set, of as many floats as there is room for codes.
#[inline(always)]
pub(crate) fn divided<V: Vector>(
    v: V,
    x: &[f32],
    out: &mut [MaybeUninit<u8>],
    (scale, zero_point): (f32, u8),
) {
    let whole = x.len() / V::GROUP * V::GROUP;
    let (out, rest) = out.split_at_mut(whole);
    for (x, out) in x.chunks_exact(V::GROUP).zip(out.chunks_exact_mut(V::GROUP)) {
        v.store_bytes::<u8, _, false>(group(v, x, scale, zero_point), out);
    }
    if !rest.is_empty() {
        let (mut last, mut codes) = ([0f32; 64], [0u8; 64]);
        last[..rest.len()].copy_from_slice(&x[whole..]);
        v.store_bytes::<u8, u8, false>(group(v, &last, scale, zero_point), &mut codes);
        arch::copy_to(&codes[..rest.len()], rest);
    }
}

/// The codes of a group.
#[inline(always)]
fn group<V: Vector>(v: V, x: &[f32], scale: f32, zero_point: u8) -> V::B {
    let scale = v.splat(scale);
    let [a, b, c, d] = v.load(x);
    let steps = [v.div(a, scale), v.div(b, scale), v.div(c, scale), v.div(d, scale)];
    v.narrow::<u8>(steps, v.splat16(i16::from(zero_point)))
}
