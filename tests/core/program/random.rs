//! Plans of random programs: results are those of plain loops. That what is read was written and not written over, the
//! core itself looks at in each plan.

use proptest::prelude::*;
use quantray_core::program::ops::{Cat, Flip, Function, Item, Reshape, Slice, Transpose, Unary, Zip};
use quantray_core::program::{Dim, Memory, Program, Room, Type, Value};

use super::slots;

const SHAPE: [usize; 3] = [2, 3, 4];

/// An array in C order.
#[derive(Debug, Clone)]
struct Plain(Vec<usize>, Vec<f32>);

impl Plain {
    /// The array whose element at an index is this one's at another.
    fn at(&self, shape: Vec<usize>, of: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        let n: usize = shape.iter().product();
        let elements = (0..n).map(|i| {
            let mut rest = i;
            let mut index: Vec<usize> = shape
                .iter()
                .rev()
                .map(|&n| {
                    let at = rest % n;
                    rest /= n;
                    at
                })
                .collect();
            index.reverse();
            let from = of(&index);
            let flat = from.iter().zip(&self.0).fold(0, |flat, (at, n)| flat * n + at);
            self.1[flat]
        });
        let elements = elements.collect();
        Self(shape, elements)
    }
}

/// A step of a random program on arrays of one shape: which kind, and of which values.
type Random = (u8, prop::sample::Index, prop::sample::Index);

/// Adds it to a program, and does the same to plain arrays.
fn add(program: &mut Program, values: &mut Vec<(usize, Plain)>, (kind, a, b): &Random) {
    let (a, x) = values[a.index(values.len())].clone();
    let (b, y) = values[b.index(values.len())].clone();
    let all = |at: usize| Item::Range(Some(Dim::Number(at as i64)), None, 1);
    let made = match kind % 7 {
        0 => {
            let v = program.push("", Unary(Function::Negative), vec![a]);
            (v, Plain(x.0, x.1.iter().map(|x| -x).collect()))
        }
        1 => {
            let v = program.push("", Zip::from_name("add").unwrap(), vec![a, b]);
            (v, Plain(x.0, x.1.iter().zip(&y.1).map(|(x, y)| x + y).collect()))
        }
        2 => {
            let v = program.push("", Flip(Some(vec![1])), vec![a]);
            (v, x.at(SHAPE.to_vec(), |i| vec![i[0], 2 - i[1], i[2]]))
        }
        3 => {
            // There and back again, with a sum of what lies in another order.
            let turned = program.push("", Transpose(Some(vec![0, 2, 1])), vec![a]);
            let doubled = program.push("", Zip::from_name("add").unwrap(), vec![turned, turned]);
            let v = program.push("", Transpose(Some(vec![0, 2, 1])), vec![doubled]);
            (v, Plain(x.0, x.1.iter().map(|x| x + x).collect()))
        }
        4 => {
            let joined = program.push("", Cat(1), vec![a, b]);
            let v = program.push(
                "",
                Slice(vec![all(0), Item::Range(Some(Dim::Number(1)), Some(Dim::Number(4)), 1)]),
                vec![joined],
            );
            let first = x.at(vec![2, 2, 4], |i| vec![i[0], i[1] + 1, i[2]]);
            let one = y.at(vec![2, 1, 4], |i| i.to_vec());
            let both = Plain(
                vec![2, 3, 4],
                (0..24)
                    .map(|k| {
                        let (n, c, w) = (k / 12, k / 4 % 3, k % 4);
                        if c < 2 { first.1[n * 8 + c * 4 + w] } else { one.1[n * 4 + w] }
                    })
                    .collect(),
            );
            (v, both)
        }
        5 => {
            let flat = program.push("", Reshape(vec![Dim::Input(0, 0), Dim::Number(-1)]), vec![a]);
            let v =
                program.push("", Reshape(vec![Dim::Number(-1), Dim::Number(3), Dim::Number(4)]), vec![flat]);
            (v, x)
        }
        _ => {
            let v = program.push("", Unary(Function::Square), vec![a]);
            (v, Plain(x.0, x.1.iter().map(|x| x * x).collect()))
        }
    };
    values.push(made);
}

proptest! {
    #[test]
    fn random_programs_keep_what_they_need(
        steps in prop::collection::vec(any::<Random>(), 1..25),
        outputs in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        first in any::<bool>(),
    ) {
        let input: Vec<f32> = (0..24).map(|i| (i as f32 - 11.0) / 7.0).collect();
        let mut program = Program::new(1);
        let mut values = vec![(0, Plain(SHAPE.to_vec(), input.clone()))];
        steps.iter().for_each(|step| add(&mut program, &mut values, step));
        let given: Vec<_> = outputs.iter().map(|o| values[o.index(values.len())].clone()).collect();
        given.iter().for_each(|(v, _)| program.give(*v));
        // In C order, or with the first axes exchanged in memory.
        let value = match first {
            true => Value::new(Type::F32, SHAPE.to_vec()),
            false => Value { strides: vec![4, 8, 1], ..Value::new(Type::F32, SHAPE.to_vec()) },
        };
        let mut memory = vec![0f32; 24];
        for (i, &x) in input.iter().enumerate() {
            let (n, c, w) = (i / 12, i / 4 % 3, i % 4);
            memory[n * value.strides[0] + c * value.strides[1] + w] = x;
        }
        let prepared = program.prepare(vec![value], vec![SHAPE.to_vec()]).unwrap();
        let mut rooms: Vec<Vec<f32>> = prepared.outputs().iter().map(|value| vec![f32::NAN; value.len()]).collect();
        let room = |room| Room::F32(slots(room));
        program.run(&prepared, &[Memory::F32(&memory)], rooms.iter_mut().map(|own| room(&mut own[..])).collect()).unwrap();
        for ((own, (_, plain)), value) in rooms.iter().zip(&given).zip(prepared.outputs()) {
            for i in 0..24 {
                let (n, c, w) = (i / 12, i / 4 % 3, i % 4);
                let at = n * value.strides[0] + c * value.strides[1] + w * value.strides[2];
                prop_assert!(own[at].to_bits() == plain.1[i].to_bits() || (own[at].is_nan() && plain.1[i].is_nan()));
            }
        }
    }
}

#[test]
fn a_long_chain_takes_two_buffers() {
    let mut program = Program::new(1);
    let mut last = 0;
    for _ in 0..50 {
        last = program.push("", Unary(Function::Negative), vec![last]);
    }
    program.give(last);
    let prepared = program.prepare(vec![Value::new(Type::F32, vec![16])], vec![vec![16]]).unwrap();
    assert_eq!(prepared.memory(), 128);
}

#[test]
fn plans_are_kept_and_the_oldest_goes() {
    let mut program = Program::new(1);
    let v = program.push("", Unary(Function::Negative), vec![0]);
    program.give(v);
    let prepare = |n: usize| program.prepare(vec![Value::new(Type::F32, vec![n])], vec![vec![n]]).unwrap();
    let first = prepare(1);
    for n in 2..=8 {
        prepare(n);
        assert!(std::sync::Arc::ptr_eq(&first, &prepare(1)));
    }
    for n in 10..18 {
        prepare(n);
    }
    assert!(!std::sync::Arc::ptr_eq(&first, &prepare(1)));
}
