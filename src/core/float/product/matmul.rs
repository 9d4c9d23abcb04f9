//! Products of matrices that are both computed.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::multiply::{Finish, Matrix, PER_BYTE, multiply, multiply_here};
use super::packed::{PackedFloats, Plain};
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::Stopped;
use crate::float::rows;
use crate::memory::collected;
use crate::threads;

/// Matrices, one of which starts at each of some places.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    /// From the first number of all on.
    pub x: &'a [f32],
    /// From one row, and from one column, to the next.
    pub strides: (usize, usize),
}

/// Products of matrices.
#[derive(Debug, Clone, Copy)]
pub struct Products<'a> {
    /// The matrices on the left.
    pub left: Factor<'a>,
    /// Those on the right.
    pub right: Factor<'a>,
    /// Rows, depth and columns.
    pub sides: (usize, usize, usize),
    /// Where the two matrices of each product start.
    pub starts: &'a [(usize, usize)],
}

impl Products<'_> {
    fn rows(&self, start: usize) -> (Cow<'_, [f32]>, usize) {
        let ((rows, depth, _), (down, right)) = (self.sides, self.left.strides);
        let x = &self.left.x[start.min(self.left.x.len())..];
        if right == 1 || depth <= 1 {
            return (Cow::Borrowed(x), down);
        }
        let all = (0..rows).flat_map(|r| (0..depth).map(move |k| x[r * down + k * right]));
        (Cow::Owned(collected(rows * depth, all)), depth)
    }

    /// Whether the right side is read where it lies: laying it out takes longer than so few rows take to meet it.
    fn reads_as_it_lies(&self) -> bool {
        self.sides.0 <= FEW && self.right.strides.1 == 1
    }

    fn packed(&self, start: usize) -> PackedFloats {
        let ((_, depth, columns), (down, right)) = (self.sides, self.right.strides);
        let x = &self.right.x[start.min(self.right.x.len())..];
        PackedFloats::of_product(Isa::current(), depth, columns, Plain { x, down, right })
    }
}

/// All products, one after the other.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn products(work: &Products<'_>, to: &mut [MaybeUninit<f32>]) -> Result<(), Stopped> {
    let (rows, depth, columns) = work.sides;
    assert_eq!(to.len(), work.starts.len() * rows * columns, "room for the results");
    if to.is_empty() {
        return Ok(());
    }
    let bytes = to.len().saturating_mul(depth) / PER_BYTE;
    let pieces = to.chunks_mut(rows * columns).zip(work.starts);
    let alike = work.starts.iter().all(|&(_, right)| right == work.starts[0].1);
    let shared = (alike && work.starts.len() > 1).then(|| work.packed(work.starts[0].1));
    if work.starts.len() >= 2 * threads::sharing(bytes) {
        return threads::for_each(bytes, pieces, |(to, &(left, right))| {
            let (x, down) = work.rows(left);
            let x = Matrix { x: &x, rows, columns: depth, down };
            match &shared {
                Some(packed) => multiply_here(&x, packed, to),
                None if work.reads_as_it_lies() => dispatch(Isa::current(), AsItLies { x, work, right, to }),
                None => multiply_here(&x, &work.packed(right), to),
            }
            true
        });
    }
    // Few products share each its rows.
    for (to, &(left, right)) in pieces {
        let (x, down) = work.rows(left);
        let x = Matrix { x: &x, rows, columns: depth, down };
        match &shared {
            Some(packed) => multiply(&x, packed, &Finish::default(), to)?,
            None if work.reads_as_it_lies() => dispatch(Isa::current(), AsItLies { x, work, right, to }),
            None => multiply(&x, &work.packed(right), &Finish::default(), to)?,
        }
    }
    Ok(())
}

/// Few rows, each of which meets the rows of the right side where they lie: in the order of tiles, with the bits of tiles.
struct AsItLies<'a, 'b> {
    x: Matrix<'a>,
    work: &'a Products<'b>,
    /// Where the right side starts.
    right: usize,
    to: &'a mut [MaybeUninit<f32>],
}

/// At most so many rows.
const FEW: usize = 3;

impl Kernel for AsItLies<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Self { x, work, right, to } = self;
        let (depth, columns) = (work.sides.1, work.sides.2);
        let from = &work.right.x[right.min(work.right.x.len())..];
        for (r, to) in to.chunks_exact_mut(columns).enumerate() {
            let row = if depth > 0 { &x.x[r * x.down..][..depth] } else { &[] };
            for at in (0..columns).step_by(V::GROUP) {
                let len = V::GROUP.min(columns - at);
                let mut sums = [v.splat(0.0); 4];
                for (k, &x) in row.iter().enumerate() {
                    let group = rows::load(v, &from[k * work.right.strides.0..], at, len);
                    for (sum, w) in sums.iter_mut().zip(group) {
                        *sum = v.fused(v.splat(x), w, *sum);
                    }
                }
                rows::store(v, sums, to, at, len);
            }
        }
    }
}
