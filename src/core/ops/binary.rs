//! Sums, differences and products of two tensors.

use std::mem::MaybeUninit;

use super::{Operand, Target, TargetCodes};
use crate::arch::{self, Byte, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::gemm::Codes;
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
    match a.codes {
        Codes::U8(x) => with_first(op, x, a, b, relu, to, None),
        Codes::I8(x) => with_first(op, x, a, b, relu, to, None),
    }
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
    repeat: Repeat,
    relu: bool,
    to: Target<'_>,
) -> Result<(), Stopped> {
    let how = Some(repeat);
    match a.codes {
        Codes::U8(x) => with_first(op, x, a, b, relu, to, how),
        Codes::I8(x) => with_first(op, x, a, b, relu, to, how),
    }
}

fn with_first<A: Byte>(
    op: Binary,
    x: &[A],
    a: Operand<'_>,
    b: Operand<'_>,
    relu: bool,
    to: Target<'_>,
    repeat: Option<Repeat>,
) -> Result<(), Stopped> {
    match b.codes {
        Codes::U8(y) => with_both(op, x, y, (a, b), relu, to, repeat),
        Codes::I8(y) => with_both(op, x, y, (a, b), relu, to, repeat),
    }
}

fn with_both<A: Byte, B: Byte>(
    op: Binary,
    x: &[A],
    y: &[B],
    (a, b): (Operand<'_>, Operand<'_>),
    relu: bool,
    to: Target<'_>,
    repeat: Option<Repeat>,
) -> Result<(), Stopped> {
    let params = Params {
        scales: (a.scale, b.scale),
        zero_points: (a.zero_point as f32, b.zero_point as f32),
        inv: 1.0 / to.scale,
        zero_point: to.zero_point as i16,
        relu,
    };
    match (to.codes, repeat) {
        (TargetCodes::U8(out), None) => share(op, x, y, params, out),
        (TargetCodes::I8(out), None) => share(op, x, y, params, out),
        (TargetCodes::U8(out), Some(repeat)) => share_repeated(op, x, y, params, out, repeat),
        (TargetCodes::I8(out), Some(repeat)) => share_repeated(op, x, y, params, out, repeat),
    }
}

#[derive(Clone, Copy)]
struct Params {
    scales: (f32, f32),
    zero_points: (f32, f32),
    inv: f32,
    zero_point: i16,
    relu: bool,
}

fn share<A: Byte, B: Byte, C: Byte>(
    op: Binary,
    x: &[A],
    y: &[B],
    params: Params,
    out: &mut [MaybeUninit<C>],
) -> Result<(), Stopped> {
    assert!(x.len() == out.len() && y.len() == out.len(), "as many results as codes on both sides");
    let isa = Isa::current();
    let step = threads::CHUNK_BYTES / 4;
    let pieces = x.chunks(step).zip(y.chunks(step)).zip(out.chunks_mut(step));
    threads::for_each(4 * x.len(), pieces, |((x, y), out)| {
        match op {
            Binary::Add => arch::dispatch(isa, Run::<_, _, _, 0> { x, y, out, params }),
            Binary::Sub => arch::dispatch(isa, Run::<_, _, _, 1> { x, y, out, params }),
            Binary::Mul => arch::dispatch(isa, Run::<_, _, _, 2> { x, y, out, params }),
        }
        true
    })
}

fn share_repeated<A: Byte, B: Byte, C: Byte>(
    op: Binary,
    x: &[A],
    y: &[B],
    params: Params,
    out: &mut [MaybeUninit<C>],
    Repeat { block, times }: Repeat,
) -> Result<(), Stopped> {
    let line = block * times;
    assert!(line > 0 && out.len().is_multiple_of(line) && y.len() == out.len() / times, "whole blocks");
    assert_eq!(x.len(), out.len(), "as many results as codes");
    let isa = Isa::current();
    let run = |x: &[A], y: &[B], out: &mut [MaybeUninit<C>], line: usize| {
        match op {
            Binary::Add => arch::dispatch(isa, Lines::<_, _, _, 0> { x, y, out, params, block, line }),
            Binary::Sub => arch::dispatch(isa, Lines::<_, _, _, 1> { x, y, out, params, block, line }),
            Binary::Mul => arch::dispatch(isa, Lines::<_, _, _, 2> { x, y, out, params, block, line }),
        }
        true
    };
    let room = threads::CHUNK_BYTES / 4;
    let work = 4 * x.len();
    if line > room {
        // A piece is some of the times of one block.
        let step = (room / block).max(1) * block;
        let lines = x.chunks(line).zip(y.chunks(block)).zip(out.chunks_mut(line));
        let pieces = lines.flat_map(|((x, y), out)| {
            x.chunks(step).zip(out.chunks_mut(step)).map(move |(x, out)| (x, y, out))
        });
        let pieces: Vec<_> = pieces.collect();
        return threads::for_each(work, pieces.into_iter(), |(x, y, out)| {
            let line = out.len();
            run(x, y, out, line)
        });
    }
    let lines = room / line;
    let pieces = x.chunks(lines * line).zip(y.chunks(lines * block)).zip(out.chunks_mut(lines * line));
    threads::for_each(work, pieces, |((x, y), out)| run(x, y, out, line))
}

/// Blocks of the second operand that are repeated until they are long enough for vectors, in bytes.
const SPREAD: usize = 2048;

/// One piece of whole lines: in each, one block of the second operand again and again.
struct Lines<'a, A, B, C, const OP: u8> {
    x: &'a [A],
    y: &'a [B],
    out: &'a mut [MaybeUninit<C>],
    params: Params,
    block: usize,
    line: usize,
}

impl<A: Byte, B: Byte, C: Byte, const OP: u8> Kernel for Lines<'_, A, B, C, OP> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self { x, y, out, params, block, line } = self;
        let mut spread = [B::default(); SPREAD];
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
                Run::<A, B, C, OP> { x, y: &y[..x.len()], out, params }.run(v);
            }
        }
    }
}

/// One piece, for one of the operations.
struct Run<'a, A, B, C, const OP: u8> {
    x: &'a [A],
    y: &'a [B],
    out: &'a mut [MaybeUninit<C>],
    params: Params,
}

/// What a group of codes stands for.
#[inline(always)]
pub(super) fn values<V: Vector, C: Byte>(v: V, codes: &[C], zero_point: f32, scale: f32) -> [V::F; 4] {
    let (zero_point, scale) = (v.splat(zero_point), v.splat(scale));
    let [a, b, c, d] = v.widen::<C>(codes);
    [
        v.mul(scale, v.sub(a, zero_point)),
        v.mul(scale, v.sub(b, zero_point)),
        v.mul(scale, v.sub(c, zero_point)),
        v.mul(scale, v.sub(d, zero_point)),
    ]
}

impl<A: Byte, B: Byte, C: Byte, const OP: u8> Run<'_, A, B, C, OP> {
    /// The steps of a result.
    #[inline(always)]
    fn steps<V: Vector>(v: V, a: V::F, b: V::F, p: &Params) -> V::F {
        let value = match OP {
            0 => v.add(a, b),
            1 => v.sub(a, b),
            _ => v.mul(a, b),
        };
        let value = if p.relu { v.max(value, v.splat(0.0)) } else { value };
        v.mul(value, v.splat(p.inv))
    }

    /// The codes of a group. A closure would not do: one that is not inlined lacks the instructions.
    #[inline(always)]
    fn group<V: Vector>(v: V, x: &[A], y: &[B], p: &Params) -> V::B {
        let a = values(v, x, p.zero_points.0, p.scales.0);
        let b = values(v, y, p.zero_points.1, p.scales.1);
        let steps = [
            Self::steps(v, a[0], b[0], p),
            Self::steps(v, a[1], b[1], p),
            Self::steps(v, a[2], b[2], p),
            Self::steps(v, a[3], b[3], p),
        ];
        v.narrow::<C>(steps, v.splat16(p.zero_point))
    }
}

impl<A: Byte, B: Byte, C: Byte, const OP: u8> Kernel for Run<'_, A, B, C, OP> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let whole = self.out.len() / V::GROUP * V::GROUP;
        let (out, rest) = self.out.split_at_mut(whole);
        let pieces = self.x.chunks_exact(V::GROUP).zip(self.y.chunks_exact(V::GROUP));
        for ((x, y), out) in pieces.zip(out.chunks_exact_mut(V::GROUP)) {
            v.store_bytes::<C, _, false>(Self::group(v, x, y, &self.params), out);
        }
        if !rest.is_empty() {
            let (mut x, mut y, mut codes) = ([A::default(); 64], [B::default(); 64], [C::default(); 64]);
            x[..rest.len()].copy_from_slice(&self.x[whole..]);
            y[..rest.len()].copy_from_slice(&self.y[whole..]);
            v.store_bytes::<C, C, false>(Self::group(v, &x, &y, &self.params), &mut codes);
            arch::copy_to(&codes[..rest.len()], rest);
        }
    }
}
