//! Functions of floats on every instruction set, with one thread and with two, apart and in place: the same bits, and
//! those near to what float64 gives.
//!
//! `QUANTRAY_TEST_REDUCED=1` leaves out the longer arrays: for emulators.

use quantray_core::arch::Isa;
use quantray_core::error::Stopped;
use quantray_core::float::{self, Function, LayerNorm, Mask, Place, Softmax};
use quantray_core::threads;

use crate::common::{Random, collect, floats, reduced, turn};
use crate::guard::Guarded;

/// What `kernel` makes of `x` on plain code, which all others must give too.
fn everywhere(x: &[f32], what: &str, kernel: impl Fn(Place<'_>) -> Result<(), Stopped>) -> Vec<f32> {
    let best = Isa::current();
    let mut first: Option<Vec<f32>> = None;
    for &isa in Isa::available() {
        Isa::set_current(isa).unwrap();
        for count in [1, 2] {
            threads::set_num_threads(count).unwrap();
            let apart = collect(x.len(), |out| kernel(Place::Apart(x, out))).unwrap();
            let mut over = x.to_vec();
            kernel(Place::Over(&mut over)).unwrap();
            let plain = first.get_or_insert_with(|| apart.clone());
            for (got, how) in [(&apart, "apart"), (&over, "in place")] {
                let same = |i: &usize| got[*i].to_bits() == plain[*i].to_bits();
                if let Some(i) = (0..x.len()).find(|i| !same(i)) {
                    let (name, n) = (isa.name(), x.len());
                    panic!(
                        "{name} x {count}, {how}, {what}: {:?} at {i} of {n} became {:?} ({:#x}), not {:?} ({:#x})",
                        x[i],
                        got[i],
                        got[i].to_bits(),
                        plain[i],
                        plain[i].to_bits()
                    );
                }
            }
        }
    }
    Isa::set_current(best).unwrap();
    first.unwrap()
}

/// Within so many times 1e-7 of it, or of 1.
fn near(got: f32, want: f64, units: f64) -> bool {
    // What float64 holds and float32 does not.
    let narrow = want as f32;
    got == narrow
        || (got.is_nan() && narrow.is_nan())
        || (f64::from(got) - want).abs() <= units * 1e-7 * want.abs().max(1.0)
}

fn exactly(function: Function, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    match function {
        Function::Gelu => x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
        Function::GeluTanh => {
            x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x))
        }
        Function::Silu => x * sigmoid(x),
        Function::Sigmoid => sigmoid(x),
        Function::Tanh => libm::tanh(x),
    }
}

/// Lengths around vectors, groups and pieces of work.
fn lengths() -> Vec<usize> {
    let mut all: Vec<usize> = (0..=40).chain([63, 64, 65, 127, 128, 129, 200]).collect();
    if !reduced() {
        all.extend([255, 1000, 10_240, 10_241, 300_007]);
    }
    all
}

const SPECIAL: [f32; 16] = [
    f32::NAN,
    -f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1e-42,
    -1e-42,
    88.0,
    -88.0,
    -87.5,
    -87.7,
    -104.0,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
];

#[test]
fn functions() {
    let _turn = turn();
    let random = &mut Random(5);
    for function in Function::ALL {
        for n in lengths() {
            let x: Vec<f32> = match n {
                1..=16 => SPECIAL[..n].to_vec(),
                _ => (0..n).map(|_| (random.unit() - 0.5) * [2.0, 12.0, 200.0][random.below(3)]).collect(),
            };
            let y = everywhere(&x, &format!("{function:?}"), |place| float::apply(function, place));
            for (&x, y) in x.iter().zip(y) {
                let want = exactly(function, f64::from(x));
                assert!(near(y, want, 6.0), "{function:?}({x:?}) became {y:?}, not {want:?}");
            }
        }
    }
}

#[test]
fn any_bits_are_the_same_everywhere() {
    let _turn = turn();
    let random = &mut Random(6);
    let n = if reduced() { 2000 } else { 200_000 };
    let mut x: Vec<f32> = (0..n).map(|_| f32::from_bits(random.next() as u32)).collect();
    x.extend(floats(n, 0.01, random));
    for function in Function::ALL {
        let y = everywhere(&x, &format!("{function:?}"), |place| float::apply(function, place));
        assert!(y.iter().all(|y| !y.is_nan() || y.to_bits() == f32::NAN.to_bits()), "another NaN");
    }
}

/// Rows and their lengths.
fn shapes() -> Vec<(usize, usize)> {
    let mut all =
        vec![(0, 5), (1, 1), (3, 7), (2, 16), (20, 17), (5, 63), (17, 64), (3, 65), (2, 130), (33, 40)];
    if !reduced() {
        all.extend([(1, 5000), (300, 384), (40, 1536), (700, 128), (2000, 3), (3, 20_001)]);
    }
    all
}

#[test]
fn softmax() {
    let _turn = turn();
    let random = &mut Random(7);
    for (count, n) in shapes() {
        for kind in 0..4 {
            let mut x: Vec<f32> = (0..count * n).map(|_| (random.unit() - 0.5) * 20.0).collect();
            if kind == 3 {
                // Rows that hold what is not finite, between those that do not.
                for row in x.chunks_exact_mut(n).step_by(2) {
                    row[random.below(n)] = SPECIAL[random.below(4)];
                }
            }
            let (factor, shared) = ([1.0, -0.3, 0.125, 1.0][kind], kind == 2);
            let values: Vec<f32> = (0..if shared { n } else { count * n })
                .map(|_| if random.below(4) == 0 { f32::NEG_INFINITY } else { random.unit() })
                .collect();
            let mask = (kind == 1 || shared).then(|| match shared {
                true => Mask::new(&values, &[count], &[0]),
                false => Mask::new(&values, &[count, 1], &[n, 0]),
            });
            let of = Softmax { n, factor, mask };
            let y = everywhere(&x, &format!("rows of {n}"), |place| float::softmax(&of, place));
            for (row, (x, y)) in x.chunks_exact(n).zip(y.chunks_exact(n)).enumerate() {
                let added = |i: usize| match (kind, shared) {
                    (1, _) => f64::from(values[row * n + i]),
                    (_, true) => f64::from(values[i]),
                    _ => 0.0,
                };
                let t: Vec<f64> =
                    x.iter().enumerate().map(|(i, &x)| f64::from(x) * f64::from(factor) + added(i)).collect();
                let top = t.iter().fold(f64::NEG_INFINITY, |a, &b| if b.is_nan() { b } else { a.max(b) });
                let powers: Vec<f64> = t.iter().map(|t| libm::exp(t - top)).collect();
                let sum: f64 = powers.iter().sum();
                for (y, power) in y.iter().zip(powers) {
                    assert!(near(*y, power / sum, 10.0), "{y:?}, not {:?}, in a row of {n}", power / sum);
                }
            }
        }
    }
}

#[test]
fn layer_norm() {
    let _turn = turn();
    let random = &mut Random(8);
    for (count, n) in shapes() {
        for kind in 0..4 {
            let mut some = |n: usize| -> Vec<f32> { (0..n).map(|_| random.unit() * 6.0 - 2.0).collect() };
            let (mut x, residual, weight, bias) = (some(count * n), some(count * n), some(n), some(n));
            if kind == 3 {
                for row in x.chunks_exact_mut(n).step_by(2) {
                    row[n / 2] = SPECIAL[n % 4];
                }
            }
            let of = LayerNorm {
                n,
                eps: 1e-5,
                weight: (kind != 1).then_some(&weight),
                bias: (kind != 2).then_some(&bias),
                residual: (kind != 0).then_some(&residual),
            };
            let y = everywhere(&x, &format!("rows of {n}"), |place| float::layer_norm(&of, place));
            for (row, (x, y)) in x.chunks_exact(n).zip(y.chunks_exact(n)).enumerate() {
                let added = |i: usize| if kind == 0 { 0.0 } else { f64::from(residual[row * n + i]) };
                let h: Vec<f64> = x.iter().enumerate().map(|(i, &x)| f64::from(x) + added(i)).collect();
                let mean = h.iter().sum::<f64>() / n as f64;
                let variance = h.iter().map(|h| (h - mean).powi(2)).sum::<f64>() / n as f64;
                for (i, &y) in y.iter().enumerate() {
                    let unit = (h[i] - mean) / (variance + 1e-5).sqrt();
                    let weight = if kind == 1 { 1.0 } else { f64::from(weight[i]) };
                    let bias = if kind == 2 { 0.0 } else { f64::from(bias[i]) };
                    // A row of one: rounding is divided by sqrt(eps).
                    let units = if n == 1 { 1e4 } else { 100.0 };
                    assert!(near(y, unit * weight + bias, units), "{y:?}, not {:?}", unit * weight + bias);
                }
            }
        }
    }
}

#[test]
fn masks_are_broadcast_over_any_axes() {
    let _turn = turn();
    let values: Vec<f32> = (0..6 * 5).map(|i| (i % 7) as f32).collect();
    let x = vec![0f32; 2 * 3 * 4 * 5];
    // Which of six rows each of 2 x 3 x 4 rows takes, by the steps along the axes.
    for steps in [[0, 0, 0], [15, 5, 0], [15, 0, 0], [0, 5, 0], [0, 0, 5]] {
        let of = Softmax { n: 5, factor: 1.0, mask: Some(Mask::new(&values, &[2, 3, 4], &steps)) };
        let y = everywhere(&x, "masked", |place| float::softmax(&of, place));
        for (row, y) in y.chunks_exact(5).enumerate() {
            let start = row / 12 * steps[0] + row / 4 % 3 * steps[1] + row % 4 * steps[2];
            let powers: Vec<f64> = values[start..start + 5].iter().map(|&m| libm::exp(m.into())).collect();
            let sum: f64 = powers.iter().sum();
            assert!(
                y.iter().zip(powers).all(|(&y, power)| near(y, power / sum, 4.0)),
                "{steps:?}, row {row}"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn nothing_beyond_an_array_is_touched() {
    let _turn = turn();
    let (mut x, mut out, mut beside) = (Guarded::new(9000), Guarded::new(9000), Guarded::new(9000));
    let best = Isa::current();
    for &isa in Isa::available() {
        Isa::set_current(isa).unwrap();
        for n in [1, 5, 31, 32, 33, 64, 65, 129] {
            for at_end in [true, false] {
                let (len, beside) = (3 * n, beside.slice::<f32>(3 * n, at_end));
                let x: &[f32] = x.slice(len, at_end);
                for function in Function::ALL {
                    float::apply(function, Place::Apart(x, out.slice(len, at_end))).unwrap();
                    float::apply(function, Place::Over(out.slice(len, at_end))).unwrap();
                }
                let mask = Some(Mask::new(beside, &[3], &[n]));
                let of = Softmax { n, factor: 1.0, mask };
                float::softmax(&of, Place::Apart(x, out.slice(len, at_end))).unwrap();
                let row = if at_end { &beside[2 * n..] } else { &beside[..n] };
                let (weight, bias, residual) = (Some(row), Some(row), Some(&*beside));
                let of = LayerNorm { n, eps: 0.1, weight, bias, residual };
                float::layer_norm(&of, Place::Apart(x, out.slice(len, at_end))).unwrap();
            }
        }
    }
    Isa::set_current(best).unwrap();
}
