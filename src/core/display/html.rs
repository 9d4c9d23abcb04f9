//! The card a notebook shows for a quantized tensor.
//!
//! Notebooks that are not trusted drop scripts, and some pages (GitHub) drop styles and drawings too: what the card
//! says is in a table of plain text, and the rest only makes it easier on the eye. Colours are the page's own
//! (`currentColor`, Jupyter's variables with a fall-back), since a page can be dark in a browser that is not.

use std::fmt::Write;

use super::{QParamsText, python_float_repr};

/// The most bars a histogram is drawn with.
const MAX_BARS: usize = 64;
/// The drawing: its width, the height of the tallest bar, and the height with the labels.
const WIDTH: f64 = 256.0;
const BARS: f64 = 44.0;
const HEIGHT: f64 = 60.0;
/// About the width of a character of a label.
const CHARACTER: f64 = 6.0;

const CARD: &str = "display:inline-block;max-width:100%;padding:8px 12px;border-radius:4px;\
                    border:1px solid var(--jp-border-color1,currentColor);font-size:13px;line-height:1.5";
const HEADER: &str =
    "text-align:left;font-weight:normal;opacity:.7;padding:0 16px 0 0;vertical-align:top;white-space:nowrap";
const CELL: &str = "text-align:left;padding:0;white-space:normal";

/// What is known of the codes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CardStats<'a> {
    /// Counts per code, in order of code, over the whole range: one for each code, or (for a wide dtype) for as
    /// many equal parts of the range as the caller chose.
    pub histogram: &'a [u64],
    /// The smallest code.
    pub qmin: i64,
    /// The largest code.
    pub qmax: i64,
    /// The number of elements whose code is `qmin`.
    pub clipped_low: u64,
    /// The number of elements whose code is `qmax`.
    pub clipped_high: u64,
    /// The number of elements.
    pub numel: u64,
}

/// A quantized tensor as a card of HTML, for `_repr_html_`.
///
/// `nbytes` is the memory its codes take, `preview` the text behind "values". Without `stats` nothing is said of
/// the codes. Every text is escaped.
///
/// ```
/// # use quantray_core::display::{QParamsText, html};
/// let qparams = QParamsText::PerTensor { scale: 0.1, zero_point: 10 };
/// let card = html(&[2, 2, 3], "quint8", "per_tensor_affine", &qparams, 12, None, "QTensor([[[...]]])");
/// assert!(card.contains("2 × 2 × 3") && card.contains("12 B, 4.0x smaller than float32"));
/// ```
pub fn html(
    shape: &[usize],
    dtype: &str,
    scheme: &str,
    qparams: &QParamsText<'_>,
    nbytes: u64,
    stats: Option<&CardStats<'_>>,
    preview: &str,
) -> String {
    let mut rows = vec![("dtype", escape(dtype)), ("scheme", escape(scheme))];
    rows.extend(describe_qparams(qparams).into_iter().map(|(name, text)| (name, escape(&text))));
    rows.push(("memory", escape(&memory(shape, nbytes))));
    if let Some(stats) = stats {
        rows.push(("codes", codes(stats, qparams)));
        if stats.numel > 0 {
            rows.push(("at the ends", escape(&ends(stats))));
        }
    }

    let mut card = format!(
        "<div style=\"{CARD}\">\n<div><strong>QTensor</strong> {}</div>\n\
         <table style=\"margin:4px 0;border:0;border-collapse:collapse;font-size:inherit\">\n",
        escape(&dimensions(shape))
    );
    for (name, cell) in rows {
        card += &format!(
            "<tr style=\"background:none\"><th style=\"{HEADER}\">{name}</th><td style=\"{CELL}\">{cell}</td></tr>\n"
        );
    }
    card += &format!(
        "</table>\n<details><summary style=\"cursor:pointer\">values</summary>\
         <pre style=\"margin:4px 0 0;overflow:auto;color:inherit;background:none\">{}</pre></details>\n</div>",
        escape(preview)
    );
    card
}

/// Text that HTML reads back as itself, in an element or an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// `2 × 2 × 3`.
fn dimensions(shape: &[usize]) -> String {
    match shape {
        [] => "scalar".to_owned(),
        [1] => "1 element".to_owned(),
        [size] => format!("{size} elements"),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "),
    }
}

/// The rows about scale and zero point.
fn describe_qparams(qparams: &QParamsText<'_>) -> Vec<(&'static str, String)> {
    let (channels, axis, scales, zero_points) = match *qparams {
        QParamsText::PerTensor { scale, zero_point } => {
            return vec![("scale", python_float_repr(scale)), ("zero point", zero_point.to_string())];
        }
        QParamsText::PerChannel { scales, zero_points, axis } => {
            (scales.len(), axis, range(scales, significant), range(zero_points, |z| z.to_string()))
        }
        QParamsText::PerChannelFloat { scales, zero_points, axis } => {
            let text = |x| significant(f64::from(x));
            (scales.len(), axis, range(scales, text), range(zero_points, text))
        }
    };
    let mut rows = vec![("channels", format!("{channels}, along axis {axis}"))];
    rows.extend(scales.map(|text| ("scales", text)));
    rows.extend(zero_points.map(|text| ("zero points", text)));
    rows
}

/// The least and the greatest value, or the only one; nothing of no values.
fn range<T: Copy + PartialOrd>(values: &[T], text: impl Fn(T) -> String) -> Option<String> {
    let (&first, rest) = values.split_first()?;
    let least = rest.iter().fold(first, |a, &b| if b < a { b } else { a });
    let greatest = rest.iter().fold(first, |a, &b| if b > a { b } else { a });
    Some(match values.len() {
        1 => text(first),
        _ if least == greatest => format!("{} in every channel", text(first)),
        _ => format!("{} to {}", text(least), text(greatest)),
    })
}

/// A number with four significant digits.
fn significant(value: f64) -> String {
    format!("{value:.3e}").parse().map_or_else(|_| value.to_string(), python_float_repr)
}

/// `12 B, 4.0x smaller than float32`.
fn memory(shape: &[usize], nbytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut text = match nbytes.checked_ilog2().map_or(0, |log| log / 10) {
        0 => format!("{nbytes} B"),
        power => format!("{:.1} {}", nbytes as f64 / 1024_f64.powi(power as i32), UNITS[power as usize]),
    };
    let float32 = shape.iter().map(|&size| size as f64).product::<f64>() * 4.0;
    let ratio = float32 / nbytes as f64;
    if nbytes > 0 && float32 > 0.0 {
        if (0.95..1.05).contains(&ratio) {
            text += ", as large as float32";
        } else if ratio > 1.0 {
            text += &format!(", {ratio:.1}x smaller than float32");
        } else {
            text += &format!(", {:.1}x larger than float32", 1.0 / ratio);
        }
    }
    text
}

/// The drawing, or why there is none.
fn codes(stats: &CardStats<'_>, qparams: &QParamsText<'_>) -> String {
    let CardStats { qmin, qmax, .. } = *stats;
    if stats.numel == 0 {
        return format!("none, of {qmin} to {qmax}: the tensor is empty");
    }
    let (path, tallest) = bars(stats.histogram);
    let Some(tallest) = tallest else { return format!("{qmin} to {qmax}") };
    // The codes that the tallest bar stands for. i128: a range of 64 bits has more codes than an i64 counts.
    let span = (i128::from(qmax) - i128::from(qmin)).max(0) + 1;
    let code = |part: usize| i128::from(qmin) + span * part as i128 / stats.histogram.len() as i128;
    let (first, last) = (code(tallest.start), code(tallest.end) - 1);
    let peak = if first >= last { first.to_string() } else { format!("{first} to {last}") };

    let (low, high) = (format!("code {qmin}"), format!("code {qmax}"));
    let (label, text) = (HEIGHT - 4.0, "fill=\"currentColor\" font-size=\"11\"");
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"Histogram of the codes, from {qmin} to {qmax}, peak at {peak}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" style=\"display:block;margin:4px 0 0;max-width:100%\">\
         <path d=\"{path}\" fill=\"currentColor\" style=\"fill:var(--jp-brand-color1,#3b82f6)\"/>\
         <path d=\"M0 {BARS}.5H{WIDTH}\" stroke=\"currentColor\" opacity=\".5\"/>\
         <text x=\"0\" y=\"{label}\" {text}>{low}</text> \
         <text x=\"{WIDTH}\" y=\"{label}\" text-anchor=\"end\" {text}>{high}</text>"
    );
    // Where 0.0 is, if its label has room between the others.
    if let QParamsText::PerTensor { zero_point, .. } = *qparams {
        let x = (i128::from(zero_point) - i128::from(qmin)) as f64 + 0.5;
        let (x, half) = (x / span as f64 * WIDTH, CHARACTER * 4.0);
        let room = |label: &str| label.len() as f64 * CHARACTER + half;
        if x > room(&low) && x < WIDTH - room(&high) {
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} 0V{BARS}\" stroke=\"currentColor\" stroke-dasharray=\"2 2\" opacity=\".6\"/> \
                 <text x=\"{x:.1}\" y=\"{label}\" text-anchor=\"middle\" {text}>zero: {zero_point}</text>"
            );
        }
    }
    svg + "</svg>"
}

/// The outline of the bars, and the parts of the histogram the tallest stands for (`None` if all counts are 0).
///
/// A bar is as high as the mean of the parts it stands for, so that a shorter last bar is told no differently.
fn bars(histogram: &[u64]) -> (String, Option<std::ops::Range<usize>>) {
    let per_bar = histogram.len().div_ceil(MAX_BARS).max(1);
    let means: Vec<f64> = histogram
        .chunks(per_bar)
        .map(|parts| parts.iter().map(|&count| count as f64).sum::<f64>() / parts.len() as f64)
        .collect();
    let (tallest, height) = means
        .iter()
        .enumerate()
        .fold((0, 0.0), |best, (i, &mean)| if mean > best.1 { (i, mean) } else { best });
    if height == 0.0 {
        return (String::new(), None);
    }
    let mut path = format!("M0 {BARS}");
    for (i, &mean) in means.iter().enumerate() {
        // A rare code is still a code: it gets a line that can be seen.
        let top = if mean > 0.0 { BARS - (mean / height * BARS).max(1.0) } else { BARS };
        let right = ((i + 1) * per_bar).min(histogram.len()) as f64 / histogram.len() as f64 * WIDTH;
        let _ = write!(path, "V{}H{}", short(top), short(right));
    }
    let _ = write!(path, "V{BARS}");
    let end = ((tallest + 1) * per_bar).min(histogram.len());
    (path, Some(tallest * per_bar..end))
}

/// A coordinate with at most one decimal.
fn short(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Whether codes sit at the ends of the range. Those may be clipped values, or values that are just that large.
fn ends(stats: &CardStats<'_>) -> String {
    let CardStats { qmin, qmax, clipped_low, clipped_high, numel, .. } = *stats;
    let (low, high) = (percent(clipped_low, numel), percent(clipped_high, numel));
    match (clipped_low, clipped_high) {
        (0, 0) => format!("no code is {qmin} or {qmax}: nothing was clipped"),
        (_, 0) => format!("{low} of codes are {qmin} and may have been clipped"),
        (0, _) => format!("{high} of codes are {qmax} and may have been clipped"),
        _ => format!("{low} of codes are {qmin}, {high} are {qmax}; these may have been clipped"),
    }
}

/// A share in percent that says 0% and 100% only where it is so.
fn percent(part: u64, of: u64) -> String {
    let percent = part as f64 / of as f64 * 100.0;
    match () {
        () if part == 0 => "0%".to_owned(),
        () if part >= of => "100%".to_owned(),
        () if percent < 0.1 => "<0.1%".to_owned(),
        () if percent >= 99.95 => ">99.9%".to_owned(),
        () => format!("{percent:.1}%"),
    }
}
