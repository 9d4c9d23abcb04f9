//! Products without intrinsics.

use super::{Panels, Product, Rows, check};
use crate::arch::scalar::Scalar;

impl Product for Scalar {
    type A = i16;
    type V = Self;
    type Channelwise = Self;
    type Bounded = Self;
    const MR: usize = 4;
    const NR: usize = 8;
    const KU: usize = 2;

    fn vector(self) -> Self {
        self
    }

    fn channelwise(self) -> Self {
        self
    }

    fn block(self, rows: Rows<'_, i16>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        check::<Self>(rows, panels, out, stride);
        let depth = panels.depth;
        let all = rows.lines.len() * rows.count;
        for (p, r) in (0..panels.count).flat_map(|p| (0..all).map(move |r| (p, r))) {
            let row = rows.runs.iter().flat_map(|run| {
                rows.data[rows.lines[r / rows.count] + r % rows.count * rows.stride + run..]
                    [..depth / rows.runs.len()]
                    .as_chunks::<2>()
                    .0
            });
            let panel =
                panels.data[p * depth * Self::NR..][..depth * Self::NR].as_chunks::<{ 2 * Self::NR }>().0;
            let mut sums = [0i32; Self::NR];
            for (pair, columns) in row.zip(panel) {
                for (sum, w) in sums.iter_mut().zip(columns.as_chunks::<2>().0) {
                    let product = |i: usize| i32::from(pair[i]) * i32::from(w[i]);
                    *sum = sum.wrapping_add(product(0) + product(1));
                }
            }
            out[r * stride + p * Self::NR..][..Self::NR].copy_from_slice(&sums);
        }
    }
}
