//! Products on every instruction set, with one thread and with two, against the plain formula, bit for bit.
//!
//! `QUANTRAY_TEST_REDUCED=1` leaves out the larger sizes: for emulators.

use std::mem::MaybeUninit;

use quantray_core::arch::Isa;
use quantray_core::gemm::{
    Activations, Codes, Finish, Matrix, PackedWeights, Results, WeightParams, multiply, reference,
};
use quantray_core::threads;

use crate::common::{Random, reduced, turn};
use crate::guard::Guarded;

/// Rows, outputs and depth around the edges of every tile.
fn sizes() -> Vec<(usize, usize, usize)> {
    let mut all = vec![(0, 3, 5), (3, 0, 5), (3, 5, 0), (1, 1, 1), (2, 3, 1), (1, 64, 64), (5, 33, 70)];
    for rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 31, 32, 33] {
        all.push((rows, 37, 19));
    }
    for columns in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 97, 129] {
        all.push((3, columns, 11));
    }
    for depth in [1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 64, 65, 127, 128, 129] {
        all.push((7, 18, depth));
    }
    if !reduced() {
        all.extend([
            (65, 130, 257),
            (1, 1031, 517),
            (200, 64, 512),
            (33, 600, 1024),
            (13, 61, 4096),
            // Few rows of weights that the last cache holds, with steps left over.
            (2, 515, 1021),
            (3, 515, 1021),
            (4, 515, 1021),
            (6, 48, 8192),
        ]);
    }
    all
}

/// A matrix of random codes, or of one that is extreme: 0, the least one of either sign, or 255.
struct Memory {
    unsigned: Vec<u8>,
    signed: bool,
    extreme: bool,
}

impl Memory {
    fn new(n: usize, signed: bool, extreme: Option<u8>, random: &mut Random) -> Self {
        let unsigned = (0..n).map(|_| extreme.unwrap_or_else(|| random.next() as u8)).collect();
        Self { unsigned, signed, extreme: extreme.is_some() }
    }

    /// As bytes of its sign, in memory that ends where a page does that may not be touched.
    fn codes<'a>(&self, guarded: &'a mut Guarded) -> Codes<'a> {
        if self.signed {
            let to = guarded.slice::<i8>(self.unsigned.len(), true);
            for (to, from) in to.iter_mut().zip(&self.unsigned) {
                *to = (if self.extreme { *from ^ 0x80 } else { *from }) as i8;
            }
            Codes::I8(to)
        } else {
            let to = guarded.slice::<u8>(self.unsigned.len(), true);
            to.copy_from_slice(&self.unsigned);
            Codes::U8(to)
        }
    }
}

fn written<T: Copy>(to: &[MaybeUninit<T>]) -> Vec<T> {
    // SAFETY: callers have seen a kernel fill it.
    to.iter().map(|x| unsafe { x.assume_init() }).collect()
}

#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(got: &[T], want: &[T], what: &str) {
    assert_eq!(got.len(), want.len());
    if let Some(i) = (0..want.len()).find(|&i| got[i] != want[i]) {
        panic!("{what}: {:?}, not {:?}, at {i} of {}", got[i], want[i], want.len());
    }
}

#[test]
fn products_on_every_instruction_set() {
    let _turn = turn();
    let random = &mut Random(3);
    let mut ran = 0;
    for (case, (m, n, k)) in sizes().into_iter().enumerate() {
        for signs in 0..8 {
            let (x_signed, w_signed) = (signs & 1 == 1, signs & 2 == 2);
            // Activations as most are, which some instruction sets multiply in another way.
            let near = signs & 4 == 4;
            let extreme = (case % 5 == 4).then_some(255);
            let least = if case % 10 == 9 && near { Some(0) } else { extreme };
            let each = (case + signs) % 2 == 1;
            let transposed = (case + signs) % 3 == 2 && !near;
            let zero = |signed: bool, r: &mut Random| r.below(256) as i32 - if signed { 128 } else { 0 };
            let table = |each: bool, n: usize| if each { n } else { 1 };
            let mut xg = Guarded::new(m * k);
            let mut wg = Guarded::new(n * k);
            let (mut xm, wm) =
                (Memory::new(m * k, x_signed, extreme, random), Memory::new(n * k, w_signed, least, random));
            let mut x_zeros: Vec<i32> = (0..table(each, m)).map(|_| zero(x_signed, random)).collect();
            if near {
                // As behind ReLU.
                if case % 4 < 2 {
                    x_zeros.fill(if x_signed { -128 } else { 0 });
                }
                // Nothing lies far, little, and too much.
                let far = [usize::MAX, 60, 8][case % 3];
                for (i, code) in xm.unsigned.iter_mut().enumerate() {
                    *code = random.near(x_zeros[if each { i / k } else { 0 }], x_signed, far) as u8;
                }
                xm.extreme = false;
            }
            let x_codes = match transposed {
                false => Matrix::dense(xm.codes(&mut xg), m, k),
                true => Matrix::dense(xm.codes(&mut xg), k, m).transposed(),
            };
            let weights = match transposed {
                false => Matrix::dense(wm.codes(&mut wg), n, k),
                true => Matrix::dense(wm.codes(&mut wg), k, n).transposed(),
            };
            let symmetric = case % 2 == 0 || near;
            let middle = if w_signed { 0 } else { 128 };
            let w_zeros: Vec<i32> = (0..table(each, n))
                .map(|_| if symmetric { middle } else { zero(w_signed, random) })
                .collect();
            let w_scales: Vec<f32> = (0..table(each, n)).map(|_| random.unit() * 0.1 + 0.001).collect();
            let x_scales: Vec<f32> = (0..table(each, m)).map(|_| random.unit() * 0.1 + 0.001).collect();
            let bias: Vec<f32> = (0..n).map(|_| (random.unit() - 0.5) * 50.0).collect();
            let ints: Vec<i32> = (0..n).map(|_| random.next() as i32 >> 16).collect();
            let finish = Finish {
                bias: (case % 3 > 0).then_some(&bias[..]),
                int_bias: (case % 4 == 1).then_some(&ints[..]),
                relu: case % 7 == 3,
                ..Finish::default()
            };
            let params = WeightParams { scales: &w_scales, zero_points: &w_zeros };
            let x = Activations { codes: x_codes.into(), scales: &x_scales, zero_points: &x_zeros };
            let of = |t: &[f32], i: usize| if t.len() == 1 { t[0] } else { t[i] };
            let at = || (0..m).flat_map(|r| (0..n).map(move |c| (r, c)));
            let sums: Vec<i64> =
                at().map(|(r, c)| reference::sum(&x_codes, &x_zeros, &weights, params, r, c)).collect();
            let wide: Vec<i32> =
                at().zip(&sums).map(|((_, c), &s)| reference::to_sum(s, &finish, c) as i32).collect();
            let floats: Vec<u32> = at()
                .zip(&sums)
                .map(|((r, c), &s)| {
                    reference::to_float(s, of(&x_scales, r), of(&w_scales, c), &finish, c).to_bits()
                })
                .collect();
            let y = ((k as f32).sqrt() * 0.5 + 0.01, 100);
            let one = Activations { scales: &x_scales[..1.min(x_scales.len())], ..x };
            let code = |lo, hi| {
                let convert = |((_, c), &s): ((usize, usize), &i64)| {
                    reference::to_code(s, one.scales[0], of(&w_scales, c), &finish, c, y, (lo, hi))
                };
                at().zip(&sums).map(convert).collect::<Vec<i32>>()
            };
            let (unsigned, signed) = if m > 0 { (code(0, 255), code(-128, 127)) } else { (vec![], vec![]) };
            for &isa in Isa::available() {
                let packed = PackedWeights::new(isa, weights, params).unwrap();
                assert_eq!(packed.isa(), isa);
                for count in [1, 2] {
                    threads::set_num_threads(count).unwrap();
                    let what = format!(
                        "{} x {count}: {m} x {k} {} by {n} {}, {finish:?}, each {each}, transposed {transposed}, near {near}",
                        isa.name(),
                        if x_signed { "i8" } else { "u8" },
                        if w_signed { "i8" } else { "u8" }
                    );
                    let mut out = Guarded::new(4 * m * n);
                    let to = out.slice::<MaybeUninit<i32>>(m * n, true);
                    multiply(&x, &packed, &finish, Results::Sums(to)).unwrap();
                    same(&written(to), &wide, &what);
                    let to = out.slice::<MaybeUninit<f32>>(m * n, true);
                    multiply(&x, &packed, &finish, Results::Floats(to)).unwrap();
                    same(&written(to).iter().map(|f| f.to_bits()).collect::<Vec<_>>(), &floats, &what);
                    if m > 0 {
                        let to = out.slice::<MaybeUninit<u8>>(m * n, true);
                        multiply(&one, &packed, &finish, Results::U8(to, y.0, y.1)).unwrap();
                        same(
                            &written(to).iter().map(|&c| i32::from(c)).collect::<Vec<_>>(),
                            &unsigned,
                            &what,
                        );
                        let to = out.slice::<MaybeUninit<i8>>(m * n, true);
                        multiply(&one, &packed, &finish, Results::I8(to, y.0, y.1)).unwrap();
                        same(&written(to).iter().map(|&c| i32::from(c)).collect::<Vec<_>>(), &signed, &what);
                    }
                    ran += 1;
                }
            }
        }
    }
    assert_eq!(ran, sizes().len() * 8 * 2 * Isa::available().len());
    println!("ran: {:?}", Isa::available().iter().map(|isa| isa.name()).collect::<Vec<_>>());
}

/// Some instruction sets add two or four products in 16 bits where activations are small enough together.
#[test]
fn activations_around_the_greatest_that_are_small_together() {
    let _turn = turn();
    threads::set_num_threads(1).unwrap();
    let mut random = Random(29);
    for code in [63, 64, 65, 85, 86, 127, 128, 129, 254, 255u8] {
        for (m, n, k) in [(1, 16, 8), (5, 33, 12), (6, 17, 20), (11, 48, 31), (16, 16, 72), (60, 64, 200)] {
            // The same everywhere, and with a few that are one more, or none.
            for one in [None, Some(code.saturating_add(1)), Some(0)] {
                let codes: Vec<u8> = (0..m * k)
                    .map(|_| match one {
                        Some(one) if random.below(9) == 0 => one,
                        _ => code,
                    })
                    .collect();
                for weight in [-128i8, 127] {
                    let weights = vec![weight; n * k];
                    let weights = Matrix::dense(Codes::I8(&weights), n, k);
                    let params = WeightParams { scales: &[1.0], zero_points: &[0] };
                    let matrix = Matrix::dense(Codes::U8(&codes), m, k);
                    let x = Activations { codes: matrix.into(), scales: &[1.0], zero_points: &[0] };
                    let want: Vec<i32> = (0..m)
                        .flat_map(|r| {
                            let row = codes[r * k..][..k].iter().map(|&c| i32::from(c) * i32::from(weight));
                            std::iter::repeat_n(row.sum::<i32>(), n)
                        })
                        .collect();
                    for &isa in Isa::available() {
                        let packed = PackedWeights::new(isa, weights, params).unwrap();
                        let what =
                            format!("{}: {m} x {k} of {code} and {one:?} by {n} of {weight}", isa.name());
                        let mut out = Guarded::new(4 * m * n);
                        let to = out.slice::<MaybeUninit<i32>>(m * n, true);
                        multiply(&x, &packed, &Finish::default(), Results::Sums(to)).unwrap();
                        same(&written(to), &want, &what);
                        let to = out.slice::<MaybeUninit<f32>>(m * n, true);
                        multiply(&x, &packed, &Finish::default(), Results::Floats(to)).unwrap();
                        let floats: Vec<f32> = want.iter().map(|&sum| sum as f32).collect();
                        same(&written(to), &floats, &what);
                        let to = out.slice::<MaybeUninit<u8>>(m * n, true);
                        let y = (255.0 * 128.0 * k as f32 / 127.0, 128);
                        multiply(&x, &packed, &Finish::default(), Results::U8(to, y.0, y.1)).unwrap();
                        let code = |&sum: &i32| {
                            let finish = Finish::default();
                            reference::to_code(sum.into(), 1.0, 1.0, &finish, 0, y, (0, 255)) as u8
                        };
                        same(&written(to), &want.iter().map(code).collect::<Vec<_>>(), &what);
                    }
                }
            }
        }
    }
}

/// The least sums of weights that float results in registers take apart into halves, and deeper ones.
#[test]
fn zero_points_of_deep_rows_meet_the_least_sums_of_weights() {
    let _turn = turn();
    const M: usize = 5;
    const N: usize = 3;
    for depth in [32_764, 32_768, 32_772] {
        let (x_codes, w_codes) = (vec![255u8; M * depth], vec![-128i8; N * depth]);
        let (x, w) =
            (Matrix::dense(Codes::U8(&x_codes), M, depth), Matrix::dense(Codes::I8(&w_codes), N, depth));
        let params = WeightParams { scales: &[0.5], zero_points: &[0] };
        let zero_points = [0, 1, 127, 254, 255];
        let x = Activations { codes: x.into(), scales: &[0.25; M], zero_points: &zero_points };
        let want = zero_points.iter().flat_map(|&z| {
            let sum = (255 - i64::from(z)) * -128 * depth as i64;
            [sum as f32 * 0.125; N]
        });
        let want: Vec<f32> = want.collect();
        for &isa in Isa::available() {
            let packed = PackedWeights::new(isa, w, params).unwrap();
            let mut to = vec![MaybeUninit::uninit(); M * N];
            multiply(&x, &packed, &Finish::default(), Results::Floats(&mut to)).unwrap();
            same(&written(&to), &want, &format!("{}, {depth} deep", isa.name()));
        }
    }
}

#[test]
fn sums_that_could_leave_32_bits_are_refused() {
    let depth = 66_000;
    let codes = vec![127i8; depth];
    let params = WeightParams { scales: &[1.0], zero_points: &[0] };
    let weights = |n: usize| Matrix::dense(Codes::I8(&codes[..n]), 1, n);
    assert!(PackedWeights::new(Isa::current(), weights(66_000), params).is_ok());
    let codes = vec![128u8; 66_000];
    let error = PackedWeights::new(Isa::current(), Matrix::dense(Codes::U8(&codes), 1, 66_000), params);
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("weight") && message.contains("8448000") && message.contains("split"),
        "{message}"
    );
}
