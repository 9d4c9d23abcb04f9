//! What the sums of each output need to become results.

use super::pack::WeightParams;

/// Tables with a value for each column are padded to a multiple of this, which every instruction set's group divides.
pub(crate) const PADDED: usize = 64;

/// Tables with a value for each column, padded.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    /// How many there are.
    pub(crate) count: usize,
    /// The sum of its weights less their zero point.
    pub(crate) sums: Vec<i32>,
    /// Its zero point, as stored weights count it, where sums still hold it. None where it is 0 in all of them.
    pub(crate) zero_points: Option<Vec<i32>>,
    /// Its scale.
    pub(crate) scales: Vec<f32>,
}

impl Columns {
    /// From the sums of stored weights, which are `offset` more than codes, over `depth` steps; padded.
    pub(crate) fn new(
        count: usize,
        mut sums: Vec<i32>,
        params: WeightParams<'_>,
        offset: i32,
        depth: usize,
    ) -> Self {
        let zero_points: Vec<i32> = table(count, params.zero_points, 0).map(|z| z + offset).collect();
        for (sum, &zero_point) in sums.iter_mut().zip(&zero_points).take(count) {
            *sum -= zero_point * depth as i32;
        }
        let zero_points = zero_points[..count].iter().any(|&z| z != 0).then_some(zero_points);
        Self { count, sums, zero_points, scales: table(count, params.scales, 1.0).collect() }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        4 * (self.sums.len() + self.scales.len() + self.zero_points.as_ref().map_or(0, Vec::len))
    }
}

/// One value for all columns, or one for each, padded with the last one.
fn table<T: Copy>(count: usize, values: &[T], none: T) -> impl Iterator<Item = T> {
    let at = move |i: usize| if values.len() == 1 { 0 } else { i.min(count.max(1) - 1) };
    (0..count.next_multiple_of(PADDED)).map(move |i| values.get(at(i)).copied().unwrap_or(none))
}
