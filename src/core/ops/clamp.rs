//! Codes within a range: ReLU and clamp, which keep scale and zero point.

use std::mem::MaybeUninit;

use super::TargetCodes;
use crate::arch::{self, Byte, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::gemm::Codes;
use crate::threads;

/// The codes, those below `lo` as `lo` and those above `hi` as `hi`.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree; results of another type than the codes.
pub fn clamp(x: Codes<'_>, (lo, hi): (i32, i32), out: TargetCodes<'_>) -> Result<(), Stopped> {
    match (x, out) {
        (Codes::U8(x), TargetCodes::U8(out)) => share(x, (lo, hi), out),
        (Codes::I8(x), TargetCodes::I8(out)) => share(x, (lo, hi), out),
        _ => panic!("results of the codes' type"),
    }
}

fn share<C: Byte>(x: &[C], (lo, hi): (i32, i32), out: &mut [MaybeUninit<C>]) -> Result<(), Stopped> {
    assert_eq!(x.len(), out.len(), "as many results as codes");
    let isa = Isa::current();
    let (lo, hi) = (C::saturated(lo), C::saturated(hi));
    let step = threads::CHUNK_BYTES / 2;
    threads::for_each(2 * x.len(), x.chunks(step).zip(out.chunks_mut(step)), |(x, out)| {
        arch::dispatch(isa, Run { x, lo, hi, out });
        true
    })
}

/// One piece.
struct Run<'a, C> {
    x: &'a [C],
    lo: C,
    hi: C,
    out: &'a mut [MaybeUninit<C>],
}

impl<C: Byte> Kernel for Run<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        // So plain that the compiler uses the vectors by itself.
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            let x = if x < self.lo { self.lo } else { x };
            out.write(if x > self.hi { self.hi } else { x });
        }
    }
}
