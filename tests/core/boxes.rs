//! Boxes that no better one covers, and what is in boxes, beside formulas in float64.

use std::sync::Arc;

use quantray_core::arch::Isa;
use quantray_core::ops::{Counts, Suppression, non_max_suppression};
use quantray_core::program::ops::{Align, Given};
use quantray_core::program::{Constant, Memory, Program, Room, Type, Value};
use quantray_core::threads;

use crate::common::turn;

/// Numbers from 0 to 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    /// An integer below `n`.
    fn below(&mut self, n: usize) -> usize {
        ((self.next() * n as f32) as usize).min(n - 1)
    }
}

/// Does something on each instruction set, with one thread and with two.
fn everywhere(f: impl Fn(&str)) {
    let _turn = turn();
    let best = Isa::current();
    for &isa in Isa::available() {
        for count in [1, 2] {
            Isa::set_current(isa).unwrap();
            threads::set_num_threads(count).unwrap();
            f(&format!("{} x {count}", isa.name()));
        }
    }
    Isa::set_current(best).unwrap();
}

/// Of the boxes that are left the best one stays, and those that it covers go.
fn plain(boxes: &[f32], scores: &[f32], how: &Suppression) -> Vec<i64> {
    let corners: Vec<[f64; 4]> = boxes
        .chunks_exact(4)
        .map(|of| {
            let of = [0, 1, 2, 3].map(|i| f64::from(of[i]));
            match how.centred {
                true => [of[0] - of[2] / 2., of[1] - of[3] / 2., of[0] + of[2] / 2., of[1] + of[3] / 2.],
                false => [of[0].min(of[2]), of[1].min(of[3]), of[0].max(of[2]), of[1].max(of[3])],
            }
        })
        .collect();
    let area = |of: &[f64; 4]| (of[2] - of[0]) * (of[3] - of[1]);
    let mut left: Vec<usize> =
        (0..scores.len()).filter(|&i| how.least.is_none_or(|least| scores[i] > least)).collect();
    let mut kept = Vec::new();
    while kept.len() < how.limit {
        // Of equal ones the first: `max_by` gives the last one.
        let Some(&best) = left.iter().rev().max_by(|&&i, &&j| scores[i].total_cmp(&scores[j])) else { break };
        kept.push(best as i64);
        let a = corners[best];
        left.retain(|&i| {
            let b = corners[i];
            let sides = [0, 1].map(|k| (a[k + 2].min(b[k + 2]) - a[k].max(b[k])).max(0.0));
            let shared = sides[0] * sides[1];
            let has_area = area(&a) > 0.0 && area(&b) > 0.0;
            i != best && !(has_area && shared / (area(&a) + area(&b) - shared) > f64::from(how.overlap))
        });
    }
    kept
}

#[test]
fn boxes_stay_that_no_better_one_covers() {
    // Places are whole numbers, so that all areas are exact, and no quotient is near the bound but where it is equal.
    let mut numbers = Numbers(7);
    let (images, classes, n) = (2, 3, 150);
    let mut boxes = Vec::new();
    for _ in 0..images * n {
        let at = [0; 2].map(|_| numbers.below(30) as f32);
        let size = [0; 2].map(|_| 2.0 * numbers.below(8) as f32);
        boxes.extend([at[0], at[1], at[0] + size[0], at[1] + size[1]]);
    }
    let scores: Vec<f32> = (0..images * classes * n).map(|_| numbers.below(40) as f32 / 40.0).collect();
    for (limit, least, centred) in
        [(usize::MAX, None, false), (usize::MAX, Some(0.25), true), (17, Some(0.0), false)]
    {
        let how = Suppression { limit, overlap: 0.25, least, centred };
        let mut want = Vec::new();
        for image in 0..images {
            for class in 0..classes {
                let scores = &scores[(image * classes + class) * n..][..n];
                let kept = plain(&boxes[4 * image * n..][..4 * n], scores, &how);
                assert!(kept.len() < n, "some go");
                want.extend(kept.into_iter().map(|own| [image as i64, class as i64, own]));
            }
        }
        everywhere(|place| {
            let counts = Counts { images, classes, boxes: n };
            let found = non_max_suppression(&boxes, &scores, counts, &how).unwrap();
            assert!(found == want, "{place}");
        });
    }
}

/// One element: the mean of points, or the greatest of their weighted elements.
fn element(
    x: &dyn Fn(usize, usize) -> f64,
    (h, w): (usize, usize),
    of: &Align,
    at: [f64; 4],
    (row, column): (usize, usize),
) -> f64 {
    let shift = if of.half_pixel { 0.5 } else { 0.0 };
    let [left, top, right, bottom] = at.map(|side| side * f64::from(of.scale) - shift);
    let (mut high, mut wide) = (bottom - top, right - left);
    if !of.half_pixel {
        (high, wide) = (high.max(1.0), wide.max(1.0));
    }
    let (high, wide) = (high / of.size.0 as f64, wide / of.size.1 as f64);
    let points = |length: f64| if of.sampling > 0 { of.sampling } else { length.ceil().max(0.0) as usize };
    let (rows, columns) = (points(high), points(wide));
    let (mut sum, mut most) = (0.0, f64::NEG_INFINITY);
    for i in 0..rows {
        for j in 0..columns {
            let y = top + (row as f64 + (i as f64 + 0.5) / rows as f64) * high;
            let x_at = left + (column as f64 + (j as f64 + 0.5) / columns as f64) * wide;
            if y < -1.0 || y > h as f64 || x_at < -1.0 || x_at > w as f64 {
                most = most.max(0.0);
                continue;
            }
            let split = |at: f64, n: usize| {
                let at = at.clamp(0.0, (n - 1) as f64);
                let low = at as usize;
                (low, (low + 1).min(n - 1), at - low as f64)
            };
            let ((a, b, p), (c, d, q)) = (split(y, h), split(x_at, w));
            let each = [
                (1.0 - p) * (1.0 - q) * x(a, c),
                (1.0 - p) * q * x(a, d),
                p * (1.0 - q) * x(b, c),
                p * q * x(b, d),
            ];
            sum += each.iter().sum::<f64>();
            most = each.iter().fold(most, |most, &one| most.max(one));
        }
    }
    match (of.greatest, rows * columns) {
        (_, 0) => 0.0,
        (true, _) => most,
        (false, count) => sum / count as f64,
    }
}

#[test]
fn what_is_in_boxes_is_its_formula() {
    let mut numbers = Numbers(3);
    let (images, h, w, count) = (2, 9, 7, 12);
    let boxes: Vec<f32> =
        (0..4 * count).map(|i| 11.3 * numbers.next() + if i % 4 > 1 { 3.0 } else { -3.0 }).collect();
    let ids: Vec<i64> = (0..count).map(|_| numbers.below(images) as i64).collect();
    for channels in [1, 3, 19] {
        let x: Vec<f32> = (0..images * channels * h * w).map(|_| numbers.next() - 0.5).collect();
        for (sampling, greatest, half_pixel) in
            [(0, false, true), (2, false, false), (3, true, true), (0, true, false)]
        {
            let of = Align { size: (3, 2), sampling, scale: 0.7, greatest, half_pixel };
            let mut want = Vec::new();
            for (at, &id) in boxes.chunks_exact(4).zip(&ids) {
                for c in 0..channels {
                    let own =
                        |i: usize, j: usize| f64::from(x[((id as usize * channels + c) * h + i) * w + j]);
                    for place in 0..6 {
                        let at = [0, 1, 2, 3].map(|i| f64::from(at[i]));
                        want.push(element(&own, (h, w), &of, at, (place / 2, place % 2)));
                    }
                }
            }
            everywhere(|place| {
                let mut program = Program::new(1);
                let given = |ty, shape, elements| Given {
                    value: Value::new(ty, shape),
                    elements: Arc::new(elements),
                };
                let at = given(Type::F32, vec![count, 4], Constant::F32(boxes.clone()));
                let at = program.push("", at, vec![]);
                let id = program.push("", given(Type::I64, vec![count], Constant::I64(ids.clone())), vec![]);
                let made = program.push("", of, vec![0, at, id]);
                program.give(made);
                let value = Value::new(Type::F32, vec![images, channels, h, w]);
                let prepared = program.prepare(vec![value], vec![]).unwrap();
                let mut made = vec![0f32; want.len()];
                let room = Room::F32(crate::program::slots(&mut made));
                program.run(&prepared, &[Memory::F32(&x)], vec![room]).unwrap();
                let far = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() > 2e-5;
                assert!(!made.iter().zip(&want).any(far), "{place}, {of:?}");
            });
        }
    }
}
