//! What the launcher is asked for: `TokenOptions` of its POST `/v1/token`.

use std::ops::RangeInclusive;

use serde::Serialize;

/// Length of an audience in bytes. Google: at most 512 ("Attestation token claims"); an empty one is
/// refused by the launcher itself.
pub const AUDIENCE_BYTES: RangeInclusive<usize> = 1..=512;

/// Length of a nonce in bytes. Google's documents disagree: 10 to 74 (service.proto of
/// `google.cloud.confidentialcomputing.v1`) or 8 to 88 ("Attestation token claims"). This is the
/// narrower, which both accept.
pub const NONCE_BYTES: RangeInclusive<usize> = 10..=74;

/// A request for one token, within the limits of the attestation service.
///
/// Field names and the spelling of the type are the launcher's: it refuses unknown names and takes an
/// unknown type for "no PKI", without an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRequest {
    audience: String,
    nonces: [String; 1],
    token_type: TokenType,
}

/// Who signs the token. Only PKI tokens carry the chain that a relying party can verify offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum TokenType {
    #[serde(rename = "PKI")]
    Pki,
}

/// A request that the attestation service would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The audience is empty or longer than the service takes.
    #[error(
        "invalid audience: wanted {} to {} bytes, got {got}",
        AUDIENCE_BYTES.start(),
        AUDIENCE_BYTES.end()
    )]
    AudienceLength {
        /// Its length in bytes.
        got: usize,
    },
    /// The nonce is shorter or longer than the service takes.
    #[error("invalid nonce: wanted {} to {} bytes, got {got}", NONCE_BYTES.start(), NONCE_BYTES.end())]
    NonceLength {
        /// Its length in bytes.
        got: usize,
    },
}

impl TokenRequest {
    /// A PKI token for `audience` over the one `nonce`.
    ///
    /// # Errors
    /// [`RequestError`] if either is outside [`AUDIENCE_BYTES`] or [`NONCE_BYTES`]: the service would
    /// refuse it after the quote is already taken.
    pub fn pki(audience: impl Into<String>, nonce: &str) -> Result<Self, RequestError> {
        let audience = audience.into();
        check_audience(&audience)?;
        if !NONCE_BYTES.contains(&nonce.len()) {
            return Err(RequestError::NonceLength { got: nonce.len() });
        }
        Ok(Self { audience, nonces: [nonce.to_owned()], token_type: TokenType::Pki })
    }

    /// The relying party the token is for.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The nonce the token will carry in `eat_nonce`.
    pub fn nonce(&self) -> &str {
        let [nonce] = &self.nonces;
        nonce
    }
}

/// Whether the service takes an audience of this length.
pub(crate) fn check_audience(audience: &str) -> Result<(), RequestError> {
    let got = audience.len();
    if AUDIENCE_BYTES.contains(&got) { Ok(()) } else { Err(RequestError::AudienceLength { got }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_what_the_launcher_parses() {
        let request = TokenRequest::pki("uwear", "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=").unwrap();
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"audience":"uwear","nonces":["fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0="],"token_type":"PKI"}"#
        );
    }

    #[test]
    fn lengths_are_accepted_at_the_limits_and_refused_one_beyond() {
        let audience = |got: usize| TokenRequest::pki("a".repeat(got), "0123456789").err();
        let nonce = |got: usize| TokenRequest::pki("uwear", &"n".repeat(got)).err();
        let rows = [
            (audience(0), Some(RequestError::AudienceLength { got: 0 })),
            (audience(1), None),
            (audience(512), None),
            (audience(513), Some(RequestError::AudienceLength { got: 513 })),
            (nonce(9), Some(RequestError::NonceLength { got: 9 })),
            (nonce(10), None),
            (nonce(74), None),
            (nonce(75), Some(RequestError::NonceLength { got: 75 })),
        ];
        for (got, wanted) in rows {
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn an_error_says_what_was_wanted_and_what_came() {
        assert_eq!(
            RequestError::NonceLength { got: 9 }.to_string(),
            "invalid nonce: wanted 10 to 74 bytes, got 9"
        );
        assert_eq!(
            RequestError::AudienceLength { got: 0 }.to_string(),
            "invalid audience: wanted 1 to 512 bytes, got 0"
        );
    }
}
