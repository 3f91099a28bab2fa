//! The header of the last token whose signature was good: tokens below one leaf come with the same, byte for byte, for weeks,
//! and reading it takes longer than all else of a token that is no cryptography.
//!
//! What is remembered is its text and the certificates that stand in it. It says nothing of what they are worth: path and
//! signatures are verified as of a header that was never seen.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::token::X5c;

/// The header of the last token that proved authentic.
#[derive(Default)]
pub(crate) struct KnownHeader(Mutex<Option<Known>>);

struct Known {
    segment: Box<str>,
    x5c: Arc<X5c>,
}

impl KnownHeader {
    /// The certificates of this header, a token's first segment, if it is the one.
    pub(crate) fn find(&self, segment: &str) -> Option<Arc<X5c>> {
        let known = self.known();
        let known = known.as_ref().filter(|known| *known.segment == *segment)?;
        Some(Arc::clone(&known.x5c))
    }

    /// These certificates were read from this header, of a token that is authentic: others cannot make us forget.
    pub(crate) fn remember(&self, segment: &str, x5c: &Arc<X5c>) {
        let mut known = self.known();
        if known.as_ref().is_none_or(|known| !Arc::ptr_eq(&known.x5c, x5c)) {
            *known = Some(Known { segment: segment.into(), x5c: Arc::clone(x5c) });
        }
    }

    /// What is known is whole whatever panicked while it was held.
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KnownHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownHeader").field(&self.known().is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mock_launcher::time::OffsetDateTime;
    use mock_launcher::{ChainSpec, Key, KeyKind, Mint};
    use rustls_pki_types::UnixTime;
    use serde_json::json;

    use super::*;
    use crate::{Anchors, Check, Expectation, Token, Verifier};

    #[test]
    fn a_verifier_knows_the_header_of_a_good_signature_and_forgets_it_for_no_bad_one() {
        let key = |name| Key::shared_for_tests(KeyKind::Rsa2048, name).unwrap();
        let date = OffsetDateTime::from_unix_timestamp(1_750_688_561).unwrap();
        let chain = ChainSpec::new(date, key("header-root"), key("header-intermediate"), key("header-leaf"));
        let chain = chain.unwrap().issue().unwrap();
        let mint = Mint::chain(&chain).unwrap();
        let verifier = Verifier::new(Anchors::from_der([chain.root()]).unwrap(), Expectation::default());
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_750_688_561));
        // The signature is good, and the claims are none.
        let verify = |token: &str| verifier.verify(&Token::new(token).unwrap(), now).unwrap_err().check();
        let known = |token: &str| verifier.header.find(token.split('.').next().unwrap()).is_some();

        let genuine = mint.token(&json!({})).unwrap();
        assert_eq!((verify(&genuine), known(&genuine)), (Check::Claims, true));
        let other_header = mint.token_with(&json!({"kid": "another"}), &json!({})).unwrap();
        let (signed, _) = other_header.rsplit_once('.').unwrap();
        let (_, signature_of_genuine) = genuine.rsplit_once('.').unwrap();
        let badly_signed = format!("{signed}.{signature_of_genuine}");
        assert_eq!((verify(&badly_signed), known(&badly_signed)), (Check::Signature, false));
        assert!(known(&genuine));
        assert_eq!((verify(&other_header), known(&other_header)), (Check::Claims, true));
        assert!(!known(&genuine), "the last one alone is known");
    }

    #[test]
    fn only_the_very_header_that_was_remembered_last_is_known() {
        let header = KnownHeader::default();
        assert!(header.find("").is_none());
        let [first, second] = [1, 2].map(|byte| Arc::new([vec![byte], vec![], vec![]]));
        header.remember("first", &first);
        assert!(Arc::ptr_eq(&header.find("first").unwrap(), &first));
        for other in ["", "firs", "first ", "First", "second"] {
            assert!(header.find(other).is_none(), "{other:?}");
        }
        header.remember("second", &second);
        assert!(Arc::ptr_eq(&header.find("second").unwrap(), &second));
        assert!(header.find("first").is_none());
    }
}
