//! Functions of one number without branches: the compiler turns a loop over them into vectors, whatever these hold.
//!
//! All is without fused multiply-add, so the bits are the same on every instruction set. Each says how far it is from the
//! true value, in units in the last place (ulp). Coefficients are minimax fits, but for those of `log` (FreeBSD's `logf`)
//! and of sines (its `k_sinf`, `k_cosf`). Reductions: Muller, Elementary Functions, 3rd ed., 3.3, 6.2 and 11.

/// 1.5 * 2^23: added to a small number it leaves the nearest integer in the low bits.
const MAGIC: f32 = 12_582_912.0;
/// ln 2 in two parts, the first of which has few bits: its products with small integers are exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);

/// The nearest integer n of x / ln 2, what is left of x, and `(exp(rest) - 1 - rest) / rest^2`.
#[inline(always)]
fn reduced(x: f32) -> (i32, f32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let rest = x - n * LN_2.0 - n * LN_2.1;
    let mut p = 1.381_455_9e-3f32;
    for c in [8.368_735e-3, 4.166_839e-2, 0.166_665_21, 0.499_999_94] {
        p = p * rest + c;
    }
    ((shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32), rest, p)
}

/// 2^n, for n from -126 to 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `exp(x)`, within 1.2 ulp; 0 below the least normal number, 2^-126.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (n, rest, p) = reduced(x);
    let y = p * rest * rest + rest + 1.0;
    // The power of two is added to the exponent; what that is beyond the ends means nothing.
    let y = f32::from_bits(y.to_bits().wrapping_add((n as u32) << 23));
    let y = if x > 88.722_83 { f32::INFINITY } else { y };
    let y = if x < -87.336_54 { 0.0 } else { y };
    if x.is_nan() { x } else { y }
}

/// `exp(x) - 1`, within 2 ulp.
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    let inner = if x > 40.0 { 40.0 } else { x };
    let inner = if inner < -40.0 { -40.0 } else { inner };
    let (n, rest, p) = reduced(inner);
    let two = power_of_two(n);
    let y = two * (p * rest * rest + rest) + (two - 1.0);
    let y = if x > 40.0 { exp(x) } else { y };
    // -0 stays -0.
    if x == 0.0 { x } else { y }
}

/// Where the mantissas of `log` begin: sqrt(2) / 2.
const MIDDLE: i32 = 0x3f35_04f3;

/// `log(1 + f)` for f from sqrt(1/2) - 1 to sqrt(2) - 1, plus `k ln 2` and a small correction.
#[inline(always)]
fn log_of(f: f32, k: f32, correction: f32) -> f32 {
    let s = f / (2.0 + f);
    let (z, w) = (s * s, s * s * s * s);
    let r = z * (0.666_666_6 + w * 0.284_987_87) + w * (0.400_009_72 + w * 0.242_790_79);
    let half = 0.5 * f * f;
    const HIGH: f32 = 6.931_381e-1;
    const LOW: f32 = 9.058_001e-6;
    s * (half + r) + (k * LOW + correction) - half + f + k * HIGH
}

/// The natural logarithm, within 1 ulp.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    let small = x < f32::MIN_POSITIVE;
    let scaled = if small { x * 33_554_432.0 } else { x };
    let bits = (scaled.to_bits() as i32).wrapping_add(0x3f80_0000 - MIDDLE);
    let k = (bits >> 23) - 127 - if small { 25 } else { 0 };
    let f = f32::from_bits(((bits & 0x007f_ffff) + MIDDLE) as u32) - 1.0;
    let y = log_of(f, k as f32, 0.0);
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    // Of less than 0, and of NaN.
    if x >= 0.0 { y } else { f32::NAN }
}

/// `log(1 + x)`, within 1 ulp.
#[inline(always)]
pub fn log1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    let bits = (sum.to_bits() as i32).wrapping_add(0x3f80_0000 - MIDDLE);
    let k = (bits >> 23) - 127;
    let lost = if k >= 2 { 1.0 - (sum - x) } else { x - (sum - 1.0) };
    let correction = if k < 25 { lost / sum } else { 0.0 };
    let f = f32::from_bits(((bits & 0x007f_ffff) + MIDDLE) as u32) - 1.0;
    let near = x > -0.292_893_2 && x < 0.414_213_5;
    let (f, k, correction) = if near { (x, 0.0, 0.0) } else { (f, k as f32, correction) };
    let y = log_of(f, k, correction);
    let y = if x == 0.0 || x == f32::INFINITY { x } else { y };
    let y = if x == -1.0 { f32::NEG_INFINITY } else { y };
    if x >= -1.0 { y } else { f32::NAN }
}

/// The error function, within 2 ulp.
#[inline(always)]
#[allow(clippy::approx_constant, reason = "a fit")]
pub fn erf(x: f32) -> f32 {
    let square = x * x;
    // Near 0: x + x P(x^2).
    let mut p = 8.875_901e-5f32;
    for c in [-8.252_174e-4, 5.209_883e-3, -2.686_267_9e-2, 0.112_837_5, -0.376_126_38, 0.128_379_22] {
        p = p * square + c;
    }
    // Beyond: 1 - 2 P(X > t) for X normally distributed, t = |x| sqrt(2), by the fit of gelu.
    let far = if x.abs() > 4.0 { 4.0 } else { x.abs() };
    let t = far * std::f32::consts::SQRT_2;
    let up = ((0.013_972_873 * t + 0.106_044_23) * t + 0.337_564_8) * t + 0.499_999_97;
    let down = (((0.035_042_852 * t + 0.265_310_67) * t + 0.887_421_5) * t + 1.473_009_7) * t + 1.0;
    let (n, rest, q) = reduced(-far * far);
    let power = (q * rest * rest + rest + 1.0) * power_of_two(n);
    let beyond = (1.0 - 2.0 * (power * up / down)).copysign(x);
    let y = if x.abs() < 0.843_75 { x + x * p } else { beyond };
    if x.is_nan() { x } else { y }
}

/// Where sines and cosines are no longer worked out by [`turned`]: each element beyond is libm's.
pub const TURNS: f32 = 1_048_576.0;

/// The nearest quarter turn of x, and what is left of x, both by float64.
#[inline(always)]
fn turned(x: f32) -> (i32, f64) {
    // 1.5 * 2^52, as `MAGIC`.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let x = f64::from(x);
    let shifted = x * std::f64::consts::FRAC_2_PI + MAGIC;
    let n = shifted - MAGIC;
    // pi / 2 in two parts: the first one's products with n are exact.
    let rest = x - n * 1.570_796_310_901_641_8 - n * 1.589_325_477_352_819_6e-8;
    (shifted.to_bits() as i32, rest)
}

/// sin(r) and cos(r) for |r| up to pi / 4, by float64: coefficients of msun's `k_sinf` and `k_cosf`.
#[inline(always)]
fn sin_cos(r: f64) -> (f64, f64) {
    let z = r * r;
    let sin = r
        * (1.0
            + z * (-0.166_666_666_416_265_24
                + z * (8.333_329_385_889_463e-3
                    + z * (-1.983_932_973_438_922_6e-4 + z * 2.718_311_493_989_822e-6))));
    let cos = 1.0
        + z * (-0.499_999_997_251_031
            + z * (4.166_662_332_373_906e-2
                + z * (-1.388_676_377_460_993e-3 + z * 2.439_044_879_627_741e-5)));
    (sin, cos)
}

/// The sine of a number up to [`TURNS`], within 1 ulp.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    let (n, r) = turned(x);
    let (sin, cos) = sin_cos(r);
    let y = if n & 1 == 0 { sin } else { cos };
    let y = (if n & 2 == 0 { y } else { -y }) as f32;
    if x == 0.0 { x } else { y }
}

/// The cosine of a number up to [`TURNS`], within 1 ulp.
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    let (n, r) = turned(x);
    let (sin, cos) = sin_cos(r);
    let y = if n & 1 == 0 { cos } else { sin };
    (if (n + 1) & 2 == 0 { y } else { -y }) as f32
}

/// `x^y`, as C has it, within 1 ulp; worked out in float64.
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    // log2 of |x|: of the mantissa by a series in (m - 1) / (m + 1), at most 0.172.
    let wide = f64::from(x.abs());
    const HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = wide.to_bits().wrapping_add(0x3ff0_0000_0000_0000 - HALF);
    // The exponent as a float, without a conversion of 64 bits: in the low bits of 1.5 * 2^52.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let k = f64::from_bits(MAGIC.to_bits().wrapping_add(bits >> 52)) - (MAGIC + 1023.0);
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + HALF);
    let t = (m - 1.0) / (m + 1.0);
    let z = t * t;
    let mut series = 1.0 / 13.0;
    for n in [11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * z + 1.0 / n;
    }
    let log = k + series * t * (2.0 * std::f64::consts::LOG2_E);
    let log = if x == 0.0 { f64::NEG_INFINITY } else { log };
    let log = if x.is_infinite() { f64::INFINITY } else { log };
    // 2^p; beyond these it is infinite, or 0.
    let p = f64::from(y) * log;
    let p = if p > 130.0 { 130.0 } else { p };
    let p = if p < -160.0 { -160.0 } else { p };
    let shifted = p + MAGIC;
    let rest = (p - (shifted - MAGIC)) * std::f64::consts::LN_2;
    let mut sum = 1.0 / 362_880.0;
    for n in [40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        sum = sum * rest + 1.0 / n;
    }
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    let r = (sum * power) as f32;
    // Signs, and what has no power.
    let half = y * 0.5;
    let whole = y.trunc() == y;
    let odd = whole && half.trunc() != half;
    let r = if x.is_sign_negative() && odd { -r } else { r };
    let r = if x < 0.0 && !whole && x.is_finite() { f32::NAN } else { r };
    let r = if x.is_nan() || y.is_nan() { f32::NAN } else { r };
    let r = if x == -1.0 && y.is_infinite() { 1.0 } else { r };
    if y == 0.0 || x == 1.0 { 1.0 } else { r }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units in the last place between a float and a number.
    fn ulp(y: f32, true_value: f64) -> f64 {
        if y.is_nan() && true_value.is_nan() || f64::from(y) == true_value {
            return 0.0;
        }
        let near = (true_value as f32).abs();
        if near.is_infinite() && y.is_infinite() {
            return 0.0;
        }
        let one = f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near);
        (f64::from(y) - true_value).abs() / one.max(f64::from(f32::MIN_POSITIVE) * 2f64.powi(-23))
    }

    /// Floats of all sizes, up to a number.
    fn floats(most: f32) -> impl Iterator<Item = f32> {
        let of = |i: u32| f32::from_bits(i.wrapping_mul(0x9e37_79b9));
        let wide = (0..400_000).map(of).filter(move |x| x.abs() <= most);
        let near = (-200_000..200_000).map(move |i| i as f32 / 200_000.0 * most.min(100.0));
        wide.chain(near)
    }

    fn check(name: &str, f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, most: f32, limit: f64) {
        for x in floats(most) {
            let off = ulp(f(x), exact(f64::from(x)));
            assert!(off <= limit, "{name}({x:e}) = {:e}, {off} ulp from {:e}", f(x), exact(f64::from(x)));
        }
    }

    #[test]
    fn functions_are_near_their_true_values() {
        let most = f32::MAX;
        let normal = |x: f64| if x < f64::from(-87.336_54f32) { 0.0 } else { libm::exp(x) };
        check("exp", exp, normal, most, 1.2);
        check("expm1", expm1, libm::expm1, most, 2.0);
        check("log", log, libm::log, most, 1.0);
        check("log1p", log1p, libm::log1p, most, 1.0);
        check("erf", erf, libm::erf, most, 2.0);
        check("sin", sin, libm::sin, TURNS, 1.0);
        check("cos", cos, libm::cos, TURNS, 1.0);
    }

    #[test]
    fn powers_are_near_their_true_values() {
        let special =
            [0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40];
        let numbers = || floats(100.0).step_by(4001).chain(special);
        for x in numbers() {
            for y in numbers() {
                let (found, exact) = (pow(x, y), libm::pow(f64::from(x), f64::from(y)));
                let off = ulp(found, exact);
                assert!(off <= 1.0, "pow({x:e}, {y:e}) = {found:e}, {off} ulp from {exact:e}");
                assert!(found.is_nan() || found.is_sign_negative() == exact.is_sign_negative(), "{x} {y}");
            }
        }
    }

    #[test]
    fn ends_are_exact() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        for (f, ends) in [
            (exp as fn(f32) -> f32, [(inf, inf), (-inf, 0.0), (0.0, 1.0), (-0.0, 1.0)]),
            (expm1, [(inf, inf), (-inf, -1.0), (0.0, 0.0), (-0.0, -0.0)]),
            (log, [(inf, inf), (0.0, -inf), (-0.0, -inf), (1.0, 0.0)]),
            (log1p, [(inf, inf), (-1.0, -inf), (0.0, 0.0), (-0.0, -0.0)]),
            (erf, [(inf, 1.0), (-inf, -1.0), (0.0, 0.0), (-0.0, -0.0)]),
        ] {
            for (x, y) in ends {
                assert_eq!(f(x).to_bits(), f32::to_bits(y), "{x}");
            }
            assert!(f(nan).is_nan());
        }
        assert!(log(-1.0).is_nan() && log1p(-2.0).is_nan() && sin(nan).is_nan() && cos(nan).is_nan());
    }
}
