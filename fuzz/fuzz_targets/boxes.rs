//! Boxes that no better one covers, of any bits, against their definition one by one.

#![no_main]

use arbitrary::Result;
use quantray_core::ops::{Counts, Suppression, non_max_suppression};
use quantray_fuzz::{Input, everywhere, same, target};

/// Whether one of two boxes, as sides, covers the other.
fn covers(a: [f32; 4], b: [f32; 4], overlap: f32) -> bool {
    let area = |of: [f32; 4]| (of[3] - of[1]) * (of[2] - of[0]);
    let side = |k: usize| {
        let high = if a[k + 2] < b[k + 2] { a[k + 2] } else { b[k + 2] };
        let low = if a[k] > b[k] { a[k] } else { b[k] };
        high - low
    };
    let shared = side(1) * side(0);
    let union = area(a) + area(b) - shared;
    let has_area = [a, b].iter().all(|&of| of.iter().all(|side| !side.is_nan()) && area(of) > 0.0);
    has_area && side(0) > 0.0 && side(1) > 0.0 && shared > 0.0 && union > 0.0 && shared / union > overlap
}

fn run(input: &mut Input<'_>) -> Result<()> {
    let counts =
        Counts { images: input.from_to(0, 2)?, classes: input.from_to(0, 3)?, boxes: input.from_to(0, 60)? };
    let Counts { images, classes, boxes: n } = counts;
    let boxes = input.floats(4 * images * n, 0.5, true)?;
    let scores = input.floats(images * classes * n, 0.125, true)?;
    let how = Suppression {
        limit: input.from_to(0, 70)?,
        overlap: input.finite()?,
        least: if input.flag()? { Some(input.finite()?) } else { None },
        centred: input.flag()?,
    };
    let shared = input.flag()?;
    let mut want = Vec::new();
    for row in 0..images * classes {
        let (image, class) = (row / classes, row % classes);
        let sides: Vec<[f32; 4]> = boxes[4 * image * n..][..4 * n]
            .chunks_exact(4)
            .map(|of| match how.centred {
                true if of.iter().any(|side| side.is_nan()) => [f32::NAN; 4],
                true => [of[0] - of[2] / 2.0, of[1] - of[3] / 2.0, of[0] + of[2] / 2.0, of[1] + of[3] / 2.0],
                false if of.iter().any(|side| side.is_nan()) => [f32::NAN; 4],
                false => [of[0].min(of[2]), of[1].min(of[3]), of[0].max(of[2]), of[1].max(of[3])],
            })
            .collect();
        let scores = &scores[row * n..][..n];
        let mut order: Vec<usize> =
            (0..n).filter(|&i| how.least.is_none_or(|least| scores[i] > least)).collect();
        // The sort keeps the order of equal ones; no number comes last.
        order.sort_by(|&i, &j| {
            let (a, b) = (scores[i], scores[j]);
            b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        });
        let mut kept: Vec<usize> = Vec::new();
        for i in order {
            if kept.len() < how.limit && !kept.iter().any(|&k| covers(sides[i], sides[k], how.overlap)) {
                kept.push(i);
            }
        }
        want.extend(kept.into_iter().map(|i| [image as i64, class as i64, i as i64]));
    }
    everywhere(shared, |_, on| {
        let got = non_max_suppression(&boxes, &scores, counts, &how).expect("nothing stops it");
        same(&got, &want, &format!("{on}: {counts:?}, {how:?}"));
    });
    Ok(())
}

target!(run);
