//! Floats to codes by division: what ONNX's QuantizeLinear does, where the contract multiplies by the inverse.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use super::nan_in;
use crate::arch::{self, Byte, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// `rint(x / scale) + zero_point`, clamped.
///
/// # Errors
/// NaN has no code.
///
/// # Panics
/// Lengths that disagree.
#[expect(private_bounds, reason = "codes are i8 or u8")]
pub fn quantize_by_division<C: Byte>(
    x: &[f32],
    out: &mut [MaybeUninit<C>],
    scale: f32,
    zero_point: C,
) -> Result<(), Stopped> {
    assert_eq!(x.len(), out.len(), "as many codes as floats");
    let isa = Isa::current();
    let nan = AtomicBool::new(false);
    let step = threads::CHUNK_BYTES / 5;
    threads::for_each(5 * x.len(), x.chunks(step).zip(out.chunks_mut(step)), |(x, out)| {
        let found = arch::dispatch(isa, Divide { x, out, scale, zero_point });
        nan.fetch_or(found, Ordering::Relaxed);
        !found
    })?;
    if nan.into_inner() { Err(nan_in(x)) } else { Ok(()) }
}

/// One piece. It returns whether it met NaN.
struct Divide<'a, C> {
    x: &'a [f32],
    out: &'a mut [MaybeUninit<C>],
    scale: f32,
    zero_point: C,
}

impl<C: Byte> Kernel for Divide<'_, C> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> bool {
        divided(v, self.x, self.out, (self.scale, self.zero_point))
    }
}

/// The same, on one instruction set, of as many floats as there is room for codes; it returns whether it met NaN.
#[inline(always)]
pub(crate) fn divided<V: Vector, C: Byte>(
    v: V,
    x: &[f32],
    out: &mut [MaybeUninit<C>],
    (scale, zero_point): (f32, C),
) -> bool {
    let mut nan = v.none();
    let whole = x.len() / V::GROUP * V::GROUP;
    let (out, rest) = out.split_at_mut(whole);
    for (x, out) in x.chunks_exact(V::GROUP).zip(out.chunks_exact_mut(V::GROUP)) {
        let x = v.load(x);
        nan = v.or(nan, v.or(v.unordered(x[0], x[1]), v.unordered(x[2], x[3])));
        v.store_bytes::<C, _, false>(group(v, x, scale, zero_point), out);
    }
    if !rest.is_empty() {
        let x = v.load_part(&x[whole..]);
        nan = v.or(nan, v.or(v.unordered(x[0], x[1]), v.unordered(x[2], x[3])));
        let mut codes = [C::default(); 64];
        v.store_bytes::<C, C, false>(group(v, x, scale, zero_point), &mut codes);
        arch::copy_to(&codes[..rest.len()], rest);
    }
    v.any(nan)
}

/// The codes of a group.
#[inline(always)]
fn group<V: Vector, C: Byte>(v: V, [a, b, c, d]: [V::F; 4], scale: f32, zero_point: C) -> V::B {
    let scale = v.splat(scale);
    let steps = [v.div(a, scale), v.div(b, scale), v.div(c, scale), v.div(d, scale)];
    v.narrow::<C>(steps, v.splat16(zero_point.widened() as i16))
}
