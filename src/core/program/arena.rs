//! One piece of memory for all values between steps: where each lies, and how a step sees them.

use std::ops::Range;

/// A value's need of memory: so many bytes from one task to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) bytes: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Lifetime {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Values start where lines of the caches do.
const ALIGNED: usize = 64;

/// Where each of them starts, so that none that live at the same time overlap, and how much memory that takes. The
/// largest come first, each into the smallest gap that takes it.
pub(super) fn place(all: &[Lifetime]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..all.len()).filter(|&i| all[i].bytes > 0).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(all[i].bytes), all[i].first));
    let mut starts = vec![0; all.len()];
    // Those that are placed, by where they start.
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    let mut total = 0;
    for i in order {
        let need = all[i].bytes.next_multiple_of(ALIGNED);
        let (mut best, mut end) = (None::<(usize, usize)>, 0);
        for &other in placed.iter().filter(|&&other| all[other].meets(&all[i])) {
            let start = starts[other];
            if start >= end + need && best.is_none_or(|(gap, _)| start - end < gap) {
                best = Some((start - end, end));
            }
            end = end.max(start + all[other].bytes.next_multiple_of(ALIGNED));
        }
        starts[i] = best.map_or(end, |(_, start)| start);
        total = total.max(starts[i] + need);
        let at = placed.partition_point(|&other| starts[other] <= starts[i]);
        placed.insert(at, i);
    }
    (starts, total)
}

/// Two parts of memory that are written, and what lies around them.
pub(super) fn split(
    memory: &mut [u8],
    one: Range<usize>,
    other: Range<usize>,
) -> (&mut [u8], &mut [u8], Rest<'_>) {
    // What is empty lies anywhere: behind the other one.
    let other = if other.is_empty() { one.end..one.end } else { other };
    if one.start > other.start || (one.is_empty() && one.start < other.end) {
        let one = if one.is_empty() { other.end..other.end } else { one };
        let (second, first, rest) = ordered(memory, other, one);
        return (first, second, rest);
    }
    ordered(memory, one, other)
}

fn ordered(memory: &mut [u8], one: Range<usize>, other: Range<usize>) -> (&mut [u8], &mut [u8], Rest<'_>) {
    let (before, memory) = memory.split_at_mut(one.start);
    let (first, memory) = memory.split_at_mut(one.len());
    let (between, memory) = memory.split_at_mut(other.start - one.end);
    let (second, after) = memory.split_at_mut(other.len());
    (first, second, Rest([(0, before), (one.end, between), (other.end, after)]))
}

/// Memory that is read: parts, and where each starts.
#[derive(Clone, Copy)]
pub(super) struct Rest<'a>([(usize, &'a [u8]); 3]);

impl<'a> Rest<'a> {
    /// Some of it.
    ///
    /// # Panics
    /// What is being written.
    pub(super) fn get(&self, range: Range<usize>) -> &'a [u8] {
        let inside =
            |&&(start, part): &&(usize, &[u8])| start <= range.start && range.end <= start + part.len();
        let (start, part) = self.0.iter().rev().find(inside).expect("memory that no one writes");
        &part[range.start - start..range.end - start]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_lives_together_lies_apart(
            all in prop::collection::vec((0usize..5000, 0usize..20, 0usize..6), 0..40)
        ) {
            let all: Vec<_> = all
                .into_iter()
                .map(|(bytes, first, more)| Lifetime { bytes, first, last: first + more })
                .collect();
            let (starts, total) = place(&all);
            let size = |i: usize| all[i].bytes.next_multiple_of(ALIGNED);
            for i in 0..all.len() {
                prop_assert!(starts[i] + all[i].bytes <= total && starts[i].is_multiple_of(ALIGNED));
                for j in 0..i {
                    let apart = starts[i] + all[i].bytes <= starts[j] || starts[j] + all[j].bytes <= starts[i];
                    let empty = all[i].bytes == 0 || all[j].bytes == 0;
                    prop_assert!(apart || empty || !all[i].meets(&all[j]));
                }
            }
            // Never more than all of them side by side, never less than what lives at one time.
            prop_assert!(total <= (0..all.len()).map(size).sum());
            for now in 0..26 {
                let living = (0..all.len()).filter(|&i| all[i].first <= now && now <= all[i].last);
                prop_assert!(total >= living.map(|i| all[i].bytes).sum());
            }
        }
    }

    #[test]
    fn a_chain_takes_two_buffers() {
        let all: Vec<_> = (0..10).map(|i| Lifetime { bytes: 64, first: i, last: i + 1 }).collect();
        assert_eq!(place(&all).1, 128);
    }

    #[test]
    fn parts_are_written_and_the_rest_is_read() {
        let mut memory: Vec<u8> = (0..100).collect();
        let (one, other, rest) = split(&mut memory, 60..70, 10..20);
        assert_eq!((one[0], other[0]), (60, 10));
        assert_eq!(rest.get(20..60)[0], 20);
        assert_eq!(rest.get(70..100).len(), 30);
        assert_eq!(rest.get(0..10).len(), 10);
        for (one, other) in [(0..0, 0..0), (0..50, 0..0), (0..0, 0..50), (30..50, 0..0), (0..0, 30..50)] {
            let (first, second, rest) = split(&mut memory, one.clone(), other.clone());
            assert_eq!((first.len(), second.len()), (one.len(), other.len()));
            assert_eq!(rest.get(50..100)[0], 50);
        }
    }
}
