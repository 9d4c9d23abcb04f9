//! Steps of single elements, which run as one, beside plain loops.

use proptest::prelude::*;
use quantray_core::program::ops::{Arithmetic, Function, Unary, Where, Zip};
use quantray_core::program::{Memory, Program, Room, Type, Value};

use super::slots;

/// Floats for a value that lies in some order of its axes.
fn laid_out(shape: &[usize], last: bool) -> Value {
    match last && shape.len() > 1 {
        true => Value::channels_last(Type::F32, shape.to_vec()),
        false => Value::new(Type::F32, shape.to_vec()),
    }
}

/// The element of a value that broadcasts at a place of a shape.
fn at(value: &Value, x: &[f32], shape: &[usize], mut place: usize) -> f32 {
    let spread = value.broadcast_to(shape);
    let mut found = 0;
    for a in (0..shape.len()).rev() {
        found += place % shape[a] * spread.strides[a];
        place /= shape[a];
    }
    x[found]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn chains_are_their_steps(
        shape in prop::collection::vec(1usize..24, 1..5),
        ones in prop::collection::vec(any::<bool>(), 4),
        dropped in 0usize..3,
        last in any::<bool>(),
        other_last in any::<bool>(),
    ) {
        let mut small: Vec<usize> =
            shape.iter().zip(&ones).map(|(&n, &one)| if one { 1 } else { n }).collect();
        small.drain(..dropped.min(small.len()));
        let values = [laid_out(&shape, last), laid_out(&small, other_last)];
        let x: Vec<f32> = (0..values[0].len()).map(|i| (i as f32 * 0.37).sin()).collect();
        let y: Vec<f32> = (0..values[1].len()).map(|i| (i as f32 * 0.73).cos()).collect();
        // |x * y| - y where x < y, else x.
        let mut program = Program::new(2);
        let product = program.push("", Zip::Arithmetic(Arithmetic::Mul), vec![0, 1]);
        let size = program.push("", Unary(Function::Absolute), vec![product]);
        let less = program.push("", Zip::from_name("less").unwrap(), vec![0, 1]);
        let rest = program.push("", Zip::Arithmetic(Arithmetic::Sub), vec![size, 1]);
        let chosen = program.push("", Where, vec![less, rest, 0]);
        program.give(chosen);
        let prepared = program.prepare(values.to_vec(), vec![]).unwrap();
        // Nothing lies between the steps; images of one element pass by themselves, and such ones are broadcast.
        prop_assert!(prepared.memory() == 0 || values[0].len() == shape[0]);
        let mut made = vec![0f32; values[0].len()];
        let inputs = [Memory::F32(&x), Memory::F32(&y)];
        program.run(&prepared, &inputs, vec![Room::F32(slots(&mut made))]).unwrap();
        for place in 0..made.len() {
            let (a, b) = (at(&values[0], &x, &shape, place), at(&values[1], &y, &shape, place));
            let expected = if a < b { (a * b).abs() - b } else { a };
            prop_assert_eq!(at(&prepared.outputs()[0], &made, &shape, place), expected);
        }
    }
}
