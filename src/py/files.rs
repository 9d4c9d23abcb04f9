//! Files replaced as a whole, with the mode and through the links of the old ones; numbers that NumPy lacks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use quantray_core::memory::collected;
use safetensors::tensor::Dtype;

/// Writes a file beside its place and moves it there: a reader, or a memory map of the old file, never sees half of it.
///
/// A new file has the mode that the umask leaves, one that replaces another has that one's; a link goes on to lead to
/// the file.
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let target = followed(path).map_err(text)?;
    let mut part = target.clone().into_os_string();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let old = fs::metadata(&target).ok().map(|m| m.permissions());
    let written = (|| {
        // The writer's own mode is narrower: a fresh file tells what the umask leaves.
        let fresh = File::create(&part).and_then(|f| f.metadata()).map_err(text)?.permissions();
        write(&part)?;
        fs::set_permissions(&part, old.unwrap_or(fresh)).map_err(text)?;
        fs::rename(&part, &target).map_err(text)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&part); // It may not exist; the error that counts is the first.
    }
    written
}

/// Where links lead, also to a file that does not exist yet.
fn followed(path: &Path) -> std::io::Result<PathBuf> {
    let mut at = path.to_path_buf();
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&at) else { return Ok(at) };
        at = match at.parent() {
            Some(folder) => folder.join(next),
            None => next,
        };
    }
    Err(std::io::Error::other("too many links lead to each other"))
}

/// The values of a type that NumPy lacks, bytes of which are given, as float32; none for other types.
pub fn widened(dtype: Dtype, bytes: &[u8]) -> Option<impl FnOnce() -> Vec<f32>> {
    // How many bits the exponent has, those of the mantissa, and the exponent's bias.
    let layout = match dtype {
        Dtype::BF16 => (8, 7, 127),
        Dtype::F8_E5M2 => (5, 2, 15),
        Dtype::F8_E4M3 => (4, 3, 7),
        _ => return None,
    };
    Some(move || match dtype {
        Dtype::BF16 => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_are_what_the_formats_say() {
        let (e4m3, e5m2) = ((4, 3, 7), (5, 2, 15));
        assert_eq!(eight_bits(0x7e, e4m3), 448.0);
        assert_eq!(eight_bits(0x01, e4m3), 2f32.powi(-9));
        assert!(eight_bits(0xff, e4m3).is_nan());
        assert_eq!(eight_bits(0x7b, e5m2), 57344.0);
        assert_eq!(eight_bits(0xfc, e5m2), f32::NEG_INFINITY);
        assert_eq!(eight_bits(0x01, e5m2), 2f32.powi(-16));
    }
}
