//! A long message on its way from a client, past the websocket: read straight to the place where it is wanted and unmasked
//! there (RFC 6455 §5.3), so that a stream of long messages takes no new memory for each and moves none of them twice.

use crate::frames::{BINARY, MASKED, MAX_HEAD};
use crate::mask;
use crate::server::READ_BUFFER;

/// Payloads up to this, in bytes, are left to the websocket: they fit into the buffer that it has anyway.
const SHORT: u64 = READ_BUFFER as u64;

/// What the bytes that a frame begins with come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// So many more are wanted before there is anything to say.
    Lacks(usize),
    /// Not a long binary message in one frame.
    Another,
    /// One.
    Long(Incoming),
}

/// Such a message, of which the head has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    mask: [u8; 4],
    length: usize,
    come: usize,
}

/// Reads no more of a frame than its head, which `head` is the beginning of.
pub(crate) fn begun(head: &[u8]) -> Begun {
    let lacks = |whole: usize| Begun::Lacks(whole.saturating_sub(head.len()));
    match *head {
        [] | [BINARY] => lacks(2),
        [BINARY, second, ..] if second & MASKED == 0 || second & 0x7f < 126 => Begun::Another,
        [BINARY, second, ref rest @ ..] => match (second & 0x7f, rest) {
            (126, &[a, b, m0, m1, m2, m3]) => long(u16::from_be_bytes([a, b]).into(), [m0, m1, m2, m3]),
            (127, &[a, b, c, d, e, f, g, h, m0, m1, m2, m3]) => {
                long(u64::from_be_bytes([a, b, c, d, e, f, g, h]), [m0, m1, m2, m3])
            }
            (126, rest) if rest.len() < 6 => lacks(8),
            (127, rest) if rest.len() < 12 => lacks(MAX_HEAD),
            // More than a head.
            _ => Begun::Another,
        },
        _ => Begun::Another,
    }
}

fn long(length: u64, mask: [u8; 4]) -> Begun {
    match usize::try_from(length) {
        Ok(length) if length as u64 > SHORT => Begun::Long(Incoming { mask, length, come: 0 }),
        _ => Begun::Another,
    }
}

impl Incoming {
    /// Length of the payload in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// What is still to come of the payload, of all the place for it.
    pub(crate) fn lacks<'a>(&self, place: &'a mut [u8]) -> &'a mut [u8] {
        place.get_mut(self.come..self.length).unwrap_or_default()
    }

    /// So many bytes have come to where they lack.
    pub(crate) fn has_come(&mut self, count: usize, place: &mut [u8]) {
        let end = self.come.saturating_add(count).min(self.length);
        mask::apply(self.mask, self.come, place.get_mut(self.come..end).unwrap_or_default());
        self.come = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of this kind, mask 1 2 3 4.
    fn head(first: u8, second: u8, length: &[u8]) -> Vec<u8> {
        [&[first, second][..], length, &[1, 2, 3, 4]].concat()
    }

    #[test]
    fn heads_of_long_binary_messages_are_known_byte_by_byte() {
        let rows = [
            (head(0x82, 0xfe, &[0x10, 0x01]), 4097),
            (head(0x82, 0xfe, &[0xff, 0xff]), 65_535),
            (head(0x82, 0xff, &[0, 0, 0, 0, 0, 1, 0, 0]), 65_536),
            (head(0x82, 0xff, &[0, 0, 0, 0, 0, 0x10, 0, 0]), 1 << 20),
        ];
        for (head, length) in rows {
            let mut come = Vec::new();
            while let Begun::Lacks(lacks) = begun(&come) {
                assert!(lacks > 0 && come.len() + lacks <= head.len());
                come.push(head[come.len()]);
            }
            assert_eq!(come, head);
            assert_eq!(begun(&come), Begun::Long(Incoming { mask: [1, 2, 3, 4], length, come: 0 }));
        }
    }

    #[test]
    fn everything_else_is_left_to_the_websocket() {
        let rows = [
            // Text, a continuation, a fragment, a close, a ping, a reserved bit.
            head(0x81, 0xfe, &[0x20, 0]),
            head(0x80, 0xfe, &[0x20, 0]),
            head(0x02, 0xfe, &[0x20, 0]),
            head(0x88, 0x82, &[]),
            head(0x89, 0x80, &[]),
            head(0xc2, 0xfe, &[0x20, 0]),
            // Short, short in a long way, not masked, longer than any address.
            head(0x82, 0xfd, &[]),
            head(0x82, 0xfe, &[0x10, 0]),
            head(0x82, 0xff, &[0, 0, 0, 0, 0, 0, 0x10, 0]),
            head(0x82, 0x7e, &[0x20, 0]),
            // More than a head.
            [&head(0x82, 0xfe, &[0x20, 0])[..], &[9]].concat(),
        ];
        for head in rows {
            assert_eq!(begun(&head), Begun::Another, "{head:x?}");
        }
    }

    #[test]
    fn what_comes_in_pieces_of_any_length_is_unmasked_as_a_whole() {
        let plain: Vec<u8> = (0..5000_u32).map(|at| (at % 251) as u8).collect();
        let mask = [0x6d, 0xb6, 0xb2, 0x80];
        let masked: Vec<u8> = plain.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        for size in [1, 2, 3, 7, 16, 1021, 5000] {
            let mut incoming = Incoming { mask, length: plain.len(), come: 0 };
            // The place may be longer than the message.
            let mut place = vec![0; plain.len() + 3];
            for piece in masked.chunks(size) {
                incoming.lacks(&mut place)[..piece.len()].copy_from_slice(piece);
                incoming.has_come(piece.len(), &mut place);
            }
            assert!(incoming.lacks(&mut place).is_empty());
            assert!(place[..plain.len()] == plain, "in pieces of {size}");
        }
    }
}
