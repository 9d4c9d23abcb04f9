//! Queries, keys and values as products take them.

use super::super::rows;
use crate::arch::product::{Product, Stored};
use crate::arch::{Isa, Kernel, Lines, Vector, transpose};
use crate::memory::filled;

/// Those of some heads.
pub(super) struct Packed<P: Product> {
    n: usize,
    width: usize,
    count: usize,
    /// The width, and the number of rows, as deep as products take them.
    pub(super) deep: usize,
    pub(super) long: usize,
    /// The width in whole groups, and in whole panels.
    pub(super) columns: usize,
    panels: usize,
    /// The number of rows in whole groups, and in whole panels.
    wide: usize,
    tall: usize,
    queries: Vec<P::A>,
    keys: Lines,
    values: Lines,
    key_offsets: Vec<i32>,
    value_offsets: Vec<i32>,
    value_scales: Vec<f32>,
    score_scales: Vec<f32>,
}

/// Those of one head.
pub(super) struct Head<'a, A> {
    pub(super) queries: &'a [A],
    pub(super) keys: &'a [i8],
    pub(super) values: &'a [i8],
    /// What is part of sums since products take codes as they are stored: for each key, and for each column of values.
    pub(super) key_offsets: &'a [i32],
    pub(super) value_offsets: &'a [i32],
    /// What a product of a query and a key is counted in.
    pub(super) score_scale: f32,
    pub(super) value_scales: &'a [f32],
}

impl<P: Product> Packed<P> {
    /// Room for so many rows of a width, of some heads.
    pub(super) fn new(n: usize, width: usize, count: usize) -> Self {
        let group = rows::LANES.max(P::NR);
        let (deep, long) = (width.next_multiple_of(P::DEPTH), n.next_multiple_of(P::DEPTH));
        let (columns, panels) = (width.next_multiple_of(group), width.next_multiple_of(P::NR));
        let (wide, tall) = (n.next_multiple_of(group), n.next_multiple_of(P::NR));
        Self {
            n,
            width,
            count,
            deep,
            long,
            columns,
            panels,
            wide,
            tall,
            queries: filled(count * n * deep, P::A::default()),
            keys: Lines::zeros(count * tall * deep),
            values: Lines::zeros(count * panels * long),
            key_offsets: filled(count * wide, 0),
            value_offsets: filled(count * columns, 0),
            value_scales: filled(count * columns, 0.0),
            score_scales: filled(count, 0.0),
        }
    }

    pub(super) fn head(&self, h: usize) -> Head<'_, P::A> {
        let (keys, values) = (self.tall * self.deep, self.panels * self.long);
        Head {
            queries: &self.queries[h * self.n * self.deep..][..self.n * self.deep],
            keys: &self.keys.bytes()[h * keys..][..keys],
            values: &self.values.bytes()[h * values..][..values],
            key_offsets: &self.key_offsets[h * self.wide..][..self.wide],
            value_offsets: &self.value_offsets[h * self.columns..][..self.columns],
            score_scale: self.score_scales[h],
            value_scales: &self.value_scales[h * self.columns..][..self.columns],
        }
    }
}

/// Makes that; gives whether all numbers are finite.
pub(super) struct Pack<'a, P: Product> {
    pub(super) isa: Isa,
    pub(super) to: &'a mut Packed<P>,
    /// From the first head's first query on; keys are `third` floats further, values twice as many, and so is the next row
    /// three times.
    pub(super) x: &'a [f32],
    pub(super) third: usize,
}

/// The bits of infinity: those of a number's magnitude are less, those of NaN more.
const INFINITE: u32 = 0x7f80_0000;

/// A step of which the greatest magnitude is 127, and its inverse; of nothing but zeros 0 and 0.
#[inline(always)]
fn step(greatest: u32) -> (f32, f32) {
    let scale = f32::from_bits(greatest) / 127.0;
    let inv = 1.0 / scale;
    if inv.is_finite() { (scale, inv) } else { (0.0, 0.0) }
}

/// What loops without closures take at once, so that they are compiled with the instructions that are switched on.
const SIDE: usize = 16;

/// Takes the bits of the magnitudes of a row where they are greater, which are ordered as magnitudes are.
#[inline(always)]
fn widen(most: &mut [u32], row: &[f32]) {
    let n = most.len().min(row.len());
    let (most, row) = (&mut most[..n], &row[..n]);
    for i in 0..n {
        let m = row[i].to_bits() & 0x7fff_ffff;
        most[i] = if m > most[i] { m } else { most[i] };
    }
}

/// The codes of a row.
#[inline(always)]
fn quantize<V: Vector>(v: V, row: &[f32], inverses: &[f32], to: &mut [i8]) {
    for at in (0..row.len()).step_by(V::GROUP) {
        let mut group = rows::load(v, row, at, V::GROUP.min(row.len() - at));
        let inverses = v.load(&inverses[at..]);
        for j in 0..4 {
            group[j] = v.mul(group[j], inverses[j]);
        }
        v.store_bytes::<i8, _, false>(v.narrow::<i8>(group, v.splat16(0)), &mut to[at..]);
    }
}

/// The sum of codes, which are at most 2^16 of them.
#[inline(always)]
fn total(codes: &[i8]) -> i32 {
    let (chunks, rest) = codes.as_chunks::<SIDE>();
    let mut sums = [0i32; SIDE];
    for chunk in chunks {
        for i in 0..SIDE {
            sums[i] += i32::from(chunk[i]);
        }
    }
    let mut all = 0;
    for &code in rest {
        all += i32::from(code);
    }
    for sum in sums {
        all += sum;
    }
    all
}

impl<P: Product> Kernel for Pack<'_, P> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> bool {
        let Self { isa, to, x, third } = self;
        let (n, width, deep, long) = (to.n, to.width, to.deep, to.long);
        let all = to.count * width;
        // Queries, keys and values of all heads, each of the three in whole groups.
        let side = all.next_multiple_of(rows::LANES);
        let mut most = filled(3 * side, 0u32);
        for r in 0..n {
            for (part, most) in most.chunks_exact_mut(side).enumerate() {
                widen(&mut most[..all], &x[(3 * r + part) * third..][..all]);
            }
        }
        // Queries and keys of a head have one step each, values one for each column.
        let mut inverses = filled(3 * side, 0f32);
        let mut top = 0;
        for h in 0..to.count {
            let mut scales = [0f32; 2];
            for (part, to) in scales.iter_mut().enumerate() {
                let own = part * side + h * width..part * side + (h + 1) * width;
                let greatest = most[own.clone()].iter().copied().fold(0, u32::max);
                let (scale, inv) = step(greatest);
                inverses[own].fill(inv);
                (*to, top) = (scale, top.max(greatest));
            }
            to.score_scales[h] = scales[0] * scales[1];
            for c in 0..width {
                let (own, greatest) = (h * width + c, most[2 * side + h * width + c]);
                let (scale, inv) = step(greatest);
                (to.value_scales[h * to.columns + c], inverses[2 * side + own]) = (scale, inv);
                top = top.max(greatest);
            }
        }
        if top >= INFINITE {
            return false;
        }
        let mut line = filled(side, 0i8);
        // Rows of values that lie side by side in depth, as they are, and with those of a column together.
        let mut values = filled(P::KU * side, 0i8);
        let mut mixed = filled(P::KU * side, 0i8);
        let mut sums = filled(side, 0i32);
        let of_queries = <P::A as Stored>::offset::<i8>();
        for r in 0..n {
            let part = |part: usize| &x[(3 * r + part) * third..][..all];
            quantize(v, part(0), &inverses, &mut line);
            for h in 0..to.count {
                let codes = &line[h * width..][..width];
                let queries = &mut to.queries[(h * n + r) * deep..][..width];
                for i in 0..width {
                    queries[i] = P::A::of(codes[i]);
                }
            }
            quantize(v, part(1), &inverses[side..], &mut line);
            for h in 0..to.count {
                let codes = &line[h * width..][..width];
                to.key_offsets[h * to.wide + r] = of_queries * total(codes);
                let panel =
                    &mut to.keys.bytes_mut()[(h * to.tall + r / P::NR * P::NR) * deep..][..P::NR * deep];
                let whole = width / P::KU * P::KU;
                for k in (0..whole).step_by(P::KU) {
                    panel[k * P::NR + r % P::NR * P::KU..][..P::KU].copy_from_slice(&codes[k..][..P::KU]);
                }
                for k in whole..width {
                    panel[whole * P::NR + r % P::NR * P::KU + k - whole] = codes[k];
                }
            }
            let own = &mut values[r % P::KU * side..][..side];
            quantize(v, part(2), &inverses[2 * side..], own);
            for c in 0..side {
                sums[c] += i32::from(own[c]);
            }
            if (r + 1).is_multiple_of(P::KU) || r + 1 == n {
                values[(r % P::KU + 1) * side..].fill(0);
                transpose(isa, &values, (P::KU, side), &mut mixed);
                let first = r / P::KU * P::KU;
                for h in 0..to.count {
                    let panels = &mut to.values.bytes_mut()[h * to.panels * long..][..to.panels * long];
                    for start in (0..width).step_by(P::NR) {
                        let bytes = P::NR.min(width - start) * P::KU;
                        panels[start * long + first * P::NR..][..bytes]
                            .copy_from_slice(&mixed[(h * width + start) * P::KU..][..bytes]);
                    }
                }
            }
        }
        let of_weights = <P::A as Stored>::offset::<u8>();
        for h in 0..to.count {
            let offsets = &mut to.value_offsets[h * to.columns..][..width];
            for (to, sum) in offsets.iter_mut().zip(&sums[h * width..]) {
                *to = of_weights * sum;
            }
        }
        true
    }
}
