//! The text of a quantized tensor: torch 2.15's, under our name.
//!
//! The text is torch's with three changes: it starts with `QTensor(`, dtypes and schemes are written without
//! `torch.`, and all lines but the first start one column further right, because the name is one column wider.
//! Lines break where torch breaks them for a class of this name, so suffixes are measured with the `torch.` they
//! have there: a text of ours and one of torch differ in nothing else and can be compared line by line.
//! (Method: torch/_tensor_str.py.)

use super::{PrintOptions, QParamsText, python_exponent, python_float_repr, python_nonfinite};

/// How the text starts; later lines are indented by its width.
const PREFIX: &str = "QTensor(";
/// How the tensors of scales and zero points inside the text start.
const INNER: &str = "tensor(";
/// The columns torch spends on `torch.` before a dtype or a scheme.
const NAMESPACE: usize = "torch.".len();

/// The text of a quantized tensor, as torch prints it.
///
/// `value` gives the dequantized value at a multi-index. It is asked only for elements that are shown: at most
/// `2 * edgeitems` along each dimension if there are more than `threshold` elements.
///
/// ```
/// # use quantray_core::display::{PrintOptions, QParamsText, repr};
/// let qparams = QParamsText::PerTensor { scale: 0.5, zero_point: 0 };
/// let text = repr(&[2], &|i| i[0] as f32 + 0.5, "quint8", "per_tensor_affine", &qparams, &PrintOptions::default());
/// assert_eq!(
///     text,
///     "QTensor([0.5000, 1.5000], size=(2,), dtype=quint8,\n        \
///      quantization_scheme=per_tensor_affine, scale=0.5, zero_point=0)"
/// );
/// ```
pub fn repr(
    shape: &[usize],
    value: &dyn Fn(&[usize]) -> f32,
    dtype: &str,
    scheme: &str,
    qparams: &QParamsText<'_>,
    options: &PrintOptions,
) -> String {
    let layout = Layout::new(shape, PREFIX.len(), options);
    let values = layout.collect(&|index| f64::from(value(index)));
    let mut text = PREFIX.to_owned();
    layout.write(&mut text, &values, &FloatFormat::new(&values, options));

    let mut suffixes = vec![
        Suffix::plain(format!("size={}", python_tuple(shape))),
        Suffix::torch(format!("dtype={dtype}")),
        Suffix::torch(format!("quantization_scheme={scheme}")),
    ];
    match *qparams {
        QParamsText::PerTensor { scale, zero_point } => {
            suffixes.push(Suffix::plain(format!("scale={}", python_float_repr(scale))));
            suffixes.push(Suffix::plain(format!("zero_point={zero_point}")));
        }
        QParamsText::PerChannel { scales, zero_points, axis } => {
            let format = |shown: &[f64]| FloatFormat::new(shown, options);
            suffixes.push(inner("scale=", scales, Some("float64"), format, options));
            // torch names int64 only where there is no element to tell it by
            let dtype = zero_points.is_empty().then_some("int64");
            suffixes.push(inner("zero_point=", zero_points, dtype, IntFormat::new, options));
            suffixes.push(Suffix::plain(format!("axis={axis}")));
        }
        QParamsText::PerChannelFloat { scales, zero_points, axis } => {
            for (name, values) in [("scale=", scales), ("zero_point=", zero_points)] {
                let values: Vec<f64> = values.iter().copied().map(f64::from).collect();
                suffixes.push(inner(name, &values, None, |shown| FloatFormat::new(shown, options), options));
            }
            suffixes.push(Suffix::plain(format!("axis={axis}")));
        }
    }
    add_suffixes(&mut text, &suffixes, PREFIX.len(), options);
    text
}

/// A plain one-dimensional tensor as a suffix.
fn inner<T: Copy, F: Format<T>>(
    name: &str,
    values: &[T],
    dtype: Option<&str>,
    format: impl Fn(&[T]) -> F,
    options: &PrintOptions,
) -> Suffix {
    let shape = [values.len()];
    let layout = Layout::new(&shape, INNER.len(), options);
    let shown = layout.collect(&|index| values[index[0]]);
    let mut text = INNER.to_owned();
    layout.write(&mut text, &shown, &format(&shown));
    let mut suffixes = Vec::new();
    if options.edgeitems == 0 && !values.is_empty() {
        suffixes.push(Suffix::plain(format!("size={}", python_tuple(&shape))));
    }
    suffixes.extend(dtype.map(|dtype| Suffix::torch(format!("dtype={dtype}"))));
    add_suffixes(&mut text, &suffixes, INNER.len(), options);

    let width = name.len() + text.len() + if dtype.is_some() { NAMESPACE } else { 0 };
    // The lines keep their place below the outer text, which starts one column further right than torch's.
    let indent = format!("\n{}", " ".repeat(PREFIX.len() - INNER.len()));
    Suffix { text: format!("{name}{}", text.replace('\n', &indent)), width }
}

/// `name=value` after the values.
struct Suffix {
    text: String,
    /// The number of characters it has in torch.
    width: usize,
}

impl Suffix {
    fn plain(text: String) -> Self {
        let width = text.chars().count();
        Self { text, width }
    }

    /// A suffix with a name that torch writes behind `torch.`.
    fn torch(text: String) -> Self {
        let width = text.chars().count() + NAMESPACE;
        Self { text, width }
    }
}

/// Appends the suffixes, each on a new line if it would not fit, and the closing parenthesis.
fn add_suffixes(text: &mut String, suffixes: &[Suffix], indent: usize, options: &PrintOptions) {
    // torch counts two columns more than the last line of the values has
    let mut column = text.len() - text.rfind('\n').map_or(0, |newline| newline + 1) + 2;
    for suffix in suffixes {
        if column + suffix.width + 2 > options.linewidth {
            text.push_str(",\n");
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent + suffix.width;
        } else {
            text.push_str(", ");
            column += suffix.width + 2;
        }
        text.push_str(&suffix.text);
    }
    text.push(')');
}

/// `()`, `(3,)` or `(2, 3)`.
fn python_tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => {
            let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("({})", sizes.join(", "))
        }
    }
}

/// Which elements are shown, and where.
struct Layout<'a> {
    shape: &'a [usize],
    indent: usize,
    linewidth: usize,
    empty: bool,
    /// The number of elements shown at each end of a dimension, if the tensor is summarised.
    edge: Option<usize>,
}

impl<'a> Layout<'a> {
    fn new(shape: &'a [usize], indent: usize, options: &PrintOptions) -> Self {
        let empty = shape.contains(&0);
        let numel = if empty { 0 } else { shape.iter().fold(1, |n: usize, &size| n.saturating_mul(size)) };
        let edge = (numel > options.threshold).then_some(options.edgeitems);
        Self { shape, indent, linewidth: options.linewidth, empty, edge }
    }

    /// Nothing but an ellipsis is shown.
    fn only_dots(&self) -> bool {
        self.edge == Some(0) && !self.shape.is_empty()
    }

    /// The number of elements shown before and after the ellipsis of a dimension, or `None` if all are shown.
    fn gap(&self, size: usize) -> Option<usize> {
        self.edge.filter(|&edge| size > edge.saturating_mul(2))
    }

    /// The values that are shown, in order.
    fn collect<T>(&self, value: &dyn Fn(&[usize]) -> T) -> Vec<T> {
        let mut values = Vec::new();
        if !self.empty && !self.only_dots() {
            self.collect_from(0, &mut vec![0; self.shape.len()], value, &mut values);
        }
        values
    }

    fn collect_from<T>(
        &self,
        dim: usize,
        index: &mut Vec<usize>,
        value: &dyn Fn(&[usize]) -> T,
        values: &mut Vec<T>,
    ) {
        let Some(&size) = self.shape.get(dim) else {
            values.push(value(index));
            return;
        };
        let (head, tail) = self.gap(size).map_or((size, size), |edge| (edge, size - edge));
        for i in (0..head).chain(tail..size) {
            index[dim] = i;
            self.collect_from(dim + 1, index, value, values);
        }
    }

    /// Appends the values, which are those that `collect` gave.
    fn write<T: Copy>(&self, text: &mut String, values: &[T], format: &dyn Format<T>) {
        if self.empty {
            text.push_str("[]");
        } else if self.only_dots() {
            text.push_str("[...]");
        } else {
            let mut values = values.iter();
            let mut next = |text: &mut String| {
                if let Some(&value) = values.next() {
                    let cell = format.cell(value);
                    text.extend(std::iter::repeat_n(' ', format.width().saturating_sub(cell.len())));
                    text.push_str(&cell);
                }
            };
            self.write_from(0, text, format.width(), &mut next);
        }
    }

    fn write_from(&self, dim: usize, text: &mut String, width: usize, next: &mut dyn FnMut(&mut String)) {
        let Some(&size) = self.shape.get(dim) else { return next(text) };
        let gap = self.gap(size);
        let items = gap.map_or(size, |edge| 2 * edge + 1);
        let indent = self.indent + dim;
        let depth = self.shape.len() - dim;
        let per_line = (self.linewidth.saturating_sub(indent) / (width + 2)).max(1);
        text.push('[');
        for item in 0..items {
            if item > 0 {
                if depth == 1 && item % per_line != 0 {
                    text.push_str(", ");
                } else {
                    text.push(',');
                    text.extend(std::iter::repeat_n('\n', (depth - 1).max(1)));
                    text.extend(std::iter::repeat_n(' ', indent + 1));
                }
            }
            if gap == Some(item) {
                text.push_str(if depth == 1 { " ..." } else { "..." });
            } else {
                self.write_from(dim + 1, text, width, next);
            }
        }
        text.push(']');
    }
}

/// How the numbers of one tensor are written: all alike, right-aligned.
trait Format<T> {
    /// The width numbers are aligned to.
    fn width(&self) -> usize;
    /// One number.
    fn cell(&self, value: T) -> String;
}

struct IntFormat {
    width: usize,
}

impl IntFormat {
    fn new(values: &[i64]) -> Self {
        Self { width: values.iter().map(|v| v.to_string().len()).max().unwrap_or(1) }
    }
}

impl Format<i64> for IntFormat {
    fn width(&self) -> usize {
        self.width
    }

    fn cell(&self, value: i64) -> String {
        value.to_string()
    }
}

enum Style {
    /// `2.`
    Integer,
    /// `2.5000`
    Fixed,
    /// `2.5000e+00`
    Scientific,
}

struct FloatFormat {
    width: usize,
    style: Style,
    precision: usize,
}

impl FloatFormat {
    fn new(values: &[f64], options: &PrintOptions) -> Self {
        // No float64 has more decimals than 1074, and `format!` panics when asked for very many.
        let precision = options.precision.min(1074);
        let mut format = Self { width: 1, style: Style::Integer, precision };
        // Zeros, infinities and NaN have no say, neither in the style nor in the width.
        let telling = || values.iter().copied().filter(|v| v.is_finite() && *v != 0.0);
        let (mut min, mut max, mut whole, mut any) = (f64::INFINITY, 0.0_f64, true, false);
        for value in telling() {
            min = min.min(value.abs());
            max = max.max(value.abs());
            whole &= value == value.ceil();
            any = true;
        }
        if any {
            let scientific = options.sci_mode.unwrap_or(max / min > 1000.0 || max > 1.0e8 || min < 1.0e-4);
            format.style = match (scientific, whole) {
                (true, _) => Style::Scientific,
                (false, true) => Style::Integer,
                (false, false) => Style::Fixed,
            };
            format.width = telling().map(|v| format.cell(v).len()).max().unwrap_or(1);
        }
        format
    }
}

impl Format<f64> for FloatFormat {
    fn width(&self) -> usize {
        self.width
    }

    fn cell(&self, value: f64) -> String {
        if !value.is_finite() {
            return python_nonfinite(value).to_owned();
        }
        let precision = self.precision;
        match self.style {
            Style::Integer => format!("{value:.0}."),
            Style::Fixed => format!("{value:.precision$}"),
            Style::Scientific => python_exponent(&format!("{value:.precision$e}")),
        }
    }
}
