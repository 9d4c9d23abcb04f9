//! How a quantized tensor shows itself: as text in torch's form ([`repr()`]) and as a card in a notebook ([`html`]).
//!
//! Nothing here knows a tensor. It is told a shape, names, qparams and, for the text, a function that gives the
//! value at an index, so that a tensor of any size prints by looking at the few elements that are shown.

mod html;
mod repr;

pub use html::{CardStats, html};
pub use repr::repr;

/// How values are printed: the settings of `torch.set_printoptions`.
#[derive(Clone, Debug, PartialEq)]
pub struct PrintOptions {
    /// Digits after the decimal point.
    pub precision: usize,
    /// More elements than this are summarised.
    pub threshold: usize,
    /// Elements shown at each end of a summarised dimension.
    pub edgeitems: usize,
    /// Columns after which a line is broken.
    pub linewidth: usize,
    /// Whether to print as `1.0000e-03`; `None` decides by the values.
    pub sci_mode: Option<bool>,
}

impl Default for PrintOptions {
    fn default() -> Self {
        Self { precision: 4, threshold: 1000, edgeitems: 3, linewidth: 80, sci_mode: None }
    }
}

impl PrintOptions {
    /// The settings torch calls `"default"`, `"short"` and `"full"` (never summarised); `None` for another name.
    pub fn profile(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "short" => Some(Self { precision: 2, edgeitems: 2, ..Self::default() }),
            "full" => Some(Self { threshold: usize::MAX, ..Self::default() }),
            _ => None,
        }
    }
}

/// The quantization parameters as the text shows them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QParamsText<'a> {
    /// One scale and one zero point for all elements.
    PerTensor {
        /// Step between neighbouring codes.
        scale: f64,
        /// The code of 0.0.
        zero_point: i64,
    },
    /// A scale and a zero point for each index along an axis.
    PerChannel {
        /// A scale for each channel.
        scales: &'a [f64],
        /// A zero point for each channel.
        zero_points: &'a [i64],
        /// The dimension the channels lie along.
        axis: usize,
    },
    /// As `PerChannel`, with float32 scales and zero points that need not be integers.
    PerChannelFloat {
        /// A scale for each channel.
        scales: &'a [f32],
        /// A zero point for each channel.
        zero_points: &'a [f32],
        /// The dimension the channels lie along.
        axis: usize,
    },
}

/// A float as Python's `repr` writes it: the fewest digits that read back as the same float, with an exponent
/// below 1e-4 and from 1e16 on.
///
/// ```
/// # use quantray_core::display::python_float_repr;
/// assert_eq!(python_float_repr(0.01), "0.01");
/// assert_eq!(python_float_repr(1e-9), "1e-09");
/// ```
pub fn python_float_repr(value: f64) -> String {
    if !value.is_finite() {
        return python_nonfinite(value).to_owned();
    }
    // Rust finds how few digits suffice, but rounds up where two such texts are equally near; Python rounds such
    // a tie to even, as Rust does when it is told the number of digits.
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..16) => {
            let decimals = (decimals as i32 - exponent).max(1).unsigned_abs() as usize;
            format!("{value:.decimals$}")
        }
        _ => python_exponent(&format!("{value:.decimals$e}")),
    }
}

/// `inf`, `-inf` or `nan`; Python drops the sign of a NaN.
fn python_nonfinite(value: f64) -> &'static str {
    if value.is_nan() {
        "nan"
    } else if value < 0.0 {
        "-inf"
    } else {
        "inf"
    }
}

/// Rust's `1.5e-9` as Python's `1.5e-09`.
fn python_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(size) => format!("{digits}e-{size:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text.to_owned(),
    }
}
