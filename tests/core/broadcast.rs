//! Sums and products with codes that are broadcast, and codes by division: on every instruction set, with one thread and
//! with two, against what they are short for.

use std::mem::MaybeUninit;

use quantray_core::affine::quantize_by_division;
use quantray_core::arch::Isa;
use quantray_core::gemm::{Codes, Formula, dynamic_params};
use quantray_core::ops::{Binary, Operand, Repeat, Target, TargetCodes, binary, binary_repeated};
use quantray_core::threads;

use crate::common::{Random, collect, turn};

fn everywhere(run: impl Fn(&str)) {
    let _turn = turn();
    let best = Isa::current();
    for &isa in Isa::available() {
        for count in [1, 2] {
            Isa::set_current(isa).unwrap();
            threads::set_num_threads(count).unwrap();
            run(&format!("{} x {count}", isa.name()));
        }
    }
    Isa::set_current(best).unwrap();
}

fn target(out: &mut [MaybeUninit<i8>]) -> Target<'_> {
    Target { codes: TargetCodes::I8(out), scale: 0.05, zero_point: 9 }
}

#[test]
fn a_repeated_operand_is_what_it_would_be_written_out() {
    let mut random = Random(7);
    for (outer, times, block) in [
        (1, 1, 1),
        (1, 7, 1),
        (3, 1, 5),
        (2, 49, 24),
        (5, 3, 63),
        (1, 4, 64),
        (3, 5, 65),
        (2, 3, 1023),
        (1, 2, 2049),
        (40, 3, 17),
        (1, 50_000, 3),
        (2, 1, 70_000),
        (300, 700, 1),
    ] {
        let n = outer * times * block;
        let x: Vec<u8> = (0..n).map(|_| random.below(256) as u8).collect();
        let y: Vec<i8> = (0..outer * block).map(|_| random.below(256) as u8 as i8).collect();
        let written: Vec<i8> = (0..n).map(|i| y[i / (times * block) * block + i % block]).collect();
        everywhere(|on| {
            for op in [Binary::Add, Binary::Sub, Binary::Mul] {
                for relu in [false, true] {
                    let a = Operand { codes: Codes::U8(&x), scale: 0.03, zero_point: 120 };
                    let of = |codes| Operand { codes: Codes::I8(codes), scale: 0.021, zero_point: -3 };
                    let want = collect(n, |out| binary(op, a, of(&written), relu, target(out))).unwrap();
                    let repeat = Repeat { block, times };
                    let made =
                        collect(n, |out| binary_repeated(op, a, of(&y), repeat, relu, target(out))).unwrap();
                    assert!(made == want, "{on}: {op:?} of {outer} x {times} x {block}, relu {relu}");
                }
            }
        });
    }
}

#[test]
fn division_is_division() {
    let mut random = Random(11);
    for n in [0, 1, 15, 63, 64, 65, 1000, 300_001] {
        // On another grid, where the inverse differs.
        let x: Vec<f32> = (0..n).map(|_| (random.below(511) as f32 - 200.0) * 0.05 / 3.0).collect();
        for (scale, zero_point) in [(0.05f32 / 3.0, 100u8), (0.01, 0), (0.1, 255), (1e-30, 7)] {
            let want: Vec<u8> = x
                .iter()
                .map(|x| {
                    ((x / scale).round_ties_even() as f64 + f64::from(zero_point)).clamp(0.0, 255.0) as u8
                })
                .collect();
            // The same codes, less 128.
            let signed = |code: u8| (i32::from(code) - 128) as i8;
            let want_signed: Vec<i8> = want.iter().map(|&code| signed(code)).collect();
            everywhere(|on| {
                let made = collect(n, |out| quantize_by_division(&x, out, scale, zero_point)).unwrap();
                assert!(made == want, "{on}: {n} by {scale}");
                let zero = signed(zero_point);
                let made = collect(n, |out| quantize_by_division::<i8>(&x, out, scale, zero)).unwrap();
                assert!(made == want_signed, "{on}: {n} by {scale}, signed");
                for at in (0..n).step_by(n.div_ceil(9).max(1)) {
                    let mut x = x.clone();
                    x[at] = f32::NAN;
                    let made = collect(n, |out| quantize_by_division(&x, out, scale, zero_point));
                    assert!(made.is_err(), "{on}: NaN at {at} of {n}");
                }
            });
        }
    }
}

#[test]
fn onnx_has_its_own_formula_for_ranges() {
    let of = |x: &[f32]| {
        let (scales, zeros) = dynamic_params(x, 1, false, Formula::Onnx).unwrap().unwrap();
        (scales[0], zeros[0])
    };
    // The cases of the standard's node tests of DynamicQuantizeLinear.
    assert_eq!(of(&[0.0, 2.0, -3.0, -2.5, 1.34, 0.5]), (5.0 / 255.0, 153));
    assert_eq!(of(&[-1.0, -2.1, -1.3, -2.5, -3.34, -4.0]), (4.0 / 255.0, 255));
    assert_eq!(of(&[1.0, 2.1, 1.3, 2.5, 3.34, 4.0]), (4.0 / 255.0, 0));
    assert_eq!(of(&[0.0, 0.0]), (1.0, 0));
    // A range so small that the contract stretches it.
    assert_eq!(of(&[1e-6, 0.0]), (1e-6 / 255.0, 0));
    assert!(dynamic_params(&[f32::INFINITY], 1, false, Formula::Onnx).unwrap().is_err());
}
