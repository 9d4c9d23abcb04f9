//! What makes tiles of elements: functions of one element and of two, compiled for each instruction set.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::chain::Tile;
use super::memory::{Memory, Room};
use crate::arch::{Isa, Kernel, Vector, dispatch, dispatch_narrow};

/// An element in memory.
pub(super) trait Element: Copy + Send + Sync + 'static {
    /// Elements as they are.
    fn read(memory: Memory<'_>) -> &[Self];
    /// Room for them.
    fn room(room: Room<'_>) -> &mut [MaybeUninit<Self>];
}

macro_rules! elements {
    ($($t:ty: $kind:ident $(or $other:ident)?;)*) => {$(
        impl Element for $t {
            #[inline]
            fn read(memory: Memory<'_>) -> &[Self] {
                match memory {
                    Memory::$kind(x) $(| Memory::$other(x))? => x,
                    _ => panic!("elements of the planned kind"),
                }
            }
            #[inline]
            fn room(room: Room<'_>) -> &mut [MaybeUninit<Self>] {
                match room {
                    Room::$kind(x) $(| Room::$other(x))? => x,
                    _ => panic!("elements of the planned kind"),
                }
            }
        }
    )*};
}
elements! {
    u8: U8 or Bool;
    i8: I8;
    f32: F32;
    i32: I32;
    i64: I64;
}

/// A function of elements. `#[inline(always)]`, so that it is compiled with the instructions that are switched on.
pub(super) trait Of<A, B>: Copy + Send + Sync + 'static {
    /// Of one.
    fn of(self, a: A) -> B;
}

/// A function of two elements, as [`Of`].
pub(super) trait OfTwo<A, B>: Copy + Send + Sync + 'static {
    /// Of both.
    fn of(self, a: A, b: A) -> B;
}

/// A function as a type of its own.
macro_rules! of {
    ([$($p:ident: $pt:ty = $given:expr),*] |$x:ident: $a:ty| -> $b:ty $body:block) => {{
        #[derive(Clone, Copy)]
        struct F { $($p: $pt),* }
        impl $crate::program::tile::Of<$a, $b> for F {
            #[inline(always)]
            fn of(self, $x: $a) -> $b { let F { $($p),* } = self; $body }
        }
        $crate::program::tile::one::<$a, $b>(F { $($p: $given),* })
    }};
    (|$x:ident: $a:ty| -> $b:ty $body:block) => { of!([] |$x: $a| -> $b $body) };
    // Not compiled for the widest vectors: for what waits for memory.
    (narrow |$x:ident: $a:ty| -> $b:ty $body:block) => {{
        #[derive(Clone, Copy)]
        struct F;
        impl $crate::program::tile::Of<$a, $b> for F {
            #[inline(always)]
            fn of(self, $x: $a) -> $b { $body }
        }
        $crate::program::tile::one_narrow::<$a, $b>(F)
    }};
    (|$x:ident: $a:ty, $y:ident| -> $b:ty $body:block) => {{
        #[derive(Clone, Copy)]
        struct F;
        impl $crate::program::tile::OfTwo<$a, $b> for F {
            #[inline(always)]
            fn of(self, $x: $a, $y: $a) -> $b { $body }
        }
        $crate::program::tile::two::<$a, $b>(F)
    }};
    // Compiled once, with the instructions that every CPU has: for what is never long, or no work.
    (short |$x:ident: $a:ty| -> $b:ty $body:block) => {
        $crate::program::tile::one_short::<$a, $b>(|x, to| {
            let f = |$x: $a| -> $b { $body };
            for (to, &x) in to.iter_mut().zip(x) {
                to.write(f(x));
            }
        })
    };
    (short |$x:ident: $a:ty, $y:ident| -> $b:ty $body:block) => {
        $crate::program::tile::two_short::<$a, $b>(|a, b, to| {
            let f = |$x: $a, $y: $a| -> $b { $body };
            for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
                *to = f(a, b);
            }
        })
    };
}
pub(super) use of;

struct One<'a, A, B, F>(&'a [A], &'a mut [MaybeUninit<B>], F);

impl<A: Copy, B: Copy, F: Of<A, B>> Kernel for One<'_, A, B, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self(x, to, f) = self;
        if x.len() == to.len() {
            for (to, &x) in to.iter_mut().zip(x) {
                to.write(f.of(x));
            }
        } else {
            to.fill(MaybeUninit::new(f.of(x[0])));
        }
    }
}

/// A tile of a function of one element.
pub(super) fn one<A: Element, B: Element>(f: impl Of<A, B>) -> Arc<Tile> {
    Arc::new(move |from, to| dispatch(Isa::current(), One(A::read(from[0]), B::room(to), f)))
}

/// The same, not for the widest vectors.
pub(super) fn one_narrow<A: Element, B: Element>(f: impl Of<A, B>) -> Arc<Tile> {
    Arc::new(move |from, to| dispatch_narrow(Isa::current(), One(A::read(from[0]), B::room(to), f)))
}

struct Two<'a, A, B, F>(&'a [A], &'a [A], &'a mut [MaybeUninit<B>], F);

impl<A: Copy, B: Copy, F: OfTwo<A, B>> Kernel for Two<'_, A, B, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self(a, b, to, f) = self;
        let n = to.len();
        match (a.len() == n, b.len() == n) {
            (true, true) => {
                for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
                    to.write(f.of(a, b));
                }
            }
            (true, false) => {
                let b = b[0];
                for (to, &a) in to.iter_mut().zip(a) {
                    to.write(f.of(a, b));
                }
            }
            (false, true) => {
                let a = a[0];
                for (to, &b) in to.iter_mut().zip(b) {
                    to.write(f.of(a, b));
                }
            }
            _ => to.fill(MaybeUninit::new(f.of(a[0], b[0]))),
        }
    }
}

/// A tile of a function of two elements.
pub(super) fn two<A: Element, B: Element>(f: impl OfTwo<A, B>) -> Arc<Tile> {
    Arc::new(move |from, to| {
        dispatch(Isa::current(), Two(A::read(from[0]), A::read(from[1]), B::room(to), f));
    })
}

/// As [`two_short`], of one element: whole tiles at a time, since nothing is repeated.
pub(super) fn one_short<A: Element, B: Element>(f: fn(&[A], &mut [MaybeUninit<B>])) -> Arc<Tile> {
    Arc::new(move |from, to| {
        let (x, to) = (A::read(from[0]), B::room(to));
        if x.len() == to.len() {
            return f(x, to);
        }
        let mut one = [MaybeUninit::uninit()];
        f(&x[..1], &mut one);
        to.fill(one[0]);
    })
}

/// Elements that a function takes at once where it is called for them.
const BLOCK: usize = 32;

/// The tile of a function that is called, block by block: what goes through tiles is compiled once for a type, and not
/// for each function.
pub(super) fn two_short<A: Element + Default, B: Element + Default>(
    f: fn(&[A; BLOCK], &[A; BLOCK], &mut [B; BLOCK]),
) -> Arc<Tile> {
    Arc::new(move |from, to| {
        let (a, b, to) = (A::read(from[0]), A::read(from[1]), B::room(to));
        let n = to.len();
        let part = |all: &[A], at: usize, count: usize, block: &mut [A; BLOCK]| {
            if all.len() == n {
                block[..count].copy_from_slice(&all[at..at + count]);
            } else if at == 0 {
                block.fill(all[0]);
            }
        };
        let (mut x, mut y, mut made) = ([A::default(); BLOCK], [A::default(); BLOCK], [B::default(); BLOCK]);
        for (i, to) in to.chunks_mut(BLOCK).enumerate() {
            part(a, i * BLOCK, to.len(), &mut x);
            part(b, i * BLOCK, to.len(), &mut y);
            f(&x, &y, &mut made);
            to.write_copy_of_slice(&made[..to.len()]);
        }
    })
}
