//! Activations for an instruction set that multiplies small pairs faster: stored less a shift, with what is missing of them
//! beside them. Most are: what ReLU leaves is seldom more than half of the greatest value, and around a zero point in the
//! middle numbers are seldom far from it. Others are multiplied exactly as they are, more slowly.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::multiply::Activations;
use super::pack::PackedWeights;
use super::rows::{Lie, Prepared, apart, is_thin};
use super::{Codes, Matrix, Patches, Source};
use crate::arch::product::{Excess, Panels, Product, Quad, Rows, Stored};
use crate::error::Stopped;
use crate::memory::{filled, room};
use crate::threads;

/// What was done to activations.
pub(super) struct Bounds {
    /// The codes that stand for 0 as they are stored.
    zero_points: Vec<i32>,
    /// What was subtracted from each column of rows, or of each of their runs, if anything.
    shifts: Vec<u8>,
    missing: Missing,
}

impl Bounds {
    /// The codes that stand for 0 as they are stored.
    pub(super) fn zero_points(&self) -> &[i32] {
        &self.zero_points
    }

    /// What is missing of rows that start so many elements behind the first one; nothing where nothing is.
    #[inline]
    pub(super) fn excess(&self, before: usize) -> Option<Excess<'_>> {
        let Missing { quads, firsts, unit } = &self.missing;
        (!quads.is_empty()).then_some(Excess { quads, firsts, unit: *unit, before })
    }

    /// What is added to the sums of each column: what was subtracted from activations times the weights, and an integer bias.
    pub(super) fn bias<P: Product>(
        &self,
        p: P,
        weights: &PackedWeights,
        bias: Option<&[i32]>,
    ) -> Option<Vec<i32>> {
        if self.shifts.is_empty() {
            return None;
        }
        let (depth, columns) = (weights.padded, weights.columns());
        let run = weights.padded_run();
        // Elements of a kernel's line have the same shifts.
        let row =
            self.shifts.iter().copied().cycle().take(self.shifts.len() * (run / self.shifts.len()).max(1));
        let mut row: Vec<P::A> = row.map(P::A::of).collect();
        row.resize(run, P::A::default());
        let count = columns.div_ceil(P::NR);
        let panels =
            Panels { data: &weights.panels.bytes()[..count * P::NR * depth], depth, count, are_new: true };
        let mut sums = filled(count * P::NR, 0);
        let runs = filled(depth / run, 0);
        p.block(Rows { runs: &runs, ..Rows::new(&row, run, 1) }, panels, &mut sums, count * P::NR);
        sums.truncate(columns);
        for (sum, bias) in sums.iter_mut().zip(bias.unwrap_or_default()) {
            *sum = sum.wrapping_add(*bias);
        }
        Some(sums)
    }
}

/// What is missing of activations, by where they lie.
struct Missing {
    quads: Vec<Quad>,
    firsts: Vec<u32>,
    unit: usize,
}

/// What is in the middle of activations is stored as so much, if it is not less: then those around it stay above 0, and
/// their pairs below what is exact. Of numbers as random as a bell curve whose ends are 9 deviations apart, 2 quads in 100 do
/// not.
const MIDDLE: i32 = 76;
/// No shift is more, so that pairs of what is missing are exact, too.
const MOST: i32 = 128;

/// How much is subtracted from activations with this in the middle.
fn shift(middle: i32) -> u8 {
    (middle - MIDDLE).clamp(0, MOST) as u8
}

/// Quads that may be missing, of so many, in rows of so many: more take longer than exact products do. A tile that misses any
/// waits as long as some of its steps take.
fn limit(quads: usize, row: usize) -> usize {
    const FEW: usize = 16;
    FEW + if row > 8 { quads * (row - 5) / (8 * row) } else { quads / 128 }
}

/// Outputs from which on storing activations pays.
const OUTPUTS: usize = 16;
/// Rows from which on each of their columns has a shift of its own, by the mean of so many of them.
const ROWS: usize = 16;
const SAMPLE: usize = 32;

impl<A: Stored> Prepared<'_, A> {
    /// Those of activations that suit it; of others none.
    pub(super) fn bounded<P: Product<A = A>>(
        p: P,
        x: &Activations<'_>,
        weights: &PackedWeights,
    ) -> Result<Option<Self>, Stopped> {
        if weights.columns.zero_points.is_some() || weights.columns() < OUTPUTS || weights.padded == 0 {
            return Ok(None);
        }
        let codes = match x.codes {
            Source::Matrix(Matrix { codes, .. }) | Source::Patches(Patches { codes, .. }) => codes,
        };
        let flip = if matches!(codes, Codes::I8(_)) { 128 } else { 0 };
        let zero_points: Vec<i32> = x.zero_points.iter().map(|zero_point| zero_point + flip).collect();
        let bytes = codes.bytes();
        // Units that are stored: how many, how long, how far apart before and after; and what rows are of them.
        let (units, image, line) = match x.codes {
            Source::Matrix(x) => {
                let Matrix { rows: count, columns: length, row_stride, column_stride, .. } = x;
                if column_stride != 1 || length == 0 || count == 0 {
                    return Ok(None);
                }
                let stride = apart::<A>(length.next_multiple_of(P::DEPTH));
                let units = Units { count, length, before: row_stride, after: stride };
                (units, None, count)
            }
            Source::Patches(patches) => {
                let (runs, length) = (patches.runs(), patches.channels);
                let fits = weights.run == runs.length && runs.length > 0 && length.is_multiple_of(P::KU);
                if !fits || patches.group.1 != length || zero_points.len() != 1 {
                    return Ok(None);
                }
                let lines = patches.lines();
                if is_thin(lines.count, patches.rows(), weights) {
                    return Ok(None);
                }
                let zeros = match zero_points[0] {
                    0 => patches.zeros(weights.padded_run()),
                    _ => Default::default(),
                };
                let line = lines.count;
                let units = Units { count: bytes.len() / length, length, before: length, after: length };
                (units, Some((lines, runs, zeros)), line)
            }
        };
        let bound = Bound { p, bytes, flip: flip as u8, units };
        let shifts = match &zero_points[..] {
            &[0] => Shifts::Columns(filled(units.length, 0)),
            &[_] if units.count >= ROWS => Shifts::Columns(bound.shifts()),
            all => Shifts::Rows(all.iter().copied().map(shift).collect()),
        };
        let Some((data, missing)) = bound.all(&shifts, weights.padded)? else { return Ok(None) };
        let (zero_points, shifts) = match shifts {
            Shifts::Rows(all) => {
                let less =
                    zero_points.iter().zip(all).map(|(zero_point, shift)| zero_point - i32::from(shift));
                (less.collect(), Vec::new())
            }
            Shifts::Columns(all) if all.iter().all(|&shift| shift == 0) => (zero_points, Vec::new()),
            Shifts::Columns(all) => (zero_points, all),
        };
        let rows = match image {
            None => Lie::Apart(data.into(), units.after),
            Some((lines, runs, zeros)) => Lie::Image(data.into(), lines, runs, zeros),
        };
        Ok(Some(Self {
            rows,
            line,
            count: x.codes.rows(),
            offset: 0,
            sums: Vec::new(),
            bounds: Some(Bounds { zero_points, shifts, missing }),
        }))
    }
}

/// What is subtracted from rows, or from each of their columns.
enum Shifts {
    Rows(Vec<u8>),
    Columns(Vec<u8>),
}

/// Activations as they lie: `count` times `length` elements, so far apart before they are stored, and after.
#[derive(Clone, Copy)]
struct Units {
    count: usize,
    length: usize,
    before: usize,
    after: usize,
}

impl Units {
    /// Whether nothing lies between them, before and after.
    fn are_dense(&self) -> bool {
        self.before == self.length && self.after == self.length
    }
}

/// Shifts for some units that are stored together.
#[derive(Clone)]
struct EachShift<'a> {
    /// For so many units; what columns have is here already.
    all: Vec<u8>,
    units: usize,
    rows: &'a [u8],
}

/// Bytes that are stored together.
const TOGETHER: usize = 4096;

impl<'a> EachShift<'a> {
    fn new(shifts: &'a Shifts, units: Units) -> Self {
        match shifts {
            Shifts::Columns(all) => {
                let together = if units.are_dense() { (TOGETHER / units.length).max(1) } else { 1 };
                Self { all: all.repeat(together), units: together, rows: &[] }
            }
            Shifts::Rows(rows) => Self { all: filled(units.length, rows[0]), units: 1, rows },
        }
    }

    /// Those of units from one of them on.
    fn of(&mut self, unit: usize) -> &[u8] {
        if self.rows.len() > 1 {
            self.all.fill(self.rows[unit]);
        }
        &self.all
    }
}

/// Codes as bytes, some of whose bits are turned, and what bounds them.
struct Bound<'a, P> {
    p: P,
    bytes: &'a [u8],
    flip: u8,
    units: Units,
}

/// Activations as they are stored.
type Kept<P> = Vec<<P as Product>::A>;

impl<P: Product> Bound<'_, P> {
    /// The codes of a unit.
    fn unit(&self, u: usize) -> &[u8] {
        &self.bytes[u * self.units.before..][..self.units.length]
    }

    /// What suits each column, by the mean of some units.
    fn shifts(&self) -> Vec<u8> {
        let Units { count, length, .. } = self.units;
        let mut sums = filled(length, 0u32);
        for i in 0..SAMPLE {
            let codes = self.unit(i * count / SAMPLE);
            sums.iter_mut().zip(codes).for_each(|(sum, code)| *sum += u32::from(code ^ self.flip));
        }
        sums.into_iter().map(|sum| shift((sum / SAMPLE as u32) as i32)).collect()
    }

    /// All units, stored, and what is missing of them; none where that would be too much for rows so deep.
    fn all(&self, shifts: &Shifts, depth: usize) -> Result<Option<(Kept<P>, Missing)>, Stopped> {
        let row = depth / P::KU;
        let shifts = EachShift::new(shifts, self.units);
        let Units { count, length, after: stride, .. } = self.units;
        let mut data = filled(count * stride, P::A::default());
        let each = (threads::CHUNK_BYTES / stride).max(1);
        let (found, too_many) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        threads::for_each(2 * count * length, data.chunks_mut(each * stride).enumerate(), |(i, data)| {
            if too_many.load(Ordering::Relaxed) {
                return false;
            }
            let (mut quads, mut firsts) = (room(limit(data.len() / P::KU, row)), room(each));
            let mut shifts = shifts.clone();
            let (first, units) = (i * each, data.len() / stride);
            for u in (0..units).step_by(shifts.units) {
                let some = u..units.min(u + shifts.units);
                let start = quads.len();
                let at = (first + some.start) * stride;
                let to = &mut data[some.start * stride..some.end * stride];
                self.store(first + some.start, some.len(), shifts.of(first + u), at, to, &mut quads);
                if quads.len() == start {
                    firsts.resize(firsts.len() + some.len(), start as u32);
                    continue;
                }
                let mut next = start;
                for u in some.clone() {
                    firsts.push(next as u32);
                    let end = ((first + u + 1) * stride / P::KU) as u32;
                    while next < quads.len() && quads[next].at < end {
                        next += 1;
                    }
                }
                if quads.len() > limit(some.end * stride / P::KU, row) {
                    too_many.store(true, Ordering::Relaxed);
                    return false;
                }
            }
            found.lock().expect("nobody panics here").push((i, quads, firsts));
            true
        })?;
        if too_many.into_inner() {
            return Ok(None);
        }
        let mut found = found.into_inner().expect("nobody panics here");
        found.sort_unstable_by_key(|&(i, ..)| i);
        let (mut quads, mut firsts) = (Vec::new(), room(count + 1));
        for (i, some, of_some) in found {
            let before = quads.len() as u32;
            firsts.extend(of_some.into_iter().map(|first| first + before));
            if i == 0 { quads = some } else { quads.extend(some) }
        }
        firsts.push(quads.len() as u32);
        Ok(Some((data, Missing { quads, firsts, unit: stride })))
    }

    /// Some units, each padded by zeros; several only where nothing lies between them.
    #[inline]
    fn store(
        &self,
        first: usize,
        count: usize,
        shifts: &[u8],
        at: usize,
        to: &mut [P::A],
        quads: &mut Vec<Quad>,
    ) {
        let (codes, ku) = (&self.bytes[first * self.units.before..][..count * self.units.length], P::KU);
        let whole = codes.len() / ku * ku;
        self.p.bound(&codes[..whole], self.flip, &shifts[..whole], at / ku, &mut to[..whole], quads);
        if whole < codes.len() {
            let (mut last, mut last_shifts) = ([self.flip; 8], [0; 8]);
            last[..codes.len() - whole].copy_from_slice(&codes[whole..]);
            last_shifts[..codes.len() - whole].copy_from_slice(&shifts[whole..codes.len()]);
            let to = &mut to[whole..whole + ku];
            self.p.bound(&last[..ku], self.flip, &last_shifts[..ku], (at + whole) / ku, to, quads);
        }
    }
}
