//! A chain and keys as good as Google's, and the one function through which every token is judged.
#![allow(dead_code, unreachable_pub)]

use std::sync::LazyLock;
use std::time::Duration;

use attestation::{
    Anchors, Check, Expectation, Token, VerifiedToken, Verifier, VerifyError, decode_unverified,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mock_launcher::rcgen::SigningKey as _;
use mock_launcher::time::OffsetDateTime;
use mock_launcher::{Chain, ChainSpec, Key, KeyKind, Mint, assemble, claims, signing_input};
use rustls_pki_types::UnixTime;
use serde_json::Value;

use super::shown::assert_printable;

/// 2025-06-23. Everything is dated around it, so that seeds stay good.
pub const NOW: u64 = 1_750_688_561;

/// The nonce in the good token.
pub const NONCE: &str = "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=";

/// The time as the verifier takes it.
pub fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW))
}

/// What forgers work with. All keys have 2048 bits, for speed.
pub struct Forge {
    pub chain: Chain,
    pub root_key: Key,
    pub intermediate_key: Key,
    /// The leaf's key: what it signs is Google's word.
    pub leaf_key: Key,
    /// A key that no certificate vouches for.
    pub foreign_key: Key,
    pub mint: Mint,
    /// The header of the good token.
    pub header: String,
    /// The one token that is signed as it is and not made by a check.
    pub genuine: String,
    pub verifier: Verifier,
}

/// The keys are those of the build folder, so every run has the same.
pub static FORGE: LazyLock<Forge> = LazyLock::new(Forge::new);

impl Forge {
    fn new() -> Self {
        let key = |name: &str| Key::shared_for_tests(KeyKind::Rsa2048, name).unwrap();
        let (root_key, intermediate_key, leaf_key) =
            (key("fuzz-root"), key("fuzz-intermediate"), key("fuzz-leaf"));
        let time = OffsetDateTime::from_unix_timestamp(i64::try_from(NOW).unwrap()).unwrap();
        let chain =
            ChainSpec::new(time, root_key.clone(), intermediate_key.clone(), leaf_key.clone()).unwrap();
        let chain = chain.issue().unwrap();
        let mint = Mint::chain(&chain).unwrap();
        Self {
            genuine: mint.token(&good_claims()).unwrap(),
            header: mint.header().to_string(),
            verifier: Verifier::new(Anchors::from_der([chain.root()]).unwrap(), Expectation::default()),
            leaf_key,
            foreign_key: key("fuzz-foreign"),
            mint,
            chain,
            root_key,
            intermediate_key,
        }
    }

    /// The good token's `x5c` as JSON.
    pub fn x5c_json(&self) -> String {
        let x5c: Vec<_> = self.chain.x5c().iter().map(|der| Value::from(STANDARD.encode(der))).collect();
        Value::from(x5c).to_string()
    }

    /// A token with the good header over these claims, by the leaf's key.
    pub fn sign_claims(&self, claims: &[u8]) -> String {
        sign(self.header.as_bytes(), claims, &self.leaf_key)
    }

    /// A token of this header over the good claims, by the leaf's key.
    pub fn sign_header(&self, header: &[u8]) -> String {
        sign(header, &claims::to_json(&good_claims()), &self.leaf_key)
    }

    /// A token with these certificates over the good claims, by the leaf's key.
    pub fn sign_x5c(&self, x5c: Vec<Vec<u8>>) -> String {
        self.sign_header(self.mint.clone().with_x5c(x5c).header().to_string().as_bytes())
    }
}

/// A compact JWS by a key that is already parsed: jsonwebtoken parses and checks it for each signature, which takes
/// most of the time.
pub fn sign(header: &[u8], claims: &[u8], key: &Key) -> String {
    let input = signing_input(header, claims);
    assemble(&input, &key.key_pair().sign(input.as_bytes()).unwrap())
}

/// Claims that the shipped policy and baseline accept.
pub fn good_claims() -> Value {
    claims::default_claims("uwear", &[NONCE.to_owned()], i64::try_from(NOW).unwrap())
}

/// The verdict, after everything has been asserted that holds of any token: verdict and report agree, checks end where
/// the first failed, nothing that is shown misleads.
pub fn judge(text: &str) -> Result<VerifiedToken, VerifyError> {
    let token = match Token::new(text) {
        Ok(token) => token,
        Err(error) => return Err(VerifyError::TooLarge { got: error.got }),
    };
    let verifier = &FORGE.verifier;
    let verdict = verifier.verify(&token, now());
    let report = verifier.report(&token, now());
    assert_eq!(report.verdict().err(), verdict.as_ref().err(), "verdict and report");
    let first_failed = report.checks().iter().find(|outcome| outcome.ok == Some(false));
    assert_eq!(first_failed.map(|outcome| outcome.check), verdict.as_ref().err().map(VerifyError::check));
    assert!(report.checks().iter().map(|outcome| outcome.check).eq(Check::ALL));

    let ended = verdict.as_ref().err().map(VerifyError::check).filter(|check| *check <= Check::Claims);
    for outcome in report.checks() {
        assert_eq!(
            outcome.ok.is_none(),
            ended.is_some_and(|ended| ended < outcome.check),
            "{}",
            outcome.check
        );
        assert_printable(&outcome.wanted);
        assert_printable(&outcome.got);
        assert!(outcome.ok != Some(true) || !outcome.got.is_empty(), "{} found nothing", outcome.check);
    }
    assert_eq!(report.claims().is_some(), ended.is_none());
    report.certificates().iter().flatten().for_each(|certificate| assert_printable(&certificate.name));
    if let Err(error) = &verdict {
        assert_printable(&error.to_string());
    }
    assert_printable(&token.to_string());
    match (decode_unverified(&token), &verdict) {
        (Ok(unverified), Ok(verified)) => assert_eq!(&unverified.claims, verified.claims_json()),
        (Err(error), Ok(_)) => panic!("verified, but cannot be decoded: {error}"),
        (Err(error), Err(_)) => assert_printable(&error.to_string()),
        (Ok(_), Err(_)) => {}
    }
    verdict
}
