//! A client masks what it sends, a server unmasks it (RFC 6455 §5.3): the same operation.

/// Masks or unmasks bytes that stand at this place of a message, which its mask begins with.
pub(crate) fn apply(mask: [u8; 4], at: usize, bytes: &mut [u8]) {
    let mut mask = mask;
    mask.rotate_left(at % 4);
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, last_bytes) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in last_bytes.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_pieces_of_any_length_is_masked_like_the_whole_byte_by_byte() {
        let mask = [0x6d, 0xb6, 0xb2, 0x80];
        let plain: Vec<u8> = (0..1000_u32).map(|at| (at % 251) as u8).collect();
        let wanted: Vec<u8> = plain.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        for size in [1, 2, 3, 7, 8, 13, 1000] {
            let mut masked = plain.clone();
            let mut at = 0;
            for piece in masked.chunks_mut(size) {
                apply(mask, at, piece);
                at += piece.len();
            }
            assert!(masked == wanted, "in pieces of {size}");
        }
    }
}
