//! What the sums of each output need to become results.

use std::borrow::Cow;

use super::pack::WeightParams;

/// Tables with a value for each column are padded to a multiple of this, which every instruction set's group divides.
pub(crate) const PADDED: usize = 64;

/// A table with a value for each column, padded: behind the last column comes the first one again, so that a group may
/// start at any column; rows that follow each other without a gap have such groups.
pub(super) fn padded<T: Copy>(values: &[T]) -> Cow<'_, [T]> {
    if values.len().is_multiple_of(PADDED) {
        return Cow::Borrowed(values);
    }
    let n = values.len().next_multiple_of(PADDED) + PADDED;
    Cow::Owned(values.iter().copied().cycle().take(n).collect())
}

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
    /// From the sums of stored weights, which are `offset` more than codes, over `depth` steps.
    pub(crate) fn new(
        count: usize,
        mut sums: Vec<i32>,
        params: WeightParams<'_>,
        offset: i32,
        depth: usize,
    ) -> Self {
        let zero_points: Vec<i32> = table(count, params.zero_points, 0).iter().map(|z| z + offset).collect();
        for (sum, &zero_point) in sums.iter_mut().zip(&zero_points) {
            *sum -= zero_point * depth as i32;
        }
        let any = zero_points.iter().any(|&z| z != 0);
        Self {
            count,
            sums: padded(&sums).into_owned(),
            zero_points: any.then(|| padded(&zero_points).into_owned()),
            scales: padded(&table(count, params.scales, 1.0)).into_owned(),
        }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        4 * (self.sums.len() + self.scales.len() + self.zero_points.as_ref().map_or(0, Vec::len))
    }
}

/// A value for each column, from one for all or one for each.
fn table<T: Copy>(count: usize, values: &[T], none: T) -> Vec<T> {
    let at = |i: usize| if values.len() == 1 { 0 } else { i };
    (0..count).map(|i| values.get(at(i)).copied().unwrap_or(none)).collect()
}
