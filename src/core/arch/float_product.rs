//! Products of float matrices, by a library that picks instructions for this CPU.

use std::mem::MaybeUninit;

/// A matrix of floats, with strides in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floats<'a> {
    /// From its first element on.
    pub(crate) x: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// From one row, and from one column, to the next.
    pub(crate) strides: (usize, usize),
}

impl Floats<'_> {
    /// Whether its last element lies in its memory.
    fn is_inside(&self) -> bool {
        let (rows, columns) = (self.rows, self.columns);
        rows == 0
            || columns == 0
            || (rows - 1) * self.strides.0 + (columns - 1) * self.strides.1 < self.x.len()
    }

    /// Rows from one on, so many.
    pub(crate) fn part(self, first: usize, rows: usize) -> Self {
        let start = if rows == 0 { 0 } else { first * self.strides.0 };
        Self { x: &self.x[start.min(self.x.len())..], rows, ..self }
    }
}

/// `a` times `b`, plus a number for each column, in rows one after the other.
///
/// # Panics
/// Lengths that disagree.
pub(crate) fn float_product(a: Floats<'_>, b: Floats<'_>, bias: Option<&[f32]>, to: &mut [MaybeUninit<f32>]) {
    assert!(a.is_inside() && b.is_inside(), "matrices within their memory");
    assert!(a.columns == b.rows && to.len() == a.rows * b.columns, "matrices that fit");
    assert!(bias.is_none_or(|bias| bias.len() == b.columns), "a number for each column");
    if to.is_empty() {
        return;
    }
    for row in to.chunks_exact_mut(b.columns) {
        match bias {
            Some(bias) => super::copy_to(bias, row),
            None => row.fill(MaybeUninit::new(0.0)),
        }
    }
    if a.columns == 0 {
        return;
    }
    // SAFETY: all elements that the strides reach lie in the slices, as was checked, `to` has a place for each result,
    // was filled above, and is borrowed alone.
    unsafe {
        matrixmultiply::sgemm(
            a.rows,
            a.columns,
            b.columns,
            1.0,
            a.x.as_ptr(),
            a.strides.0 as isize,
            a.strides.1 as isize,
            b.x.as_ptr(),
            b.strides.0 as isize,
            b.strides.1 as isize,
            1.0,
            to.as_mut_ptr().cast(),
            b.columns as isize,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_a_plain_loop() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (17, 64, 33), (2, 0, 3), (0, 4, 4)] {
            let x: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
            let w: Vec<f32> = (0..n * k).map(|i| (i % 5) as f32 - 2.0).collect();
            let bias: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let mut to = vec![f32::NAN; m * n];
            let a = Floats { x: &x, rows: m, columns: k, strides: (k, 1) };
            let b = Floats { x: &w, rows: k, columns: n, strides: (1, k) };
            float_product(a, b, Some(&bias), super::super::slots(&mut to));
            for (i, got) in to.iter().enumerate() {
                let (r, c) = (i / n, i % n);
                let sum: f32 = (0..k).map(|d| x[r * k + d] * w[c * k + d]).sum();
                assert_eq!(*got, sum + bias[c]);
            }
        }
    }
}
