//! Some rows and columns of a matrix of results: what a task writes.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::vector::Byte;

/// Rows and columns of a matrix that is written. Those that one is split into do not overlap.
#[derive(Debug)]
pub(crate) struct Window<'a, T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    /// From one row to the next.
    stride: usize,
    of: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]` of which some elements are left out.
unsafe impl<T: Send> Send for Window<'_, T> {}

impl<T> Default for Window<'_, T> {
    /// Nothing.
    fn default() -> Self {
        Self::new(&mut [], 0, 0..0)
    }
}

impl<'a, T> Window<'a, T> {
    /// Some columns of whole rows, each so long.
    ///
    /// # Panics
    /// Rows that are not whole, or shorter than the columns.
    pub(crate) fn new(to: &'a mut [T], row: usize, columns: Range<usize>) -> Self {
        assert!(columns.start <= columns.end && columns.end <= row && to.len().is_multiple_of(row.max(1)));
        let rows = to.len() / row.max(1);
        // Not past the end, also where there are no rows.
        let start = to.as_mut_ptr().wrapping_add(columns.start);
        Self { start, rows, columns: columns.len(), stride: row, of: PhantomData }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// From one row to the next.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "asked for by kernels of x86-64"))]
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first rows, and the others.
    pub(crate) fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows);
        let start = self.start.wrapping_add(at * self.stride);
        (Self { rows: at, ..self }, Self { start, rows: self.rows - at, ..self })
    }

    /// The first columns, and the others.
    pub(crate) fn split_columns(self, at: usize) -> (Self, Self) {
        assert!(at <= self.columns);
        let start = self.start.wrapping_add(at);
        (Self { columns: at, ..self }, Self { start, columns: self.columns - at, ..self })
    }

    /// Some rows and columns, for less long.
    pub(crate) fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> Window<'_, T> {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        let start = self.start.wrapping_add(rows.start * self.stride + columns.start);
        Window { start, rows: rows.len(), columns: columns.len(), stride: self.stride, of: PhantomData }
    }

    /// A row.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows);
        // SAFETY: `new` has seen that all rows and columns are there; splitting and parting leave no element to two
        // windows that may be used at once; `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }

    /// Whether its rows follow each other.
    pub(crate) fn is_dense(&self) -> bool {
        self.columns == self.stride || self.rows <= 1
    }

    /// All rows, if they follow each other.
    #[inline(always)]
    pub(crate) fn dense(&mut self) -> Option<&mut [T]> {
        // SAFETY: as in `row`; nothing lies between the rows.
        self.is_dense()
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.start, self.rows * self.columns) })
    }
}

impl<'a, C: Byte> Window<'a, MaybeUninit<C>> {
    /// Codes as bytes.
    pub(crate) fn bytes(self) -> Window<'a, MaybeUninit<u8>> {
        let Self { start, rows, columns, stride, .. } = self;
        // Any byte is a code.
        Window { start: start.cast(), rows, columns, stride, of: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_where_they_should_and_cover_all() {
        let mut all = vec![0; 5 * 7];
        let (top, bottom) = Window::new(&mut all, 7, 1..6).split_rows(2);
        for (number, window) in [(1, top), (3, bottom)] {
            let (left, right) = window.split_columns(2);
            for (number, mut window) in [(number, left), (number + 1, right)] {
                assert!(!window.is_dense());
                for r in 0..window.rows() {
                    window.row(r).iter_mut().for_each(|x| *x += number);
                }
                let (rows, columns) = (window.rows(), window.columns());
                window.part(rows - 1..rows, columns - 1..columns).dense().unwrap()[0] += 10;
            }
        }
        let want: Vec<Vec<i32>> = vec![
            vec![0, 1, 1, 2, 2, 2, 0],
            vec![0, 1, 11, 2, 2, 12, 0],
            vec![0, 3, 3, 4, 4, 4, 0],
            vec![0, 3, 3, 4, 4, 4, 0],
            vec![0, 3, 13, 4, 4, 14, 0],
        ];
        assert_eq!(all, want.concat());
        assert!(Window::new(&mut all, 7, 0..7).dense().is_some_and(|all| all.len() == 35));
        assert_eq!(Window::new(&mut [0; 0], 7, 3..7).rows(), 0);
    }
}
