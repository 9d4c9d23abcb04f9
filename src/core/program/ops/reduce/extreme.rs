//! Where the greatest, or the least, element is.

use std::mem::MaybeUninit;

use super::super::super::memory::{Memory, Room};
use super::super::super::op::Trouble;
use super::{Shape, pieces};
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::Stopped;

/// Numbers in an order in which NaN comes first: `before` says whether one comes before another one.
trait Ordered: Copy + Send + Sync + PartialEq {
    /// Whether compilers make vectors of a plain loop by themselves.
    const PLAIN: bool;
    fn before<const GREATEST: bool>(self, other: Self) -> bool;
}

macro_rules! ordered {
    ($($t:ty),*) => {$(
        impl Ordered for $t {
            const PLAIN: bool = true;
            #[inline(always)]
            fn before<const GREATEST: bool>(self, other: Self) -> bool {
                if GREATEST { self > other } else { self < other }
            }
        }
    )*};
}
ordered!(i64, i32, u8, i8);

impl Ordered for f32 {
    const PLAIN: bool = false;
    #[inline(always)]
    fn before<const GREATEST: bool>(self, other: Self) -> bool {
        let more = if GREATEST { self > other } else { self < other };
        more | (self.is_nan() & !other.is_nan())
    }
}

pub(super) fn places(greatest: bool, shape: &Shape, from: Memory<'_>, to: Room<'_>) -> Result<(), Trouble> {
    let Room::I64(to) = to else { panic!("places as planned") };
    macro_rules! kinds {
        ($($kind:ident),*) => {
            match from {
                $(Memory::$kind(x) if greatest => rows::<_, true>(shape, x, to)?,
                Memory::$kind(x) => rows::<_, false>(shape, x, to)?,)*
                Memory::Bool(_) => panic!("numbers as planned"),
            }
        };
    }
    kinds!(F32, I64, I32, U8, I8);
    Ok(())
}

fn rows<T: Ordered, const GREATEST: bool>(
    shape: &Shape,
    x: &[T],
    to: &mut [MaybeUninit<i64>],
) -> Result<(), Stopped> {
    let isa = Isa::current();
    pieces(shape, x, to, |x, to| dispatch(isa, Rows::<_, GREATEST> { x, shape, to }))
}

struct Rows<'a, T, const GREATEST: bool> {
    x: &'a [T],
    shape: &'a Shape,
    to: &'a mut [MaybeUninit<i64>],
}

/// Numbers that are compared side by side.
const LANES: usize = 32;
/// Columns that pass over all rows together.
const COLUMNS: usize = 256;

/// What comes before all others.
#[inline(always)]
fn greatest<T: Ordered, const GREATEST: bool>(x: &[T]) -> T {
    let first = |a: T, b: T| if b.before::<GREATEST>(a) { b } else { a };
    if T::PLAIN {
        return x.iter().fold(x[0], |a, &b| first(a, b));
    }
    let (mut lanes, (blocks, rest)) = ([x[0]; LANES], x.as_chunks::<LANES>());
    for some in blocks {
        // Made anew in each turn, or compilers keep them in memory.
        let mut next = lanes;
        for k in 0..LANES {
            next[k] = first(lanes[k], some[k]);
        }
        lanes = next;
    }
    lanes.iter().chain(rest).fold(x[0], |a, &b| first(a, b))
}

/// Where a number is first met that is among them.
#[inline(always)]
fn first_of<T: Ordered, const GREATEST: bool>(best: T, x: &[T]) -> usize {
    // Neither comes before the other: equal, or both NaN.
    let is_it = |x: T| !best.before::<GREATEST>(x) & !x.before::<GREATEST>(best);
    let block = x.chunks(LANES).position(|some| some.iter().fold(false, |any, &x| any | is_it(x)));
    let at = block.unwrap_or(0) * LANES;
    at + x[at..].iter().position(|&x| is_it(x)).unwrap_or(0)
}

impl<T: Ordered, const GREATEST: bool> Kernel for Rows<'_, T, GREATEST> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { x, shape: &Shape { n, inner }, to } = self;
        if inner == 1 {
            for (i, to) in to.iter_mut().enumerate() {
                let x = &x[i * n..][..n];
                // First the number, then where it is: both passes go by vectors.
                let best = greatest::<_, GREATEST>(x);
                to.write(first_of::<_, GREATEST>(best, x) as i64);
            }
            return;
        }
        for (i, to) in to.chunks_exact_mut(inner).enumerate() {
            let x = &x[i * n * inner..][..n * inner];
            for begin in (0..inner).step_by(COLUMNS) {
                let count = COLUMNS.min(inner - begin);
                let (mut best, mut at) = ([x[0]; COLUMNS], [0i32; COLUMNS]);
                best[..count].copy_from_slice(&x[begin..begin + count]);
                for r in 1..n {
                    let row = &x[r * inner + begin..][..count];
                    for ((best, at), &x) in best.iter_mut().zip(&mut at).zip(row) {
                        let better = x.before::<GREATEST>(*best);
                        *best = if better { x } else { *best };
                        *at = if better { r as i32 } else { *at };
                    }
                }
                for (to, &at) in to[begin..][..count].iter_mut().zip(&at) {
                    to.write(i64::from(at));
                }
            }
        }
    }
}
