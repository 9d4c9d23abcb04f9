//! Layer normalization with a residual, a weight and a bias: what float64 gives, and the same bits everywhere.

#![no_main]

use arbitrary::Result;
use quantray_core::float::{LayerNorm, Place, layer_norm};
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, bits, everywhere, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let short = input.flag()?;
    let n = input.from_to(1, if short { 40 } else { 300 })?;
    let rows = input.from_to(0, 40)?;
    let tame = input.flag()?;
    let mut array = |n: usize| -> Result<Vec<f32>> {
        match tame {
            true => {
                let mut random = input.random()?;
                Ok((0..n).map(|_| (random.unit() - 0.5) * 8.0).collect())
            }
            false => input.floats(n, 0.1, true),
        }
    };
    let (x, residual) = (array(rows * n)?, array(rows * n)?);
    let (weight, bias) = (array(n)?, array(n)?);
    let of = LayerNorm {
        n,
        eps: input.one_of(&[0.0, 1e-12, 1e-5, 1.0])?,
        weight: input.flag()?.then_some(&weight[..]),
        bias: input.flag()?.then_some(&bias[..]),
        residual: input.flag()?.then_some(&residual[..]),
    };
    let shared = input.flag()?;
    let mut first: Option<Vec<u32>> = None;
    everywhere(shared, |_, on| {
        let got = collect(x.len(), |out| layer_norm(&of, Place::Apart(&x, out))).expect("nothing stops it");
        let mut over = x.clone();
        layer_norm(&of, Place::Over(&mut over)).expect("nothing stops it");
        same(&bits(&over), &bits(&got), on);
        if let Some(first) = &first {
            return same(&bits(&got), first, on);
        }
        for (r, (x, got)) in x.chunks(n).zip(got.chunks(n)).enumerate() {
            let added = |i: usize| of.residual.map_or(0.0, |residual| residual[r * n + i]);
            let h: Vec<f64> = (0..n).map(|i| f64::from(x[i] + added(i))).collect();
            if h.iter().any(|h| !h.is_finite()) {
                assert!(got.iter().all(|y| y.is_nan()), "{on}: {h:?} gave {got:?}");
                continue;
            }
            // Numbers of very different sizes lose what their sums round away: only their bits are compared.
            let mean = h.iter().sum::<f64>() / n as f64;
            let variance = h.iter().map(|h| (h - mean).powi(2)).sum::<f64>() / n as f64 + of.eps;
            if !tame || variance < 1e-3 {
                continue;
            }
            for (i, &y) in got.iter().enumerate() {
                let factor = of.weight.map_or(1.0, |w| f64::from(w[i]));
                let want =
                    (h[i] - mean) / variance.sqrt() * factor + of.bias.map_or(0.0, |b| f64::from(b[i]));
                assert!((f64::from(y) - want).abs() < 1e-4, "{on}: {y}, not {want}");
            }
        }
        first = Some(bits(&got));
    });
    Ok(())
}

target!(run);
