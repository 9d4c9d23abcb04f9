//! Rounding down, half away from 0 and by chance, on every instruction set and any number of threads, against a formula.

use std::fmt::Debug;

use quantray_core::affine::{self, Code, Rounding};
use quantray_core::error::Stopped;
use quantray_core::qparams::DType;

use crate::common::{Random, collect, floats, turn};
use crate::kernels::{cases, everywhere, same};

const SEED: u64 = 0x1234_5678_9abc_def0;
const CALL: u64 = 3;

/// What NumPy's Philox gives for a key, as 128-bit arithmetic: `numpy.random.Philox(key=seed + (call << 64))`.
fn philox(seed: u64, call: u64, i: usize) -> u64 {
    let mut c = [(i / 4) as u64 + 1, 0, 0, 0];
    let (mut k0, mut k1) = (seed, call);
    for _ in 0..10 {
        let a = u128::from(c[0]) * 0xD2E7_470E_E14C_6C93;
        let b = u128::from(c[2]) * 0xCA5A_8263_9512_1157;
        c = [(b >> 64) as u64 ^ c[1] ^ k0, b as u64, (a >> 64) as u64 ^ c[3] ^ k1, a as u64];
        k0 = k0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        k1 = k1.wrapping_add(0xBB67_AE85_84CA_A73B);
    }
    c[i % 4]
}

#[test]
fn the_generator_is_numpys() {
    // numpy.random.Philox(key=5).random_raw(5), and of key=7 + (2 << 64).
    let first =
        [0xbbd6c66234fd0c91, 0x972c5c680d78ea48, 0x3532f77bf5c294a3, 0x71803e5d0e6f08fe, 0x3fbe633223a39c06];
    let second =
        [0x5dd61f0800defd6d, 0x665f51f0eb1e251a, 0xd9166c03eb6859fe, 0xac6e2d0d890e4a96, 0x43882f5cd1c0223f];
    assert_eq!(std::array::from_fn(|i| philox(5, 0, i)), first);
    assert_eq!(std::array::from_fn(|i| philox(7, 2, i)), second);
}

/// Each rounding, and the same as a function of a number of steps and an element's position.
type Formula = fn(f32, usize) -> f32;

fn all() -> [(Rounding, Formula); 3] {
    fn chance(x: f32, i: usize) -> f32 {
        let below = x.floor();
        let number = (philox(SEED, CALL, i) >> 40) as f32 / 16_777_216.0;
        if number < x - below { below + 1.0 } else { below }
    }
    fn away(x: f32, _: usize) -> f32 {
        // Exact in float64, where 0.5 can be added to any float32 that has a fraction.
        if x.is_infinite() { x } else { (f64::from(x.abs()) + 0.5).floor().copysign(f64::from(x)) as f32 }
    }
    [
        (Rounding::Floor, |x, _| x.floor()),
        (Rounding::HalfAway, away),
        (Rounding::Stochastic { seed: SEED, call: CALL }, chance),
    ]
}

fn rounds<C: Code + PartialEq + Debug + TryFrom<i32, Error: Debug>>() {
    let _turn = turn();
    let random = &mut Random(23);
    for (n, params) in cases(C::DTYPE, random) {
        let x = floats(n, 0.1, random);
        for (rounding, formula) in all() {
            let code = |i| params.rounded(C::DTYPE, i, x[i], |steps| formula(steps, i));
            let codes: Vec<C> = (0..n).map(|i| C::try_from(code(i)).unwrap()).collect();
            everywhere(|on| {
                let got =
                    collect(n, |out| affine::quantize_rounded::<C>(&x, out, &params.affine(), rounding));
                same(&got.unwrap(), &codes, &x, on, &params);
            });
        }
    }
}

#[test]
fn to_int8() {
    rounds::<i8>();
}

#[test]
fn to_uint8() {
    rounds::<u8>();
}

#[test]
fn to_int32() {
    rounds::<i32>();
}

#[test]
fn to_packed() {
    let _turn = turn();
    let random = &mut Random(29);
    for dtype in [DType::QUInt4x2, DType::QUInt2x4] {
        for (n, params) in cases(dtype, random) {
            let x = floats(n, 0.01, random);
            for (rounding, formula) in all() {
                let code = |i| params.rounded(dtype, i, x[i], |steps| formula(steps, i)) as u8;
                let mut packed = vec![0u8; n.div_ceil(dtype.elements_per_item())];
                for i in 0..n {
                    let per = dtype.elements_per_item();
                    packed[i / per] |= code(i) << (i % per * dtype.bits());
                }
                everywhere(|on| {
                    let affine = &params.affine();
                    let got = collect(packed.len(), |out| {
                        affine::quantize_packed_rounded(dtype, &x, out, affine, rounding)
                    });
                    same(&got.unwrap(), &packed, &packed, on, &params);
                });
            }
        }
    }
}

#[test]
fn nan_is_counted() {
    let _turn = turn();
    let mut x = vec![0.25; 5000];
    x[4097] = f32::NAN;
    let affine = affine::Affine::PerTensor { scale: 0.5, zero_point: 0 };
    for (rounding, _) in all() {
        everywhere(|on| {
            let got = collect(x.len(), |out| affine::quantize_rounded::<i8>(&x, out, &affine, rounding));
            assert!(matches!(got, Err(Stopped::Nan { count: 1, first: 4097 })), "{on}");
        });
    }
}
