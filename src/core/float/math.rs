//! Functions of vectors. All use the same constants and the same order, and products are rounded together with what is
//! added to them, which plain code imitates ([`Vector::mul_add`]): so lanes never differ.
//!
//! `exp` is a power of two: of the nearest integer, in the bits of a float's exponent, times that of the rest, a
//! polynomial (Schraudolph 1999 for the bits; Muller, Elementary Functions, 3rd ed., 3.3 and 6.2, for the rest).
//! Coefficients without a source are minimax fits by Lawson's weights, rounded to float32.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::arch::Vector;

/// A group of vectors, on which each operation is done in turn: one that waits for its operands leaves room for the
/// others. That order is kept ([`Vector::in_step`]).
#[derive(Clone, Copy)]
pub(crate) struct Group<V: Vector>(V, [V::F; 4]);

macro_rules! operators {
    ($($trait:ident, $method:ident, $of:ident;)*) => {$(
        impl<V: Vector> $trait for Group<V> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                let (Self(v, [a, b, c, d]), Self(_, [e, f, g, h])) = (self, other);
                Self(v, v.in_step([v.$of(a, e), v.$of(b, f), v.$of(c, g), v.$of(d, h)]))
            }
        }
        impl<V: Vector> $trait<f32> for Group<V> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: f32) -> Self {
                self.$method(self.all(other))
            }
        }
    )*};
}
operators! {
    Add, add, add;
    Sub, sub, sub;
    Mul, mul, mul;
    Div, div, div;
}

impl<V: Vector> Neg for Group<V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.all(0.0) - self
    }
}

impl<V: Vector> Group<V> {
    #[inline(always)]
    fn all(self, value: f32) -> Self {
        Self(self.0, [self.0.splat(value); 4])
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        let (Self(v, [a, b, c, d]), Self(_, [e, f, g, h])) = (self, other);
        Self(v, v.in_step([v.min(a, e), v.min(b, f), v.min(c, g), v.min(d, h)]))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        let (Self(v, [a, b, c, d]), Self(_, [e, f, g, h])) = (self, other);
        Self(v, v.in_step([v.max(a, e), v.max(b, f), v.max(c, g), v.max(d, h)]))
    }
    #[inline(always)]
    fn clamp(self, limit: f32) -> Self {
        self.all(limit).min(self.all(-limit).max(self))
    }
    #[inline(always)]
    fn exponent(self) -> Self {
        let Self(v, [a, b, c, d]) = self;
        Self(v, v.in_step([v.exponent(a), v.exponent(b), v.exponent(c), v.exponent(d)]))
    }
    /// `a` where this is less than `limit`, else `b`.
    #[inline(always)]
    fn if_less(self, limit: f32, a: Self, b: Self) -> Self {
        let (v, limit, mut chosen) = (self.0, self.0.splat(limit), b.1);
        for (i, chosen) in chosen.iter_mut().enumerate() {
            *chosen = v.select(v.less(self.1[i], limit), a.1[i], b.1[i]);
        }
        Self(v, chosen)
    }
    /// This times a factor plus a summand, rounded once.
    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        let (Self(v, [a, b, c, d]), Self(_, [e, f, g, h]), Self(_, [i, j, k, l])) = (self, factor, summand);
        Self(v, v.in_step([v.mul_add(a, e, i), v.mul_add(b, f, j), v.mul_add(c, g, k), v.mul_add(d, h, l)]))
    }
    /// A polynomial, the constant first, by Horner's rule.
    #[inline(always)]
    fn polynomial<const N: usize>(self, coefficients: [f32; N]) -> Self {
        let mut sum = self.all(coefficients[N - 1]);
        for &coefficient in coefficients[..N - 1].iter().rev() {
            sum = sum.mul_add(self, self.all(coefficient));
        }
        sum
    }
    /// The same, but the one NaN where this or `x` is NaN: processors make different ones.
    #[inline(always)]
    fn one_nan(self, x: Self) -> Self {
        let (v, nan, mut chosen) = (self.0, self.0.splat(f32::NAN), self.1);
        for (i, chosen) in chosen.iter_mut().enumerate() {
            *chosen = v.select(v.unordered(self.1[i], x.1[i]), nan, self.1[i]);
        }
        Self(v, chosen)
    }
}

/// A group, with the one NaN for NaN.
#[inline(always)]
pub(super) fn one_nan<V: Vector>(v: V, group: [V::F; 4]) -> [V::F; 4] {
    let x = Group(v, group);
    x.one_nan(x).1
}

/// A function of one number, for vectors. NaN gives NaN of some kind.
pub(crate) trait Map {
    /// `#[inline(always)]`
    fn of<V: Vector>(x: Group<V>) -> Group<V>;

    /// For a group.
    #[inline(always)]
    fn group<V: Vector>(v: V, group: [V::F; 4]) -> [V::F; 4] {
        Self::of(Group(v, group)).1
    }

    /// For a group, with the one NaN for NaN.
    #[inline(always)]
    fn exactly<V: Vector>(v: V, group: [V::F; 4]) -> [V::F; 4] {
        let x = Group(v, group);
        Self::of(x).one_nan(x).1
    }
}

/// `exp(x)` for x up to 88, within 2e-7 of it from -1 to 0 and 4e-6 of it at -87; below -87.7 it is 0.
pub(super) struct Exp;

/// 1.5 * 2^23 + 127: added to a small number it leaves the nearest integer, plus the bias of an exponent, in the low
/// bits.
const MAGIC: f32 = 12_583_039.0;
/// The power of two for it, 2^-127, has no bits set: it is 0.
const SMALLEST: f32 = -88.0;
/// 2^f for |f| <= 1 / 2, to 1e-7.
#[allow(clippy::approx_constant, reason = "a fit, near to ln 2 and not it")]
const POWER: [f32; 6] = [1.0, 0.693_147, 0.240_222_41, 0.055_507_343, 9.671_566e-3, 1.326_465_9e-3];

/// Two numbers for `2^(x * factor)`, from -127.4 up to 127 steps: a power of two, and what is left, to be a power of, from
/// -1/2 to 1/2.
#[inline(always)]
fn power<V: Vector>(x: Group<V>, factor: f32) -> (Group<V>, Group<V>) {
    let factor = x.all(factor);
    let shifted = x.mul_add(factor, x.all(MAGIC));
    // What the factor is short of the true one, times x, is lost. No one adds up what is as small.
    (shifted.exponent(), x.mul_add(factor, x.all(MAGIC) - shifted))
}

impl Map for Exp {
    #[inline(always)]
    fn of<V: Vector>(x: Group<V>) -> Group<V> {
        let (power, rest) = power(x.all(SMALLEST).max(x), std::f32::consts::LOG2_E);
        rest.polynomial(POWER) * power
    }
}

/// `255 exp(x)` for x up to 0, within 0.02 of it: what becomes codes of 8 bits.
pub(super) struct Exp255;

/// 255 times 2^f for |f| <= 1 / 2, to 8e-5 of it.
const POWER_255: [f32; 4] = [254.981_66, 176.781_56, 61.865_837, 14.068_776];

impl Map for Exp255 {
    #[inline(always)]
    fn of<V: Vector>(x: Group<V>) -> Group<V> {
        let (power, rest) = power(x.all(SMALLEST).max(x), std::f32::consts::LOG2_E);
        rest.polynomial(POWER_255) * power
    }
}

/// `1 / (1 + exp(-x))`, as near to 0 on the left as `exp` is.
pub(crate) struct Sigmoid;

impl Map for Sigmoid {
    #[inline(always)]
    fn of<V: Vector>(x: Group<V>) -> Group<V> {
        let e = Exp::of(x.min(-x));
        x.if_less(0.0, e, x.all(1.0)) / (e + 1.0)
    }
}

/// `x / (1 + exp(-x))`
pub(super) struct Silu;

impl Map for Silu {
    #[inline(always)]
    fn of<V: Vector>(x: Group<V>) -> Group<V> {
        x * Sigmoid::of(x)
    }
}

/// `tanh(x)`, within 3 units in the last place.
pub(crate) struct Tanh;

/// tanh(x) / x by x^2 up to 9.02^2, to 3e-8: beyond, tanh is 1 in float32.
const TANH: ([f32; 5], [f32; 5]) = (
    [1.0, 0.133_826_96, 3.497_466_7e-3, 2.063_594_2e-5, 1.338_440_6e-8],
    [1.0, 0.467_160_17, 0.025_884_397, 3.288_530_6e-4, 7.790_306e-7],
);

impl Map for Tanh {
    #[inline(always)]
    fn of<V: Vector>(x: Group<V>) -> Group<V> {
        let x = x.clamp(9.02);
        let square = x * x;
        (x * square.polynomial(TANH.0) / square.polynomial(TANH.1)).clamp(1.0)
    }
}

/// `x P(X <= x)` for X normally distributed, without a difference of near numbers on the left.
pub(super) struct Gelu;

/// P(X > t) exp(t^2 / 2) for X normally distributed and t from 0 to 6.5, to 8e-8 of it (Mills' ratio by sqrt(2 pi)).
const MILLS: ([f32; 4], [f32; 5]) = (
    [0.499_999_97, 0.337_564_8, 0.106_044_23, 0.013_972_873],
    [1.0, 1.473_009_7, 0.887_421_5, 0.265_310_67, 0.035_042_852],
);

/// `exp(-t^2 / 2)` is 2^-127 here, which has no bits set: it is 0.
const END: f32 = 13.28;

impl Map for Gelu {
    #[inline(always)]
    fn of<V: Vector>(x: Group<V>) -> Group<V> {
        let t = x.all(END).min(x.max(-x));
        let (power, rest) = power(t * t, -0.5 * std::f32::consts::LOG2_E);
        let power = rest.polynomial(POWER) * power;
        let tail = power * t.polynomial(MILLS.0) / t.polynomial(MILLS.1);
        // x less its share of the tail where x is positive, and that share of x elsewhere, which for -inf is NaN as in torch.
        // Not the greater one of x and 0, which for -0 is 0 on some instruction sets alone.
        (-t).min(x).mul_add(tail, x.if_less(0.0, x.all(0.0), x))
    }
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, which is `x sigmoid(2 ...)`.
pub(super) struct GeluTanh;

/// 2 sqrt(2 / pi)
const TWICE: f32 = 1.595_769;

impl Map for GeluTanh {
    #[inline(always)]
    fn of<V: Vector>(x: Group<V>) -> Group<V> {
        x * Sigmoid::of(x * (x * x).mul_add(x.all(TWICE * 0.044_715), x.all(TWICE)))
    }
}
