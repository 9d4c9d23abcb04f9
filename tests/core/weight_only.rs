//! Products of floats and groups of codes on every instruction set, with one thread and with two, against the plain
//! formula, bit for bit, in memory whose neighbours may not be touched; those of many rows against float64.
//!
//! `QUANTRAY_TEST_REDUCED=1` leaves out the larger sizes: for emulators.

use std::mem::MaybeUninit;

use quantray_core::arch::Isa;
use quantray_core::threads;
use quantray_core::weight_only::{
    Finish, Groups, InputBits, Layout, PackedGroups, floats_from, multiply, reference,
};

use crate::common::{Random, collect, reduced, turn};
use crate::guard::Guarded;

/// Rows, outputs, depth and group around the edges of tiles, chunks, blocks and groups.
fn sizes() -> Vec<(usize, usize, usize, usize)> {
    let mut all = vec![(0, 3, 5, 32), (3, 0, 5, 32), (3, 5, 0, 32), (1, 1, 1, 16), (2, 3, 1, 128)];
    for rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 47, 48, 49] {
        all.push((rows, 67, 40, 16));
    }
    for columns in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129] {
        all.push((2, columns, 33, 32));
    }
    for depth in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257] {
        for group in [16, 32, 64, 128, 256] {
            all.push((3, 18, depth, group));
        }
    }
    if !reduced() {
        all.extend([(1, 400, 1030, 128), (5, 130, 2048, 32), (97, 200, 300, 64), (515, 70, 64, 32)]);
    }
    all
}

/// Inputs that are easy, of very unequal sizes, at both ends of what floats can be, or not finite.
fn inputs(n: usize, kind: usize, random: &mut Random) -> Vec<f32> {
    let one = |r: &mut Random| r.unit() * 2.0 - 1.0;
    (0..n)
        .map(|i| match kind {
            0..3 => one(random),
            3 => one(random) * 2f32.powi(random.below(60) as i32 - 30),
            4 => f32::from_bits(random.next() as u32 & 0x81ff_ffff),
            5 => one(random) * 3e38,
            6 => {
                let greatest =
                    [8_355_711.0, 8_355_712.0, 8_388_607.0, 32_639.0, 32_639.5, 32_640.0, 127.0, 127.5];
                let small = [1.0, -1.0, 0.996_09, 0.996_1, 255.0];
                *small.iter().chain(&greatest).nth(random.below(13)).unwrap()
            }
            7 => one(random) * if i % 5 == 0 { 0.0 } else { f32::MIN_POSITIVE * 200.0 },
            _ if i % 97 == 50 => [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][random.below(3)],
            _ => one(random),
        })
        .collect()
}

/// Codes in groups that own their memory.
struct Weights {
    codes: Vec<u8>,
    scales: Vec<f32>,
    zero_points: Option<Vec<u8>>,
}

impl Weights {
    /// Random ones; the greatest code everywhere, with a zero point at the other end, where `extreme`.
    fn new(layout: Layout, affine: bool, extreme: bool, random: &mut Random) -> Self {
        let below = usize::from(layout.greatest()) + 1;
        let code = |r: &mut Random| if extreme { layout.greatest() } else { r.below(below) as u8 };
        let zero = |r: &mut Random| if extreme { 0 } else { r.below(below) as u8 };
        let groups = layout.columns * layout.groups();
        Self {
            codes: (0..layout.columns * layout.depth).map(|_| code(random)).collect(),
            scales: (0..groups).map(|_| (random.unit() - 0.3) * 0.1).collect(),
            zero_points: affine.then(|| (0..groups).map(|_| zero(random)).collect()),
        }
    }

    fn groups(&self) -> Groups<'_> {
        let zero_points = self.zero_points.as_deref();
        Groups { codes: &self.codes, scales: &self.scales, zero_points }
    }
}

#[test]
fn products_on_every_instruction_set() {
    let _turn = turn();
    let random = &mut Random(5);
    for (case, (m, n, k, group)) in sizes().into_iter().enumerate() {
        for form in 0..4 {
            let layout = Layout::new(n, k, group as isize, if form & 1 == 1 { 4 } else { 8 }).unwrap();
            let affine = form & 2 == 2;
            let weights = Weights::new(layout, affine, case % 7 == 6, random);
            let x = inputs(m * k, (case + form) % 9, random);
            let bias: Vec<f32> = (0..n).map(|_| random.unit() - 0.5).collect();
            let finish = Finish { bias: (case % 3 > 0).then_some(&bias[..]), relu: (case + form) % 5 == 3 };
            let packed: Vec<_> = Isa::available()
                .iter()
                .map(|&isa| (isa.name(), PackedGroups::new(isa, layout, weights.groups())))
                .collect();
            for (_, packed) in &packed {
                assert!(packed.codes() == weights.codes && packed.scales() == weights.scales);
            }
            for bits in InputBits::ALL {
                let wanted: Vec<u32> = (0..m)
                    .flat_map(|r| (0..n).map(move |c| (r, c)))
                    .map(|(r, c)| {
                        reference::output(&x[r * k..][..k], bits, &layout, &weights.groups(), &finish, c)
                    })
                    .map(f32::to_bits)
                    .collect();
                for ((isa, packed), count) in packed.iter().flat_map(|p| [(p, 1), (p, 2)]) {
                    threads::set_num_threads(count).unwrap();
                    let got = collect(m * n, |to| multiply(&x, bits, packed, &finish, to)).unwrap();
                    if bits == InputBits::TwentyFour && m >= floats_from(packed.isa()) {
                        for (i, &got) in got.iter().enumerate() {
                            let x = &x[i / n * k..][..k];
                            let near = reference::is_near(got, x, &layout, &weights.groups(), &finish, i % n);
                            assert!(near, "{isa} x {count}: {layout:?}, at {i}: {got}");
                        }
                        continue;
                    }
                    for (i, (got, &wanted)) in got.iter().zip(&wanted).enumerate() {
                        assert!(
                            got.to_bits() == wanted,
                            "{isa} x {count}: {m} x {k} x {n}, {bits:?}, {layout:?}, affine {affine}, {finish:?}, at {i}: \
                             {got} and not {}",
                            f32::from_bits(wanted)
                        );
                    }
                }
            }
        }
    }
    println!("ran: {:?}", Isa::available().iter().map(|isa| isa.name()).collect::<Vec<_>>());
}

#[test]
fn a_row_is_the_same_in_every_batch() {
    let random = &mut Random(8);
    let layout = Layout::new(130, 200, 64, 4).unwrap();
    let weights = Weights::new(layout, true, false, random);
    let packed = PackedGroups::new(Isa::current(), layout, weights.groups());
    let x = inputs(60 * 200, 0, random);
    let finish = Finish { bias: None, relu: false };
    for bits in InputBits::ALL {
        // As many rows as are multiplied in the same way.
        let few = match bits {
            InputBits::TwentyFour => floats_from(packed.isa()).saturating_sub(1).clamp(1, 60),
            _ => 60,
        };
        for (all, each) in [(few, 1), (60, floats_from(packed.isa()).min(60))] {
            let together =
                collect(all * 130, |to| multiply(&x[..all * 200], bits, &packed, &finish, to)).unwrap();
            for row in 0..=all - each {
                let x = &x[row * 200..][..each * 200];
                let own = collect(each * 130, |to| multiply(x, bits, &packed, &finish, to)).unwrap();
                assert_eq!(own, together[row * 130..][..each * 130]);
            }
        }
    }
}

#[test]
fn zero_points_in_the_middle_are_none() {
    let layout = Layout::new(3, 40, 16, 4).unwrap();
    let weights = Weights::new(layout, true, false, &mut Random(2));
    let packed = PackedGroups::new(Isa::current(), layout, weights.groups());
    assert_eq!(packed.zero_points(), weights.zero_points);
    let middle = Groups { zero_points: Some(&[8; 9]), ..weights.groups() };
    assert_eq!(PackedGroups::new(Isa::current(), layout, middle).zero_points(), None);
}

#[cfg(unix)]
#[test]
fn nothing_beyond_an_array_is_touched() {
    let random = &mut Random(9);
    let (mut x, mut out) = (Guarded::new(4 * 700), Guarded::new(4 * 700));
    for &isa in Isa::available() {
        for (n, k) in [(1, 1), (9, 17), (65, 33), (70, 100)] {
            for (bits, input_bits) in [4, 8].into_iter().flat_map(|b| InputBits::ALL.map(|i| (b, i))) {
                let layout = Layout::new(n, k, 32, bits).unwrap();
                let weights = Weights::new(layout, true, false, random);
                let packed = PackedGroups::new(isa, layout, weights.groups());
                for at_end in [false, true] {
                    let x = x.slice::<f32>(7 * k, at_end);
                    x.copy_from_slice(&inputs(7 * k, 0, random));
                    let to = out.slice::<MaybeUninit<f32>>(7 * n, at_end);
                    let finish = Finish { bias: None, relu: false };
                    multiply(x, input_bits, &packed, &finish, to).unwrap();
                    let wanted =
                        reference::output(&x[..k], input_bits, &layout, &weights.groups(), &finish, 0);
                    // SAFETY: the product has written all of it.
                    assert_eq!(unsafe { to[0].assume_init() }, wanted);
                }
            }
        }
    }
}

#[test]
fn fewer_bits_round_to_a_step_of_their_own() {
    // One weight of 1 in each group: a result is the sum of the rounded inputs.
    let random = &mut Random(4);
    let layout = Layout::new(1, 32, 32, 8).unwrap();
    for (bits, steps) in
        [(InputBits::Eight, 127.0), (InputBits::Sixteen, 16_319.5), (InputBits::TwentyFour, 4e6)]
    {
        for at in 0..32 {
            let codes: Vec<u8> = (0..32).map(|k| 128 + u8::from(k == at)).collect();
            let groups = Groups { codes: &codes, scales: &[1.0], zero_points: None };
            let packed = PackedGroups::new(Isa::current(), layout, groups);
            let x = inputs(32, 3, random);
            let finish = Finish { bias: None, relu: false };
            let y = collect(1, |to| multiply(&x, bits, &packed, &finish, to)).unwrap()[0];
            let largest = x.iter().fold(0f32, |a, x| a.max(x.abs()));
            let room = f64::from(largest) * (0.5 / steps + 1e-7);
            assert!((f64::from(y) - f64::from(x[at])).abs() <= room, "{bits:?}: {y} and not {}", x[at]);
        }
    }
    assert!(InputBits::new(12).unwrap_err().to_string().contains("8, 16 or 24"));
}
