//! The heads of websocket frames (RFC 6455 §5.2), read out of the bytes as they pass: what a frame announces is known
//! before anything makes room for it.

/// Longest head: two bytes, eight of length, four of mask.
pub(crate) const MAX_HEAD: usize = 14;

/// First byte of a binary message in one frame, without extensions.
pub(crate) const BINARY: u8 = 0x82;

/// Said of every frame of a client, in its second byte.
pub(crate) const MASKED: u8 = 0x80;

/// Longest payload of a control frame (RFC 6455 §5.5).
pub(crate) const MAX_CONTROL: u64 = 125;

/// What a client's frame with so long a payload measures at least, in bytes.
pub(crate) fn frame_bytes(payload: usize) -> u64 {
    let head = match payload {
        0..=125 => 6,
        126..=0xffff => 8,
        _ => 14,
    };
    head + payload as u64
}

/// What a frame announces of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Close, ping or pong.
    pub(crate) is_control: bool,
    /// Whether it goes on with the message before it.
    pub(crate) is_continuation: bool,
    /// Length of its payload in bytes.
    pub(crate) length: u64,
}

/// Where a stream of frames is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads {
    head: [u8; MAX_HEAD],
    /// How much of the head has come.
    come: usize,
    /// How much of the payload is still to come.
    payload: u64,
}

impl Heads {
    /// The next head that ends in `bytes`, of which the rest is left; `None`: none does, and nothing is left.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        loop {
            let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= skipped as u64;
            *bytes = bytes.get(skipped..).unwrap_or_default();
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            if let Some(place) = self.head.get_mut(self.come) {
                *place = *first;
            }
            self.come += 1;
            if let Some(head) = self.complete() {
                self.payload = head.length;
                self.come = 0;
                return Some(head);
            }
        }
    }

    /// How many bytes there are to the end of the payload, or to where the head says more, at least 1.
    pub(crate) fn until_end(&self) -> usize {
        if self.payload > 0 {
            return usize::try_from(self.payload).unwrap_or(usize::MAX);
        }
        let whole = if self.come < 2 { 2 } else { self.head_length() };
        whole.saturating_sub(self.come).max(1)
    }

    /// So much of the payload has been read elsewhere.
    pub(crate) fn skip(&mut self, count: usize) {
        self.payload = self.payload.saturating_sub(count as u64);
    }

    /// What the head says, if all of it has come.
    fn complete(&self) -> Option<Head> {
        let [first, second, long @ ..] = &self.head;
        let length_of =
            |bytes| long.iter().take(bytes).fold(0, |length, byte| length << 8 | u64::from(*byte));
        let length = match second & 0x7f {
            126 => length_of(2),
            127 => length_of(8),
            short => u64::from(short),
        };
        let opcode = first & 0x0f;
        (self.come >= 2 && self.come == self.head_length()).then_some(Head {
            is_control: opcode >= 8,
            is_continuation: opcode == 0,
            length,
        })
    }

    /// How long the head is, by its second byte.
    fn head_length(&self) -> usize {
        let [_, second, ..] = self.head;
        let of_length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = if second & MASKED == 0 { 0 } else { 4 };
        2 + of_length + masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(is_control: bool, is_continuation: bool, length: u64) -> Head {
        Head { is_control, is_continuation, length }
    }

    /// Every head in these bytes, which come in pieces of this size.
    fn heads(bytes: &[u8], size: usize) -> Vec<Head> {
        let (mut heads, mut found) = (Heads::default(), Vec::new());
        for mut piece in bytes.chunks(size) {
            while let Some(head) = heads.next(&mut piece) {
                found.push(head);
            }
        }
        found
    }

    #[test]
    fn heads_of_every_form_are_found_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        // Masked: text of 3, a ping of 0, binary of 200 in two bytes, a continuation of 70 000 in eight.
        bytes.extend([0x81, 0x83, 1, 2, 3, 4, 0xff, 0xff, 0xff]);
        bytes.extend([0x89, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x02, 0xfe, 0, 200, 1, 2, 3, 4]);
        bytes.extend([0x81; 200]);
        bytes.extend([0x80, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 1, 2, 3, 4]);
        bytes.extend(vec![0x89; 70_000]);
        // Unmasked: a close of 2.
        bytes.extend([0x88, 2, 3, 0xe8]);
        let wanted = [
            head(false, false, 3),
            head(true, false, 0),
            head(false, false, 200),
            head(false, true, 70_000),
            head(true, false, 2),
        ];
        for size in [1, 2, 3, 7, 13, 4096, bytes.len()] {
            assert_eq!(heads(&bytes, size), wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn reading_to_the_end_each_time_stops_between_all_frames() {
        let frames = [
            &[0x81, 0x83, 1, 2, 3, 4, 0xff, 0xff, 0xff][..],
            &[0x89, 0x80, 1, 2, 3, 4],
            &[0x88, 2, 3, 0xe8],
            &[&[0x82, 0xfe, 0, 200, 1, 2, 3, 4][..], &[0x81; 200]].concat(),
            &[&[0x80, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 1, 2, 3, 4][..], &vec![0x89; 70_000]].concat(),
            &[0x0a, 0],
        ];
        let ends: Vec<usize> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        let bytes = frames.concat();
        let (mut heads, mut at, mut stops) = (Heads::default(), 0, Vec::new());
        while at < bytes.len() {
            let end = at + heads.until_end();
            let mut piece = &bytes[at..end];
            while heads.next(&mut piece).is_some() {}
            at = end;
            stops.push(at);
        }
        assert!(ends.iter().all(|end| stops.contains(end)), "{stops:?}");
    }

    #[test]
    fn a_frame_is_as_long_as_its_shortest_head_and_its_payload() {
        for (payload, wanted) in [(0, 6), (125, 131), (126, 134), (65_535, 65_543), (65_536, 65_550)] {
            assert_eq!(frame_bytes(payload), wanted, "{payload}");
        }
    }

    #[test]
    fn a_head_says_the_most_that_it_can() {
        let bytes = [&[0x82, 0xff][..], &[0xff; 8], &[1, 2, 3, 4]].concat();
        assert_eq!(heads(&bytes, 1), [head(false, false, u64::MAX)]);
        assert_eq!(heads(&bytes[..bytes.len() - 1], 1), []);
    }
}
