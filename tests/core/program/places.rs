//! Elements in other places, beside plain loops.

use std::sync::Arc;

use proptest::prelude::*;
use quantray_core::program::ops::{Given, Lists, Order, PadMode, Repeated, Sorted, Take, TakeAlong};
use quantray_core::program::{Constant, Dim, Memory, Op, Program, Room, Type, Value};

use super::{lies, slots};

/// What a program of one step makes of floats and, behind them, of numbers, in C order.
fn run(op: impl Op + 'static, value: &Value, x: &[f32], ids: Option<(Vec<usize>, Vec<i64>)>) -> Vec<f32> {
    let mut program = Program::new(1);
    let mut from = vec![0];
    if let Some((shape, ids)) = ids {
        let given = Given { value: Value::new(Type::I64, shape), elements: Arc::new(Constant::I64(ids)) };
        from.push(program.push("", given, vec![]));
    }
    let made = program.push("", op, from);
    program.give(made);
    let prepared = program.prepare(vec![value.clone()], vec![]).unwrap();
    let own = prepared.outputs()[0].clone();
    let mut made = vec![0f32; own.len()];
    program.run(&prepared, &[Memory::F32(x)], vec![Room::F32(slots(&mut made))]).unwrap();
    (0..own.len()).map(|place| made[lies(&own, place)]).collect()
}

/// The same from a function of places.
fn plain(value: &Value, x: &[f32], shape: &[usize], of: impl Fn(&mut [usize])) -> Vec<f32> {
    let made = Value::new(Type::F32, shape.to_vec());
    let one = |mut place: usize| {
        let mut at = vec![0; shape.len()];
        for a in (0..shape.len()).rev() {
            at[a] = place % shape[a];
            place /= shape[a];
        }
        of(&mut at);
        x[at.iter().zip(&value.strides).map(|(i, stride)| i * stride).sum::<usize>()]
    };
    (0..made.len()).map(one).collect()
}

fn dims(all: &[i64]) -> Vec<Dim> {
    all.iter().map(|&n| Dim::Number(n)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn lists_are_plain_loops(
        shape in prop::collection::vec(1usize..20, 3),
        counts in prop::collection::vec(1i64..4, 3),
        last in any::<bool>(),
        axis in 0usize..3,
    ) {
        let value = match last {
            true => Value::channels_last(Type::F32, shape.clone()),
            false => Value::new(Type::F32, shape.clone()),
        };
        let x: Vec<f32> = (0..value.len()).map(|i| i as f32).collect();
        let longer: Vec<usize> = shape.iter().zip(&counts).map(|(&n, &c)| n * c as usize).collect();
        let tile = run(Lists::Tile(dims(&counts)), &value, &x, None);
        prop_assert_eq!(tile, plain(&value, &x, &longer, |at| at.iter_mut().zip(&shape).for_each(|(i, n)| *i %= n)));
        let mut repeated = shape.clone();
        repeated[axis] *= 3;
        let repeat = run(Lists::Repeat(Repeated::All(Dim::Number(3)), axis as isize), &value, &x, None);
        prop_assert_eq!(repeat, plain(&value, &x, &repeated, |at| at[axis] /= 3));
        let n = shape[axis];
        let by = counts[0] * 5 - 8;
        let roll = run(Lists::Roll(vec![(axis as isize, Dim::Number(by))]), &value, &x, None);
        let back = |at: &mut [usize]| at[axis] = (at[axis] as i64 - by).rem_euclid(n as i64) as usize;
        prop_assert_eq!(roll, plain(&value, &x, &shape, back));
        let pairs = vec![(Dim::Number(2), Dim::Number(1)); 3];
        let wide: Vec<usize> = shape.iter().map(|n| n + 3).collect();
        let edge = run(Lists::Pad(PadMode::Edge, pairs), &value, &x, None);
        let near = |at: &mut [usize]| {
            at.iter_mut().zip(&shape).for_each(|(i, n)| *i = i.saturating_sub(2).min(n - 1));
        };
        prop_assert_eq!(edge, plain(&value, &x, &wide, near));
        // Places from the end on, and those of each element.
        let ids: Vec<i64> = (0..5).map(|i| (i * 7) % n as i64 - if i % 2 == 0 { n as i64 } else { 0 }).collect();
        let mut taken = shape.clone();
        taken[axis] = 5;
        let place = |i: usize| ids[i].rem_euclid(n as i64) as usize;
        let take = run(Take(axis as isize), &value, &x, Some((vec![5], ids.clone())));
        prop_assert_eq!(take, plain(&value, &x, &taken, |at| at[axis] = place(at[axis])));
        let mut each = vec![1; 3];
        each[axis] = 5;
        let along = run(TakeAlong(axis as isize), &value, &x, Some((each, ids.clone())));
        prop_assert_eq!(along, plain(&value, &x, &taken, |at| at[axis] = place(at[axis])));
    }

    #[test]
    fn the_first_ones_are_those_of_a_sort(
        x in prop::collection::vec(-9i32..9, 1..200), count in 0usize..200, descending in any::<bool>()
    ) {
        let x: Vec<f32> = x.into_iter().map(|x| x as f32).collect();
        let count = count.min(x.len());
        let value = Value::new(Type::F32, vec![x.len()]);
        let order = Order { axis: 0, descending, what: Sorted::Elements, count: Some(Dim::Number(count as i64)) };
        let mut sorted = x.clone();
        sorted.sort_by(f32::total_cmp);
        if descending {
            sorted.reverse();
        }
        prop_assert_eq!(run(order, &value, &x, None), &sorted[..count]);
    }
}

#[test]
fn mirrors_have_their_ends_once_or_twice() {
    let value = Value::new(Type::F32, vec![3]);
    let of = |mode| {
        let pairs = vec![(Dim::Number(4), Dim::Number(3))];
        run(Lists::Pad(mode, pairs), &value, &[0.0, 1.0, 2.0], None)
    };
    assert_eq!(of(PadMode::Reflect), [0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0]);
    assert_eq!(of(PadMode::Symmetric), [2.0, 2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 1.0, 0.0]);
    assert_eq!(of(PadMode::Wrap), [2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
}
