//! Rows of floats in groups of vectors, and what is added up over a row.

use crate::arch::{Slot, Vector};

/// How many sums run side by side, whatever a vector holds: one group of the widest vectors.
pub(super) const LANES: usize = 64;

/// How many rows each pass visits before the next one: what a row's sum waits for is hidden behind the next row.
pub(super) const AT_ONCE: usize = 16;

/// The rows of so many floats, at most `AT_ONCE` at a time and no more than the first cache holds: from the first one,
/// how many.
pub(super) fn blocks(rows: usize, n: usize) -> impl Iterator<Item = (usize, usize)> {
    let most = (4096 / n).clamp(1, AT_ONCE);
    (0..rows).step_by(most).map(move |first| (first, most.min(rows - first)))
}

/// What is done with a part of a row: so many floats from one on, at most a group. A trait and no closure, since
/// those are not always compiled into the function that has the instructions switched on.
pub(super) trait Part<V: Vector> {
    /// What it gives.
    type Output;
    /// `#[inline(always)]`; where `len` is a group's, that is known when it is compiled.
    fn part(&mut self, v: V, at: usize, len: usize) -> Self::Output;
}

/// Visits a row of `n` in groups; the last one may be shorter.
#[inline(always)]
pub(super) fn groups<V: Vector>(v: V, n: usize, each: &mut impl Part<V, Output = ()>) {
    let whole = n / V::GROUP * V::GROUP;
    for at in (0..whole).step_by(V::GROUP) {
        each.part(v, at, V::GROUP);
    }
    if whole < n {
        each.part(v, whole, n - whole);
    }
}

/// A part of a row, and zeros.
#[inline(always)]
pub(crate) fn load<V: Vector>(v: V, row: &[f32], at: usize, len: usize) -> [V::F; 4] {
    if len == V::GROUP {
        return v.load(&row[at..]);
    }
    v.load_part(&row[at..at + len])
}

/// Writes as much of a group as a part of a row holds.
#[inline(always)]
pub(crate) fn store<V: Vector, S: Slot<Item = f32>>(
    v: V,
    values: [V::F; 4],
    row: &mut [S],
    at: usize,
    len: usize,
) {
    if len == V::GROUP {
        return v.store::<_, false>(values, &mut row[at..]);
    }
    v.store_part(values, &mut row[at..at + len]);
}

/// A function of two vectors for each of a group.
#[inline(always)]
pub(crate) fn zip<V: Vector>(mut a: [V::F; 4], b: [V::F; 4], f: impl Fn(V::F, V::F) -> V::F) -> [V::F; 4] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, b);
    }
    a
}

/// The places of a group's floats.
const PLACES: [f32; LANES] = {
    let mut places = [0.0; LANES];
    let mut i = 0;
    while i < LANES {
        places[i] = i as f32;
        i += 1;
    }
    places
};

/// The group with `pad` behind its first `len` floats.
#[inline(always)]
fn padded<V: Vector>(v: V, mut values: [V::F; 4], len: usize, pad: f32) -> [V::F; 4] {
    if len == V::GROUP {
        return values;
    }
    let places = v.load(&PLACES);
    for j in 0..4 {
        values[j] = v.select(v.less(places[j], v.splat(len as f32)), values[j], v.splat(pad));
    }
    values
}

/// A way to make one number of two, and what changes nothing.
pub(super) trait Combine: Copy {
    /// With it, a number stays what it is.
    const NEUTRAL: f32;
    /// Of each two lanes.
    fn vectors<V: Vector>(v: V, a: V::F, b: V::F) -> V::F;
}

/// a + b
#[derive(Clone, Copy)]
pub(super) struct Sum;

impl Combine for Sum {
    const NEUTRAL: f32 = 0.0;
    #[inline(always)]
    fn vectors<V: Vector>(v: V, a: V::F, b: V::F) -> V::F {
        v.add(a, b)
    }
}

/// The larger one; anything where one is NaN.
#[derive(Clone, Copy)]
pub(super) struct Max;

impl Combine for Max {
    const NEUTRAL: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn vectors<V: Vector>(v: V, a: V::F, b: V::F) -> V::F {
        v.max(a, b)
    }
}

/// What two groups become.
#[inline(always)]
fn both<V: Vector, C: Combine>(v: V, a: [V::F; 4], b: [V::F; 4]) -> [V::F; 4] {
    zip::<V>(a, b, |a, b| C::vectors(v, a, b))
}

/// One number of a row of `n`, each part of which gives some, once.
#[inline(always)]
pub(super) fn reduce<V: Vector, C: Combine>(
    v: V,
    _: C,
    n: usize,
    each: &mut impl Part<V, Output = [V::F; 4]>,
) -> f32 {
    let groups = const { LANES / V::GROUP };
    let none = [v.splat(C::NEUTRAL); 4];
    // One for each group of the lanes, by name: compilers keep what loops go through in memory.
    let (mut a, mut b, mut c, mut d) = (none, none, none, none);
    let whole = n / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        a = both::<V, C>(v, a, each.part(v, at, V::GROUP));
        if groups > 1 {
            b = both::<V, C>(v, b, each.part(v, at + V::GROUP, V::GROUP));
        }
        if groups > 2 {
            c = both::<V, C>(v, c, each.part(v, at + 2 * V::GROUP, V::GROUP));
            d = both::<V, C>(v, d, each.part(v, at + 3 * V::GROUP, V::GROUP));
        }
    }
    // What lies beyond the row changes nothing, and need not be looked at.
    let (rest, mut done) = (n - whole, 0);
    if groups > 1 && rest >= V::GROUP {
        (a, done) = (both::<V, C>(v, a, each.part(v, whole, V::GROUP)), 1);
    }
    if groups > 2 && rest >= 2 * V::GROUP {
        (b, done) = (both::<V, C>(v, b, each.part(v, whole + V::GROUP, V::GROUP)), 2);
    }
    if groups > 2 && rest >= 3 * V::GROUP {
        (c, done) = (both::<V, C>(v, c, each.part(v, whole + 2 * V::GROUP, V::GROUP)), 3);
    }
    let len = rest - done * V::GROUP;
    if len > 0 {
        let values = padded(v, each.part(v, n - len, len), len, C::NEUTRAL);
        match done {
            0 => a = both::<V, C>(v, a, values),
            1 => b = both::<V, C>(v, b, values),
            2 => c = both::<V, C>(v, c, values),
            _ => d = both::<V, C>(v, d, values),
        }
    }
    // Always the upper half of the lanes to the lower one: first groups, then vectors, then floats.
    if groups > 2 {
        (a, b) = (both::<V, C>(v, a, c), both::<V, C>(v, b, d));
    }
    let [a, b, c, d] = if groups > 1 { both::<V, C>(v, a, b) } else { a };
    let mut sum = C::vectors(v, C::vectors(v, a, c), C::vectors(v, b, d));
    if V::LANES > 8 {
        sum = C::vectors(v, sum, v.upper(sum, 8));
    }
    if V::LANES > 4 {
        sum = C::vectors(v, sum, v.upper(sum, 4));
    }
    sum = C::vectors(v, sum, v.upper(sum, 2));
    sum = C::vectors(v, sum, v.upper(sum, 1));
    v.lowest(sum)
}
