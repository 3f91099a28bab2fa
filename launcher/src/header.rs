//! The header of a token, by which PKI tokens are told from others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestation::json::has_member;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Judges headers, and knows the one that it took last: tokens below one leaf have the same, byte for byte, for weeks, and it
/// is most of a token. Clones share what they know.
#[derive(Clone, Default)]
pub(crate) struct Headers {
    taken: Arc<Mutex<Option<Box<str>>>>,
}

/// Why a header is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Not base64url of a strict JSON object.
    NotJose,
    /// Without `x5c`, the one parameter that tells a PKI token from the others (RFC 7515 §4.1.6).
    NoCertificateChain,
}

impl Headers {
    /// Judges the first segment of a token. Shape only: what the certificates are worth, a relying party finds out.
    pub(crate) fn judge(&self, segment: &str) -> Result<(), Wrong> {
        if self.taken().as_deref() == Some(segment) {
            return Ok(());
        }
        if segment.is_empty() {
            return Err(Wrong::NotJose);
        }
        let header = URL_SAFE_NO_PAD.decode(segment).map_err(|_| Wrong::NotJose)?;
        if !has_member(&header, "x5c").map_err(|_| Wrong::NotJose)? {
            return Err(Wrong::NoCertificateChain);
        }
        *self.taken() = Some(segment.into());
        Ok(())
    }

    /// What is known is whole whatever panicked while it was held.
    fn taken(&self) -> MutexGuard<'_, Option<Box<str>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn verdicts_are_the_same_whatever_was_taken_before() {
        let rows = [
            (header(r#"{"alg":"RS256","x5c":["YQ=="]}"#), Ok(())),
            (header(r#"{"alg":"RS256","x5c":["Yg=="]}"#), Ok(())),
            (header(r#"{"alg":"RS256"}"#), Err(Wrong::NoCertificateChain)),
            (header(r#"{"alg":"RS256","x5c":null}"#), Err(Wrong::NoCertificateChain)),
            (header(r#"{"x5c":[],"x5c":[]}"#), Err(Wrong::NotJose)),
            (header(r#"{"x5c":[]}}"#), Err(Wrong::NotJose)),
            (header(r#"["x5c"]"#), Err(Wrong::NotJose)),
            (format!("{}=", header(r#"{"x5c":[1]}"#)), Err(Wrong::NotJose)),
            (String::new(), Err(Wrong::NotJose)),
        ];
        let headers = Headers::default();
        for (before, verdict_before) in &rows {
            for (segment, wanted) in &rows {
                assert_eq!(headers.judge(before), *verdict_before, "{before}");
                assert_eq!(headers.judge(segment), *wanted, "{segment} after {before}");
            }
        }
    }

    #[test]
    fn one_that_was_taken_is_known_to_all_clones_and_one_that_was_not_to_none() {
        let headers = Headers::default();
        let good = header(r#"{"x5c":["YQ=="]}"#);
        headers.clone().judge(&good).unwrap();
        assert_eq!(headers.taken().as_deref(), Some(&*good));
        headers.judge(&header("{}")).unwrap_err();
        assert_eq!(headers.taken().as_deref(), Some(&*good));
    }
}
