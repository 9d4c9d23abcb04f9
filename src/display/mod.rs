//! Stand-in.
/// x
#[derive(Clone, Debug, PartialEq)]
pub struct PrintOptions {
    /// x
    pub precision: usize,
    /// x
    pub threshold: usize,
    /// x
    pub edgeitems: usize,
    /// x
    pub linewidth: usize,
    /// x
    pub sci_mode: Option<bool>,
}
impl Default for PrintOptions {
    fn default() -> Self {
        Self { precision: 4, threshold: 1000, edgeitems: 3, linewidth: 80, sci_mode: None }
    }
}
impl PrintOptions {
    /// x
    pub fn profile(_: &str) -> Option<Self> {
        None
    }
}
/// x
#[allow(missing_docs)]
pub enum QParamsText<'a> {
    PerTensor { scale: f64, zero_point: i64 },
    PerChannel { scales: &'a [f64], zero_points: &'a [i64], axis: usize },
    PerChannelFloat { scales: &'a [f32], zero_points: &'a [f32], axis: usize },
}
/// x
pub fn repr(
    _shape: &[usize],
    _value: &dyn Fn(&[usize]) -> f32,
    _dtype: &str,
    _scheme: &str,
    _qparams: &QParamsText<'_>,
    _options: &PrintOptions,
) -> String {
    String::new()
}
/// x
#[allow(missing_docs)]
pub struct CardStats<'a> {
    pub histogram: &'a [u64],
    pub qmin: i64,
    pub qmax: i64,
    pub clipped_low: u64,
    pub clipped_high: u64,
    pub numel: u64,
}
/// x
pub fn html(
    _shape: &[usize],
    _dtype: &str,
    _scheme: &str,
    _qparams: &QParamsText<'_>,
    _nbytes: u64,
    _stats: Option<&CardStats<'_>>,
    _preview: &str,
) -> String {
    String::new()
}
/// x
pub fn python_float_repr(v: f64) -> String {
    v.to_string()
}
