//! What each layer makes of the shape of its input.

use super::{Step, To, Windows};
use crate::gemm::Space;
use crate::ops::pool::{Window, adaptive_windows};

/// The shape of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Number of channels.
    pub channels: usize,
    /// Lengths.
    pub space: Space,
}

impl Shape {
    /// Number of elements; none where that does not fit a word.
    pub fn len(self) -> Option<usize> {
        self.space.iter().try_fold(self.channels, |n, &axis| n.checked_mul(axis))
    }

    /// Whether it has no elements.
    pub fn is_empty(self) -> bool {
        self.channels == 0 || self.space.contains(&0)
    }
}

/// A chain's way for images of one shape.
#[derive(Debug)]
pub struct Plan {
    /// Of the input, and of what each step makes of it.
    pub(super) shapes: Vec<Shape>,
    /// Those of each step that pools.
    pub(super) windows: Vec<Option<[Vec<Window>; 3]>>,
    /// Images that pass the steps together.
    pub(super) at_once: usize,
    /// Products, and elements that are moved, of one image.
    work: usize,
}

/// Codes of a layer's input and output that stay in the second cache.
const CACHED: usize = 96 << 10;

impl Plan {
    /// For images of this shape; none where a step does not take them.
    pub fn new(steps: &[Step<'_>], input: Shape) -> Option<Self> {
        let (mut shapes, mut windows) = (vec![input], Vec::with_capacity(steps.len()));
        let mut work = 0usize;
        for (i, step) in steps.iter().enumerate() {
            let from = shapes[i];
            // Nothing comes after floats.
            let floats =
                matches!(step, Step::Linear { to: To::Floats, .. } | Step::Conv { to: To::Floats, .. });
            if from.is_empty() || (floats && i + 1 < steps.len()) {
                return None;
            }
            let mut pools = None;
            let (to, own) = match step {
                Step::Linear { weights, .. } => {
                    if from.space != [1; 3] || from.channels != weights.depth() {
                        return None;
                    }
                    let to = Shape { channels: weights.columns(), ..from };
                    (to, weights.columns().checked_mul(weights.depth())?)
                }
                Step::Conv { conv, .. } => {
                    let (inputs, outputs) = conv.channels();
                    if from.channels != inputs {
                        return None;
                    }
                    let space = conv.geometry().output(from.space).ok()?;
                    (Shape { channels: outputs, space }, conv.work(space))
                }
                Step::Pool(_, moves) => {
                    let found = along(moves, from.space)?;
                    let to = Shape { space: [0, 1, 2].map(|a| found[a].len()), ..from };
                    let most = found.iter().map(|w| w.iter().map(|w| w.count).max().unwrap_or(0));
                    let taps: usize = most.product();
                    pools = Some(found);
                    (to, to.len()?.checked_mul(taps)?)
                }
                Step::Flatten => (Shape { channels: from.len()?, space: [1; 3] }, from.len()?),
                Step::Table(..) | Step::Clamp(..) => (from, from.len()?),
            };
            to.len()?;
            work = work.saturating_add(own);
            windows.push(pools);
            shapes.push(to);
        }
        let lengths: Vec<usize> = shapes.iter().filter_map(|s| s.len()).collect();
        let widest = lengths.windows(2).map(|pair| pair[0] + pair[1]).max().unwrap_or(1);
        Some(Self { shapes, windows, at_once: (CACHED / widest.max(1)).max(1), work })
    }

    /// The shape of what comes out.
    pub fn output(&self) -> Shape {
        *self.shapes.last().expect("that of the input, at least")
    }

    /// Work on so many images, in bytes that are read and written in as much time.
    pub fn work(&self, images: usize) -> usize {
        (self.work / 16).saturating_mul(images)
    }
}

fn along(windows: &Windows, space: Space) -> Option<[Vec<Window>; 3]> {
    let of = |a: usize| match windows {
        Windows::Moving(moves) => moves[a].windows(space[a]).ok(),
        Windows::Adaptive(counts) => {
            let n = if counts[a] == 0 { space[a] } else { counts[a] };
            Some(adaptive_windows(space[a], n))
        }
    };
    Some([of(0)?, of(1)?, of(2)?])
}
