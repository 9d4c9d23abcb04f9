//! Products with a residual, or bent where they are negative, on every instruction set, with one thread and with two,
//! against the plain formula: the float of the layer, plus the residual, times the slope, rounded once.

use std::mem::MaybeUninit;

use crate::common::Random;
use quantray_core::arch::Isa;
use quantray_core::gemm::{
    Activations, Addend, Codes, Finish, Matrix, PackedWeights, Residual, Results, WeightParams, multiply,
    reference,
};
use quantray_core::qparams::{dequantize_one, quantize_one};
use quantray_core::threads;

/// Results of a product, as numbers.
fn run<T: Copy + Default>(n: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut to = vec![MaybeUninit::new(T::default()); n];
    fill(&mut to);
    // SAFETY: all were written above, at the latest by `fill`.
    to.into_iter().map(|slot| unsafe { slot.assume_init() }).collect()
}

#[test]
fn residuals_and_slopes_on_every_instruction_set() {
    let random = &mut Random(5);
    let sizes = [
        (1, 1, 1),
        (3, 64, 16),
        (5, 33, 70),
        (33, 3, 9),
        (17, 129, 20),
        (2, 200, 64),
        (70, 16, 33),
        (9, 5, 3),
        (31, 70, 12),
        (65, 50, 36),
        (8, 16, 64),
        (1, 17, 40),
        (14, 48, 68),
        (2, 33, 128),
    ];
    for (case, (m, n, k)) in sizes.into_iter().enumerate() {
        // As most activations are in every other case of weights without zero points.
        let code = |_| if case % 4 == 2 { random.near(99, false, 60) as u8 } else { random.below(256) as u8 };
        let x_codes: Vec<u8> = (0..m * k).map(code).collect();
        let w_codes: Vec<i8> = (0..n * k).map(|_| random.below(256) as u8 as i8).collect();
        let w_scales: Vec<f32> = (0..n).map(|_| random.unit() * 0.1 + 0.001).collect();
        let w_zeros: Vec<i32> =
            (0..n).map(|_| if case % 2 == 0 { 0 } else { random.below(9) as i32 }).collect();
        let bias: Vec<f32> = (0..n).map(|_| (random.unit() - 0.5) * 50.0).collect();
        let bytes: Vec<u8> = (0..m * n).map(|_| random.below(256) as u8).collect();
        let signed: Vec<i8> = bytes.iter().map(|&byte| byte as i8).collect();
        let floats: Vec<f32> = (0..m * n).map(|_| (random.unit() - 0.5) * 90.0).collect();
        let (matrix, weights) =
            (Matrix::dense(Codes::U8(&x_codes), m, k), Matrix::dense(Codes::I8(&w_codes), n, k));
        let params = WeightParams { scales: &w_scales, zero_points: &w_zeros };
        let x = Activations { codes: matrix.into(), scales: &[0.03], zero_points: &[99] };
        let plain = Finish { bias: Some(&bias), ..Finish::default() };
        let layer: Vec<f32> = (0..m * n)
            .map(|i| {
                let sum = reference::sum(&matrix, &[99], &weights, params, i / n, i % n);
                reference::to_float(sum, 0.03, w_scales[i % n], &plain, i % n)
            })
            .collect();
        let slopes: Vec<f32> = (0..n).map(|_| random.unit() * 2.0 - 0.5).collect();
        let others: [(Option<Addend<'_>>, Vec<f32>); 4] = [
            (None, vec![0.0; m * n]),
            (
                Some(Addend::U8(&bytes, 0.2, 120)),
                bytes.iter().map(|&c| dequantize_one(c.into(), 0.2, 120)).collect(),
            ),
            (
                Some(Addend::I8(&signed, 0.3, -4)),
                signed.iter().map(|&c| dequantize_one(c.into(), 0.3, -4)).collect(),
            ),
            (Some(Addend::Floats(&floats)), floats.clone()),
        ];
        for (values, numbers) in &others {
            for (relu, bent) in [(false, false), (true, false), (false, true)] {
                let slopes = bent.then_some(&slopes[..]);
                let negative = |i: usize| if relu { 0.0 } else { slopes.map_or(1.0, |slopes| slopes[i % n]) };
                let sums: Vec<f32> = layer
                    .iter()
                    .zip(numbers)
                    .enumerate()
                    .map(|(i, (a, b))| if a + b < 0.0 { (a + b) * negative(i) } else { a + b })
                    .collect();
                let (scale, zero) = ((k as f32).sqrt() * 0.5 + 0.01, 100);
                let codes =
                    |lo, hi| sums.iter().map(|&x| quantize_one(x, 1.0 / scale, zero, lo, hi)).collect();
                let (unsigned, negative): (Vec<i32>, Vec<i32>) = (codes(0, 255), codes(-128, 127));
                for &isa in Isa::available() {
                    let packed = PackedWeights::new(isa, weights, params).unwrap();
                    for count in [1, 2] {
                        threads::set_num_threads(count).unwrap();
                        let residual = values.map(|values| Residual::new(values, n));
                        let finish = Finish { relu, slopes, residual, ..plain };
                        let what =
                            format!("{} x {count}: {m} x {k} by {n}, relu {relu}, bent {bent}", isa.name());
                        let go = |results: Results<'_>| multiply(&x, &packed, &finish, results).unwrap();
                        assert_eq!(run(m * n, |to| go(Results::Floats(to))), sums, "{what}");
                        let got: Vec<u8> = run(m * n, |to| go(Results::U8(to, scale, zero)));
                        assert_eq!(got.into_iter().map(i32::from).collect::<Vec<_>>(), unsigned, "{what}");
                        let got: Vec<i8> = run(m * n, |to| go(Results::I8(to, scale, zero)));
                        assert_eq!(got.into_iter().map(i32::from).collect::<Vec<_>>(), negative, "{what}");
                    }
                }
            }
        }
    }
}
