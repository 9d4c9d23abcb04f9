//! Products, convolutions and pools of floats on every instruction set, with one thread and with two, against sums in
//! float64; what is read lies between guard pages.
//!
//! A sum of `n` products of float32, added up in any order, is off by at most `(n + 2) * 2^-24` times the sum of the
//! products' absolute values (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1): that is the bound here.
//!
//! `QUANTRAY_TEST_REDUCED=1` leaves out most of the random cases: for emulators.

use quantray_core::arch::Isa;
use quantray_core::conv::Geometry;
use quantray_core::conv::reference::weight_at;
use quantray_core::float::Function;
use quantray_core::float::conv::{FloatConv, FloatImage};
use quantray_core::float::pool::{FloatPool, pool};
use quantray_core::float::product::{
    Factor, Finish, Matrix, PackedFloats, Plain, Products, multiply, products,
};
use quantray_core::ops::pool::{Moves, Window};
use quantray_core::threads;

use crate::common::{Random, collect, reduced, turn};
use crate::convolutions::{self, Case};
use crate::guard::Guarded;

/// A sum in float64, and how far float32 may be from it.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    value: f64,
    size: f64,
    count: usize,
}

impl Sum {
    fn add(&mut self, a: f32, b: f32) {
        let product = f64::from(a) * f64::from(b);
        self.value += product;
        self.size += product.abs();
        self.count += 1;
    }

    fn within(mut self, limits: (f32, f32)) -> Self {
        self.value = self.value.clamp(f64::from(limits.0), f64::from(limits.1));
        self
    }
}

fn check(got: &[f32], want: &[Sum], what: impl Fn() -> String) {
    assert_eq!(got.len(), want.len(), "{}", what());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let bound = (want.count + 2) as f64 * 2f64.powi(-24) * want.size + 1e-37;
        let off = (f64::from(*got) - want.value).abs();
        assert!(off <= bound, "{}: {got} at {i}, not {} within {bound}", what(), want.value);
    }
}

/// What `kernel` makes on every instruction set, with one thread and two, each of which `want` bounds. The number of
/// threads changes no bit.
fn everywhere(n: usize, want: &[Sum], what: &str, kernel: impl Fn(&mut [std::mem::MaybeUninit<f32>])) {
    let best = Isa::current();
    for &isa in Isa::available() {
        Isa::set_current(isa).unwrap();
        let made = [1, 2].map(|count| {
            threads::set_num_threads(count).unwrap();
            let made = collect(n, |to| {
                kernel(to);
                Ok(())
            });
            made.unwrap()
        });
        check(&made[0], want, || format!("{} {what}", isa.name()));
        let same = made[0].iter().zip(&made[1]).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{} {what}: another result with two threads", isa.name());
    }
    Isa::set_current(best).unwrap();
}

fn fill(to: &mut [f32], random: &mut Random) {
    to.iter_mut().for_each(|x| *x = random.unit() * 2.0 - 1.0);
}

const NONE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

#[test]
fn products_are_sums_of_products() {
    let _turn = turn();
    let mut random = Random(7);
    let mut shapes = Vec::new();
    for m in [1, 2, 3, 5, 6, 7, 8, 9, 13, 24, 25, 49] {
        for n in [1, 3, 15, 16, 17, 31, 33, 48, 64, 65, 80, 97] {
            shapes.push((m, 1 + random.below(40), n));
        }
    }
    shapes.extend([
        (0, 3, 4),
        (3, 4, 0),
        (2, 0, 5),
        (7, 511, 20),
        (5, 512, 70),
        (30, 1300, 40),
        (200, 64, 200),
    ]);
    if reduced() {
        shapes.truncate(40);
    }
    for (case, (m, k, n)) in shapes.into_iter().enumerate() {
        let (down, at_end) = (k + case % 3, case % 2 == 0);
        let transposed = case % 4 < 2;
        let used = if m == 0 || k == 0 { 0 } else { (m - 1) * down + k };
        let (mut left, mut right) = (Guarded::new(4 * used), Guarded::new(4 * k * n));
        let (x, w) = (left.slice::<f32>(used, at_end), right.slice::<f32>(k * n, at_end));
        fill(x, &mut random);
        fill(w, &mut random);
        let bias: Vec<f32> = (0..n).map(|_| random.unit()).collect();
        let residual: Vec<f32> = (0..m * n).map(|_| random.unit() - 0.5).collect();
        let limits = [NONE, (0.0, f32::INFINITY), (-0.5, 0.5)][case % 3];
        let weight = |d: usize, c: usize| if transposed { w[c * k + d] } else { w[d * n + c] };
        let mut want = vec![Sum::default(); m * n];
        for (i, sum) in want.iter_mut().enumerate() {
            (0..k).for_each(|d| sum.add(x[i / n * down + d], weight(d, i % n)));
            sum.add(bias[i % n], 1.0);
            sum.add(residual[i], 1.0);
            *sum = sum.within(limits);
        }
        let from = match transposed {
            true => Plain { x: w, down: 1, right: k },
            false => Plain { x: w, down: n, right: 1 },
        };
        everywhere(m * n, &want, &format!("{m} x {k} x {n}, case {case}"), |to| {
            let weights = PackedFloats::new(Isa::current(), k, n, from);
            let finish = Finish { bias: Some(&bias), residual: Some(&residual), limits, then: None };
            let x = Matrix { x, rows: m, columns: k, down };
            multiply(&x, &weights, &finish, to).unwrap();
        });
    }
}

#[test]
fn products_of_matrices_take_any_strides() {
    let _turn = turn();
    let mut random = Random(11);
    for case in 0..if reduced() { 12 } else { 60 } {
        let (m, k, n) = (1 + random.below(20), 1 + random.below(50), 1 + random.below(70));
        let count = 1 + case % 5;
        let (turned_left, turned_right, shared) = (case % 2 == 1, case % 3 == 1, case % 7 == 3);
        let (mut left, mut right) = (Guarded::new(4 * count * m * k), Guarded::new(4 * count * k * n));
        let (a, b) = (left.slice::<f32>(count * m * k, true), right.slice::<f32>(count * k * n, true));
        fill(a, &mut random);
        fill(b, &mut random);
        let starts: Vec<(usize, usize)> =
            (0..count).map(|i| (i * m * k, if shared { 0 } else { i * k * n })).collect();
        let left = if turned_left { (1, m) } else { (k, 1) };
        let right = if turned_right { (1, k) } else { (n, 1) };
        let mut want = vec![Sum::default(); count * m * n];
        for (i, sum) in want.iter_mut().enumerate() {
            let ((p, q), r, c) = (starts[i / (m * n)], i / n % m, i % n);
            (0..k).for_each(|d| {
                sum.add(a[p + r * left.0 + d * left.1], b[q + d * right.0 + c * right.1]);
            });
        }
        everywhere(count * m * n, &want, &format!("{count} of {m} x {k} x {n}, case {case}"), |to| {
            let work = Products {
                left: Factor { x: a, strides: left },
                right: Factor { x: b, strides: right },
                sides: (m, k, n),
                starts: &starts,
            };
            products(&work, to).unwrap();
        });
    }
}

fn random_case(random: &mut Random, case: usize) -> Case {
    convolutions::random_case(random, case, [40, 14, 6], 5, |random, kind| match kind {
        0 => (1, 1 + random.below(9), 1 + random.below(40)),
        1 => (1, 12 + random.below(20), 1 + random.below(70)),
        2 => (2, 1 + random.below(15), 1 + random.below(20)),
        3 => (2 + random.below(90), 1, 1),
        _ => (2 + random.below(9), 1, 1 + random.below(3)),
    })
}

/// The sums of a convolution, by its definition: which input meets which output through which weight.
fn sums(case: &Case, x: &[f32], weights: &[f32]) -> Vec<Sum> {
    let Case { geometry, channels: (inputs, outputs), images, space } = case;
    let output = geometry.output(*space).unwrap();
    let [_, height, width] = output;
    let plane: usize = output.iter().product();
    let (in_group, out_group) = (inputs / geometry.groups, outputs / geometry.groups);
    let mut all = vec![Sum::default(); images * plane * outputs];
    // Along an axis: the input's place, of an output's and an element of the kernel.
    let met = |a: usize, o: usize, k: usize| -> Option<usize> {
        let (stride, before, reach) = (geometry.stride[a], geometry.padding[a].0, k * geometry.dilation[a]);
        let at = match geometry.transposed {
            None => (o * stride + reach).checked_sub(before)?,
            Some(_) => {
                let apart = (o + before).checked_sub(reach)?;
                apart.is_multiple_of(stride).then_some(apart / stride)?
            }
        };
        (at < space[a]).then_some(at)
    };
    for (i, sum) in all.iter_mut().enumerate() {
        let (o, place, image) = (i % outputs, i / outputs % plane, i / outputs / plane);
        let (z, y, x_at) = (place / (height * width), place / width % height, place % width);
        for kz in 0..geometry.kernel[0] {
            for ky in 0..geometry.kernel[1] {
                for kx in 0..geometry.kernel[2] {
                    let (Some(z), Some(y), Some(p)) = (met(0, z, kz), met(1, y, ky), met(2, x_at, kx)) else {
                        continue;
                    };
                    for c in 0..in_group {
                        let channel = o / out_group * in_group + c;
                        let pixel = ((image * space[0] + z) * space[1] + y) * space[2] + p;
                        let weight = weight_at(geometry, (*inputs, *outputs), o, c, [kz, ky, kx]);
                        sum.add(x[pixel * inputs + channel], weights[weight]);
                    }
                }
            }
        }
    }
    all
}

#[test]
fn convolutions_are_what_their_definition_says() {
    let _turn = turn();
    let mut random = Random(5);
    for number in 0..if reduced() { 30 } else { 240 } {
        let mut case = random_case(&mut random, number);
        if number % 8 == 7 {
            // Blocks of the output that one number of each channel makes.
            let stride = case.geometry.kernel;
            let (dilation, padding, transposed) = ([1; 3], [(0, 0); 3], Some([0; 3]));
            case.geometry = Geometry { stride, dilation, padding, groups: 1, transposed, ..case.geometry };
        }
        let then = (number % 3 == 0).then_some(Function::Sigmoid);
        let Case { geometry, channels: (inputs, outputs), images, space } = &case;
        let n = images * space.iter().product::<usize>() * inputs;
        let mut memory = Guarded::new(4 * n);
        let x = memory.slice::<f32>(n, number % 2 == 0);
        fill(x, &mut random);
        let taps: usize = geometry.kernel.iter().product();
        let mut weights = vec![0.0; inputs * outputs / geometry.groups * taps];
        fill(&mut weights, &mut random);
        let bias: Vec<f32> = (0..*outputs).map(|_| random.unit()).collect();
        let mut want = sums(&case, x, &weights);
        let limits = [NONE, (0.0, f32::INFINITY), (-0.25, 0.5)][number % 3];
        let residual: Option<Vec<f32>> = (geometry.transposed.is_none() && number % 2 == 1)
            .then(|| want.iter().map(|_| random.unit() - 0.5).collect());
        for (i, sum) in want.iter_mut().enumerate() {
            sum.add(bias[i % outputs], 1.0);
            if let Some(residual) = &residual {
                sum.add(residual[i], 1.0);
            }
            *sum = sum.within(limits);
            if then.is_some() {
                // Its slope is at most 1/4, and it is itself as exact as some sums.
                let value = 1.0 / (1.0 + (-sum.value).exp());
                *sum = Sum { value, size: sum.size.max(1.0), count: sum.count + 8 };
            }
        }
        let [depth, height, width] = *space;
        let line = width * inputs;
        let strides = [depth * height * line, height * line, line, *inputs];
        let what = format!("case {number}, {geometry:?}, {inputs} -> {outputs}, {space:?}");
        everywhere(want.len(), &want, &what, |to| {
            let conv = FloatConv::new(Isa::current(), geometry.clone(), (*inputs, *outputs), &weights);
            let image = FloatImage { x, images: *images, channels: *inputs, space: *space, strides };
            let finish = Finish { bias: Some(&bias), residual: residual.as_deref(), limits, then };
            conv.run(&image, &finish, to).unwrap();
        });
    }
}

#[test]
fn pools_are_the_greatest_and_the_average_numbers() {
    let _turn = turn();
    let mut random = Random(3);
    for case in 0..if reduced() { 12 } else { 60 } {
        let space = [1 + random.below(3), 3 + random.below(9), 3 + random.below(9)];
        let (images, channels) = (1 + case % 2, [1, 3, 16, 64, 70][case % 5]);
        let moves = |kernel, stride, padding| Moves {
            kernel,
            stride,
            padding,
            dilation: 1,
            ceil: case % 2 == 0,
            count_padding: case % 3 == 0,
        };
        let (kernel, stride) = (2 + random.below(2), 1 + random.below(3));
        let all = [moves(1, 1, 0), moves(kernel, stride, kernel / 2), moves(kernel, stride, 0)];
        let windows: [Vec<Window>; 3] = std::array::from_fn(|a| all[a].windows(space[a]).unwrap());
        let n = images * space.iter().product::<usize>() * channels;
        let mut memory = Guarded::new(4 * n);
        let x = memory.slice::<f32>(n, case % 2 == 0);
        fill(x, &mut random);
        let strides = [n / images, space[1] * space[2] * channels, space[2] * channels, channels];
        let average = case % 2 == 0;
        let divisor = (case % 4 == 2).then_some(7);
        let mut want = Vec::new();
        for image in 0..images {
            for z in &windows[0] {
                for y in &windows[1] {
                    for w in &windows[2] {
                        for c in 0..channels {
                            let mut sum = Sum::default();
                            let mut greatest = f64::NEG_INFINITY;
                            for (i, j, k) in (0..z.count * y.count * w.count)
                                .map(|t| (t / (y.count * w.count), t / w.count % y.count, t % w.count))
                            {
                                let at = image * strides[0]
                                    + (z.first + i) * strides[1]
                                    + (y.first + j) * strides[2]
                                    + (w.first + k) * strides[3]
                                    + c;
                                sum.add(x[at], 1.0);
                                greatest = greatest.max(f64::from(x[at]));
                            }
                            let size = divisor.unwrap_or((z.size * y.size * w.size) as i64) as f64;
                            want.push(match average {
                                true => Sum {
                                    value: sum.value / size,
                                    size: sum.size / size,
                                    count: sum.count + 2,
                                },
                                false => Sum { value: greatest, size: 0.0, count: 0 },
                            });
                        }
                    }
                }
            }
        }
        let kind = if average { FloatPool::Average(divisor) } else { FloatPool::Max };
        everywhere(want.len(), &want, &format!("{kind:?}, case {case}"), |to| {
            pool(kind, &FloatImage { x, images, channels, space, strides }, &windows, to).unwrap();
        });
    }
}

#[test]
fn nan_and_infinities_go_through_limits() {
    let _turn = turn();
    let best = Isa::current();
    for &isa in Isa::available() {
        Isa::set_current(isa).unwrap();
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -3.0];
        let weights = PackedFloats::new(isa, 1, 1, Plain { x: &[1.0], down: 1, right: 1 });
        let finish = Finish { limits: (0.0, 6.0), ..Finish::default() };
        let x = Matrix { x: &x, rows: 4, columns: 1, down: 1 };
        let made = collect(4, |to| multiply(&x, &weights, &finish, to)).unwrap();
        assert!(made[0].is_nan() && made[1..] == [6.0, 0.0, 0.0], "{}: {made:?}", isa.name());
    }
    Isa::set_current(best).unwrap();
}
