//! Look-ups in tables of 256 bytes, many at once.

use std::mem::MaybeUninit;

use super::Isa;

/// The table's value for each byte, as far as both slices go.
pub(crate) fn look_up(isa: Isa, table: &[u8; 256], x: &[u8], out: &mut [MaybeUninit<u8>]) {
    let n = x.len().min(out.len());
    let (x, out) = (&x[..n], &mut out[..n]);
    #[cfg(target_arch = "x86_64")]
    {
        if isa >= Isa::Avx512
            && let Some(v) = Vbmi::new()
        {
            return v.look_up(table, x, out);
        }
        if isa >= Isa::Avx2 && std::is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has AVX2.
            return unsafe { in_rows(table, x, out) };
        }
    }
    let _ = isa;
    plain(table, x, out);
}

#[inline(always)]
fn plain(table: &[u8; 256], x: &[u8], out: &mut [MaybeUninit<u8>]) {
    for (out, &x) in out.iter_mut().zip(x) {
        out.write(table[usize::from(x)]);
    }
}

/// Exists only where the CPU has AVX-512 F, BW and VBMI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Vbmi(());

#[cfg(target_arch = "x86_64")]
impl Vbmi {
    /// The only door.
    fn new() -> Option<Self> {
        let all = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vbmi");
        all.then_some(Self(()))
    }

    fn look_up(self, table: &[u8; 256], x: &[u8], out: &mut [MaybeUninit<u8>]) {
        // SAFETY: `self` exists, so the CPU has all three.
        unsafe { in_halves(table, x, out) }
    }
}

/// A half of the table is two registers, in which one instruction looks up 64 bytes.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VBMI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn in_halves(table: &[u8; 256], x: &[u8], out: &mut [MaybeUninit<u8>]) {
    use std::arch::x86_64::*;
    let parts = table.as_chunks::<64>().0;
    // SAFETY: each part is 64 bytes.
    let [a, b, c, d] =
        std::array::from_fn::<_, 4, _>(|i| unsafe { _mm512_loadu_si512(parts[i].as_ptr().cast()) });
    let (x_groups, x_rest) = x.as_chunks::<64>();
    let (out_groups, out_rest) = out.as_chunks_mut::<64>();
    for (x, out) in x_groups.iter().zip(out_groups) {
        // SAFETY: both are 64 bytes, and those of `out` may be written.
        unsafe {
            let x = _mm512_loadu_si512(x.as_ptr().cast());
            let (low, high) = (_mm512_permutex2var_epi8(a, x, b), _mm512_permutex2var_epi8(c, x, d));
            let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
            _mm512_storeu_si512(out.as_mut_ptr().cast(), found);
        }
    }
    plain(table, x_rest, out_rest);
}

/// Sixteen rows of the table: the low half of a byte is looked up in each, and each bit of its high half halves them.
///
/// # Safety
/// The CPU has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn in_rows(table: &[u8; 256], x: &[u8], out: &mut [MaybeUninit<u8>]) {
    use std::arch::x86_64::*;
    let parts = table.as_chunks::<16>().0;
    let mut rows = [_mm256_setzero_si256(); 16];
    for i in 0..16 {
        // SAFETY: a part is 16 bytes.
        rows[i] = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(parts[i].as_ptr().cast()) });
    }
    let (x_groups, x_rest) = x.as_chunks::<32>();
    let (out_groups, out_rest) = out.as_chunks_mut::<32>();
    for (x, out) in x_groups.iter().zip(out_groups) {
        // SAFETY: 32 bytes.
        let x = unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
        let low = _mm256_and_si256(x, _mm256_set1_epi8(15));
        let mut found = [_mm256_setzero_si256(); 16];
        for i in 0..16 {
            found[i] = _mm256_shuffle_epi8(rows[i], low);
        }
        // A blend goes by the highest bit of each byte.
        let bits = [_mm256_slli_epi16::<3>(x), _mm256_slli_epi16::<2>(x), _mm256_slli_epi16::<1>(x), x];
        for (step, bit) in bits.into_iter().enumerate() {
            for i in 0..8 >> step {
                found[i] = _mm256_blendv_epi8(found[2 * i], found[2 * i + 1], bit);
            }
        }
        // SAFETY: 32 bytes that may be written.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), found[0]) };
    }
    plain(table, x_rest, out_rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::slots;

    #[test]
    fn every_byte_is_looked_up_on_every_instruction_set() {
        let table: [u8; 256] = std::array::from_fn(|i| (i * 167 + 13) as u8 ^ (i >> 3) as u8);
        let x: Vec<u8> = (0..900).map(|i| (i * 7 + i / 256) as u8).collect();
        for &isa in Isa::available() {
            for n in (0..200).chain([900]) {
                let mut out = vec![0; n];
                look_up(isa, &table, &x[..n], slots(&mut out));
                let want: Vec<u8> = x[..n].iter().map(|&x| table[usize::from(x)]).collect();
                assert_eq!(out, want, "{isa:?}, {n}");
            }
        }
    }
}
