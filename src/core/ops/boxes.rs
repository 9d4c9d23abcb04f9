//! Boxes in images: which of them no better one covers.

use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::Stopped;
use crate::memory::{collected, reserve, room};
use crate::threads::{self, Poll};

/// Which boxes stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suppression {
    /// So many of each class at most.
    pub limit: usize,
    /// A box goes whose intersection with a better one, by the union of the two, is greater.
    pub overlap: f32,
    /// A box goes whose score is not greater.
    pub least: Option<f32>,
    /// Boxes are (x, y, width, height) around their middles, and not two corners, (y, x, y, x).
    pub centred: bool,
}

/// How many images there are, how many classes, and how many boxes each image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Images.
    pub images: usize,
    /// Classes that boxes have a score for.
    pub classes: usize,
    /// Boxes of an image.
    pub boxes: usize,
}

/// Boxes that no better one of their class covers: image, class and box of each, the best ones of a class first, of equal
/// ones the first. A score that is no number is the least; a box without an area, or with a side that is no number,
/// covers nothing and is covered by nothing.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn non_max_suppression(
    boxes: &[f32],
    scores: &[f32],
    counts: Counts,
    how: &Suppression,
) -> Result<Vec<[i64; 3]>, Stopped> {
    let Counts { images, classes, boxes: n } = counts;
    assert_eq!(boxes.len(), 4 * images * n, "four numbers for each box");
    assert_eq!(scores.len(), images * classes * n, "a score of each class for each box");
    if scores.is_empty() || how.limit == 0 {
        return Ok(Vec::new());
    }
    let (isa, mut found) =
        (Isa::current(), collected(images * classes, (0..images * classes).map(|_| Vec::new())));
    // What a box costs grows with those that stay: some of them, for a guess.
    let work = scores.len().saturating_mul(64);
    for (image, found) in found.chunks_mut(classes).enumerate() {
        let all = sides(&boxes[4 * image * n..][..4 * n], how.centred);
        let rows = scores[image * classes * n..].chunks_exact(n).zip(found);
        let rows = rows.collect::<Vec<_>>();
        threads::for_each(work, rows.into_iter(), |(scores, found)| {
            let order = in_order(scores, how.least);
            *found = arch::dispatch(isa, Row { sides: &all, order: &order, how });
            true
        })?;
    }
    let mut made = room(found.iter().map(Vec::len).sum());
    for (row, found) in found.into_iter().enumerate() {
        let (image, class) = (row / classes, row % classes);
        made.extend(found.into_iter().map(|own| [image as i64, class as i64, own as i64]));
    }
    Ok(made)
}

/// The least and the greatest place of a box along both axes, and its area.
#[derive(Clone, Copy)]
struct Sides {
    low: [f32; 2],
    high: [f32; 2],
    area: f32,
}

fn sides(boxes: &[f32], centred: bool) -> Vec<Sides> {
    let of = |of: &[f32]| {
        let (low, high) = match centred {
            true => ([0, 1].map(|a| of[a] - of[a + 2] / 2.0), [0, 1].map(|a| of[a] + of[a + 2] / 2.0)),
            false => ([0, 1].map(|a| of[a].min(of[a + 2])), [0, 1].map(|a| of[a].max(of[a + 2]))),
        };
        let area = match of.iter().any(|side| side.is_nan()) {
            true => 0.0,
            false => (high[1] - low[1]) * (high[0] - low[0]),
        };
        Sides { low, high, area }
    };
    collected(boxes.len() / 4, boxes.chunks_exact(4).map(of))
}

/// Places of scores above the least one, the greatest first.
fn in_order(scores: &[f32], least: Option<f32>) -> Vec<usize> {
    // As integers in the opposite order; -0 is 0.
    let key = |score: f32| match score.is_nan() {
        true => u32::MAX,
        false => {
            let bits = (score + 0.0).to_bits();
            if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits }
        }
    };
    let passes = |score: f32| least.is_none_or(|least| score > least);
    let count = scores.iter().filter(|&&score| passes(score)).count();
    let all = scores.iter().enumerate().filter(|&(_, &score)| passes(score));
    let mut keyed = collected(count, all.map(|(i, &score)| (key(score), i)));
    keyed.sort_unstable();
    collected(count, keyed.into_iter().map(|(_, i)| i))
}

/// Boxes that stay, side by side; those that are not there yet have no area.
#[derive(Clone, Copy)]
struct Block {
    low: [[f32; LANES]; 2],
    high: [[f32; LANES]; 2],
    area: [f32; LANES],
}

const LANES: usize = 16;

impl Block {
    const EMPTY: Self = Self { low: [[0.0; LANES]; 2], high: [[0.0; LANES]; 2], area: [0.0; LANES] };

    #[inline(always)]
    fn put(&mut self, lane: usize, own: &Sides) {
        for a in 0..2 {
            (self.low[a][lane], self.high[a][lane]) = (own.low[a], own.high[a]);
        }
        self.area[lane] = own.area;
    }

    /// Whether one of them covers a box.
    #[inline(always)]
    fn covers(&self, own: &Sides, overlap: f32) -> bool {
        let mut hits = [0u32; LANES];
        for (i, hit) in hits.iter_mut().enumerate() {
            let side = |a: usize| least(own.high[a], self.high[a][i]) - greatest(own.low[a], self.low[a][i]);
            let (high, wide) = (side(0), side(1));
            let shared = wide * high;
            let union = own.area + self.area[i] - shared;
            let meets = (wide > 0.0) & (high > 0.0) & (shared > 0.0);
            let has_area = (self.area[i] > 0.0) & (union > 0.0);
            *hit = u32::from(meets & has_area & (shared / union > overlap));
        }
        hits.iter().fold(0, |any, hit| any | hit) != 0
    }
}

/// One instruction each, where `f32::min` looks for NaN.
#[inline(always)]
fn least(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn greatest(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// One class of an image.
struct Row<'a> {
    sides: &'a [Sides],
    /// Boxes, the best one first.
    order: &'a [usize],
    how: &'a Suppression,
}

/// Boxes between two looks at the clock.
const PIECE: usize = 64;

impl Kernel for Row<'_> {
    type Output = Vec<usize>;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> Vec<usize> {
        let Self { sides, order, how } = self;
        let (mut kept, mut blocks, mut poll) = (Vec::new(), Vec::new(), Poll::new());
        for piece in order.chunks(PIECE) {
            poll.end_if_interrupted();
            for &i in piece {
                if kept.len() >= how.limit {
                    return kept;
                }
                let own = &sides[i];
                if own.area > 0.0 && blocks.iter().any(|block: &Block| block.covers(own, how.overlap)) {
                    continue;
                }
                let lane = kept.len() % LANES;
                if lane == 0 {
                    grow(&mut blocks, Block::EMPTY);
                }
                if let Some(block) = blocks.last_mut() {
                    block.put(lane, own);
                }
                grow(&mut kept, i);
            }
        }
        kept
    }
}

/// One more element, where there is memory for it.
fn grow<T>(all: &mut Vec<T>, one: T) {
    if all.len() == all.capacity() {
        reserve(all, all.len().max(LANES));
    }
    all.push(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(boxes: &[f32], scores: &[f32], how: &Suppression) -> Vec<i64> {
        let counts = Counts { images: 1, classes: 1, boxes: scores.len() };
        non_max_suppression(boxes, scores, counts, how).unwrap().into_iter().map(|[_, _, own]| own).collect()
    }

    const HOW: Suppression = Suppression { limit: usize::MAX, overlap: 0.5, least: None, centred: false };

    #[test]
    fn of_two_that_cover_each_other_the_better_one_stays() {
        let boxes = [0.0, 0.0, 1.0, 1.0, 0.0, 0.1, 1.0, 1.1, 5.0, 5.0, 4.0, 4.0];
        assert_eq!(found(&boxes, &[0.5, 0.9, 0.7], &HOW), [1, 2]);
        assert_eq!(found(&boxes, &[0.9, 0.9, 0.9], &HOW), [0, 2]);
        assert_eq!(found(&boxes, &[0.5, 0.9, 0.7], &Suppression { limit: 1, ..HOW }), [1]);
        assert_eq!(found(&boxes, &[0.5, 0.9, 0.7], &Suppression { least: Some(0.7), ..HOW }), [1]);
    }

    #[test]
    fn what_is_no_number_covers_nothing_and_comes_last() {
        let boxes = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, f32::NAN, 1.0, 0.0, 0.0, 1.0, 1.0];
        assert_eq!(found(&boxes, &[f32::NAN, 0.3, f32::NEG_INFINITY], &HOW), [1, 2]);
        assert_eq!(found(&boxes, &[0.1, 0.3, f32::NAN], &Suppression { least: Some(0.0), ..HOW }), [1, 0]);
    }
}
