//! Quotients of floats that are rounded down, and what is left, as Python has them.

/// What is left of a division, of the divisor's sign.
#[inline(always)]
pub(super) fn remainder(a: f32, b: f32) -> f32 {
    let rest = a % b;
    if b == 0.0 {
        return rest;
    }
    match rest == 0.0 {
        true => 0f32.copysign(b),
        false if (b < 0.0) != (rest < 0.0) => rest + b,
        false => rest,
    }
}

/// The quotient, rounded down: of what is left the exact multiple is divided.
#[inline(always)]
pub(super) fn floor_divide(a: f32, b: f32) -> f32 {
    if b == 0.0 {
        return a / b;
    }
    let rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 && (b < 0.0) != (rest < 0.0) {
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return 0f32.copysign(a / b);
    }
    let down = quotient.floor();
    if quotient - down > 0.5 { down + 1.0 } else { down }
}
