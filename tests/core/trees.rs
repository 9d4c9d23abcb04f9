//! Scores of decision trees, beside trees that are walked as they are drawn: by recursion, a row at a time.

use std::mem::MaybeUninit;

use quantray_core::ops::trees::{Aggregate, Forest, LEAF, NODE, YES_FOR_NAN, tree_scores};
use quantray_core::threads;

use crate::common::{Random, turn};

/// A tree as it is drawn.
enum Tree {
    /// A row of weights.
    Leaf(usize),
    /// A question about a feature, and where it goes if the answer is yes, and if it is no.
    Ask { kind: i32, feature: usize, value: f32, yes: Box<Tree>, no: Box<Tree> },
}

impl Tree {
    /// A random one; values lie on a coarse grid, so that features are often equal to them.
    fn random(random: &mut Random, depth: usize, features: usize, rows: usize) -> Self {
        if features == 0 || depth == 0 || random.below(5) == 0 {
            return Self::Leaf(random.below(rows));
        }
        let kind = random.below(6) as i32 | if random.below(2) == 0 { YES_FOR_NAN } else { 0 };
        let (feature, value) = (random.below(features), random.below(9) as f32 - 4.0);
        let mut below = || Box::new(Self::random(random, depth - 1, features, rows));
        Self::Ask { kind, feature, value, yes: below(), no: below() }
    }

    /// The row of weights that a row of features ends up at.
    fn row(&self, x: &[f32]) -> usize {
        match self {
            Self::Leaf(row) => *row,
            Self::Ask { kind, feature, value, yes, no } => {
                let own = x[*feature];
                let answer = match kind & 7 {
                    // NaN is equal to nothing.
                    _ if own.is_nan() => kind & YES_FOR_NAN != 0 || kind & 7 == 5,
                    0 => own <= *value,
                    1 => own < *value,
                    2 => own >= *value,
                    3 => own > *value,
                    4 => own == *value,
                    _ => own != *value,
                };
                (if answer { yes } else { no }).row(x)
            }
        }
    }

    /// Writes it as nodes, and says which one is its root.
    fn write(&self, nodes: &mut Vec<i32>) -> i32 {
        let at = nodes.len() / NODE;
        nodes.extend([0; NODE]);
        let node = match self {
            Self::Leaf(row) => [0, *row as i32, 0, 0, LEAF],
            Self::Ask { kind, feature, value, yes, no } => {
                let (yes, no) = (yes.write(nodes), no.write(nodes));
                [value.to_bits() as i32, *feature as i32, yes, no, *kind]
            }
        };
        nodes[at * NODE..][..NODE].copy_from_slice(&node);
        at as i32
    }
}

/// What trees say of rows, one after the other.
fn plain(trees: &[Tree], forest: &Forest<'_>, x: &[f32], features: usize, rows: usize) -> Vec<f32> {
    let targets = forest.base.len();
    let mut scores = Vec::new();
    for r in 0..rows {
        let x = &x[r * features..][..features];
        for target in 0..targets {
            let said = trees.iter().map(|tree| forest.weights[tree.row(x) * targets + target]);
            let all = match forest.aggregate {
                Aggregate::Sum => said.reduce(|a, b| a + b),
                Aggregate::Mean => said.reduce(|a, b| a + b).map(|sum| sum / trees.len() as f32),
                Aggregate::Min => said.reduce(f32::min),
                Aggregate::Max => said.reduce(f32::max),
            };
            scores.push(all.unwrap_or(0.0) + forest.base[target]);
        }
    }
    scores
}

fn scored(forest: &Forest<'_>, x: &[f32], features: usize, rows: usize) -> Result<Vec<f32>, String> {
    let mut out = vec![MaybeUninit::uninit(); rows * forest.base.len()];
    tree_scores(forest, x, features, &mut out).map_err(|error| error.to_string())?;
    // SAFETY: it has written them all.
    Ok(out.iter().map(|x| unsafe { x.assume_init() }).collect())
}

#[test]
fn scores_are_those_of_trees_as_they_are_drawn() {
    let _turn = turn();
    let random = &mut Random(11);
    // Around the rows that go side by side, and those of a piece.
    let all = [0, 1, 7, 8, 9, 63, 64, 65, 200];
    for (number, rows) in all.into_iter().cycle().take(72).enumerate() {
        let (features, targets, kinds) = (number % 5, 1 + number % 3, 1 + random.below(20));
        let trees: Vec<Tree> =
            (0..1 + number % 7).map(|i| Tree::random(random, i + number % 4, features, kinds)).collect();
        let (mut nodes, mut roots) = (Vec::new(), Vec::new());
        for tree in &trees {
            roots.push(tree.write(&mut nodes));
        }
        let weights: Vec<f32> = (0..kinds * targets).map(|_| random.unit() - 0.5).collect();
        let base: Vec<f32> = (0..targets).map(|_| random.unit()).collect();
        let x: Vec<f32> = (0..rows * features)
            .map(|_| if random.below(8) == 0 { f32::NAN } else { random.below(17) as f32 / 2.0 - 4.0 })
            .collect();
        for aggregate in [Aggregate::Sum, Aggregate::Mean, Aggregate::Min, Aggregate::Max] {
            let forest = Forest { nodes: &nodes, roots: &roots, weights: &weights, base: &base, aggregate };
            let want = plain(&trees, &forest, &x, features, rows);
            for count in [1, 2] {
                threads::set_num_threads(count).unwrap();
                let made = scored(&forest, &x, features, rows).unwrap();
                assert_eq!(made, want, "{number}: {rows} rows, {aggregate:?}, {count} threads");
            }
        }
    }
}

#[test]
fn what_is_no_tree_is_refused() {
    let _turn = turn();
    threads::set_num_threads(1).unwrap();
    let leaf = [0, 0, 0, 0, LEAF];
    let ask = |feature: i32, yes: i32, no: i32| [0, feature, yes, no, 0];
    let cases: [(&str, [[i32; NODE]; 2], i32); 6] = [
        ("cycle", [ask(0, 0, 0), leaf], 0),
        ("feature", [ask(1, 1, 1), leaf], 0),
        ("feature", [ask(-1, 1, 1), leaf], 0),
        ("node", [ask(0, 2, 2), leaf], 0),
        ("node", [leaf, leaf], -1),
        ("row", [[0, 1, 0, 0, LEAF], leaf], 0),
    ];
    for (named, nodes, root) in cases {
        let (nodes, aggregate) = (nodes.concat(), Aggregate::Sum);
        let forest = Forest { nodes: &nodes, roots: &[root], weights: &[1.0], base: &[0.0], aggregate };
        let message = scored(&forest, &[0.5], 1, 1).unwrap_err();
        assert!(message.contains(named), "{named}: {message}");
    }
}
