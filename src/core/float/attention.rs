//! Self-attention of projected rows, in 8-bit integers inside.
//!
//! Each head quantizes its queries, its keys and each column of its values symmetrically to 8 bits, and multiplies them
//! as linear layers do. A query's weights are powers relative to its greatest score, so they fill 0 to
//! 255, and are divided by their own sum at last: what a query gets stays a mean of values.

use std::mem::MaybeUninit;

use super::math::{Exp, Map};
use super::rows::{self, Max, Part, Sum, reduce};
use super::softmax::Mask;
use crate::arch::product::{Panels, Product, Rows, Stored, WithProduct, with_product};
use crate::arch::{Isa, Kernel, Lines, Vector, transpose};
use crate::error::Stopped;
use crate::memory::filled;
use crate::threads;

/// What self-attention takes beside its rows.
#[derive(Debug, Clone)]
pub struct Attention<'a> {
    /// How many sequences there are.
    pub sequences: usize,
    /// Rows of each.
    pub length: usize,
    /// Heads, and the width of one: a row holds the queries, keys and values of all of them.
    pub heads: usize,
    /// Width of a head.
    pub width: usize,
    /// What scores are multiplied by.
    pub factor: f32,
    /// What is then added: for rows counted by sequence, head and query.
    pub mask: Option<Mask<'a>>,
}

/// For each query the mean of the values, weighted by `exp(score * factor + mask)`; a query that is masked altogether
/// gets zeros. Gives whether all numbers were finite, without which results mean nothing.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn self_attention(
    of: &Attention<'_>,
    qkv: &[f32],
    out: &mut [MaybeUninit<f32>],
) -> Result<bool, Stopped> {
    let rows = of.sequences * of.length;
    let wide = of.heads * of.width;
    assert!(qkv.len() == 3 * rows * wide && out.len() == rows * wide, "rows of all heads");
    if out.is_empty() {
        return Ok(true);
    }
    let isa = Isa::current();
    let mut heads: Vec<Head<'_, '_>> = (0..of.sequences * of.heads)
        .map(|i| {
            let (sequence, head) = (i / of.heads, i % of.heads);
            let start = sequence * of.length * 3 * wide + head * of.width;
            Head {
                isa,
                of,
                number: i,
                x: &qkv[start..],
                stride: 3 * wide,
                out: Vec::with_capacity(of.length),
            }
        })
        .collect();
    for (r, row) in out.chunks_exact_mut(wide).enumerate() {
        for (h, piece) in row.chunks_exact_mut(of.width).enumerate() {
            heads[r / of.length * of.heads + h].out.push(piece);
        }
    }
    let finite = std::sync::atomic::AtomicBool::new(true);
    // Some eight bytes take as long to be moved as a weight is made and used.
    let bytes = 8 * rows * of.heads * (of.length + 4 * of.width);
    threads::for_each(bytes, heads.into_iter(), |head| {
        let good = with_product(isa, head);
        if !good {
            finite.store(false, std::sync::atomic::Ordering::Relaxed);
        }
        good
    })?;
    Ok(finite.into_inner())
}

/// One head of one sequence.
struct Head<'a, 'b> {
    isa: Isa,
    of: &'a Attention<'a>,
    number: usize,
    /// From its first query on; keys and values are one and two thirds of a row further.
    x: &'a [f32],
    stride: usize,
    out: Vec<&'b mut [MaybeUninit<f32>]>,
}

impl WithProduct for Head<'_, '_> {
    type Output = bool;

    fn run<P: Product>(self, p: P) -> bool {
        let Self { isa, of, number, x, stride, mut out } = self;
        let (n, width, third) = (of.length, of.width, stride / 3);
        let (deep, long) = (width.next_multiple_of(P::DEPTH), n.next_multiple_of(P::DEPTH));
        let group = rows::LANES.max(P::NR);
        let (wide, columns) = (n.next_multiple_of(group), width.next_multiple_of(group));
        let mut packed = Packed::<P> {
            queries: filled(n * deep, P::A::default()),
            query_scale: 0.0,
            keys: Lines::zeros(n.next_multiple_of(P::NR) * deep),
            key_sums: filled(wide, 0),
            key_scale: 0.0,
            values: Lines::zeros(width.next_multiple_of(P::NR) * long),
            value_sums: filled(columns, 0),
            value_scales: filled(columns, 0.0),
        };
        let finite = p.vector().run(Pack { isa, to: &mut packed, x, stride, third, n, width, deep, long });
        if !finite {
            return false;
        }
        let mut scores = filled(P::MR * wide, 0i32);
        let mut powers = filled(wide, 0f32);
        let mut codes = filled(P::MR * long.max(wide), 0u8);
        let mut stored = filled(if P::A::as_is(&codes).is_some() { 0 } else { codes.len() }, P::A::default());
        let mut sums = filled(P::MR * columns, 0i32);
        let mut inverses = filled(P::MR, 0f32);
        let code_stride = long.max(wide);
        for (b, to) in out.chunks_mut(P::MR).enumerate() {
            let first = b * P::MR;
            let count = to.len();
            let queries = Rows::new(&packed.queries, deep, n).part(first, count);
            let panels =
                Panels { data: packed.keys.bytes(), depth: deep, count: n.div_ceil(P::NR), ahead: false };
            p.block(queries, panels, &mut scores, wide);
            let mask = |row: usize| of.mask.as_ref().map(|m| m.row(number * n + first + row, n));
            p.vector().run(Weights {
                n,
                count,
                scores: &scores,
                wide,
                offset: <P::A as Stored>::offset::<i8>(),
                key_sums: &packed.key_sums,
                factor: packed.query_scale * packed.key_scale * of.factor,
                mask,
                powers: &mut powers,
                codes: &mut codes,
                code_stride,
                inverses: &mut inverses,
            });
            let data = match P::A::as_is(&codes) {
                Some(codes) => codes,
                None => {
                    for (to, &code) in stored.iter_mut().zip(&codes) {
                        *to = P::A::of(code);
                    }
                    &stored
                }
            };
            let weights = Rows::new(data, code_stride, count);
            let panels = Panels {
                data: packed.values.bytes(),
                depth: long,
                count: width.div_ceil(P::NR),
                ahead: false,
            };
            p.block(weights, panels, &mut sums, columns);
            p.vector().run(Means {
                to,
                sums: &sums,
                columns,
                offset: <P::A as Stored>::offset::<u8>(),
                value_sums: &packed.value_sums,
                value_scales: &packed.value_scales,
                inverses: &inverses,
            });
        }
        true
    }
}

/// A head's queries, keys and values as products take them.
struct Packed<P: Product> {
    queries: Vec<P::A>,
    query_scale: f32,
    keys: Lines,
    key_sums: Vec<i32>,
    key_scale: f32,
    values: Lines,
    value_sums: Vec<i32>,
    value_scales: Vec<f32>,
}

/// Makes that; gives whether all numbers are finite.
struct Pack<'a, P: Product> {
    isa: Isa,
    to: &'a mut Packed<P>,
    x: &'a [f32],
    stride: usize,
    third: usize,
    n: usize,
    width: usize,
    deep: usize,
    long: usize,
}

/// The bits of infinity: those of a number's magnitude are less, those of NaN more.
const INFINITE: u32 = 0x7f80_0000;

/// The bits of a number's magnitude, which are ordered as magnitudes are.
#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

/// A step of which the greatest magnitude is 127, and its inverse; of nothing but zeros 0 and 0.
#[inline(always)]
fn step(greatest: u32) -> (f32, f32) {
    let scale = f32::from_bits(greatest) / 127.0;
    let inv = 1.0 / scale;
    if inv.is_finite() { (scale, inv) } else { (0.0, 0.0) }
}

/// The nearest integer of a number up to 2^22, halves to even: its bits, once it has been added to 1.5 * 2^23.
#[inline(always)]
fn nearest(x: f32) -> i8 {
    ((x + 12_582_912.0).to_bits() as i32).wrapping_sub(0x4b40_0000) as i8
}

/// What loops without closures take at once, so that they are compiled with the instructions that are switched on.
const SIDE: usize = 16;

/// Takes the magnitudes of a row where they are greater.
#[inline(always)]
fn widen(most: &mut [u32], row: &[f32]) {
    let n = most.len().min(row.len());
    let (most, row) = (&mut most[..n], &row[..n]);
    for i in 0..n {
        let m = magnitude(row[i]);
        most[i] = if m > most[i] { m } else { most[i] };
    }
}

/// The codes of a row.
#[inline(always)]
fn quantize(row: &[f32], inv: f32, to: &mut [i8]) {
    let whole = row.len() / SIDE * SIDE;
    for at in (0..whole).step_by(SIDE) {
        let (from, to) = (&row[at..at + SIDE], &mut to[at..at + SIDE]);
        for i in 0..SIDE {
            to[i] = nearest(from[i] * inv);
        }
    }
    for i in whole..row.len() {
        to[i] = nearest(row[i] * inv);
    }
}

/// The sum of codes, which are at most 2^16 of them.
#[inline(always)]
fn total(codes: &[i8]) -> i32 {
    let mut sums = [0i32; SIDE];
    let mut chunks = codes.chunks_exact(SIDE);
    for chunk in &mut chunks {
        for i in 0..SIDE {
            sums[i] += i32::from(chunk[i]);
        }
    }
    let mut all = 0;
    for &code in chunks.remainder() {
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
    fn run<V: Vector>(self, _: V) -> bool {
        let Self { isa, to, x, stride, third, n, width, deep, long } = self;
        let mut most = filled(3 * width, 0u32);
        for r in 0..n {
            for (i, most) in most.chunks_exact_mut(width).enumerate() {
                widen(most, &x[r * stride + i * third..][..width]);
            }
        }
        // Queries and keys have one step each, values one for each column.
        let top = |i: usize| most[i * width..][..width].iter().copied().fold(0, u32::max);
        let (query_most, key_most) = (top(0), top(1));
        let ((query_scale, query_inv), (key_scale, key_inv)) = (step(query_most), step(key_most));
        to.query_scale = query_scale;
        to.key_scale = key_scale;
        let mut inverses = filled(width, 0f32);
        for (c, &m) in most[2 * width..].iter().enumerate() {
            (to.value_scales[c], inverses[c]) = step(m);
        }
        let top = top(2).max(query_most).max(key_most);
        let mut line = filled(deep.max(P::KU * width), 0i8);
        for r in 0..n {
            quantize(&x[r * stride..][..width], query_inv, &mut line);
            let queries = &mut to.queries[r * deep..][..width];
            for (to, &code) in queries.iter_mut().zip(&line) {
                *to = P::A::of(code);
            }
            quantize(&x[r * stride + third..][..width], key_inv, &mut line);
            to.key_sums[r] = total(&line[..width]);
            let panel = &mut to.keys.bytes_mut()[r / P::NR * P::NR * deep..][..P::NR * deep];
            for (g, group) in panel.chunks_exact_mut(P::NR * P::KU).enumerate() {
                group[r % P::NR * P::KU..][..P::KU].copy_from_slice(&line[g * P::KU..][..P::KU]);
            }
        }
        let sums = &mut to.value_sums[..width];
        let panels = to.values.bytes_mut();
        for first in (0..n).step_by(P::KU) {
            let count = P::KU.min(n - first);
            line[count * width..].fill(0);
            for r in 0..count {
                let row = &x[(first + r) * stride + 2 * third..][..width];
                let line = &mut line[r * width..][..width];
                for c in 0..width {
                    line[c] = nearest(row[c] * inverses[c]);
                }
                for c in 0..width {
                    sums[c] += i32::from(line[c]);
                }
            }
            for (p, start) in (0..width).step_by(P::NR).enumerate() {
                let columns = P::NR.min(width - start);
                let group = &mut panels[p * P::NR * long + first * P::NR..][..columns * P::KU];
                transpose(isa, &line[start..], (P::KU, width), group);
            }
        }
        top < INFINITE
    }
}

/// Turns the scores of some queries into codes of weights, and what sums of those are multiplied by.
struct Weights<'a, M> {
    n: usize,
    count: usize,
    scores: &'a [i32],
    wide: usize,
    /// What was added to each of a query's codes.
    offset: i32,
    key_sums: &'a [i32],
    factor: f32,
    mask: M,
    powers: &'a mut [f32],
    codes: &'a mut [u8],
    code_stride: usize,
    inverses: &'a mut [f32],
}

impl<'m, M: Fn(usize) -> Option<&'m [f32]>> Kernel for Weights<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        for row in 0..self.count {
            let mut score = Scores {
                scores: &self.scores[row * self.wide..][..self.wide],
                offset: self.offset,
                key_sums: self.key_sums,
                factor: self.factor,
                mask: (self.mask)(row),
                to: self.powers,
            };
            let top = reduce(v, Max, self.n, &mut score);
            let codes = &mut self.codes[row * self.code_stride..][..self.code_stride];
            if top == f32::NEG_INFINITY {
                codes.fill(0);
                self.inverses[row] = 0.0;
                continue;
            }
            let mut powers = Powers { scores: self.powers, top, codes };
            let total = reduce(v, Sum, self.n, &mut powers);
            self.inverses[row] = 1.0 / total;
        }
    }
}

/// Scores as numbers, which are kept.
struct Scores<'a, 'm> {
    scores: &'a [i32],
    offset: i32,
    key_sums: &'a [i32],
    factor: f32,
    mask: Option<&'m [f32]>,
    to: &'a mut [f32],
}

impl<V: Vector> Part<V> for Scores<'_, '_> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, len: usize) -> [V::F; 4] {
        let (scores, sums) = (v.load32(&self.scores[at..]), v.load32(&self.key_sums[at..]));
        let mut group = [v.splat(self.factor); 4];
        for j in 0..4 {
            let score = v.sub32(scores[j], v.mul32(v.splat32(self.offset), sums[j]));
            group[j] = v.mul(v.to_float(score), group[j]);
        }
        if let Some(mask) = self.mask {
            group = rows::zip::<V>(group, rows::load(v, mask, at, len), |t, mask| v.add(t, mask));
        }
        v.store::<_, false>(group, &mut self.to[at..]);
        group
    }
}

/// `255 exp(score - top)`, rounded, as codes.
struct Powers<'a> {
    scores: &'a [f32],
    top: f32,
    codes: &'a mut [u8],
}

impl<V: Vector> Part<V> for Powers<'_> {
    type Output = [V::F; 4];

    #[inline(always)]
    fn part(&mut self, v: V, at: usize, _: usize) -> [V::F; 4] {
        let mut group = v.load(&self.scores[at..]);
        for t in &mut group {
            *t = v.sub(*t, v.splat(self.top));
        }
        group = Exp::group(v, group);
        for power in &mut group {
            *power = v.round(v.mul(*power, v.splat(255.0)));
        }
        v.store_bytes::<u8, _, false>(v.narrow::<u8>(group, v.splat16(0)), &mut self.codes[at..]);
        group
    }
}

/// Sums of values by those of weights.
struct Means<'a, 'b> {
    to: &'a mut [&'b mut [MaybeUninit<f32>]],
    sums: &'a [i32],
    columns: usize,
    /// What was added to each weight.
    offset: i32,
    value_sums: &'a [i32],
    value_scales: &'a [f32],
    inverses: &'a [f32],
}

impl Kernel for Means<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        for (row, to) in self.to.iter_mut().enumerate() {
            let inv = self.inverses[row];
            let n = to.len();
            let sums = &self.sums[row * self.columns..][..n];
            let (all, scales) = (&self.value_sums[..n], &self.value_scales[..n]);
            for c in 0..n {
                to[c].write(sums[c].wrapping_sub(self.offset * all[c]) as f32 * (scales[c] * inv));
            }
        }
    }
}
