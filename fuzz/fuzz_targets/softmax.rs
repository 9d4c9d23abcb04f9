//! Softmax of rows with a factor and a mask: what float64 gives, and the same bits on every instruction set.

#![no_main]

use arbitrary::Result;
use quantray_core::float::{Mask, Place, Softmax, softmax};
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, bits, everywhere, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let short = input.flag()?;
    let n = input.from_to(1, if short { 40 } else { 300 })?;
    let (a, b) = (input.from_to(0, 8)?, input.from_to(1, 8)?);
    let scale = input.scale()?;
    let x = input.floats(a * b * n, scale, true)?;
    let factor = input.finite()?;
    // A row of the mask for each row, for each of an axis, or for all.
    let steps = [input.one_of(&[0, n])?, input.one_of(&[0, a.max(1) * n])?];
    let added = input.floats((a.max(1) * b + 1) * n, 1.0, true)?;
    let masked = input.flag()?;
    let mask = || masked.then(|| Mask::new(&added, &[b, a], &[steps[1], steps[0]]));
    let of = || Softmax { n, factor, mask: mask() };
    let shared = input.flag()?;
    let mut first: Option<Vec<u32>> = None;
    everywhere(shared, |_, on| {
        let got = collect(x.len(), |out| softmax(&of(), Place::Apart(&x, out))).expect("nothing stops it");
        let mut over = x.clone();
        softmax(&of(), Place::Over(&mut over)).expect("nothing stops it");
        same(&bits(&over), &bits(&got), on);
        if let Some(first) = &first {
            return same(&bits(&got), first, on);
        }
        for (r, (x, got)) in x.chunks(n).zip(got.chunks(n)).enumerate() {
            let start = r % a.max(1) * steps[0] + r / a.max(1) * steps[1];
            let t: Vec<f32> = (0..n)
                .map(|i| if masked { x[i] * factor + added[start + i] } else { x[i] * factor })
                .collect();
            let max = t.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            if t.iter().any(|t| t.is_nan()) || !max.is_finite() {
                assert!(got.iter().all(|y| y.is_nan()), "{on}: {t:?} gave {got:?}");
                continue;
            }
            let powers: Vec<f64> = t.iter().map(|&t| f64::from(t - max).exp()).collect();
            let sum: f64 = powers.iter().sum();
            for (y, power) in got.iter().zip(&powers) {
                assert!((f64::from(*y) - power / sum).abs() < 2e-6, "{on}: {y}, not {}", power / sum);
            }
        }
        first = Some(bits(&got));
    });
    Ok(())
}

target!(run);
