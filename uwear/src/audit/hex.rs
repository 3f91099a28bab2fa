//! Bytes that are written in hex: digests and session names.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// So many bytes, in JSON and everywhere else as twice as many hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Default for Hex<N> {
    /// Zeros: what the first line of a log has in the place of its predecessor's digest.
    fn default() -> Self {
        Self([0; N])
    }
}

/// A SHA-256.
pub(crate) type Digest = Hex<32>;

/// The name of a session in the log: random, so that it says nothing.
pub(crate) type SessionId = Hex<16>;

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut hash = Hash::default();
        hash.update(bytes);
        hash.digest()
    }
}

impl SessionId {
    /// A fresh one; nothing if the system has no randomness.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// A SHA-256 of bytes that come piece by piece, to be looked at in between.
#[derive(Clone)]
pub(super) struct Hash(digest::Context);

impl Default for Hash {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Hash {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn digest(&self) -> Digest {
        let mut sha256 = [0; 32];
        for (place, byte) in sha256.iter_mut().zip(self.0.clone().finish().as_ref()) {
            *place = *byte;
        }
        Hex(sha256)
    }
}

impl<const N: usize> From<[u8; N]> for Hex<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; N];
        let digits = 2 * N;
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(format!("wanted {digits} hex digits")),
        }
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_standard_however_the_bytes_come() {
        // FIPS 180-4, the example "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), abc);
        let mut hash = Hash::default();
        hash.update(b"a");
        assert_eq!(hash.digest(), Digest::of(b"a"));
        hash.update(b"bc");
        assert_eq!(hash.digest().to_string(), abc);
    }

    #[test]
    fn only_the_right_number_of_hex_digits_is_read() {
        let good = "0f".repeat(32);
        assert_eq!(good.parse::<Digest>().unwrap().to_string(), good);
        for text in
            ["", "0f", &good[1..], &format!("{good}0"), &"0g".repeat(32), &format!("0x{}", &good[2..])]
        {
            assert_eq!(text.parse::<Digest>().unwrap_err(), "wanted 64 hex digits", "{text}");
        }
    }

    #[test]
    fn sessions_have_names_of_their_own() {
        assert_ne!(SessionId::random().unwrap(), SessionId::random().unwrap());
    }
}
