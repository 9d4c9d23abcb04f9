use quantray_core::fingerprint::fingerprint;

/// Every single bit, every length, an order that is turned round, signs that are turned in pairs: all tell.
#[test]
fn tells_what_changes() {
    let bytes: Vec<u8> = (0..300u32).map(|i| (i * 31 % 251) as u8).collect();
    for n in [0, 1, 7, 8, 9, 63, 64, 65, 128, 200, 300] {
        let mut seen = vec![fingerprint(&bytes[..n])];
        for bit in 0..8 * n {
            let mut other = bytes[..n].to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            seen.push(fingerprint(&other));
        }
        seen.push(fingerprint(&[&bytes[..n], &[0][..]].concat()));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count, "{n} bytes");
    }
    let mut turned = bytes[..256].to_vec();
    turned.reverse();
    assert_ne!(fingerprint(&turned), fingerprint(&bytes[..256]));
    // Two words of one lane, in their highest bits: what a product alone would not see.
    let mut signs = bytes[..256].to_vec();
    for at in [7, 71, 135, 199] {
        signs[at] ^= 0x80;
    }
    assert_ne!(fingerprint(&signs), fingerprint(&bytes[..256]));
}
