//! Self-attention of projected rows, in 8-bit integers inside.
//!
//! Each head quantizes its queries, its keys and each column of its values symmetrically to 8 bits, and multiplies them
//! as linear layers do. A query's weights are powers relative to its greatest score, so they fill 0 to
//! 255, and are divided by their own sum at last: what a query gets stays a mean of values.
//!
//! Rows hold all heads, far apart for a single one: so heads of a sequence are quantized together, row by row (`pack`),
//! and then go on one by one, from memory that lies close (`weights`).

mod pack;
mod weights;

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use self::pack::{Pack, Packed};
use self::weights::{Means, Weights};
use super::rows;
use super::softmax::Mask;
use crate::arch::product::{Panels, Product, Rows, Stored, WithProduct, with_product};
use crate::arch::{Isa, Vector, Window};
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

/// Codes of heads that are quantized together stay in the second cache.
const CACHED: usize = 192 << 10;

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
    // Some eight bytes take as long to be moved as a weight is made and used.
    let bytes = 8 * rows * of.heads * (of.length + 4 * of.width);
    let sharing = threads::sharing(bytes);
    let fit = (CACHED / (3 * of.length * of.width)).clamp(1, of.heads);
    let together = match sharing {
        1 => fit,
        n => fit.min((of.sequences * of.heads).div_ceil(4 * n)),
    };
    let mut jobs = Vec::with_capacity(of.sequences * of.heads.div_ceil(together));
    let mut rest = Window::new(out, wide, 0..wide);
    for sequence in 0..of.sequences {
        let mut own;
        (own, rest) = rest.split_rows(of.length);
        for first in (0..of.heads).step_by(together) {
            let count = together.min(of.heads - first);
            let to;
            (to, own) = own.split_columns(count * of.width);
            let x = &qkv[sequence * of.length * 3 * wide + first * of.width..];
            jobs.push(Heads { isa, of, number: sequence * of.heads + first, count, x, to });
        }
    }
    let finite = AtomicBool::new(true);
    threads::for_each(if sharing > 1 { bytes } else { 0 }, jobs.into_iter(), |heads| {
        let good = with_product(isa, heads);
        if !good {
            finite.store(false, Ordering::Relaxed);
        }
        good
    })?;
    Ok(finite.into_inner())
}

/// Some heads of one sequence.
struct Heads<'a, 'b> {
    isa: Isa,
    of: &'a Attention<'a>,
    /// The first one's, counted over all sequences.
    number: usize,
    count: usize,
    /// From the first one's first query on; keys and values are one and two thirds of a row further.
    x: &'a [f32],
    to: Window<'b, MaybeUninit<f32>>,
}

impl WithProduct for Heads<'_, '_> {
    type Output = bool;

    fn run<P: Product>(self, p: P) -> bool {
        let Self { isa, of, number, count, x, mut to } = self;
        let (n, width) = (of.length, of.width);
        let mut packed = Packed::<P>::new(n, width, count);
        let third = of.heads * width;
        if !p.vector().run(Pack { isa, to: &mut packed, x, third }) {
            return false;
        }
        let group = rows::LANES.max(P::NR);
        let (wide, columns, long) = (n.next_multiple_of(group), packed.columns, packed.long);
        let stride = long.max(wide);
        let mut scores = filled(P::MR * wide, 0i32);
        let most = rows::blocks(P::MR, n).next().map_or(0, |(_, count)| count);
        let mut powers = filled(most * wide, 0f32);
        let mut codes = filled(P::MR * stride, 0u8);
        let mut stored = filled(if P::A::as_is(&codes).is_some() { 0 } else { codes.len() }, P::A::default());
        let mut sums = filled(P::MR * columns, 0i32);
        let mut inverses = filled(P::MR, 0f32);
        for head in 0..count {
            let own = packed.head(head);
            for first in (0..n).step_by(P::MR) {
                let count = P::MR.min(n - first);
                let queries = Rows::new(own.queries, packed.deep, n).part(first, count);
                let panels =
                    Panels { data: own.keys, depth: packed.deep, count: n.div_ceil(P::NR), are_new: false };
                p.block(queries, panels, &mut scores, wide);
                let row = |row: usize| (number + head) * n + first + row;
                let mask = |i: usize| of.mask.as_ref().map(|mask| mask.row(row(i), n));
                p.vector().run(Weights {
                    n,
                    count,
                    scores: &scores,
                    wide,
                    key_offsets: own.key_offsets,
                    factor: own.score_scale * of.factor,
                    mask,
                    powers: &mut powers,
                    codes: &mut codes,
                    stride,
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
                let panels =
                    Panels { data: own.values, depth: long, count: width.div_ceil(P::NR), are_new: false };
                p.block(Rows::new(data, stride, count), panels, &mut sums, columns);
                p.vector().run(Means {
                    to: to.part(first..first + count, head * width..(head + 1) * width),
                    sums: &sums,
                    columns,
                    value_offsets: own.value_offsets,
                    value_scales: own.value_scales,
                    inverses: &inverses,
                });
            }
        }
        true
    }
}
