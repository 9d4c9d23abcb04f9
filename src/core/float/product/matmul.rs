//! Products of matrices that are both computed.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::multiply::{Finish, Matrix, PER_BYTE, multiply, multiply_here};
use super::packed::{PackedFloats, Plain};
use crate::arch::Isa;
use crate::error::Stopped;
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
            None => multiply(&x, &work.packed(right), &Finish::default(), to)?,
        }
    }
    Ok(())
}
