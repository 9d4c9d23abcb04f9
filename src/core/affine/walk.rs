//! Cuts an array into spans, and brings each one's parameters.
//!
//! - One set of parameters: one span.
//! - Long runs of a channel: a span for each run.
//! - Short runs (down to 1, the channels last): the parameters are written out, one for each element, into a table over
//!   a block of whole periods (`channels * inner`), and a span is a block. So a kernel never sees a short run.

use std::ops::Range;

use super::{Affine, Channels};
use crate::arch::Vector;

/// Elements of a block, if a period is not longer.
const BLOCK: usize = 2048;
/// A period up to here gets one table for all of it, in the second cache.
const LONGEST_TABLE: usize = 64 << 10;
/// A run from here on pays for a span of its own.
const LONG_RUN: usize = 1024;
/// The same where the table would have to be written anew for each block.
const LONG_RUN_WITHOUT_TABLE: usize = 128;
/// Elements that a table has beyond its end: a group of the widest vector.
const PADDING: usize = 64;

/// What an operation needs in a table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Uses {
    pub inv: bool,
    pub scale: bool,
    pub zero_point: bool,
    pub zero_point16: bool,
    pub zero_point64: bool,
}

/// The parameters of one element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    pub inv: f32,
    pub scale: f32,
    /// An i32 or an f32: exact.
    pub zero_point: f64,
}

/// Where a span's parameters come from; `i` counts from its start. Vectors are those of a group.
pub(super) trait Source: Copy {
    fn inv<V: Vector>(&self, v: V, i: usize) -> [V::F; 4];
    fn scale<V: Vector>(&self, v: V, i: usize) -> [V::F; 4];
    fn zero_point<V: Vector>(&self, v: V, i: usize) -> [V::F; 4];
    fn zero_point16<V: Vector>(&self, v: V, i: usize) -> V::Z;
    /// `inv` and the zero point of one element.
    fn steps(&self, i: usize) -> (f32, f64);
    /// The scale and the zero point of one element.
    fn values(&self, i: usize) -> (f32, f64);
}

impl Source for Lane {
    #[inline(always)]
    fn inv<V: Vector>(&self, v: V, _: usize) -> [V::F; 4] {
        [v.splat(self.inv); 4]
    }
    #[inline(always)]
    fn scale<V: Vector>(&self, v: V, _: usize) -> [V::F; 4] {
        [v.splat(self.scale); 4]
    }
    #[inline(always)]
    fn zero_point<V: Vector>(&self, v: V, _: usize) -> [V::F; 4] {
        [v.splat(self.zero_point as f32); 4]
    }
    #[inline(always)]
    fn zero_point16<V: Vector>(&self, v: V, _: usize) -> V::Z {
        v.splat16(self.zero_point as i16)
    }
    #[inline(always)]
    fn steps(&self, _: usize) -> (f32, f64) {
        (self.inv, self.zero_point)
    }
    #[inline(always)]
    fn values(&self, _: usize) -> (f32, f64) {
        (self.scale, self.zero_point)
    }
}

/// Parameters written out for each element; what the operation does not use is empty.
#[derive(Debug)]
struct Tables {
    inv: Column<f32>,
    scale: Column<f32>,
    zero_point: Column<f32>,
    zero_point16: Column<i16>,
    zero_point64: Column<f64>,
}

impl Tables {
    /// The parameters of the elements in `range`, which lies in one period or starts one.
    fn new(range: Range<usize>, affine: &Affine<'_>, layout: Channels, uses: Uses) -> Self {
        let lane = |channel| affine.lane(channel);
        Self {
            inv: Column::new(uses.inv, &range, layout, 1.0, |c| lane(c).inv),
            scale: Column::new(uses.scale, &range, layout, 1.0, |c| lane(c).scale),
            zero_point: Column::new(uses.zero_point, &range, layout, 0.0, |c| lane(c).zero_point as f32),
            zero_point16: Column::new(uses.zero_point16, &range, layout, 0, |c| lane(c).zero_point as i16),
            zero_point64: Column::new(uses.zero_point64, &range, layout, 0.0, |c| lane(c).zero_point),
        }
    }

    #[inline(always)]
    fn from(&self, i: usize) -> Table<'_> {
        Table {
            inv: self.inv.from(i),
            scale: self.scale.from(i),
            zero_point: self.zero_point.from(i),
            zero_point16: self.zero_point16.from(i),
            zero_point64: self.zero_point64.from(i),
        }
    }
}

/// One parameter of each element, from a cache line's start on: vectors that straddle two lines cost twice.
#[derive(Debug)]
struct Column<T> {
    memory: Vec<T>,
    start: usize,
}

impl<T: Copy> Column<T> {
    fn new(used: bool, range: &Range<usize>, layout: Channels, pad: T, of: impl Fn(usize) -> T) -> Self {
        if !used {
            return Self { memory: Vec::new(), start: 0 };
        }
        let mut memory = Vec::<T>::with_capacity(range.len() + 2 * PADDING);
        // Whatever it is, the answer stays right.
        let start = memory.as_ptr().align_offset(64).min(PADDING);
        memory.resize(start, pad);
        let period = layout.channels * layout.inner;
        let first = range.start..range.end.min((range.start / period + 1) * period);
        if layout.inner == 1 {
            memory.extend((first.start % period..).take(first.len()).map(of));
        } else {
            for (run, channel) in Runs::new(first, layout) {
                memory.resize(memory.len() + run.len(), of(channel));
            }
        }
        let end = start + range.len();
        while memory.len() < end {
            memory.extend_from_within(start..memory.len().min(start + end - memory.len()));
        }
        memory.resize(end + PADDING, pad);
        Self { memory, start }
    }

    #[inline(always)]
    fn from(&self, i: usize) -> &[T] {
        self.memory.get(self.start + i..).unwrap_or_default()
    }
}

/// A span's part of the tables, and [`PADDING`] more.
#[derive(Debug, Clone, Copy)]
struct Table<'a> {
    inv: &'a [f32],
    scale: &'a [f32],
    zero_point: &'a [f32],
    zero_point16: &'a [i16],
    zero_point64: &'a [f64],
}

impl Source for Table<'_> {
    #[inline(always)]
    fn inv<V: Vector>(&self, v: V, i: usize) -> [V::F; 4] {
        v.load(&self.inv[i..])
    }
    #[inline(always)]
    fn scale<V: Vector>(&self, v: V, i: usize) -> [V::F; 4] {
        v.load(&self.scale[i..])
    }
    #[inline(always)]
    fn zero_point<V: Vector>(&self, v: V, i: usize) -> [V::F; 4] {
        v.load(&self.zero_point[i..])
    }
    #[inline(always)]
    fn zero_point16<V: Vector>(&self, v: V, i: usize) -> V::Z {
        v.load16(&self.zero_point16[i..])
    }
    #[inline(always)]
    fn steps(&self, i: usize) -> (f32, f64) {
        (self.inv[i], self.zero_point64[i])
    }
    #[inline(always)]
    fn values(&self, i: usize) -> (f32, f64) {
        (self.scale[i], self.zero_point64[i])
    }
}

/// What an operation does with a span.
pub(super) trait Spans {
    /// `range` is flat; `#[inline(always)]`.
    fn span<S: Source>(&mut self, range: Range<usize>, source: S);
}

/// How an array is cut.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    affine: &'a Affine<'a>,
    cut: Cut,
}

#[derive(Debug)]
enum Cut {
    Whole(Lane),
    Runs(Channels),
    Blocks { tables: Tables, block: usize },
    Written { layout: Channels, uses: Uses },
}

impl<'a> Walk<'a> {
    /// The cut for these parameters, and the tables of an operation if it needs any.
    #[inline]
    pub fn new(affine: &'a Affine<'a>, uses: Uses) -> Self {
        let cut = match *affine {
            Affine::PerTensor { .. } => Cut::Whole(affine.lane(0)),
            Affine::PerChannel { layout, .. } | Affine::PerChannelFloat { layout, .. } => {
                Cut::channels(affine, layout, uses)
            }
        };
        Self { affine, cut }
    }

    /// About `elements`, in whole blocks: where to cut work without cutting a block.
    #[inline]
    pub fn step(&self, elements: usize) -> usize {
        let unit = match &self.cut {
            Cut::Blocks { block, .. } => *block,
            _ => PADDING,
        };
        elements.div_ceil(unit) * unit
    }

    /// Visits the spans of a flat range. `span` stands here twice, once for each kind of source, since it is inlined.
    #[inline(always)]
    pub fn each(&self, range: Range<usize>, op: &mut impl Spans) {
        let runs = match &self.cut {
            Cut::Whole(_) => Some(Runs::one(range.clone())),
            Cut::Runs(layout) => Some(Runs::new(range.clone(), *layout)),
            Cut::Blocks { .. } | Cut::Written { .. } => None,
        };
        if let Some(runs) = runs {
            for (run, channel) in runs {
                let lane = match &self.cut {
                    Cut::Whole(lane) => *lane,
                    _ => self.affine.lane(channel),
                };
                op.span(run, lane);
            }
            return;
        }
        let mut at = range.start;
        while at < range.end {
            let own;
            let (tables, offset, end) = match &self.cut {
                Cut::Blocks { tables, block } => {
                    let offset = at % block;
                    (tables, offset, range.end.min(at - offset + block))
                }
                Cut::Written { layout, uses } => {
                    let period = layout.channels * layout.inner;
                    let end = range.end.min(at + BLOCK).min((at / period + 1) * period);
                    own = Tables::new(at..end, self.affine, *layout, *uses);
                    (&own, 0, end)
                }
                Cut::Whole(_) | Cut::Runs(_) => return,
            };
            op.span(at..end, tables.from(offset));
            at = end;
        }
    }
}

impl Cut {
    #[cold]
    fn channels(affine: &Affine<'_>, layout: Channels, uses: Uses) -> Self {
        let period = layout.channels * layout.inner;
        let long = if period > LONGEST_TABLE { LONG_RUN_WITHOUT_TABLE } else { LONG_RUN };
        if layout.is_empty() || layout.inner >= long {
            return Self::Runs(layout);
        }
        if layout.channels == 1 {
            return Self::Whole(affine.lane(0));
        }
        if period > LONGEST_TABLE {
            return Self::Written { layout, uses };
        }
        // Blocks that are a multiple of 64 elements leave the output aligned from one to the next.
        let aligned = period << (6 - period.trailing_zeros().min(6));
        let unit = if aligned <= 2 * BLOCK { aligned } else { period };
        let block = (unit * (BLOCK / unit).max(1)).min(layout.len());
        Self::Blocks { tables: Tables::new(0..block, affine, layout, uses), block }
    }
}

impl Affine<'_> {
    /// The parameters of a channel.
    #[inline(always)]
    fn lane(&self, channel: usize) -> Lane {
        let (scale, zero_point) = match *self {
            Self::PerTensor { scale, zero_point } => (scale, f64::from(zero_point)),
            Self::PerChannel { scales, zero_points, .. } => {
                (scales[channel], f64::from(zero_points[channel]))
            }
            Self::PerChannelFloat { scales, zero_points, .. } => {
                (scales[channel], f64::from(zero_points[channel]))
            }
        };
        Lane { inv: 1.0 / scale, scale, zero_point }
    }

    /// Whether zero points are floats, added before rounding.
    pub(super) fn is_float(&self) -> bool {
        matches!(self, Self::PerChannelFloat { .. })
    }
}

/// The runs of one channel in a flat range, each with its channel.
struct Runs {
    at: usize,
    end: usize,
    run_end: usize,
    channel: usize,
    layout: Channels,
}

impl Runs {
    /// All of it as one run.
    #[inline(always)]
    fn one(range: Range<usize>) -> Self {
        let layout = Channels { channels: 1, inner: 0, outer: 1 };
        Self { at: range.start, end: range.end, run_end: range.end, channel: 0, layout }
    }

    #[inline(always)]
    fn new(range: Range<usize>, layout: Channels) -> Self {
        let Range { start: at, end } = range;
        if at >= end {
            return Self { at, end: at, run_end: at, channel: 0, layout };
        }
        let channel = at / layout.inner % layout.channels;
        Self { at, end, run_end: at - at % layout.inner + layout.inner, channel, layout }
    }
}

impl Iterator for Runs {
    type Item = (Range<usize>, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let item = (self.at..self.run_end.min(self.end), self.channel);
        self.at = self.run_end;
        self.run_end += self.layout.inner;
        self.channel += 1;
        if self.channel == self.layout.channels {
            self.channel = 0;
        }
        Some(item)
    }
}
