//! Chains that were validated before: a fleet's tokens come with the same three certificates for weeks.
//!
//! What is remembered is that leaf, intermediate and root, byte for byte, lead to one of these anchors, the leaf's key,
//! and the time in which all three certificates are valid. Nothing else of a chain depends on the clock, and that time is
//! checked at each use. A chain that is not known, or not valid at the time, goes through the whole validation, whose error
//! says what is wrong with it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::UnixTime;

use crate::chain::{Anchors, LeafKey, validate, validity_of_all};
use crate::error::VerifyError;
use crate::token::X5c;

/// Most chains that a [`crate::Verifier`] remembers. Beyond it the one that was validated first is forgotten. Google's
/// fleet shows a few at a time; who has many genuine ones can make us forget, which costs time alone.
pub const MAX_KNOWN_CHAINS: usize = 16;

/// The chains that one verifier remembers.
#[derive(Debug, Default)]
pub(crate) struct ChainCache {
    /// The one that was validated first stands in front.
    known: Mutex<VecDeque<KnownChain>>,
}

#[derive(Debug)]
struct KnownChain {
    id: [u8; 32],
    /// Seconds since 1970 at which leaf, intermediate and root are all valid.
    valid: RangeInclusive<u64>,
    leaf: Arc<LeafKey>,
}

impl ChainCache {
    /// The leaf's key, if the chain leads to one of the anchors and is valid at `now`.
    pub(crate) fn validate(
        &self,
        x5c: &X5c,
        anchors: &Anchors,
        now: UnixTime,
    ) -> Result<Arc<LeafKey>, VerifyError> {
        let id = id(x5c, anchors);
        if let Some(leaf) = self.find(&id, now) {
            return Ok(leaf);
        }
        let leaf = Arc::new(validate(x5c, anchors, now)?);
        // Dates that only webpki can read are no reason to refuse, and none to remember.
        if let Some(valid) = validity_of_all(x5c, anchors) {
            self.remember(KnownChain { id, valid, leaf: Arc::clone(&leaf) });
        }
        Ok(leaf)
    }

    fn find(&self, id: &[u8; 32], now: UnixTime) -> Option<Arc<LeafKey>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = known.iter().find(|chain| chain.id == *id)?;
        chain.valid.contains(&now.as_secs()).then(|| Arc::clone(&chain.leaf))
    }

    fn remember(&self, chain: KnownChain) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Two threads may have validated it at the same time.
        if known.iter().any(|other| other.id == chain.id) {
            return;
        }
        if known.len() >= MAX_KNOWN_CHAINS {
            known.pop_front();
        }
        known.push_back(chain);
    }
}

/// SHA-256 of the anchors and of each certificate with its length: no two chains, and no two sets of anchors, run
/// into each other.
fn id(x5c: &X5c, anchors: &Anchors) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut counted = |bytes: &[u8]| {
        context.update(&bytes.len().to_be_bytes());
        context.update(bytes);
    };
    counted(&anchors.hashes().concat());
    x5c.iter().for_each(|certificate| counted(certificate));
    let mut id = [0; 32];
    id.copy_from_slice(context.finish().as_ref());
    id
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mock_launcher::time::OffsetDateTime;
    use mock_launcher::{Chain, ChainSpec, Key, KeyKind};

    use super::*;
    use crate::Certificate;

    /// 2025-06-23.
    const NOW: u64 = 1_750_688_561;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn date(seconds: u64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap()
    }

    fn key(name: &str) -> Key {
        Key::shared_for_tests(KeyKind::Rsa2048, name).unwrap()
    }

    fn spec(root: &str) -> ChainSpec {
        ChainSpec::new(date(NOW), key(root), key("cache-intermediate"), key("cache-leaf")).unwrap()
    }

    fn good() -> Chain {
        spec("cache-root").issue().unwrap()
    }

    /// Another leaf below the same root.
    fn another(number: usize) -> Chain {
        let mut spec = spec("cache-root");
        spec.leaf.common_name = format!("leaf {number}");
        spec.issue().unwrap()
    }

    fn x5c(chain: &Chain) -> [Vec<u8>; 3] {
        chain.x5c().to_vec().try_into().unwrap()
    }

    fn anchors(chain: &Chain) -> Anchors {
        Anchors::from_der([chain.root()]).unwrap()
    }

    /// Whether the chain is in the cache, whatever the time.
    fn knows(cache: &ChainCache, chain: &Chain) -> bool {
        let id = id(&x5c(chain), &anchors(chain));
        cache.known.lock().unwrap().iter().any(|known| known.id == id)
    }

    fn known(cache: &ChainCache) -> usize {
        cache.known.lock().unwrap().len()
    }

    /// A cache that has validated this chain at [`NOW`].
    fn warm(chain: &Chain) -> ChainCache {
        let cache = ChainCache::default();
        cache.validate(&x5c(chain), &anchors(chain), at(NOW)).unwrap();
        assert!(knows(&cache, chain));
        cache
    }

    #[test]
    fn a_known_chain_gives_the_key_that_it_gave_without_being_validated_again() {
        let chain = good();
        let cache = warm(&chain);
        let first = cache.find(&id(&x5c(&chain), &anchors(&chain)), at(NOW)).unwrap();
        assert_eq!(first.pkcs1, validate(&x5c(&chain), &anchors(&chain), at(NOW)).unwrap().pkcs1);
        // The very key that is kept, not an equal one.
        let again = cache.validate(&x5c(&chain), &anchors(&chain), at(NOW + 1)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(known(&cache), 1);
    }

    #[test]
    fn a_known_chain_is_refused_once_any_of_its_certificates_is_not_valid() {
        let window = (NOW - 100, NOW + 100);
        type Narrow = fn(&mut ChainSpec) -> &mut mock_launcher::CertSpec;
        let rows: [(Certificate, Narrow); 3] = [
            (Certificate::Leaf, |spec| &mut spec.leaf),
            (Certificate::Intermediate, |spec| &mut spec.intermediates[0]),
            (Certificate::Root, |spec| &mut spec.root),
        ];
        for (certificate, narrow) in rows {
            let mut spec = spec("cache-root");
            let narrowed = narrow(&mut spec);
            (narrowed.not_before, narrowed.not_after) = (date(window.0), date(window.1));
            let chain = spec.issue().unwrap();
            let (x5c, anchors) = (x5c(&chain), anchors(&chain));
            let cache = warm(&chain);
            let (not_before, not_after) = window;
            let verdicts = [
                (not_before - 1, Err(VerifyError::CertificateNotValidYet { certificate, not_before })),
                (not_before, Ok(())),
                (not_after, Ok(())),
                (not_after + 1, Err(VerifyError::CertificateExpired { certificate, not_after })),
            ];
            for (now, wanted) in verdicts {
                let got = cache.validate(&x5c, &anchors, at(now)).map(drop);
                assert_eq!(got, wanted, "{certificate} at {now}");
                let without = validate(&x5c, &anchors, at(now)).map(drop);
                assert_eq!(got, without, "{certificate} at {now}");
            }
        }
    }

    #[test]
    fn another_set_of_anchors_does_not_know_the_chain() {
        let (chain, foreign) = (good(), spec("cache-foreign-root").issue().unwrap());
        let cache = warm(&chain);
        let refused = cache.validate(&x5c(&chain), &anchors(&foreign), at(NOW)).map(drop);
        let got = anchors(&chain).fingerprints().remove(0);
        assert_eq!(refused, Err(VerifyError::RootNotPinned { got }));
        assert_eq!(known(&cache), 1);

        let both = anchors(&chain).and(anchors(&foreign));
        assert!(cache.find(&id(&x5c(&chain), &both), at(NOW)).is_none());
        assert!(cache.validate(&x5c(&chain), &both, at(NOW)).is_ok());
        assert_eq!(known(&cache), 2, "validated anew, under its own name");
    }

    #[test]
    fn a_chain_that_fails_is_never_remembered() {
        let mut forged = spec("cache-root");
        forged.leaf.signed_by = Some(key("cache-foreign-root"));
        let mut expired = spec("cache-root");
        expired.leaf.not_after = date(NOW - 1);
        let mut expired_root = spec("cache-root");
        expired_root.root.not_after = date(NOW - 1);
        let mut small_exponent = spec("cache-root");
        small_exponent.leaf.public_key = Some(with_exponent_3(&x5c(&good())));
        for (name, spec) in [
            ("forged", forged),
            ("expired", expired),
            ("expired root", expired_root),
            ("unsound key", small_exponent),
        ] {
            let chain = spec.issue().unwrap();
            let cache = ChainCache::default();
            for _ in 0..2 {
                let refused = cache.validate(&x5c(&chain), &anchors(&chain), at(NOW)).map(drop);
                assert_eq!(refused, validate(&x5c(&chain), &anchors(&chain), at(NOW)).map(drop), "{name}");
                assert!(refused.is_err(), "{name}");
                assert_eq!(known(&cache), 0, "{name}");
            }
        }
    }

    /// The leaf's own key with the smallest exponent there is: 65537 ends in 02 03 01 00 01.
    fn with_exponent_3(x5c: &[Vec<u8>; 3]) -> Vec<u8> {
        let sound = validate(x5c, &anchors(&good()), at(NOW)).unwrap();
        let (modulus, exponent) = sound.pkcs1.split_at(sound.pkcs1.len() - 5);
        assert_eq!(exponent, [2, 3, 1, 0, 1]);
        let mut changed = [modulus, &[2, 1, 3]].concat();
        // The length of the sequence, two bytes in long form.
        changed[3] -= 2;
        changed
    }

    #[test]
    fn one_bit_of_any_certificate_makes_it_another_chain() {
        let chain = good();
        let (cache, anchors, known) = (warm(&chain), anchors(&chain), x5c(&chain));
        let known_id = id(&known, &anchors);
        for which in 0..3 {
            for at_byte in 0..known[which].len() {
                let mut changed = known.clone();
                changed[which][at_byte] ^= 1;
                assert_ne!(id(&changed, &anchors), known_id, "byte {at_byte} of certificate {which}");
            }
            let mut changed = known.clone();
            changed[which][0] ^= 1;
            assert!(cache.validate(&changed, &anchors, at(NOW)).is_err(), "certificate {which}");
        }
        let swapped = [known[1].clone(), known[0].clone(), known[2].clone()];
        assert_ne!(id(&swapped, &anchors), known_id);
        // The same bytes, cut elsewhere.
        let (head, tail) = known[0].split_at(known[0].len() - 1);
        let cut = [head.to_vec(), [tail, &known[1]].concat(), known[2].clone()];
        assert_ne!(id(&cut, &anchors), known_id);
    }

    #[test]
    fn the_seventeenth_chain_makes_the_first_one_forgotten() {
        let chains: Vec<Chain> = (0..=MAX_KNOWN_CHAINS).map(another).collect();
        let cache = ChainCache::default();
        let validate = |chain: &Chain| cache.validate(&x5c(chain), &anchors(chain), at(NOW)).unwrap();
        for chain in &chains[..MAX_KNOWN_CHAINS] {
            validate(chain);
        }
        // Being used again makes none younger.
        validate(&chains[0]);
        assert!(chains[..MAX_KNOWN_CHAINS].iter().all(|chain| knows(&cache, chain)));
        validate(&chains[MAX_KNOWN_CHAINS]);
        let still = chains.iter().map(|chain| knows(&cache, chain));
        assert!(still.eq((0..=MAX_KNOWN_CHAINS).map(|number| number > 0)));
        assert_eq!(known(&cache), MAX_KNOWN_CHAINS);
        // What was forgotten is as good as new.
        validate(&chains[0]);
        assert!(knows(&cache, &chains[0]) && !knows(&cache, &chains[1]));
    }
}
