//! A token nobody has verified: its size, its shape, its header. No claim can be read from it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use memchr::memchr_iter;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::error::VerifyError;
use crate::json::{Name, Outline};
use crate::known_header::KnownHeader;
use crate::message::MAX_TOKEN_BYTES;
use crate::printable;

/// Certificates that a PKI token's `x5c` holds: leaf, intermediate, root ("Access resources not
/// managed by Google Cloud IAM").
pub const X5C_CERTIFICATES: usize = 3;

/// The one algorithm that is accepted (RFC 7518 §3.3), whatever the header asks for.
pub const ALGORITHM: &str = "RS256";

/// A JWS in compact serialization whose header asks for RS256 and brings three certificates, none of
/// which has been judged.
#[derive(Debug)]
pub struct UnverifiedToken<'a> {
    /// As it came.
    pub(crate) header: &'a str,
    pub(crate) jws: UnverifiedJws<'a>,
    pub(crate) x5c: Arc<X5c>,
}

/// The certificates of a token, DER: leaf, intermediate, root.
pub type X5c = [Vec<u8>; X5C_CERTIFICATES];

impl<'a> UnverifiedToken<'a> {
    /// Reads size, shape and header. `kid`, `jku`, `x5u`, `jwk` and unknown parameters are read past:
    /// the key comes from `x5c` and nowhere else.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn parse(token: &'a str) -> Result<Self, VerifyError> {
        Self::parse_by(token, &KnownHeader::default())
    }

    /// The same, where a header may be known.
    pub(crate) fn parse_by(token: &'a str, known: &KnownHeader) -> Result<Self, VerifyError> {
        let compact = Compact::split(token)?;
        compact.require_no_empty_segment()?;
        let (jws, x5c) = match known.find(compact.header) {
            Some(x5c) => (UnverifiedJws::decode(compact)?, x5c),
            None => {
                let (jws, x5c) = UnverifiedJws::read(compact, |header| header.certificates())?;
                (jws, Arc::new(x5c))
            }
        };
        Ok(Self { header: compact.header, jws, x5c })
    }

    /// The certificates as they came, DER, unverified: leaf, intermediate, root.
    pub fn certificates(&self) -> &X5c {
        &self.x5c
    }
}

/// A JWS whose header asks for RS256 and for nothing that is not understood; its signature is not judged.
#[derive(Debug)]
pub(crate) struct UnverifiedJws<'a> {
    pub(crate) signing_input: &'a str,
    /// Decoded, not looked into.
    pub(crate) payload: Vec<u8>,
    /// In base64url that decodes.
    pub(crate) signature: &'a str,
}

impl<'a> UnverifiedJws<'a> {
    /// Any compact JWS. Its payload may be empty (RFC 7515 says nothing against it).
    pub(crate) fn parse(jws: &'a str) -> Result<Self, VerifyError> {
        let (jws, ()) = Self::read(Compact::split(jws)?, |_| Ok(()))?;
        Ok(jws)
    }

    /// Reads the header by the rules for all, and takes from it what the caller wants beside.
    fn read<T>(
        compact: Compact<'a>,
        take: impl FnOnce(&Header<'_>) -> Result<T, VerifyError>,
    ) -> Result<(Self, T), VerifyError> {
        let header_json = decode_segment("header", compact.header)?;
        let jws = Self::decode(compact)?;
        let header = Header::parse(&header_json)?;
        header.require_algorithm()?;
        header.require_no_critical_parameters()?;
        let taken = take(&header)?;
        Ok((jws, taken))
    }

    /// All but the header: payload and signature.
    fn decode(compact: Compact<'a>) -> Result<Self, VerifyError> {
        let payload = decode_segment("payload", compact.payload)?;
        decode_segment("signature", compact.signature)?;
        Ok(Self { signing_input: compact.signing_input, payload, signature: compact.signature })
    }
}

/// The three segments of a compact JWS (RFC 7515 §7.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compact<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    pub(crate) signing_input: &'a str,
}

impl<'a> Compact<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, VerifyError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(VerifyError::TooLarge { got: token.len() });
        }
        // Many bytes at once: `str::split` takes longer for a token than the rest of this.
        let dots = || memchr_iter(b'.', token.as_bytes());
        let malformed = || VerifyError::Segments { got: dots().count() + 1 };
        let mut places = dots();
        let (Some(first), Some(second), None) = (places.next(), places.next(), places.next()) else {
            return Err(malformed());
        };
        let between = |from: usize, to: usize| token.get(from..to).ok_or_else(malformed);
        let (header, payload) = (between(0, first)?, between(first + 1, second)?);
        let (signing_input, signature) = (between(0, second)?, between(second + 1, token.len())?);
        Ok(Self { header, payload, signature, signing_input })
    }

    /// A token has claims, and is signed.
    pub(crate) fn require_no_empty_segment(&self) -> Result<(), VerifyError> {
        let segments = [("header", self.header), ("payload", self.payload), ("signature", self.signature)];
        match segments.into_iter().find(|(_, text)| text.is_empty()) {
            Some((segment, _)) => Err(VerifyError::EmptySegment { segment }),
            None => Ok(()),
        }
    }
}

/// Decodes base64url without padding (RFC 7515 §2), refusing padding, other alphabets, white space and
/// bits left over at the end.
pub(crate) fn decode_segment(segment: &'static str, text: &str) -> Result<Vec<u8>, VerifyError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| VerifyError::SegmentEncoding { segment })
}

/// The parameters of a JOSE header that matter here, as they came.
#[derive(Default)]
struct Header<'a> {
    alg: Option<Outline<'a>>,
    x5c: Option<Outline<'a>>,
    has_crit: bool,
    duplicate: Option<String>,
}

impl<'a> Header<'a> {
    fn parse(json: &'a [u8]) -> Result<Self, VerifyError> {
        let header: Self = serde_json::from_slice(json)
            .map_err(|error| VerifyError::HeaderJson { line: error.line(), column: error.column() })?;
        match header.duplicate {
            Some(name) => Err(VerifyError::DuplicateHeaderParameter { name }),
            None => Ok(header),
        }
    }

    fn require_algorithm(&self) -> Result<(), VerifyError> {
        match &self.alg {
            Some(Outline::Text(alg)) if alg == ALGORITHM => Ok(()),
            Some(Outline::Text(alg)) => Err(VerifyError::Algorithm { got: printable(alg) }),
            Some(other) => Err(VerifyError::Algorithm { got: other.kind().to_owned() }),
            None => Err(VerifyError::Algorithm { got: "none at all".to_owned() }),
        }
    }

    /// RFC 7515 §4.1.11: whoever does not understand a critical extension must refuse; we understand none.
    fn require_no_critical_parameters(&self) -> Result<(), VerifyError> {
        if self.has_crit { Err(VerifyError::CriticalParameters) } else { Ok(()) }
    }

    /// RFC 7515 §4.1.6: an array of DER in *standard* base64 with padding.
    fn certificates(&self) -> Result<X5c, VerifyError> {
        let entries = match &self.x5c {
            None => return Err(VerifyError::NoX5c),
            Some(Outline::Array(entries)) => entries,
            Some(other) => return Err(VerifyError::X5cType { got: other.kind() }),
        };
        let [leaf, intermediate, root] = entries.as_slice() else {
            return Err(VerifyError::X5cCount { got: entries.len() });
        };
        let decode = |index: usize, entry: &Outline<'_>| match entry {
            Outline::Text(text) => {
                STANDARD.decode(text.as_bytes()).map_err(|_| VerifyError::X5cEncoding { index })
            }
            other => Err(VerifyError::X5cEntryType { index, got: other.kind() }),
        };
        Ok([decode(0, leaf)?, decode(1, intermediate)?, decode(2, root)?])
    }
}

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut header = Header::default();
        let mut seen: BTreeSet<Cow<'de, str>> = BTreeSet::new();
        while let Some(Name(name)) = members.next_key()? {
            match &*name {
                "alg" => header.alg = Some(members.next_value()?),
                "x5c" => header.x5c = Some(members.next_value()?),
                other => {
                    header.has_crit |= other == "crit";
                    // Read past, but not unread: a header that other parsers refuse is refused here.
                    members.next_value::<Outline<'de>>()?;
                }
            }
            if let Some(twice) = seen.replace(name) {
                header.duplicate.get_or_insert_with(|| printable(&twice));
            }
        }
        Ok(header)
    }
}
