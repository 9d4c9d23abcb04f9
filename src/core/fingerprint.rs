//! Whether bytes are still what they were, without a copy of them.

/// How many numbers are mixed beside each other: as many as hide a multiplication's latency.
const LANES: usize = 8;
/// Odd, so that multiplying by it loses nothing; its bits are those of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that other bytes, in another order, or of another length, have by chance alone: once in 2^64.
///
/// It is fast and no secret: whoever wants to can find bytes with the same one.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut lanes: [u64; LANES] = std::array::from_fn(|i| FACTOR.wrapping_mul(i as u64 + 1));
    let mut blocks = bytes.chunks_exact(8 * LANES);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = mixed(*lane, u64::from_le_bytes(*word));
        }
    }
    let mut all = bytes.len() as u64;
    for lane in lanes {
        all = mixed(all, lane);
    }
    for word in blocks.remainder().chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        all = mixed(all, u64::from_le_bytes(padded));
    }
    mixed(all, FACTOR)
}

/// One more word: for each state another result for each word, and for each word another for each state. A product
/// carries a change to higher bits alone, so that the high half is put back to the low one.
#[inline(always)]
fn mixed(state: u64, word: u64) -> u64 {
    let product = (state ^ word).wrapping_mul(FACTOR);
    product ^ (product >> 32)
}
