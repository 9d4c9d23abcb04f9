//! Cuts an array into spans, and brings each one's parameters.
//!
//! - One set of parameters: one span.
//! - Long runs of a channel: a span for each run.
//! - Short runs (down to 1, the channels last): the parameters are written out, one for each element, into a table over
//!   a block of whole periods (`channels * inner`), and a span is a block. So a kernel never sees a short run.

use std::ops::Range;

use super::{Affine, Channels};
use crate::arch::Vector;

/// Elements of a block: its table stays in the fastest cache.
const BLOCK: usize = 4096;
/// A period up to here gets one table for all of it, in the second cache.
const LONGEST_TABLE: usize = 64 << 10;
/// A run from here on pays for a span of its own.
const LONG_RUN: usize = 1024;
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

/// Where a span's parameters come from; `i` counts from its start.
pub(super) trait Source: Copy {
    fn inv<V: Vector>(&self, v: V, i: usize) -> V::F;
    fn scale<V: Vector>(&self, v: V, i: usize) -> V::F;
    fn zero_point<V: Vector>(&self, v: V, i: usize) -> V::F;
    /// For a whole group.
    fn zero_point16<V: Vector>(&self, v: V, i: usize) -> V::Z;
    /// `inv` and the zero point of one element.
    fn steps(&self, i: usize) -> (f32, f64);
    /// The scale and the zero point of one element.
    fn values(&self, i: usize) -> (f32, f64);
}

impl Source for Lane {
    #[inline(always)]
    fn inv<V: Vector>(&self, v: V, _: usize) -> V::F {
        v.splat(self.inv)
    }
    #[inline(always)]
    fn scale<V: Vector>(&self, v: V, _: usize) -> V::F {
        v.splat(self.scale)
    }
    #[inline(always)]
    fn zero_point<V: Vector>(&self, v: V, _: usize) -> V::F {
        v.splat(self.zero_point as f32)
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
#[derive(Debug, Default)]
struct Tables {
    inv: Vec<f32>,
    scale: Vec<f32>,
    zero_point: Vec<f32>,
    zero_point16: Vec<i16>,
    zero_point64: Vec<f64>,
}

impl Tables {
    /// The parameters of the elements in `range`.
    fn fill(&mut self, range: Range<usize>, affine: &Affine<'_>, layout: Channels, uses: Uses) {
        self.inv.clear();
        self.scale.clear();
        self.zero_point.clear();
        self.zero_point16.clear();
        self.zero_point64.clear();
        each_run(range, layout, |run, channel| {
            let (n, lane) = (run.len(), affine.lane(channel));
            self.extend(n, lane, uses);
        });
        self.extend(PADDING, Lane { inv: 1.0, scale: 1.0, zero_point: 0.0 }, uses);
    }

    #[inline]
    fn extend(&mut self, n: usize, lane: Lane, uses: Uses) {
        fn put<T: Copy>(to: &mut Vec<T>, n: usize, value: T, used: bool) {
            if used {
                to.resize(to.len() + n, value);
            }
        }
        put(&mut self.inv, n, lane.inv, uses.inv);
        put(&mut self.scale, n, lane.scale, uses.scale);
        put(&mut self.zero_point, n, lane.zero_point as f32, uses.zero_point);
        put(&mut self.zero_point16, n, lane.zero_point as i16, uses.zero_point16);
        put(&mut self.zero_point64, n, lane.zero_point, uses.zero_point64);
    }

    #[inline(always)]
    fn from(&self, i: usize) -> Table<'_> {
        Table {
            inv: self.inv.get(i..).unwrap_or_default(),
            scale: self.scale.get(i..).unwrap_or_default(),
            zero_point: self.zero_point.get(i..).unwrap_or_default(),
            zero_point16: self.zero_point16.get(i..).unwrap_or_default(),
            zero_point64: self.zero_point64.get(i..).unwrap_or_default(),
        }
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
    fn inv<V: Vector>(&self, v: V, i: usize) -> V::F {
        v.load(&self.inv[i..])
    }
    #[inline(always)]
    fn scale<V: Vector>(&self, v: V, i: usize) -> V::F {
        v.load(&self.scale[i..])
    }
    #[inline(always)]
    fn zero_point<V: Vector>(&self, v: V, i: usize) -> V::F {
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

    /// Visits the spans of a flat range.
    #[inline(always)]
    pub fn each(&self, range: Range<usize>, op: &mut impl Spans) {
        match &self.cut {
            Cut::Whole(lane) => op.span(range, *lane),
            Cut::Runs(layout) => {
                each_run(
                    range,
                    *layout,
                    #[inline(always)]
                    |run, channel| op.span(run, self.affine.lane(channel)),
                );
            }
            Cut::Blocks { tables, block } => {
                let mut at = range.start;
                while at < range.end {
                    let offset = at % block;
                    let end = range.end.min(at - offset + block);
                    op.span(at..end, tables.from(offset));
                    at = end;
                }
            }
            Cut::Written { layout, uses } => {
                let mut tables = Tables::default();
                let mut at = range.start;
                while at < range.end {
                    let end = range.end.min(at + BLOCK);
                    tables.fill(at..end, self.affine, *layout, *uses);
                    op.span(at..end, tables.from(0));
                    at = end;
                }
            }
        }
    }
}

impl Cut {
    #[cold]
    fn channels(affine: &Affine<'_>, layout: Channels, uses: Uses) -> Self {
        let period = layout.channels * layout.inner;
        if layout.is_empty() || layout.inner >= LONG_RUN {
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
        let mut tables = Tables::default();
        tables.fill(0..block, affine, layout, uses);
        Self::Blocks { tables, block }
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

/// Visits the runs of one channel in a flat range, with that channel.
#[inline(always)]
fn each_run(range: Range<usize>, layout: Channels, mut visit: impl FnMut(Range<usize>, usize)) {
    let mut at = range.start;
    if at >= range.end {
        return;
    }
    let mut channel = at / layout.inner % layout.channels;
    let mut run_end = at - at % layout.inner + layout.inner;
    while at < range.end {
        let end = run_end.min(range.end);
        visit(at..end, channel);
        at = end;
        run_end += layout.inner;
        channel += 1;
        if channel == layout.channels {
            channel = 0;
        }
    }
}
