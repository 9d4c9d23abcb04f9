//! Ensembles of decision trees: for rows of features, what the leaves hold that they end up in.

use std::mem::MaybeUninit;

use crate::error::{Error, Result, Stopped};
use crate::threads;

/// How many numbers a node is: value, feature, where it goes if the answer is yes, where else, and its kind.
pub const NODE: usize = 5;
/// A kind is a question, and these.
pub const YES_FOR_NAN: i32 = 8;
/// Its second number is a row of weights.
pub const LEAF: i32 = 16;

/// What becomes of what the trees say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum, in order.
    Sum,
    /// Their sum, divided by their number.
    Mean,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

/// All trees.
#[derive(Debug, Clone, Copy)]
pub struct Forest<'a> {
    /// [`NODE`] numbers each. The value is a float's bits; questions are `x <= value`, `<`, `>=`, `>`, `==`, `!=`.
    pub nodes: &'a [i32],
    /// The first node of each tree.
    pub roots: &'a [i32],
    /// Rows of as many numbers as there are targets.
    pub weights: &'a [f32],
    /// What each target has beside them.
    pub base: &'a [f32],
    /// Of all trees.
    pub aggregate: Aggregate,
}

/// So many rows go down a tree side by side: their steps do not wait for each other.
const LANES: usize = 8;
/// So many rows are a piece: a tree stays in the first cache for all of them.
const ROWS: usize = 64;

/// Scores of rows: `out` is as many rows of as many numbers as there are targets.
///
/// # Errors
/// A node that leads to none or back, a feature that rows do not have, a row of weights that there is not; an
/// interrupt.
///
/// # Panics
/// Lengths that are no multiples of what belongs together.
pub fn tree_scores(
    forest: &Forest<'_>,
    x: &[f32],
    features: usize,
    out: &mut [MaybeUninit<f32>],
) -> Result<()> {
    let targets = forest.base.len();
    let rows = out.len() / targets.max(1);
    assert_eq!(x.len(), rows * features, "as many rows as scores");
    assert_eq!(forest.nodes.len() % NODE, 0, "nodes of {NODE} numbers");
    if rows == 0 || targets == 0 {
        return Ok(());
    }
    let lost = std::sync::Mutex::new(None);
    let work = rows * forest.roots.len() * 64;
    let pieces = x.chunks(ROWS * features.max(1)).zip(out.chunks_mut(ROWS * targets));
    let run = |(x, out): (&[f32], &mut [MaybeUninit<f32>])| match piece(forest, x, features, out) {
        Ok(()) => true,
        Err(error) => {
            *lost.lock().expect("nobody panics with it") = Some(error);
            false
        }
    };
    let done = if features == 0 {
        // Without features there is nothing to cut: leaves alone.
        piece(forest, x, 0, out)?;
        Ok(())
    } else {
        threads::for_each(work, pieces, run)
    };
    if let Some(error) = lost.into_inner().expect("nobody panics with it") {
        return Err(error);
    }
    done.map_err(|stopped: Stopped| stopped.named("x", &[rows, features]))
}

/// The scores of some rows, tree by tree.
fn piece(forest: &Forest<'_>, x: &[f32], features: usize, out: &mut [MaybeUninit<f32>]) -> Result<()> {
    let targets = forest.base.len();
    let rows = out.len() / targets;
    let count = forest.roots.len();
    let mut sums = vec![0f32; rows * targets];
    for (number, &root) in forest.roots.iter().enumerate() {
        for first in (0..rows).step_by(LANES) {
            let lanes = LANES.min(rows - first);
            let found =
                walk(forest.nodes, root, &x[first * features..][..lanes * features], features, lanes)?;
            for (lane, &row) in found[..lanes].iter().enumerate() {
                let weights = leaf(forest, row)?;
                let sums = &mut sums[(first + lane) * targets..][..targets];
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    *sum = match forest.aggregate {
                        _ if number == 0 => weight,
                        Aggregate::Sum | Aggregate::Mean => *sum + weight,
                        Aggregate::Min => sum.min(weight),
                        Aggregate::Max => sum.max(weight),
                    };
                }
            }
        }
    }
    for (i, (to, &sum)) in out.iter_mut().zip(&sums).enumerate() {
        let whole = if forest.aggregate == Aggregate::Mean { sum / count as f32 } else { sum };
        to.write(whole + forest.base[i % targets]);
    }
    Ok(())
}

/// The rows of weights that some rows of features end up at.
fn walk(nodes: &[i32], root: i32, x: &[f32], features: usize, lanes: usize) -> Result<[i32; LANES]> {
    let mut at = [root; LANES];
    let mut found = [0; LANES];
    // Whoever goes on for longer than there are nodes goes in circles.
    for _ in 0..=nodes.len() / NODE {
        let mut is_done = true;
        for lane in 0..lanes {
            let &[value, feature, yes, no, kind] = node(nodes, at[lane])?;
            if kind & LEAF != 0 {
                found[lane] = feature;
                continue;
            }
            is_done = false;
            let Some(&x) = x[lane * features..][..features].get(feature as usize) else {
                return Err(Error::index("feature", feature, format!("one of the {features} of x")));
            };
            let value = f32::from_bits(value as u32);
            let answer = match kind & 7 {
                0 => x <= value,
                1 => x < value,
                2 => x >= value,
                3 => x > value,
                4 => x == value,
                _ => x != value,
            };
            at[lane] = if answer || (x.is_nan() && kind & YES_FOR_NAN != 0) { yes } else { no };
        }
        if is_done {
            return Ok(found);
        }
    }
    Err(Error::value("nodes", "a cycle", "trees"))
}

fn node(nodes: &[i32], at: i32) -> Result<&[i32; NODE]> {
    let all = nodes.as_chunks::<NODE>().0;
    all.get(at as usize).ok_or_else(|| Error::index("node", at, format!("one of the {}", all.len())))
}

fn leaf<'a>(forest: &Forest<'a>, row: i32) -> Result<&'a [f32]> {
    let targets = forest.base.len();
    let found =
        usize::try_from(row).ok().and_then(|row| forest.weights.get(row * targets..(row + 1) * targets));
    found.ok_or_else(|| Error::index("row", row, format!("one of {}", forest.weights.len() / targets)))
}
