//! Numbers that NumPy has no type for.

use super::Element;
use crate::memory::collected;

/// The values of a type that NumPy lacks, bytes of which are given, as float32; none for other types.
pub fn widened(element: Element, bytes: &[u8]) -> Option<impl FnOnce() -> Vec<f32>> {
    // How many bits the exponent has, those of the mantissa, and the exponent's bias.
    let layout = match element {
        Element::BF16 => (8, 7, 127),
        Element::F8_E5M2 => (5, 2, 15),
        Element::F8_E4M3 => (4, 3, 7),
        _ => return None,
    };
    Some(move || match element {
        Element::BF16 => {
            let value = |b: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
            collected(bytes.len() / 2, bytes.chunks_exact(2).map(value))
        }
        _ => {
            let table: Vec<f32> = (0..=u8::MAX).map(|b| eight_bits(b, layout)).collect();
            collected(bytes.len(), bytes.iter().map(|&b| table[usize::from(b)]))
        }
    })
}

/// A float of 8 bits. E4M3 has no infinity: only its last code is no number.
fn eight_bits(byte: u8, (exponent_bits, mantissa_bits, bias): (u32, u32, i32)) -> f32 {
    let mantissa = u32::from(byte) & ((1 << mantissa_bits) - 1);
    let exponent = u32::from(byte) >> mantissa_bits & ((1 << exponent_bits) - 1);
    let sign = if byte & 0x80 != 0 { -1.0 } else { 1.0 };
    let last = exponent == (1 << exponent_bits) - 1;
    let fraction = mantissa as f32 / (1 << mantissa_bits) as f32;
    let value = match (exponent_bits, last, exponent) {
        (5, true, _) if mantissa == 0 => f32::INFINITY,
        (5, true, _) => f32::NAN,
        (4, true, _) if mantissa + 1 == 1 << mantissa_bits => f32::NAN,
        (_, _, 0) => fraction * 2f32.powi(1 - bias),
        _ => (1.0 + fraction) * 2f32.powi(exponent as i32 - bias),
    };
    sign * value
}
