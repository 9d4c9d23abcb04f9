//! Reductions beside plain loops, over any axes of values in any order of memory.

use proptest::prelude::*;
use quantray_core::program::ops::{Reduce, Reduction, Scan, Scanned};
use quantray_core::program::{Memory, Op, Program, Room, Type, Value};

use super::{lies, slots};

/// What a program of one step makes, and how it lies.
fn run(op: impl Op + 'static, value: &Value, x: &[f32]) -> (Value, Vec<f32>, Vec<i64>) {
    let mut program = Program::new(1);
    let made = program.push("", op, vec![0]);
    program.give(made);
    let prepared = program.prepare(vec![value.clone()], vec![]).unwrap();
    let value = prepared.outputs()[0].clone();
    let (mut floats, mut places) = (vec![0f32; value.len()], vec![0i64; value.len()]);
    let room = match value.ty {
        Type::I64 => Room::I64(slots(&mut places)),
        _ => Room::F32(slots(&mut floats)),
    };
    program.run(&prepared, &[Memory::F32(x)], vec![room]).unwrap();
    (value, floats, places)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn reductions_are_plain_loops(
        shape in prop::collection::vec(1usize..7, 1..5),
        gone in prop::collection::vec(any::<bool>(), 4),
        last in any::<bool>(),
        long in 0usize..3,
    ) {
        let mut shape = shape;
        // Some axes are longer than what runs side by side.
        if let Some(n) = shape.get_mut(long) {
            *n = 90;
        }
        let rank = shape.len();
        let value = match last && rank > 1 {
            true => Value::channels_last(Type::F32, shape.clone()),
            false => Value::new(Type::F32, shape.clone()),
        };
        let x: Vec<f32> = (0..value.len()).map(|i| ((i * 7919) % 1009) as f32 / 100.0 - 5.0).collect();
        let axes: Vec<isize> = (0..rank).filter(|&a| gone[a]).map(|a| a as isize).collect();
        let mut groups: std::collections::BTreeMap<usize, Vec<f64>> = Default::default();
        for place in 0..value.len() {
            let (mut rest, mut group, mut step) = (place, 0, 1);
            for a in (0..rank).rev() {
                if !gone[a] {
                    group += rest % shape[a] * step;
                    step *= shape[a];
                }
                rest /= shape[a];
            }
            groups.entry(group).or_default().push(f64::from(x[lies(&value, place)]));
        }
        type Plain = fn(&[f64]) -> f64;
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let cases: [(Reduction, Plain); 8] = [
            (Reduction::Sum, |x| x.iter().sum()),
            (Reduction::Mean, mean),
            (Reduction::Max, |x| x.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            (Reduction::Min, |x| x.iter().copied().fold(f64::INFINITY, f64::min)),
            (Reduction::L1, |x| x.iter().map(|x| x.abs()).sum()),
            (Reduction::L2, |x| x.iter().map(|x| x * x).sum::<f64>().sqrt()),
            (Reduction::LogSumExp, |x| x.iter().map(|x| x.exp()).sum::<f64>().ln()),
            (Reduction::Variance(0.0), |x| {
                let mean = x.iter().sum::<f64>() / x.len() as f64;
                x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / x.len() as f64
            }),
        ];
        for (of, plain) in cases {
            let (made, found, _) = run(Reduce { of, axes: Some(axes.clone()), keep: false }, &value, &x);
            prop_assert_eq!(made.len(), groups.len());
            for (&group, own) in &groups {
                let (one, other) = (f64::from(found[lies(&made, group)]), plain(own));
                prop_assert!((one - other).abs() <= 1e-5 * other.abs().max(1.0), "{:?}: {} {}", of, one, other);
            }
        }
        if let [axis] = axes[..] {
            let first = |best: fn(f64, f64) -> bool| {
                move |x: &[f64]| (0..x.len()).fold(0, |at, i| if best(x[i], x[at]) { i } else { at })
            };
            for (of, plain) in
                [(Reduction::ArgMax, first(|a, b| a > b)), (Reduction::ArgMin, first(|a, b| a < b))]
            {
                let (made, _, places) = run(Reduce { of, axes: Some(vec![axis]), keep: true }, &value, &x);
                for (&group, own) in &groups {
                    prop_assert_eq!(places[lies(&made, group)] as usize, plain(own));
                }
            }
        }
    }
}

#[test]
fn running_sums_go_both_ways() {
    let value = Value::new(Type::F32, vec![2, 3]);
    let of = |exclusive, reverse| {
        let scan = Scan { of: Scanned::Sum, axis: 1, exclusive, reverse };
        run(scan, &value, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).1
    };
    assert_eq!(of(false, false), [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    assert_eq!(of(true, false), [0.0, 1.0, 3.0, 0.0, 4.0, 9.0]);
    assert_eq!(of(false, true), [6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
    assert_eq!(of(true, true), [5.0, 3.0, 0.0, 11.0, 6.0, 0.0]);
}
