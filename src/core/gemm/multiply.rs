//! The product: cut for the caches and the threads, and finished block by block.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::Source;
use super::bounded::Bounds;
use super::columns::{Columns, PADDED};
use super::corrections::Corrections;
use super::epilogue::{Epilogue, ToCodes, ToFloats, ToSums, finish_as_one};
use super::finisher::{Finisher, Room};
use super::pack::PackedWeights;
use super::plan::{Place, Plan, Task};
use super::residual::{Residual, SumToCodes, SumToFloats, Then};
use super::rows::Prepared;
use crate::arch::product::{Panels, Product, ToBytes, ToNumbers, WithProduct, with_product};
use crate::arch::{Lines, Vector};
use crate::error::Stopped;
use crate::threads;

/// One value for all rows, or one for each.
pub type Each<'a, T> = &'a [T];

/// Activations: codes, and what they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Activations<'a> {
    /// A row for each output row.
    pub codes: Source<'a>,
    /// The size of a step. Not used for sums.
    pub scales: Each<'a, f32>,
    /// The codes that stand for 0.
    pub zero_points: Each<'a, i32>,
}

/// What is added to each column.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish<'a> {
    /// A real number for each output, or none. Not used for sums.
    pub bias: Option<&'a [f32]>,
    /// An integer for each output, in steps of a product (the scale of the activations times the weights'), or none.
    pub int_bias: Option<&'a [i32]>,
    /// Negative results become 0. Not used for sums.
    pub relu: bool,
    /// What negative results of each output are multiplied by before they are rounded, or none: PReLU. Not with sums, nor
    /// with ReLU.
    pub slopes: Option<&'a [f32]>,
    /// What is added to results, before they are rounded and before ReLU. Not with sums.
    pub residual: Option<Residual<'a>>,
}

/// Where results go, in rows one after the other, and what they are.
#[derive(Debug)]
pub enum Results<'a> {
    /// The sums.
    Sums(&'a mut [MaybeUninit<i32>]),
    /// Real numbers.
    Floats(&'a mut [MaybeUninit<f32>]),
    /// Codes of this scale and zero point, unsigned.
    U8(&'a mut [MaybeUninit<u8>], f32, i32),
    /// Codes of this scale and zero point, signed.
    I8(&'a mut [MaybeUninit<i8>], f32, i32),
}

/// `x` times the transpose of `weights`, by the rounding contract's formula for linear layers.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree; codes as results where rows have scales of their own.
pub fn multiply(
    x: &Activations<'_>,
    weights: &PackedWeights,
    finish: &Finish<'_>,
    results: Results<'_>,
) -> Result<(), Stopped> {
    multiply_into(x, weights, finish, results, Place { first: 0, of: weights.columns() })
}

impl Results<'_> {
    /// The same room, for less long.
    pub(crate) fn again(&mut self) -> Results<'_> {
        match self {
            Self::Sums(to) => Results::Sums(to),
            Self::Floats(to) => Results::Floats(to),
            Self::U8(to, scale, zero_point) => Results::U8(to, *scale, *zero_point),
            Self::I8(to, scale, zero_point) => Results::I8(to, *scale, *zero_point),
        }
    }
}

/// As [`multiply`], into some columns of wider rows.
pub(crate) fn multiply_into(
    x: &Activations<'_>,
    weights: &PackedWeights,
    finish: &Finish<'_>,
    results: Results<'_>,
    place: Place,
) -> Result<(), Stopped> {
    let rows = x.codes.rows();
    assert_eq!(x.codes.columns(), weights.depth(), "as deep as the weights");
    assert!([1, rows].contains(&x.zero_points.len()), "one zero point, or one for each row");
    assert!([1, rows].contains(&x.scales.len()), "one scale, or one for each row");
    with_epilogue(x.scales, &weights.columns, finish, results, Run { x, weights, finish, place })
}

/// Something that turns sums into results.
pub(crate) trait WithEpilogue {
    /// Does it.
    fn run<E: Epilogue>(self, epilogue: &E, to: &mut [MaybeUninit<E::Out>]) -> Result<(), Stopped>;
}

/// Does something with what finishes sums: of activations with these scales, times these columns.
pub(crate) fn with_epilogue<W: WithEpilogue>(
    scales: &[f32],
    columns: &Columns,
    finish: &Finish<'_>,
    results: Results<'_>,
    work: W,
) -> Result<(), Stopped> {
    let n = columns.count;
    assert!(finish.bias.is_none_or(|b| b.len() == n), "one bias for each output");
    assert!(finish.int_bias.is_none_or(|b| b.len() == n), "one bias for each output");
    let (bias, relu) = (finish.bias, finish.relu);
    let one = || {
        let &[scale] = scales else { panic!("codes as results of rows with scales of their own") };
        scale
    };
    if finish.residual.is_some() || finish.slopes.is_some() {
        assert!(
            finish.slopes.is_none_or(|s| s.len() == n && !relu),
            "one slope for each output, and no ReLU"
        );
        let fits = |results: usize| {
            assert!(finish.residual.is_none_or(|r| r.len() == results), "a residual for each result");
        };
        let floats = ToFloats::new(columns, scales, bias, false);
        let then = Then::new(finish);
        return match results {
            Results::Sums(_) => panic!("sums have no residual and no slopes"),
            Results::Floats(to) => {
                fits(to.len());
                work.run(&SumToFloats::new(floats, then), to)
            }
            Results::U8(to, scale, zero_point) => {
                fits(to.len());
                work.run(&SumToCodes::<u8>::new(floats, then, (scale, zero_point)), to)
            }
            Results::I8(to, scale, zero_point) => {
                fits(to.len());
                work.run(&SumToCodes::<i8>::new(floats, then, (scale, zero_point)), to)
            }
        };
    }
    match results {
        Results::Sums(to) => work.run(&ToSums, to),
        Results::Floats(to) => work.run(&ToFloats::new(columns, scales, bias, relu), to),
        Results::U8(to, scale, zero_point) => {
            work.run(&ToCodes::<u8>::new(columns, one(), bias, relu, (scale, zero_point)), to)
        }
        Results::I8(to, scale, zero_point) => {
            work.run(&ToCodes::<i8>::new(columns, one(), bias, relu, (scale, zero_point)), to)
        }
    }
}

struct Run<'a, 'b> {
    x: &'a Activations<'b>,
    weights: &'a PackedWeights,
    finish: &'a Finish<'a>,
    place: Place,
}

impl WithEpilogue for Run<'_, '_> {
    fn run<E: Epilogue>(self, epilogue: &E, to: &mut [MaybeUninit<E::Out>]) -> Result<(), Stopped> {
        let Self { x, weights, place, .. } = self;
        assert_eq!(to.len(), x.codes.rows() * place.of, "room for the results");
        if to.is_empty() || weights.columns() == 0 {
            return Ok(());
        }
        with_product(weights.isa(), Multiply { run: self, epilogue, to })
    }
}

struct Multiply<'a, 'b, E: Epilogue> {
    run: Run<'a, 'b>,
    epilogue: &'a E,
    to: &'a mut [MaybeUninit<E::Out>],
}

/// Sums of a block stay in the first cache.
const BLOCK: usize = 2048;
/// Rows that meet a panel while it is in the first cache, and their bytes that are there, too.
const AT_ONCE: usize = 64;
const CLOSE: usize = 16 << 10;

impl<E: Epilogue> WithProduct for Multiply<'_, '_, E> {
    type Output = Result<(), Stopped>;

    fn run<P: Product>(self, p: P) -> Result<(), Stopped> {
        let Run { x, weights, finish, .. } = self.run;
        let int_bias = finish.int_bias;
        if let Some(bounded) = p.bounded()
            && let Some(prepared) = Prepared::bounded(bounded, x, weights)?
        {
            let bias = prepared.bounds.as_ref().and_then(|bounds| bounds.bias(p, weights, int_bias));
            return self.multiply(bounded, prepared, bias.as_deref().or(int_bias));
        }
        self.multiply(p, Prepared::new::<P>(x, weights)?, int_bias)
    }
}

impl<E: Epilogue> Multiply<'_, '_, E> {
    fn multiply<P: Product>(
        self,
        p: P,
        prepared: Prepared<'_, P::A>,
        int_bias: Option<&[i32]>,
    ) -> Result<(), Stopped> {
        let Self { run: Run { x, weights, place, .. }, epilogue, to } = self;
        let (table, offset) = (&weights.columns, prepared.offset);
        let zero_points = prepared.bounds.as_ref().map_or(x.zero_points, Bounds::zero_points);
        let corrections = Corrections::new(table, zero_points, int_bias, offset, &prepared.sums);
        let (plan, bytes) = Plan::of::<P>(x.codes.rows(), prepared.line, weights);
        let tasks = plan.tasks(to, place, weights.columns(), P::NR);
        // Where rows are few, more sums than one are made for each output, and those of two panels together.
        let registers = P::IN_REGISTERS && plan.height >= P::HIGH && weights.padded > 0;
        let base = if registers { corrections.base() } else { None };
        let (to_bytes, as_bytes) = base.as_ref().and_then(|base| epilogue.to_bytes(base)).unzip();
        let halves = if registers && to_bytes.is_none() { corrections.halves(weights.padded) } else { None };
        let zeros = halves.as_ref().map(|halves| corrections.of_zeros(halves));
        let (to_floats, as_floats) = zeros.as_ref().and_then(|zeros| epilogue.to_floats(zeros)).unzip();
        let as_one = finish_as_one(&corrections, epilogue);
        let made = to_bytes.map(Made::Codes).or(to_floats.map(Made::Floats));
        let (prepared, plan, made) = (&prepared, &plan, made.as_ref());
        let work = Work { p, weights, prepared, plan, made, as_one };
        threads::for_each(bytes, tasks.into_iter(), |task| {
            let Task { blocks, panels, to } = task;
            let (corrections, first) = (&corrections, (plan.row(blocks.start), panels.start * P::NR));
            let shape = Shape { rows: to.rows(), columns: to.columns(), dense: to.is_dense() };
            let v = p.vector();
            let mut room = Room { v, corrections, epilogue, as_bytes, as_floats, first, to };
            // Seen through, it would be compiled once more for each kind of result.
            work.task(blocks, panels, shape, black_box(&mut room as &mut dyn Finisher));
            true
        })
    }
}

/// The results of a task.
struct Shape {
    rows: usize,
    columns: usize,
    /// Whether rows follow each other without a gap.
    dense: bool,
}

/// How results are made before sums leave the registers.
enum Made<'a> {
    Codes(ToBytes<'a>),
    Floats(ToNumbers<'a>),
}

/// What all tasks have in common; compiled for each instruction set, not for each kind of result.
struct Work<'a, P: Product> {
    p: P,
    weights: &'a PackedWeights,
    prepared: &'a Prepared<'a, P::A>,
    plan: &'a Plan,
    made: Option<&'a Made<'a>>,
    /// Whether sums that follow each other may be finished as one row.
    as_one: bool,
}

impl<P: Product> Work<'_, P> {
    /// Some panels, which rows of a task meet for the first time or again.
    fn strip(&self, panels: Range<usize>, are_new: bool) -> Panels<'_> {
        let depth = self.weights.padded;
        let bytes = P::NR * depth;
        let data = &self.weights.panels.bytes()[panels.start * bytes..panels.end * bytes];
        Panels { data, depth, count: panels.len(), are_new }
    }

    fn task(&self, blocks: Range<usize>, panels: Range<usize>, shape: Shape, to: &mut dyn Finisher) {
        match self.made {
            Some(made) => self.at_once(blocks, panels, shape, made, to),
            None => self.sums(blocks, panels, shape, to),
        }
    }

    /// Results that are made before sums leave the registers.
    fn at_once(
        &self,
        blocks: Range<usize>,
        panels: Range<usize>,
        shape: Shape,
        made: &Made<'_>,
        to: &mut dyn Finisher,
    ) {
        let Self { p, weights, prepared, plan, .. } = *self;
        let (mut done, mut room) = (0, Vec::new());
        let first = plan.row(blocks.start);
        let close = (CLOSE / weights.padded.max(1)).min(AT_ONCE);
        for block in plan.blocks_of(blocks, (AT_ONCE, close)) {
            let rows = prepared.rows(p.vector(), block, &mut room);
            let (row, column) = (first + done, panels.start * P::NR);
            let own = done..done + block.lines * block.count;
            done = own.end;
            let (strip, columns) = (self.strip(panels.clone(), row == first), 0..shape.columns);
            match made {
                Made::Codes(finish) => {
                    p.codes(rows, strip, &finish.from(row, column), to.bytes(own, columns))
                }
                Made::Floats(finish) => {
                    p.floats(rows, strip, &finish.from(row, column), to.floats(own, columns))
                }
            }
        }
    }

    /// Sums, finished while they are in the first cache.
    fn sums(&self, blocks: Range<usize>, panels: Range<usize>, shape: Shape, to: &mut dyn Finisher) {
        let Self { p, weights, prepared, plan, .. } = *self;
        let columns = weights.columns();
        // Panels whose sums are finished together: whole groups, unless they are the last ones.
        let whole = (panels.len() * P::NR).next_multiple_of(PADDED);
        let width = ((BLOCK / plan.height).clamp(PADDED, 512) / PADDED * PADDED).min(whole);
        // Where rows follow each other without a gap, so do their sums.
        let as_one = columns <= width
            && shape.dense
            && shape.columns == columns
            && (columns >= P::NR || P::IN_ORDER)
            && !columns.is_multiple_of(P::V::GROUP)
            && self.as_one;
        let stride = if as_one { columns } else { width };
        // Rows whose sums are finished together, where that takes all of their columns.
        let more = if width < whole { 0 } else { BLOCK / stride };
        let at_once = more.max(plan.height).min(shape.rows);
        let mut sums = Lines::zeros(4 * (at_once * stride + PADDED));
        let sums = sums.ints_mut();
        let mut room = Vec::new();
        // Rows that have results, and those that have sums.
        let (mut done, mut waiting) = (0, 0);
        for block in plan.blocks_of(blocks, (at_once, 0)) {
            let rows = prepared.rows(p.vector(), block, &mut room);
            let (at_row, is_first) = (waiting, done + waiting == 0);
            waiting += block.lines * block.count;
            let full = waiting + plan.height * block.lines > at_once || done + waiting == shape.rows;
            for at in panels.clone().step_by((width / P::NR).max(1)) {
                let some = at..panels.end.min(at + width / P::NR);
                let mut whole = some.clone();
                if stride < some.len() * P::NR && some.len() > 1 {
                    // What the last panel has beyond the last column, the next row's first panel writes over.
                    whole.end -= 1;
                    let sums = &mut sums[at_row * stride + whole.len() * P::NR..];
                    p.block(rows, self.strip(whole.end..some.end, is_first), sums, stride);
                }
                p.block(rows, self.strip(whole, is_first), &mut sums[at_row * stride..], stride);
                if full {
                    let start = (at - panels.start) * P::NR;
                    let end = (start + some.len() * P::NR).min(shape.columns);
                    to.finish(sums, stride, done..done + waiting, start..end);
                }
            }
            if full {
                (done, waiting) = (done + waiting, 0);
            }
        }
    }
}
