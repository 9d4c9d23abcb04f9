//! What must hold for all inputs, on the best instruction set: found by trying many.

use proptest::prelude::*;
use quantray_core::affine::{self, Channels, Pages};
use quantray_core::observe::{self, MinMax};
use quantray_core::threads;

use crate::common::{Params, Random, collect, floats, reduced, turn};

/// A scale and a zero point of quint8.
fn affine_params() -> impl Strategy<Value = (f32, i32)> {
    (1e-6f32..1e6, 0..256)
}

fn quantize(x: &[f32], params: &Params) -> Vec<u8> {
    collect(x.len(), |out| affine::quantize::<u8>(x, out, &params.affine())).unwrap()
}

fn dequantize(codes: &[u8], params: &Params) -> Vec<f32> {
    collect(codes.len(), |out| affine::dequantize::<u8>(codes, out, &params.affine(), Pages::There)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if reduced() { 16 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_round_trip_inside_the_range_is_off_by_half_a_step_at_most(
        (scale, zero_point) in affine_params(),
        at in prop::collection::vec(0.0f32..=1.0, 1..200),
    ) {
        let params = Params::Tensor(scale, zero_point);
        let (lo, hi) = (scale * -zero_point as f32, scale * (255 - zero_point) as f32);
        let x: Vec<f32> = at.iter().map(|at| lo + (hi - lo) * at).collect();
        let back = dequantize(&quantize(&x, &params), &params);
        for (x, back) in x.iter().zip(back) {
            // Half a step, and what float32 loses in a product of two.
            prop_assert!((x - back).abs() <= scale * (0.5 + 1e-4), "{x} came back as {back}");
        }
    }

    #[test]
    fn a_greater_float_never_gets_a_smaller_code(
        (scale, zero_point) in affine_params(),
        mut x in prop::collection::vec(prop::num::f32::ANY.prop_filter("no NaN", |x| !x.is_nan()), 1..200),
    ) {
        x.sort_by(f32::total_cmp);
        prop_assert!(quantize(&x, &Params::Tensor(scale, zero_point)).is_sorted());
    }

    #[test]
    fn every_code_survives_the_trip_through_its_float((scale, zero_point) in affine_params()) {
        let params = Params::Tensor(scale, zero_point);
        let codes: Vec<u8> = (0..=255).collect();
        prop_assert_eq!(quantize(&dequantize(&codes, &params), &params), codes);
    }

    #[test]
    fn fake_quantization_is_quantization_and_back(
        (scale, zero_point) in affine_params(),
        x in prop::collection::vec(-1e8f32..1e8, 1..200),
    ) {
        let params = Params::Tensor(scale, zero_point);
        let fake = collect(x.len(), |out| affine::fake_quantize(&x, out, None, &params.affine(), (0, 255), Pages::There)).unwrap();
        prop_assert_eq!(fake, dequantize(&quantize(&x, &params), &params));
    }

    #[test]
    fn a_channel_gets_what_it_would_get_alone(
        outer in 1usize..5, channels in 1usize..40, inner in 1usize..40, seed in any::<u64>(),
    ) {
        let layout = Channels { outer, channels, inner };
        let mut random = Random(seed | 1);
        let scales: Vec<f32> = (0..channels).map(|_| random.unit() + 0.01).collect();
        let zero_points: Vec<i32> = (0..channels).map(|_| random.below(256) as i32).collect();
        let x = floats(layout.len(), 0.1, &mut random);
        let codes = quantize(&x, &Params::Channel(scales.clone(), zero_points.clone(), layout));
        for (i, (x, codes)) in x.chunks(inner).zip(codes.chunks(inner)).enumerate() {
            let alone = Params::Tensor(scales[i % channels], zero_points[i % channels]);
            prop_assert_eq!(&quantize(x, &alone)[..], codes);
        }
    }

    #[test]
    fn ranges_merge_in_any_grouping(
        x in prop::collection::vec(prop::num::f32::ANY.prop_filter("no NaN", |x| !x.is_nan()), 0..300),
        at in any::<prop::sample::Index>(), then in any::<prop::sample::Index>(),
    ) {
        let _turn = turn();
        threads::set_num_threads(2).unwrap();
        let (first, rest) = x.split_at(at.index(x.len() + 1));
        let (second, third) = rest.split_at(then.index(rest.len() + 1));
        let [a, b, c] = [first, second, third].map(|x| observe::min_max(x).unwrap());
        let all = observe::min_max(&x).unwrap();
        prop_assert_eq!(a.merge(b).merge(c), all);
        prop_assert_eq!(a.merge(b.merge(c)), all);
        prop_assert_eq!(c.merge(a).merge(b), all);
        prop_assert_eq!(all.merge(MinMax::EMPTY), all);
    }
}
