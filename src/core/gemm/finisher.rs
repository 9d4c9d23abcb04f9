//! The results of a task, whatever they are: what makes sums is compiled for each instruction set, and not for each kind
//! of result too.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::corrections::Corrections;
use super::epilogue::{AsBytes, AsFloats, Epilogue, FinishBlock};
use crate::arch::{Vector, Window};

/// What becomes of the sums of some rows and columns of a task.
pub(crate) trait Finisher {
    /// Finishes sums, `stride` apart, one row for each of `rows`; there are more of them, up to a group.
    fn finish(&mut self, sums: &[i32], stride: usize, rows: Range<usize>, columns: Range<usize>);

    /// The room for codes that are made before sums leave the registers.
    fn bytes(&mut self, rows: Range<usize>, columns: Range<usize>) -> Window<'_, MaybeUninit<u8>>;

    /// The room for floats that are.
    fn floats(&mut self, rows: Range<usize>, columns: Range<usize>) -> Window<'_, MaybeUninit<f32>>;
}

/// Results of one kind, finished with an instruction set's vectors.
pub(crate) struct Room<'a, 'w, V, E: Epilogue> {
    pub(crate) v: V,
    pub(crate) corrections: &'a Corrections<'a>,
    pub(crate) epilogue: &'a E,
    pub(crate) as_bytes: Option<AsBytes<E::Out>>,
    pub(crate) as_floats: Option<AsFloats<E::Out>>,
    /// The first row and column of the task.
    pub(crate) first: (usize, usize),
    pub(crate) to: Window<'w, MaybeUninit<E::Out>>,
}

impl<V: Vector, E: Epilogue> Finisher for Room<'_, '_, V, E> {
    fn finish(&mut self, sums: &[i32], stride: usize, rows: Range<usize>, columns: Range<usize>) {
        self.v.run(FinishBlock {
            corrections: self.corrections,
            epilogue: self.epilogue,
            sums,
            stride,
            first_row: self.first.0 + rows.start,
            first_column: self.first.1 + columns.start,
            to: self.to.part(rows, columns),
        });
    }

    fn bytes(&mut self, rows: Range<usize>, columns: Range<usize>) -> Window<'_, MaybeUninit<u8>> {
        let as_bytes = self.as_bytes.expect("codes that are made in registers");
        as_bytes(self.to.part(rows, columns))
    }

    fn floats(&mut self, rows: Range<usize>, columns: Range<usize>) -> Window<'_, MaybeUninit<f32>> {
        let as_floats = self.as_floats.expect("floats that are made in registers");
        as_floats(self.to.part(rows, columns))
    }
}
