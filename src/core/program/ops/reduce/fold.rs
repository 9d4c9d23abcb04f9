//! Elements that are added up, in whatever sense, along an axis in memory.

use std::mem::MaybeUninit;

use super::{Reduction, Shape, pieces};
use crate::arch::{Isa, Kernel, Vector, dispatch, dispatch_narrow};
use crate::error::Stopped;
use crate::float::plain;

/// How elements become one. Several run side by side, and are joined at last. All are `#[inline(always)]`.
trait Fold<T>: Copy + Send + Sync {
    /// Whether all orders give the same: of such a loop compilers make vectors by themselves, of fewer instructions than
    /// of lanes that are written out.
    const ANY_ORDER: bool;
    /// What is kept meanwhile.
    type S: Copy + Send;
    /// What comes out.
    type O: Copy + Send;
    fn start(self) -> Self::S;
    /// One more; `p` is what a first pass has found.
    fn add(self, sum: Self::S, x: T, p: f32) -> Self::S;
    fn join(self, a: Self::S, b: Self::S) -> Self::S;
    fn end(self, sum: Self::S, n: usize, p: f32) -> Self::O;
}

macro_rules! folds {
    (any_order: $any:literal; $($name:ident($t:ty, $s:ty) { $start:expr; |$sum:ident, $x:ident, $p:ident| $add:expr;
        |$a:ident, $b:ident| $join:expr; |$all:ident, $n:ident, $q:ident| $end:expr })*) => {$(
        #[derive(Clone, Copy)]
        struct $name;
        impl Fold<$t> for $name {
            const ANY_ORDER: bool = $any;
            type S = $s;
            type O = $t;
            #[inline(always)]
            fn start(self) -> $s { $start }
            #[inline(always)]
            fn add(self, $sum: $s, $x: $t, $p: f32) -> $s { $add }
            #[inline(always)]
            fn join(self, $a: $s, $b: $s) -> $s { $join }
            #[inline(always)]
            fn end(self, $all: $s, $n: usize, $q: f32) -> $t { $end }
        }
    )*};
}

folds! {
    any_order: false;
    Sum(f32, f64) { 0.0; |s, x, _p| s + f64::from(x); |a, b| a + b; |s, _n, _p| s as f32 }
    Mean(f32, f64) { 0.0; |s, x, _p| s + f64::from(x); |a, b| a + b; |s, n, _p| (s / n as f64) as f32 }
    Product(f32, f64) { 1.0; |s, x, _p| s * f64::from(x); |a, b| a * b; |s, _n, _p| s as f32 }
    Squares(f32, f64) {
        0.0; |s, x, _p| s + f64::from(x) * f64::from(x); |a, b| a + b; |s, _n, _p| s as f32
    }
    Length(f32, f64) {
        0.0; |s, x, _p| s + f64::from(x) * f64::from(x); |a, b| a + b; |s, _n, _p| s.sqrt() as f32
    }
    Magnitudes(f32, f64) { 0.0; |s, x, _p| s + f64::from(x.abs()); |a, b| a + b; |s, _n, _p| s as f32 }
    Max(f32, f32) {
        f32::NEG_INFINITY; |a, b, _p| if (a > b) | a.is_nan() { a } else { b };
        |a, b| if (a > b) | a.is_nan() { a } else { b }; |a, _n, _p| a
    }
    Min(f32, f32) {
        f32::INFINITY; |a, b, _p| if (a < b) | a.is_nan() { a } else { b };
        |a, b| if (a < b) | a.is_nan() { a } else { b }; |a, _n, _p| a
    }
    // The greatest one is p: infinities have no distance from themselves.
    Powers(f32, f64) {
        0.0;
        |s, x, p| s + f64::from(plain::exp(if x == p { 0.0 } else { x - p }));
        |a, b| a + b;
        |s, _n, p| if p.is_finite() { (f64::from(p) + s.ln()) as f32 } else { p }
    }
}

macro_rules! integers {
    ($function:ident, $t:ty, $max:ident, $min:ident $(, $sum:ident, $product:ident)?) => {
        folds! {
            any_order: true;
            $($sum($t, $t) { 0; |s, x, _p| s.wrapping_add(x); |a, b| a.wrapping_add(b); |s, _n, _p| s }
            $product($t, $t) { 1; |s, x, _p| s.wrapping_mul(x); |a, b| a.wrapping_mul(b); |s, _n, _p| s })?
            $max($t, $t) { <$t>::MIN; |s, x, _p| s.max(x); |a, b| a.max(b); |s, _n, _p| s }
            $min($t, $t) { <$t>::MAX; |s, x, _p| s.min(x); |a, b| a.min(b); |s, _n, _p| s }
        }

        pub(super) fn $function(
            of: Reduction,
            shape: &Shape,
            x: &[$t],
            to: &mut [MaybeUninit<$t>],
        ) -> Result<(), Stopped> {
            match of {
                $(Reduction::Sum => integer_rows(shape, x, to, $sum),
                Reduction::Prod => integer_rows(shape, x, to, $product),)?
                Reduction::Max | Reduction::Any => integer_rows(shape, x, to, $max),
                Reduction::Min => integer_rows(shape, x, to, $min),
                // Of no truth values all hold.
                Reduction::All if shape.n == 0 => {
                    to.fill(MaybeUninit::new(1));
                    Ok(())
                }
                Reduction::All => integer_rows(shape, x, to, $min),
                _ => panic!("a reduction as planned"),
            }
        }
    };
}
integers!(integers_of_64, i64, Max64, Min64, Sum64, Product64);
integers!(integers_of_32, i32, Max32, Min32, Sum32, Product32);
integers!(bytes, u8, Max8, Min8);
integers!(signed_bytes, i8, MaxS8, MinS8);

/// Squared distances from p, the mean.
#[derive(Clone, Copy)]
struct Spread {
    off: f64,
    root: bool,
}

impl Fold<f32> for Spread {
    const ANY_ORDER: bool = false;
    type S = f64;
    type O = f32;
    #[inline(always)]
    fn start(self) -> f64 {
        0.0
    }
    #[inline(always)]
    fn add(self, sum: f64, x: f32, p: f32) -> f64 {
        let far = f64::from(x) - f64::from(p);
        sum + far * far
    }
    #[inline(always)]
    fn join(self, a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn end(self, sum: f64, n: usize, _: f32) -> f32 {
        let variance = sum / (n as f64 - self.off).max(0.0);
        (if self.root { variance.sqrt() } else { variance }) as f32
    }
}

/// There is no first pass.
#[derive(Clone, Copy)]
struct Nothing;

impl<T> Fold<T> for Nothing {
    const ANY_ORDER: bool = true;
    type S = ();
    type O = f32;
    #[inline(always)]
    fn start(self) {}
    #[inline(always)]
    fn add(self, (): (), _: T, _: f32) {}
    #[inline(always)]
    fn join(self, (): (), (): ()) {}
    #[inline(always)]
    fn end(self, (): (), _: usize, _: f32) -> f32 {
        0.0
    }
}

pub(super) fn floats(
    of: Reduction,
    shape: &Shape,
    x: &[f32],
    to: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    match of {
        Reduction::Sum => rows(shape, x, to, Nothing, Sum),
        Reduction::Mean => rows(shape, x, to, Nothing, Mean),
        Reduction::Prod => rows(shape, x, to, Nothing, Product),
        Reduction::SumSquare => rows(shape, x, to, Nothing, Squares),
        Reduction::L1 => rows(shape, x, to, Nothing, Magnitudes),
        Reduction::L2 => rows(shape, x, to, Nothing, Length),
        Reduction::Max => rows(shape, x, to, Nothing, Max),
        Reduction::Min => rows(shape, x, to, Nothing, Min),
        Reduction::LogSumExp => rows(shape, x, to, Max, Powers),
        Reduction::Variance(off) => rows(shape, x, to, Mean, Spread { off, root: false }),
        Reduction::Deviation(off) => rows(shape, x, to, Mean, Spread { off, root: true }),
        _ => panic!("a reduction as planned"),
    }
}

/// `outer x n x inner` elements to `outer x inner`.
fn rows<T: Copy + Send + Sync, F: Fold<T, O = f32>, G: Fold<T>>(
    shape: &Shape,
    x: &[T],
    to: &mut [MaybeUninit<G::O>],
    first: F,
    second: G,
) -> Result<(), Stopped> {
    let isa = Isa::current();
    pieces(shape, x, to, |x, to| dispatch(isa, Rows { x, shape, to, first, second }))
}

/// The same of integers, without a first pass.
fn integer_rows<T: Copy + Send + Sync, G: Fold<T>>(
    shape: &Shape,
    x: &[T],
    to: &mut [MaybeUninit<G::O>],
    second: G,
) -> Result<(), Stopped> {
    let isa = Isa::current();
    pieces(shape, x, to, |x, to| {
        let rows = Rows { x, shape, to, first: Nothing, second };
        // Of narrow vectors there is no maximum of 64 bits.
        if size_of::<T>() == 8 { dispatch(isa, rows) } else { dispatch_narrow(isa, rows) }
    })
}

struct Rows<'a, T, F, G, O> {
    x: &'a [T],
    shape: &'a Shape,
    to: &'a mut [MaybeUninit<O>],
    first: F,
    second: G,
}

/// Columns that pass over all rows together.
const COLUMNS: usize = 512;
/// Rows that columns take at a time: what is kept meanwhile goes through memory once for all of them.
const AT_ONCE: usize = 4;

/// All of a row.
#[inline(always)]
fn whole<T: Copy, F: Fold<T>>(f: F, x: &[T], p: f32) -> F::S {
    if F::ANY_ORDER || x.len() < 16 {
        let mut all = f.start();
        for &x in x {
            all = f.add(all, x, p);
        }
        return all;
    }
    if x.len() < 128 { side_by_side::<_, _, 16>(f, x, p) } else { side_by_side::<_, _, 32>(f, x, p) }
}

/// The same by as many sums side by side, so that none waits for the one before. They are made anew in each turn, and by
/// nothing else than their own numbers: else compilers keep them in memory.
#[inline(always)]
fn side_by_side<T: Copy, F: Fold<T>, const LANES: usize>(f: F, x: &[T], p: f32) -> F::S {
    let (mut lanes, (blocks, rest)) = ([f.start(); LANES], x.as_chunks::<LANES>());
    for some in blocks {
        let mut next = lanes;
        for i in 0..LANES {
            next[i] = f.add(lanes[i], some[i], p);
        }
        lanes = next;
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = f.add(*lane, x, p);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f.join(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// All of each of some columns, of which a row lies every `step`.
#[inline(always)]
fn columns<T: Copy, F: Fold<T>>(f: F, x: &[T], step: usize, found: &[f32], sums: &mut [F::S]) {
    let count = sums.len();
    let found = &found[..count];
    let mut rows = x.chunks(step);
    while rows.len() >= AT_ONCE {
        let some: [&[T]; AT_ONCE] = std::array::from_fn(|_| &rows.next().unwrap_or_default()[..count]);
        for j in 0..count {
            let mut sum = sums[j];
            for row in some {
                sum = f.add(sum, row[j], found[j]);
            }
            sums[j] = sum;
        }
    }
    for row in rows {
        for ((sum, &x), &p) in sums.iter_mut().zip(row).zip(found) {
            *sum = f.add(*sum, x, p);
        }
    }
}

impl<T: Copy, F: Fold<T, O = f32>, G: Fold<T>> Kernel for Rows<'_, T, F, G, G::O> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { x, shape: &Shape { n, inner }, to, first, second } = self;
        if inner == 1 {
            for (i, to) in to.iter_mut().enumerate() {
                let x = &x[i * n..][..n];
                let p = first.end(whole(first, x, 0.0), n, 0.0);
                to.write(second.end(whole(second, x, p), n, p));
            }
            return;
        }
        for (i, to) in to.chunks_exact_mut(inner).enumerate() {
            let x = &x[i * n * inner..][..n * inner];
            for begin in (0..inner).step_by(COLUMNS) {
                let count = COLUMNS.min(inner - begin);
                let x = x.get(begin..).unwrap_or_default();
                let mut found = [0f32; COLUMNS];
                if size_of::<F::S>() > 0 {
                    let mut sums = [first.start(); COLUMNS];
                    columns(first, x, inner, &[0.0; COLUMNS], &mut sums[..count]);
                    for (p, &sum) in found[..count].iter_mut().zip(&sums) {
                        *p = first.end(sum, n, 0.0);
                    }
                }
                let mut sums = [second.start(); COLUMNS];
                columns(second, x, inner, &found, &mut sums[..count]);
                for ((to, &sum), &p) in to[begin..][..count].iter_mut().zip(&sums).zip(&found) {
                    to.write(second.end(sum, n, p));
                }
            }
        }
    }
}
