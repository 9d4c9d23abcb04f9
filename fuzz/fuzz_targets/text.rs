//! How tensors show themselves: any values, shapes and settings give text whose brackets close, and only elements that
//! are shown are asked for.

#![no_main]

use std::cell::Cell;

use arbitrary::Result;
use quantray_core::display::{CardStats, PrintOptions, QParamsText, html, repr};
use quantray_fuzz::{Input, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let dims = input.from_to(0, 4)?;
    let lengths: Vec<usize> = (0..dims).map(|_| input.from_to(0, 9)).collect::<Result<_>>()?;
    let n: usize = lengths.iter().product();
    let values: Vec<f32> = (0..n.min(64)).map(|_| input.float()).collect::<Result<_>>()?;
    let channels = input.from_to(1, 9)?;
    let scales: Vec<f32> = (0..channels).map(|_| input.scale()).collect::<Result<_>>()?;
    let zero_points: Vec<f32> = (0..channels).map(|_| input.finite()).collect::<Result<_>>()?;
    let wide: Vec<f64> = scales.iter().map(|&s| s.into()).collect();
    let whole: Vec<i64> = zero_points.iter().map(|&z| z as i64).collect();
    let qparams = match input.from_to(0, 2)? {
        0 => QParamsText::PerTensor { scale: wide[0], zero_point: whole[0] },
        1 => QParamsText::PerChannel { scales: &wide, zero_points: &whole, axis: 0 },
        _ => QParamsText::PerChannelFloat { scales: &scales, zero_points: &zero_points, axis: 0 },
    };
    let options = PrintOptions {
        precision: input.from_to(0, 12)?,
        threshold: input.one_of(&[0, 1, 10, 1000, usize::MAX])?,
        edgeitems: input.from_to(1, 4)?,
        linewidth: input.from_to(1, 120)?,
        sci_mode: input.one_of(&[None, Some(true), Some(false)])?,
    };
    let asked = Cell::new(0);
    let value = |at: &[usize]| {
        asked.set(asked.get() + 1);
        let flat = at.iter().zip(&lengths).fold(0, |flat, (i, n)| flat * n + i);
        values[flat % values.len()]
    };
    let text = repr(&lengths, &value, "quint8", "per_tensor_affine", &qparams, &options);
    assert!(text.starts_with("QTensor(") && text.ends_with(')'), "{text}");
    for (open, close) in [('(', ')'), ('[', ']')] {
        assert_eq!(text.matches(open).count(), text.matches(close).count(), "{text}");
    }
    let most = match n > options.threshold {
        true => lengths.iter().map(|&n| n.min(2 * options.edgeitems)).product(),
        false => n,
    };
    assert!(asked.get() <= most, "{} of at most {most} for {lengths:?}, {options:?}", asked.get());
    let histogram: Vec<u64> = (0..input.from_to(0, 40)?).map(|i| i as u64 * i as u64).collect();
    let stats = CardStats {
        histogram: &histogram,
        qmin: 0,
        qmax: 255,
        clipped_low: 1,
        clipped_high: 2,
        numel: n as u64,
    };
    let name = input.one_of(&["quint8", "<script>", "a&b\"'"])?;
    let card = html(&lengths, name, name, &qparams, n as u64, input.flag()?.then_some(&stats), &text);
    assert!(!card.contains("<script"), "{card}");
    for tag in ["div", "table", "tr", "td", "details", "pre", "strong"] {
        let opened = card.matches(&format!("<{tag}>")).count() + card.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, card.matches(&format!("</{tag}>")).count(), "{tag}: {card}");
    }
    Ok(())
}

target!(run);
