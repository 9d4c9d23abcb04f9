//! Every instruction set, with one thread and with two, with ordinary stores and with streaming ones, against the plain
//! functions of `qparams`, bit for bit.
//!
//! `QUANTRAY_TEST_REDUCED=1` leaves out most sizes: for emulators.

use std::fmt::Debug;
use std::mem::MaybeUninit;

use quantray_core::affine::{self, Channels, Code, Pages};
use quantray_core::arch::{self, Isa};
use quantray_core::error::Stopped;
use quantray_core::observe::{self, Bins, EXPONENTS, MinMax};
use quantray_core::qparams::DType;
use quantray_core::threads;

use crate::common::{Params, Random, channel, collect, floats, reduced, turn};
use crate::guard::Guarded;

/// Runs something with every instruction set, number of threads and kind of store; returns what it ran.
pub fn everywhere(mut check: impl FnMut(&str)) -> Vec<Isa> {
    let best = Isa::current();
    for &isa in Isa::available() {
        Isa::set_current(isa).unwrap();
        for count in [1, 2] {
            threads::set_num_threads(count).unwrap();
            for stream in [0, 1] {
                arch::set_stream_from(stream);
                check(&format!(
                    "{} x {count}, {}",
                    isa.name(),
                    if stream == 1 { "streaming" } else { "ordinary" }
                ));
            }
        }
    }
    arch::set_stream_from(0);
    Isa::set_current(best).unwrap();
    Isa::available().to_vec()
}

fn layouts() -> Vec<Channels> {
    let mut all = vec![
        (1, 1, 1),
        (1, 1, 77),
        (2, 3, 7),
        (64, 3, 49),
        (100, 3, 1),
        (1, 3, 100),
        (9, 16, 1),
        (0, 3, 5),
        (4, 0, 5),
        (4, 3, 0),
        (7, 11, 13),
        (2, 5, 1030),
    ];
    if !reduced() {
        all.extend([
            (3, 5, 1024),
            (2, 4, 1500),
            (5, 4096, 1),
            (20, 2112, 1),
            (3, 5000, 2),
            (2, 70000, 1),
            (1, 700, 100),
            (1000, 64, 1),
            (37, 11, 13),
            (3, 2000, 40),
            (1, 3, 50001),
            (60000, 3, 1),
            (64, 64, 49),
            // Blocks of odd length, in several pieces of work: bytes of packed codes must not be cut.
            (20, 39, 71),
        ]);
    }
    all.into_iter().map(|(outer, channels, inner)| Channels { outer, channels, inner }).collect()
}

fn lengths() -> Vec<usize> {
    if reduced() {
        return vec![0, 1, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 200, 1021];
    }
    let mut all: Vec<usize> = (0..=140).collect();
    all.extend([191, 255, 256, 257, 509, 1021, 4096, 4099, 32767, 65537, 300_007]);
    all
}

/// Lengths or layouts, with parameters of every kind that the data type has.
pub fn cases(dtype: DType, random: &mut Random) -> Vec<(usize, Params)> {
    let zero_point = |r: &mut Random| match dtype {
        DType::QInt32 => r.next() as i32 >> r.below(32),
        _ => dtype.qmin() + r.below((dtype.qmax() - dtype.qmin() + 1) as usize) as i32,
    };
    let scale = |r: &mut Random| (r.unit() + 0.01) * [0.1, 1e-4, 1e2][r.below(3)];
    let mut all = Vec::new();
    for n in lengths() {
        all.push((n, Params::Tensor(scale(random), zero_point(random))));
    }
    for scale in [f32::MIN_POSITIVE, f32::MAX, 1.0] {
        all.push((100, Params::Tensor(scale, dtype.qmin())));
        all.push((100, Params::Tensor(scale, dtype.qmax())));
    }
    for layout in layouts() {
        let scales: Vec<f32> = (0..layout.channels).map(|_| scale(random)).collect();
        let zero_points = (0..layout.channels).map(|_| zero_point(random)).collect();
        all.push((layout.len(), Params::Channel(scales.clone(), zero_points, layout)));
        let zero_points = (0..layout.channels).map(|_| (random.unit() - 0.2) * 200.0).collect();
        all.push((layout.len(), Params::Float(scales, zero_points, layout)));
    }
    all
}

/// Compares and names the first difference.
#[track_caller]
pub fn same<T: Copy + PartialEq + Debug>(got: &[T], want: &[T], x: &[impl Debug], on: &str, params: &Params) {
    if got == want {
        return;
    }
    let i = (0..want.len()).find(|&i| got[i] != want[i]).unwrap();
    let shown = format!("{params:?}");
    panic!("{on}: {:?} at {i} of {} became {:?}, not {:?}; {shown:.200}", x[i], x.len(), got[i], want[i]);
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn quantizes<C: Code + PartialEq + Debug + Into<i32> + TryFrom<i32, Error: Debug>>() {
    let _turn = turn();
    let random = &mut Random(7);
    for (n, params) in cases(C::DTYPE, random) {
        let x = floats(n, 0.1, random);
        let codes: Vec<C> =
            (0..n).map(|i| C::try_from(params.quantize(C::DTYPE, i, x[i])).unwrap()).collect();
        let values: Vec<f32> = (0..n).map(|i| params.dequantize(i, codes[i].into())).collect();
        everywhere(|on| {
            let got = collect(n, |out| affine::quantize::<C>(&x, out, &params.affine())).unwrap();
            same(&got, &codes, &x, on, &params);
            let got = collect(n, |out| affine::dequantize::<C>(&codes, out, &params.affine(), Pages::There))
                .unwrap();
            same(&bits(&got), &bits(&values), &codes, on, &params);
        });
    }
}

#[test]
fn quantize_and_dequantize_int8() {
    quantizes::<i8>();
}

#[test]
fn quantize_and_dequantize_uint8() {
    quantizes::<u8>();
}

#[test]
fn quantize_and_dequantize_int32() {
    quantizes::<i32>();
}

#[test]
fn quantize_and_dequantize_packed() {
    let _turn = turn();
    let random = &mut Random(11);
    for dtype in [DType::QUInt4x2, DType::QUInt2x4] {
        for (n, params) in cases(dtype, random) {
            let x = floats(n, 0.01, random);
            let codes: Vec<i32> = (0..n).map(|i| params.quantize(dtype, i, x[i])).collect();
            let packed: Vec<u8> = codes
                .chunks(dtype.elements_per_item())
                .map(|codes| {
                    codes
                        .iter()
                        .enumerate()
                        .fold(0, |byte, (i, &code)| byte | (code as u8) << (i * dtype.bits()))
                })
                .collect();
            let values: Vec<f32> = (0..n).map(|i| params.dequantize(i, codes[i])).collect();
            everywhere(|on| {
                let bytes = packed.len();
                let got =
                    collect(bytes, |out| affine::quantize_packed(dtype, &x, out, &params.affine())).unwrap();
                same(&got, &packed, &packed, on, &params);
                let got = collect(n, |out| affine::dequantize_packed(dtype, &packed, out, &params.affine()))
                    .unwrap();
                same(&bits(&got), &bits(&values), &codes, on, &params);
            });
        }
    }
}

#[test]
fn fake_quantize() {
    let _turn = turn();
    let random = &mut Random(13);
    let ranges =
        [(0, 255), (-128, 127), (0, 15), (-8, 7), (0, 1 << 20), (-(1 << 24), 1 << 24), (i32::MIN, i32::MAX)];
    for (case, (n, params)) in cases(DType::QUInt8, random).into_iter().enumerate() {
        let (lo, hi) = ranges[case % ranges.len()];
        let x = floats(n, 0.1, random);
        let (values, passes): (Vec<f32>, Vec<bool>) =
            (0..n).map(|i| params.fake_quantize(i, x[i], lo, hi)).unzip();
        everywhere(|on| {
            let got = collect(n, |out| {
                affine::fake_quantize(&x, out, None, &params.affine(), (lo, hi), Pages::There)
            })
            .unwrap();
            same(&bits(&got), &bits(&values), &x, on, &params);
            let mut got = Vec::new();
            let mask = collect(n, |mask| {
                got = collect(n, |out| {
                    affine::fake_quantize(&x, out, Some(mask), &params.affine(), (lo, hi), Pages::There)
                })?;
                Ok(())
            });
            same(&bits(&got), &bits(&values), &x, on, &params);
            same(&mask.unwrap(), &passes, &x, on, &params);
        });
    }
}

fn plain_min_max<'a>(x: impl Iterator<Item = &'a f32>) -> MinMax {
    x.fold(MinMax::EMPTY, |all, &x| all.merge(MinMax { min: x, max: x }))
}

#[test]
fn min_max() {
    let _turn = turn();
    let random = &mut Random(17);
    let as_bits = |all: MinMax| (all.min.to_bits(), all.max.to_bits());
    for n in lengths() {
        // Without the extremes, so that any float may be the smallest or the largest.
        let x: Vec<f32> = (0..n).map(|_| (random.unit() - [0.0, 0.5, 1.0][n % 3]) * 4.0 - 0.0).collect();
        let want = plain_min_max(x.iter());
        everywhere(|on| assert_eq!(as_bits(observe::min_max(&x).unwrap()), as_bits(want), "{on} {n}"));
    }
    for layout in layouts() {
        let x: Vec<f32> = (0..layout.len()).map(|_| (random.unit() - 0.5) * 4.0).collect();
        let mut want = vec![MinMax::EMPTY; layout.channels];
        for (i, &x) in x.iter().enumerate() {
            let c = channel(layout, i);
            want[c] = want[c].merge(MinMax { min: x, max: x });
        }
        everywhere(|on| {
            assert_eq!(observe::min_max_per_channel(&x, layout).unwrap(), want, "{on} {layout:?}")
        });
    }
    everywhere(|on| {
        for zeros in [[0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0]] {
            assert_eq!(as_bits(observe::min_max(&zeros).unwrap()), (0, 0), "{on} {zeros:?}");
        }
        let all = observe::min_max(&[f32::INFINITY, 1.0, f32::NEG_INFINITY]).unwrap();
        assert_eq!(all, MinMax { min: f32::NEG_INFINITY, max: f32::INFINITY }, "{on}");
    });
}

#[test]
fn histograms() {
    let _turn = turn();
    let random = &mut Random(19);
    for n in [0, 1, 7, 511, 512, 513, 3000] {
        for exponent in [-149, -140, -30, -7, 0, 3, 40, 127] {
            let width = 2f64.powi(exponent);
            // Multiples of the width among them, which begin a bin.
            let x: Vec<f32> = (0..n)
                .map(|i| {
                    let at = (random.unit() - 0.5) * 40.0;
                    let value = f64::from(if i % 3 == 0 { at.round() } else { at }) * width;
                    value.clamp(-f64::from(f32::MAX), f64::from(f32::MAX)) as f32
                })
                .collect();
            let bins = Bins { exponent, first: -15, len: 29 };
            let mut want = vec![0; bins.len];
            for &x in &x {
                let steps = (f64::from(x.abs()) / width).floor() as i64;
                let number = if x < 0.0 { -1 - steps } else { steps };
                if (-15..14).contains(&number) {
                    want[(number + 15) as usize] += 1;
                }
            }
            everywhere(|on| assert_eq!(observe::histogram(&x, bins).unwrap(), want, "{on} {n} {exponent}"));
        }
    }
    // More in a bin than a byte counts.
    let x: Vec<f32> = (0..5_001).map(|i| if i % 5 < 3 { 2.5 } else { (i % 20_000) as f32 }).collect();
    for len in [3, 9_000] {
        let mut want = vec![0; len];
        x.iter().filter(|&&x| (x as usize) < len).for_each(|&x| want[x as usize] += 1);
        let bins = Bins { exponent: 0, first: 0, len };
        everywhere(|on| assert_eq!(observe::histogram(&x, bins).unwrap(), want, "{on} {len} bins"));
    }
    let bins = Bins { exponent: 0, first: -2, len: 4 };
    let edges = [0.0, -0.0, -1e-45, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN];
    everywhere(|on| assert_eq!(observe::histogram(&edges, bins).unwrap(), [0, 1, 2, 0], "{on}"));
}

#[test]
fn power_sums() {
    let _turn = turn();
    let random = &mut Random(23);
    let floats = [0.0, -0.0, 1e-45, -1e-45, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::INFINITY, 1.5, -3.25];
    let x: Vec<f32> = floats.into_iter().chain((0..200_000).map(|_| random.unit() - 0.5)).collect();
    everywhere(|on| {
        let got = observe::power_sums(&x).unwrap();
        let (mut sums, mut squares) = (vec![0i64; EXPONENTS], vec![0u128; EXPONENTS]);
        for x in x.iter().filter(|x| x.is_finite()) {
            let e = (x.to_bits() >> 23 & 0xff) as usize;
            // The integer that the float is, in units of its last place.
            let m = (f64::from(*x) * 2f64.powi(150 - e.max(1) as i32)) as i64;
            sums[e] += m;
            squares[e] += u128::from(m.unsigned_abs()).pow(2);
        }
        assert_eq!(got.sums.to_vec(), sums, "{on}");
        for (e, want) in squares.into_iter().enumerate() {
            let square = ((got.squares_high[e] as u128) << 24) + got.squares_low[e] as u128;
            assert_eq!(square, want, "{on} {e}");
        }
        assert_eq!(got.counts.iter().sum::<i64>() as usize, x.len() - 1, "{on}");
    });
}

/// Every operation that rejects NaN.
fn rejections(x: &[f32], params: &Params) -> Vec<(&'static str, Result<(), Stopped>)> {
    let (n, affine) = (x.len(), params.affine());
    let fake = |mask: bool| {
        collect(n, |out| {
            let mut memory = vec![MaybeUninit::new(false); n];
            affine::fake_quantize(x, out, mask.then_some(&mut memory[..]), &affine, (0, 15), Pages::There)
        })
    };
    let layout = Channels { outer: n / 2, channels: 2, inner: 1 };
    let mut all = vec![
        ("quantize int8", collect(n, |out| affine::quantize::<i8>(x, out, &affine)).map(drop)),
        ("quantize uint8", collect(n, |out| affine::quantize::<u8>(x, out, &affine)).map(drop)),
        ("quantize int32", collect(n, |out| affine::quantize::<i32>(x, out, &affine)).map(drop)),
        ("fake_quantize", fake(false).map(drop)),
        ("fake_quantize with a mask", fake(true).map(drop)),
        ("min_max", observe::min_max(x).map(drop)),
        ("histogram", observe::histogram(x, Bins { exponent: 0, first: 0, len: 8 }).map(drop)),
        ("power_sums", observe::power_sums(x).map(drop)),
    ];
    if n % 2 == 0 {
        all.push(("min_max, short runs", observe::min_max_per_channel(x, layout).map(drop)));
        let layout = Channels { outer: 1, channels: 2, inner: n / 2 };
        all.push(("min_max, long runs", observe::min_max_per_channel(x, layout).map(drop)));
    }
    for dtype in [DType::QUInt4x2, DType::QUInt2x4] {
        let bytes = n.div_ceil(dtype.elements_per_item());
        let result = collect(bytes, |out| affine::quantize_packed(dtype, x, out, &affine));
        all.push(("quantize packed", result.map(drop)));
    }
    all
}

#[test]
fn nan_is_found_at_every_position() {
    let _turn = turn();
    let last = if reduced() { 40 } else { 140 };
    let mut sets: Vec<(usize, Vec<usize>)> = (0..last).map(|first| (last, vec![first])).collect();
    sets.extend([(300, vec![299]), (300, vec![5, 6, 7, 200]), (17, (0..17).collect()), (1, vec![0])]);
    if !reduced() {
        sets.extend([
            (400_002, vec![400_001]),
            (400_002, vec![3, 200_000]),
            (400_002, (0..400_002).collect()),
        ]);
    }
    for (n, at) in sets {
        let mut x = vec![0.5f32; n];
        for (k, &i) in at.iter().enumerate() {
            // Either sign, quiet or signalling.
            x[i] = f32::from_bits([0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xffff_ffff][k % 4]);
        }
        let want = Err(Stopped::Nan { count: at.len(), first: at[0] });
        let layout = Channels { outer: n, channels: 1, inner: 1 };
        let mut all = vec![Params::Tensor(0.1, 3), Params::Float(vec![0.1], vec![3.0], layout)];
        if n % 2 == 0 {
            let layout = Channels { outer: n / 2, channels: 2, inner: 1 };
            all.push(Params::Channel(vec![0.1, 0.2], vec![3, 4], layout));
            all.push(Params::Channel(
                vec![0.1, 0.2],
                vec![3, 4],
                Channels { outer: 1, channels: 2, inner: n / 2 },
            ));
        }
        everywhere(|on| {
            for params in &all {
                for (what, got) in rejections(&x, params) {
                    assert_eq!(got, want, "{on}: {what} of {n}, NaN from {}", at[0]);
                }
            }
        });
    }
}

#[test]
fn memory_starts_and_ends_anywhere() {
    let _turn = turn();
    let random = &mut Random(19);
    let params = Params::Tensor(0.1, 100);
    let layout = Channels { outer: 13, channels: 21, inner: 1 };
    let each = Params::Channel((1..22).map(|i| i as f32 * 0.05).collect(), (0..21).collect(), layout);
    let n = layout.len();
    let x = floats(n + 64, 0.1, random);
    let step = if reduced() { 13 } else { 1 };
    for start in (0..17).step_by(step) {
        for to in (0..67).step_by(step) {
            for params in [&params, &each] {
                let x = &x[start..start + n];
                let codes: Vec<u8> = (0..n).map(|i| params.quantize(DType::QUInt8, i, x[i]) as u8).collect();
                let values: Vec<f32> = (0..n).map(|i| params.dequantize(i, codes[i].into())).collect();
                everywhere(|on| {
                    let mut out = vec![MaybeUninit::new(77u8); n + 128];
                    affine::quantize::<u8>(x, &mut out[to..to + n], &params.affine()).unwrap();
                    // SAFETY: all of it was initialized above.
                    let out: Vec<u8> = out.into_iter().map(|code| unsafe { code.assume_init() }).collect();
                    same(&out[to..to + n], &codes, x, on, params);
                    assert!(out[..to].iter().chain(&out[to + n..]).all(|&b| b == 77), "{on}: wrote outside");
                    let mut back = vec![MaybeUninit::new(7f32); n + 128];
                    affine::dequantize::<u8>(
                        &out[to..to + n],
                        &mut back[start..start + n],
                        &params.affine(),
                        Pages::There,
                    )
                    .unwrap();
                    // SAFETY: as above.
                    let back: Vec<f32> = back.into_iter().map(|x| unsafe { x.assume_init() }).collect();
                    same(&bits(&back[start..start + n]), &bits(&values), &codes, on, params);
                    assert!(
                        back[..start].iter().chain(&back[start + n..]).all(|&x| x == 7.0),
                        "{on}: wrote outside"
                    );
                });
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn nothing_beyond_an_array_is_touched() {
    let _turn = turn();
    let (mut x, mut out, mut mask) = (Guarded::new(5000), Guarded::new(5000), Guarded::new(1300));
    let random = &mut Random(23);
    for n in lengths().into_iter().filter(|&n| n <= 1021) {
        let layout = Channels { outer: n, channels: 1, inner: 1 };
        let rows = Channels { outer: n / 3, channels: 3, inner: 1 };
        let mut all = vec![Params::Tensor(0.1, 3), Params::Float(vec![0.1], vec![3.0], layout)];
        if rows.len() == n {
            all.push(Params::Channel(vec![0.1, 0.2, 0.3], vec![3, 4, 5], rows));
        }
        for at_end in [true, false] {
            let x = x.slice::<f32>(n, at_end);
            x.copy_from_slice(&floats(n, 0.1, random));
            everywhere(|_| {
                for affine in all.iter().map(Params::affine) {
                    affine::quantize::<u8>(x, out.slice(n, at_end), &affine).unwrap();
                    affine::quantize::<i32>(x, out.slice(n, at_end), &affine).unwrap();
                    let mask = mask.slice(n, at_end);
                    affine::fake_quantize(
                        x,
                        out.slice(n, at_end),
                        Some(mask),
                        &affine,
                        (0, 255),
                        Pages::There,
                    )
                    .unwrap();
                    observe::min_max(x).unwrap();
                    if rows.len() == n {
                        observe::min_max_per_channel(x, rows).unwrap();
                    }
                    for dtype in [DType::QUInt4x2, DType::QUInt2x4] {
                        let bytes = n.div_ceil(dtype.elements_per_item());
                        affine::quantize_packed(dtype, x, out.slice(bytes, at_end), &affine).unwrap();
                    }
                }
            });
        }
        for at_end in [true, false] {
            everywhere(|_| {
                for affine in all.iter().map(Params::affine) {
                    affine::dequantize::<i8>(x.slice(n, at_end), out.slice(n, at_end), &affine, Pages::There)
                        .unwrap();
                    affine::dequantize::<i32>(
                        x.slice(n, at_end),
                        out.slice(n, at_end),
                        &affine,
                        Pages::There,
                    )
                    .unwrap();
                    for dtype in [DType::QUInt4x2, DType::QUInt2x4] {
                        let codes = x.slice(n.div_ceil(dtype.elements_per_item()), at_end);
                        affine::dequantize_packed(dtype, codes, out.slice(n, at_end), &affine).unwrap();
                    }
                }
            });
        }
    }
}

#[test]
fn the_instruction_sets_that_ran() {
    let _turn = turn();
    let ran = everywhere(|_| {});
    println!("ran: {:?}", ran.iter().map(|isa| isa.name()).collect::<Vec<_>>());
    #[cfg(target_arch = "x86_64")]
    assert!(ran.len() >= 2 || !std::is_x86_feature_detected!("avx2"), "AVX2 is there and did not run");
    #[cfg(target_arch = "aarch64")]
    assert!(ran.contains(&Isa::Neon), "NEON did not run");
}
