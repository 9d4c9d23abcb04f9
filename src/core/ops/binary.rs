//! Sums, differences and products of two tensors.

use std::mem::MaybeUninit;

use super::{Operand, Target};
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// A function of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
}

impl Binary {
    /// Its value.
    pub fn of(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
        }
    }
}

/// `quantize(of(dequantize(a), dequantize(b)))`, with negative values as 0 where `relu`.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn binary(op: Binary, a: Operand<'_>, b: Operand<'_>, relu: bool, to: Target<'_>) -> Result<(), Stopped> {
    let work = Work::new(op, a, b, relu, &to);
    let (x, y) = (a.codes.bytes(), b.codes.bytes());
    let out = to.codes.bytes();
    assert!(x.len() == out.len() && y.len() == out.len(), "as many results as codes on both sides");
    let step = threads::CHUNK_BYTES / 4;
    let pieces = x.chunks(step).zip(y.chunks(step)).zip(out.chunks_mut(step));
    threads::for_each(4 * x.len(), pieces, |((x, y), out)| work.run(x, y, out, (x.len(), x.len())))
}

/// How an operand is repeated: each `block` of its elements lies `times` in a row in the other operand's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// Elements side by side.
    pub block: usize,
    /// How often they are there.
    pub times: usize,
}

/// The same of an operand and one that is broadcast to it.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn binary_repeated(
    op: Binary,
    a: Operand<'_>,
    b: Operand<'_>,
    Repeat { block, times }: Repeat,
    relu: bool,
    to: Target<'_>,
) -> Result<(), Stopped> {
    let work = Work::new(op, a, b, relu, &to);
    let (x, y) = (a.codes.bytes(), b.codes.bytes());
    let out = to.codes.bytes();
    let line = block * times;
    assert!(line > 0 && out.len().is_multiple_of(line) && y.len() == out.len() / times, "whole blocks");
    assert_eq!(x.len(), out.len(), "as many results as codes");
    let room = threads::CHUNK_BYTES / 4;
    if line > room {
        // A piece is some of the times of one block.
        let step = (room / block).max(1) * block;
        let lines = x.chunks(line).zip(y.chunks(block)).zip(out.chunks_mut(line));
        let pieces = lines.flat_map(|((x, y), out)| {
            x.chunks(step).zip(out.chunks_mut(step)).map(move |(x, out)| (x, y, out))
        });
        let pieces: Vec<_> = pieces.collect();
        return threads::for_each(4 * x.len(), pieces.into_iter(), |(x, y, out)| {
            work.run(x, y, out, (block, x.len()))
        });
    }
    let lines = room / line;
    let pieces = x.chunks(lines * line).zip(y.chunks(lines * block)).zip(out.chunks_mut(lines * line));
    threads::for_each(4 * x.len(), pieces, |((x, y), out)| work.run(x, y, out, (block, line)))
}

/// What is done to pieces: one kernel where all codes are of one type, and one where they are not.
struct Work {
    isa: Isa,
    op: Binary,
    types: Types,
    params: Params,
}

#[derive(Clone, Copy)]
enum Types {
    Unsigned,
    Signed,
    Mixed,
}

/// As constants of kernels.
const UNSIGNED: u8 = 0;
const SIGNED: u8 = 1;
/// All are unsigned: those that are not have their highest bit turned as they are read and written.
pub(super) const MIXED: u8 = 2;

#[derive(Clone, Copy)]
struct Params {
    scales: (f32, f32),
    zero_points: (f32, f32),
    flips: (u8, u8),
    inv: f32,
    zero_point: i16,
    flip: u8,
    relu: bool,
}

impl Work {
    fn new(op: Binary, a: Operand<'_>, b: Operand<'_>, relu: bool, to: &Target<'_>) -> Self {
        let (x, y, z) = (a.unsigned(), b.unsigned(), to.unsigned());
        let types = match (x.0, y.0, z.0) {
            (0, 0, 0) => Types::Unsigned,
            (1.., 1.., 1..) => Types::Signed,
            _ => Types::Mixed,
        };
        let zero_points = match types {
            Types::Mixed => [x.1, y.1, z.1],
            _ => [a.zero_point, b.zero_point, to.zero_point],
        };
        // A difference is the sum with what is negative: the same bits.
        let b_scale = if op == Binary::Sub { -b.scale } else { b.scale };
        let params = Params {
            scales: (a.scale, b_scale),
            zero_points: (zero_points[0] as f32, zero_points[1] as f32),
            flips: (x.0, y.0),
            inv: 1.0 / to.scale,
            zero_point: zero_points[2] as i16,
            flip: z.0,
            relu,
        };
        Self { isa: Isa::current(), op, types, params }
    }

    /// A piece of whole lines, in each of which a block of the second operand comes again and again.
    fn run(&self, x: &[u8], y: &[u8], out: &mut [MaybeUninit<u8>], (block, line): (usize, usize)) -> bool {
        let lines = Lines { x, y, out, params: self.params, block, line };
        match (self.op, self.types) {
            (Binary::Mul, Types::Unsigned) => arch::dispatch(self.isa, Each::<true, UNSIGNED>(lines)),
            (Binary::Mul, Types::Signed) => arch::dispatch(self.isa, Each::<true, SIGNED>(lines)),
            (Binary::Mul, Types::Mixed) => arch::dispatch_narrow(self.isa, Each::<true, MIXED>(lines)),
            (_, Types::Unsigned) => arch::dispatch(self.isa, Each::<false, UNSIGNED>(lines)),
            (_, Types::Signed) => arch::dispatch(self.isa, Each::<false, SIGNED>(lines)),
            (_, Types::Mixed) => arch::dispatch_narrow(self.isa, Each::<false, MIXED>(lines)),
        }
        true
    }
}

/// Blocks of the second operand that are repeated until they are long enough for vectors, in bytes.
const SPREAD: usize = 2048;

/// One piece of whole lines: in each, one block of the second operand again and again.
struct Lines<'a> {
    x: &'a [u8],
    y: &'a [u8],
    out: &'a mut [MaybeUninit<u8>],
    params: Params,
    block: usize,
    line: usize,
}

/// Its sums or products, of codes of these types.
struct Each<'a, const IS_PRODUCT: bool, const TYPES: u8>(Lines<'a>);

impl<const IS_PRODUCT: bool, const TYPES: u8> Kernel for Each<'_, IS_PRODUCT, TYPES> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Lines { x, y, out, params, block, line } = self.0;
        if block == line {
            return some::<V, IS_PRODUCT, TYPES>(v, x, y, &params, out);
        }
        let mut spread = [0; SPREAD];
        for ((x, y), out) in x.chunks(line).zip(y.chunks(block)).zip(out.chunks_mut(line)) {
            let times = (SPREAD / block).min(line / block);
            let y = if times > 1 {
                for to in spread[..times * block].chunks_exact_mut(block) {
                    to.copy_from_slice(y);
                }
                &spread[..times * block]
            } else {
                y
            };
            for (x, out) in x.chunks(y.len()).zip(out.chunks_mut(y.len())) {
                some::<V, IS_PRODUCT, TYPES>(v, x, &y[..x.len()], &params, out);
            }
        }
    }
}

/// Codes side by side.
#[inline(always)]
fn some<V: Vector, const IS_PRODUCT: bool, const TYPES: u8>(
    v: V,
    x: &[u8],
    y: &[u8],
    params: &Params,
    out: &mut [MaybeUninit<u8>],
) {
    let whole = out.len() / V::GROUP * V::GROUP;
    let (out, rest) = out.split_at_mut(whole);
    let pieces = x.chunks_exact(V::GROUP).zip(y.chunks_exact(V::GROUP));
    for ((x, y), out) in pieces.zip(out.chunks_exact_mut(V::GROUP)) {
        v.store_bytes::<u8, _, false>(group::<V, IS_PRODUCT, TYPES>(v, x, y, params), out);
    }
    if !rest.is_empty() {
        let (mut a, mut b, mut codes) = ([0; 64], [0; 64], [0; 64]);
        a[..rest.len()].copy_from_slice(&x[whole..]);
        b[..rest.len()].copy_from_slice(&y[whole..]);
        v.store_bytes::<u8, u8, false>(group::<V, IS_PRODUCT, TYPES>(v, &a, &b, params), &mut codes);
        arch::copy_to(&codes[..rest.len()], rest);
    }
}

/// The codes of a group. A closure would not do: one that is not inlined lacks the instructions.
#[inline(always)]
fn group<V: Vector, const IS_PRODUCT: bool, const TYPES: u8>(v: V, x: &[u8], y: &[u8], p: &Params) -> V::B {
    let mut steps = values::<V, TYPES>(v, x, p.flips.0, p.zero_points.0, p.scales.0);
    let b = values::<V, TYPES>(v, y, p.flips.1, p.zero_points.1, p.scales.1);
    for j in 0..4 {
        let value = if IS_PRODUCT { v.mul(steps[j], b[j]) } else { v.add(steps[j], b[j]) };
        let value = if p.relu { v.max(value, v.splat(0.0)) } else { value };
        steps[j] = v.mul(value, v.splat(p.inv));
    }
    let zero_point = v.splat16(p.zero_point);
    match TYPES {
        UNSIGNED => v.narrow::<u8>(steps, zero_point),
        SIGNED => v.narrow::<i8>(steps, zero_point),
        _ => v.flip(v.narrow::<u8>(steps, zero_point), p.flip),
    }
}

/// What a group of codes stands for, whose bits are turned by `flip` first where types are mixed.
#[inline(always)]
pub(super) fn values<V: Vector, const TYPES: u8>(
    v: V,
    codes: &[u8],
    flip: u8,
    zero_point: f32,
    scale: f32,
) -> [V::F; 4] {
    let (zero_point, scale) = (v.splat(zero_point), v.splat(scale));
    let mut values = match TYPES {
        UNSIGNED => v.widen::<u8>(codes),
        SIGNED => v.widen::<i8>(bytemuck::cast_slice(codes)),
        _ => v.widen_flipped(codes, flip),
    };
    for value in &mut values {
        *value = v.mul(scale, v.sub(*value, zero_point));
    }
    values
}
