//! Convolutions on every instruction set, with one thread and with two, against their definition, bit for bit.
//!
//! `QUANTRAY_TEST_REDUCED=1` leaves out most of the random cases: for emulators.

use std::mem::MaybeUninit;

use quantray_core::arch::Isa;
use quantray_core::conv::{Geometry, Image, PackedConv, reference};
use quantray_core::gemm::{Codes, Finish, Results, WeightParams, reference as products};
use quantray_core::threads;

use crate::common::{Random, reduced, turn};
use crate::convolutions::{self, Case};
use crate::guard::Guarded;

fn random_case(random: &mut Random, case: usize) -> Case {
    convolutions::random_case(random, case, [40, 12, 6], 4, |random, kind| match kind {
        0 => (1, 1 + random.below(9), 1 + random.below(40)),
        1 => (2, 1 + random.below(3), 1 + random.below(20)),
        2 => (2 + random.below(70), 1, 1),
        _ => (2 + random.below(9), 1, 1 + random.below(3)),
    })
}

/// Convolutions of few channels, and of widths and numbers of outputs around the edges of every tile.
fn edges() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |inputs: usize, outputs: usize, groups: usize, shape: [usize; 2], length: [usize; 2]| {
        let number = all.len();
        let (step, hole) = (1 + number % 3 / 2, 1 + number % 4 / 3);
        let padding = [(0, 0), (number % 3, number / 3 % 3), (number % 2, number / 2 % 3)];
        let geometry = Geometry {
            kernel: [1, shape[0], shape[1]],
            stride: [1, 1, step],
            dilation: [1, 1, hole],
            padding,
            groups,
            transposed: None,
        };
        let space = [1, length[0] + hole * shape[0], length[1] * step + hole * shape[1]];
        let channels = (groups * inputs, groups * outputs);
        all.push(Case { geometry, channels, images: 1 + number % 3, space });
    };
    for inputs in 1..=5 {
        for kernel in [[1, 1], [1, 3], [3, 1], [3, 3], [2, 7], [5, 5]] {
            add(inputs, 16, 1, kernel, [2, 7]);
            add(inputs, 9, 1 + inputs % 2, kernel, [1, 3]);
        }
    }
    for width in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 33] {
        add(1, 16, 1, [3, 3], [3, width]);
        add(8, 10, 1, [3, 2], [1, width]);
    }
    for outputs in [1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 96, 100, 144] {
        add(3, outputs, 1, [2, 3], [1, 5]);
        add(64, outputs, 1, [1, 2], [1, 9]);
    }
    // Many lines of few, and few of weights that do not fit beside them.
    for height in [1, 2, 9, 40] {
        add(1, 16, 1, [3, 3], [height, 2]);
        add(64, 40, 1, [3, 3], [height, 1]);
    }
    all
}

fn written<T: Copy>(to: &[MaybeUninit<T>]) -> Vec<T> {
    // SAFETY: callers have seen a kernel fill it.
    to.iter().map(|x| unsafe { x.assume_init() }).collect()
}

#[test]
fn convolutions_on_every_instruction_set() {
    let _turn = turn();
    let random = &mut Random(5);
    let reduced = reduced();
    let mut cases: Vec<Case> = (0..if reduced { 60 } else { 600 }).map(|i| random_case(random, i)).collect();
    cases.extend(edges().into_iter().step_by(if reduced { 3 } else { 1 }));
    for (number, case) in cases.into_iter().enumerate() {
        let Case { geometry, channels: (inputs, outputs), images, space } = case.clone();
        let output = geometry.output(space).unwrap();
        let (x_signed, w_signed) = (number % 2 == 1, number / 2 % 2 == 1);
        let elements = space.iter().product::<usize>();
        let n = images * inputs * elements;
        let zero = |signed: bool, r: &mut Random| r.below(256) as i32 - if signed { 128 } else { 0 };
        // Padding of the least code, as behind ReLU, need not be multiplied.
        let x_zero = match number % 5 {
            0..3 => zero(x_signed, random),
            _ => -128 * i32::from(x_signed),
        };
        let byte = |_| match number % 7 {
            6 => 127,
            // As most activations are, which some instruction sets multiply in another way.
            2..6 => random.near(x_zero, x_signed, [usize::MAX, 60, 8][number % 3]) as u8,
            _ => random.next() as u8,
        };
        let bytes: Vec<u8> = (0..n).map(byte).collect();
        let mut memory = Guarded::new(n);
        let codes = if x_signed {
            let to = memory.slice::<i8>(n, true);
            to.iter_mut().zip(&bytes).for_each(|(to, &b)| *to = b as i8);
            Codes::I8(to)
        } else {
            let to = memory.slice::<u8>(n, true);
            to.copy_from_slice(&bytes);
            Codes::U8(to)
        };
        let [_, height, width] = space;
        let strides = match number % 3 {
            0 => [inputs * elements, 1, height * width * inputs, width * inputs, inputs],
            _ => [inputs * elements, elements, height * width, width, 1],
        };
        let image = Image { codes, images, channels: inputs, space, strides };
        let in_group = inputs / geometry.groups;
        let k = outputs * in_group * geometry.kernel.iter().product::<usize>();
        let (w_unsigned, mut w_bytes) = (!w_signed, Vec::new());
        w_bytes.extend((0..k).map(|_| random.next() as u8));
        let w_ints: Vec<i8> = w_bytes.iter().map(|&b| b as i8).collect();
        let weights = if w_unsigned { Codes::U8(&w_bytes) } else { Codes::I8(&w_ints) };
        let table = if number % 5 == 0 { 1 } else { outputs };
        let scales: Vec<f32> = (0..table).map(|_| random.unit() * 0.1 + 0.001).collect();
        // Most of the signed ones have none, as those of networks.
        let without = number % 4 >= 2 && number % 8 != 2;
        let zeros: Vec<i32> = (0..table).map(|_| if without { 0 } else { zero(w_signed, random) }).collect();
        let params = WeightParams { scales: &scales, zero_points: &zeros };
        let bias: Vec<f32> = (0..outputs).map(|_| (random.unit() - 0.5) * 9.0).collect();
        let slopes: Vec<f32> = (0..outputs).map(|_| random.unit() * 2.0 - 0.5).collect();
        let finish = Finish {
            bias: (number % 2 == 0).then_some(&bias[..]),
            relu: number % 3 == 0,
            slopes: (number % 3 == 1).then_some(&slopes[..]),
            ..Finish::default()
        };
        let y = (0.7 + k as f32 * 0.01, 90);
        let (mut sums, mut want) = (Vec::new(), Vec::new());
        for i in 0..images {
            for z in 0..output[0] {
                for y_ in 0..output[1] {
                    for x in 0..output[2] {
                        for o in 0..outputs {
                            let of = |i: usize| if table == 1 { 0 } else { i };
                            let sum = reference::sum(
                                &geometry,
                                (&image, x_zero),
                                (weights, zeros[of(o)]),
                                outputs,
                                (i, o, [z, y_, x]),
                            );
                            sums.push(sum as i32);
                            want.push(
                                products::to_code(sum, 0.02, scales[of(o)], &finish, o, y, (0, 255)) as u8
                            );
                        }
                    }
                }
            }
        }
        for &isa in Isa::available() {
            let conv = PackedConv::new(isa, geometry.clone(), (inputs, outputs), weights, params).unwrap();
            let stored: Vec<i32> = zeros.iter().map(|z| z - if w_unsigned { 128 } else { 0 }).collect();
            let back: Vec<u8> =
                conv.unpack(&stored).iter().map(|&w| w as u8 ^ if w_unsigned { 0x80 } else { 0 }).collect();
            assert_eq!(back, w_bytes, "{}: {case:?}", isa.name());
            for count in [1, 2] {
                threads::set_num_threads(count).unwrap();
                let mut room = Guarded::new(4 * want.len());
                let to = room.slice::<MaybeUninit<u8>>(want.len(), true);
                conv.run(&image, (0.02, x_zero), &finish, Results::U8(to, y.0, y.1)).unwrap();
                assert_eq!(written(to), want, "{} x {count}: {case:?}", isa.name());
                let to = room.slice::<MaybeUninit<i32>>(want.len(), true);
                let bare = Finish { slopes: None, ..finish };
                conv.run(&image, (0.02, x_zero), &bare, Results::Sums(to)).unwrap();
                assert_eq!(written(to), sums, "{} x {count}: {case:?}", isa.name());
            }
        }
    }
}

/// What is outside of an image stands for 0 in each channel, by the channel's own zero point.
#[test]
fn channels_with_zero_points_of_their_own() {
    let _turn = turn();
    let random = &mut Random(6);
    let kernels = [[1, 3, 3], [1, 1, 5], [1, 5, 5], [2, 3, 2]];
    let channels = [2, 3, 16, 17, 64, 70];
    let each = |i: usize| (kernels[i % 4], channels[i / 4 % 6], 1 + i / 24 % 2, i / 48 % 2 == 1);
    for (number, (kernel, channels, repeated, signed)) in (0..96).map(each).enumerate() {
        if reduced() && number % 7 != 0 {
            continue;
        }
        let geometry = Geometry {
            kernel,
            stride: [1, 1 + number % 2, 1 + number / 2 % 2],
            dilation: [1, 1 + number / 3 % 2, 1],
            padding: [(kernel[0] / 2, 0), (kernel[1] / 2, kernel[1] / 2), (kernel[2] - 1, kernel[2] / 2)],
            groups: channels,
            transposed: None,
        };
        let (images, space, outputs) = (2, [2, 6, 5], channels * repeated);
        let elements = space.iter().product::<usize>();
        let mut memory = Guarded::new(images * channels * elements);
        let to = memory.slice::<u8>(images * channels * elements, true);
        to.iter_mut().for_each(|to| *to = random.next() as u8);
        let ints: Vec<i8> = to.iter().map(|&b| b as i8).collect();
        let codes = if signed { Codes::I8(&ints) } else { Codes::U8(to) };
        let strides = [channels * elements, 1, 30 * channels, 5 * channels, channels];
        let image = Image { codes, images, channels, space, strides };
        let taps = kernel.iter().product::<usize>();
        let weights: Vec<i8> = (0..outputs * taps).map(|_| random.next() as i8).collect();
        let scales: Vec<f32> = (0..outputs).map(|_| random.unit() * 0.1 + 0.001).collect();
        let zeros: Vec<i32> =
            (0..channels).map(|_| random.below(256) as i32 - if signed { 128 } else { 0 }).collect();
        let int_bias: Vec<i32> = (0..outputs).map(|_| random.below(2000) as i32 - 1000).collect();
        let finish = Finish { int_bias: (number % 3 == 0).then_some(&int_bias[..]), ..Finish::default() };
        let (output, y) = (geometry.output(space).unwrap(), (0.3, 90));
        let (mut sums, mut want) = (Vec::new(), Vec::new());
        for (i, at) in (0..images).flat_map(|i| {
            let all = (0..output[0]).flat_map(move |z| (0..output[1]).map(move |y| (z, y)));
            all.flat_map(move |(z, y)| (0..output[2]).map(move |x| (i, [z, y, x])))
        }) {
            for o in 0..outputs {
                let x = (&image, zeros[o / repeated]);
                let sum = reference::sum(&geometry, x, (Codes::I8(&weights), 0), outputs, (i, o, at));
                sums.push((sum + finish.int_bias.map_or(0, |bias| i64::from(bias[o]))) as i32);
                want.push(products::to_code(sum, 0.02, scales[o], &finish, o, y, (0, 255)) as u8);
            }
        }
        for &isa in Isa::available() {
            let params = WeightParams { scales: &scales, zero_points: &[0] };
            let conv =
                PackedConv::new(isa, geometry.clone(), (channels, outputs), Codes::I8(&weights), params);
            let conv = conv.unwrap().with_x_zeros(&zeros).unwrap();
            assert_eq!(conv.x_zeros(), Some(zeros.clone()));
            let mut room = Guarded::new(4 * want.len());
            let to = room.slice::<MaybeUninit<u8>>(want.len(), true);
            // The zero point of the image is that of no channel.
            conv.run(&image, (0.02, 77), &finish, Results::U8(to, y.0, y.1)).unwrap();
            assert_eq!(written(to), want, "{}: {geometry:?}", isa.name());
            let to = room.slice::<MaybeUninit<i32>>(want.len(), true);
            conv.run(&image, (0.02, 77), &finish, Results::Sums(to)).unwrap();
            assert_eq!(written(to), sums, "{}: {geometry:?}", isa.name());
        }
    }
}

#[test]
fn zero_points_of_channels_are_refused_where_these_are_added_up() {
    let geometry = Geometry {
        kernel: [1, 1, 1],
        stride: [1; 3],
        dilation: [1; 3],
        padding: [(0, 0); 3],
        groups: 1,
        transposed: None,
    };
    let params = WeightParams { scales: &[0.1], zero_points: &[0] };
    let weights = [1i8; 6];
    let dense = PackedConv::new(Isa::current(), geometry.clone(), (2, 3), Codes::I8(&weights), params);
    assert!(dense.unwrap().with_x_zeros(&[1, 2]).unwrap_err().to_string().contains("input_zero_points"));
    let geometry = Geometry { groups: 3, ..geometry };
    let apart = PackedConv::new(Isa::current(), geometry, (3, 3), Codes::I8(&weights[..3]), params);
    let message = apart.unwrap().with_x_zeros(&[1, 2]).unwrap_err().to_string();
    assert!(message.contains("one for each of 3 channels"), "{message}");
}

#[test]
fn images_that_the_kernel_does_not_fit_in_are_refused() {
    let geometry = Geometry {
        kernel: [1, 1, 5],
        stride: [1; 3],
        dilation: [1, 1, 2],
        padding: [(0, 0), (0, 0), (1, 2)],
        groups: 1,
        transposed: None,
    };
    assert_eq!(geometry.output([1, 1, 6]).unwrap(), [1, 1, 1]);
    let message = geometry.output([1, 1, 5]).unwrap_err().to_string();
    assert!(
        message.contains("input") && message.contains("with padding 8") && message.contains('9'),
        "{message}"
    );
}
