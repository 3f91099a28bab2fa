//! The attack catalogue: forged tokens, each with the one error that must refuse it.
//!
//! A row is an [`Attack`]: a name that says what is forged, the token, the root that the data owner pins,
//! the time at which it is looked at, and the wanted error, which also names the check. Rows that lie
//! just inside a limit, or that look odd and are Google's word all the same, are [`Genuine`].
//!
//! Certificates and claims are dated around the `now` that the caller passes, so that the rows also serve
//! where a real clock is read; only rows at a limit to the second need that very `now`.
//!
//! Another crate's tests include this module by `#[path]`; they then need, as development dependencies,
//! aws-lc-rs, base64, hex, mock-launcher, rsa, serde_json, rustls-webpki and x509-cert.

// Every test file uses its own part.
#![allow(dead_code, unreachable_pub)]

mod certificates;
mod chain;
mod claims;
mod der;
mod header;
mod odd_keys;
mod signature;
mod times;
mod x5c;

use attestation::VerifyError;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mock_launcher::rcgen::PublicKeyData as _;
use mock_launcher::time::OffsetDateTime;
use mock_launcher::{Chain, ChainSpec, Key, KeyKind, Mint, Pki, TokenKey, sign_compact};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

/// One forged token. It must be refused by exactly `wanted`, at the check that `wanted` belongs to.
pub struct Attack {
    /// `header`, `chain`, `signature` or `claims`.
    pub group: &'static str,
    /// What is forged; unique.
    pub name: String,
    /// The token, sometimes too long to be one.
    pub token: String,
    /// Seconds since 1970 at which it is looked at.
    pub now: u64,
    /// The root that the data owner has pinned, in DER.
    pub root: Vec<u8>,
    /// The first error.
    pub wanted: VerifyError,
    /// The further errors on issuer and times, which are all looked at, in the order of the checks.
    pub also: Vec<VerifyError>,
}

/// One token that must verify: at a limit, or odd but signed as it is.
pub struct Genuine {
    /// What is odd about it; unique.
    pub name: String,
    /// The token.
    pub token: String,
    /// Seconds since 1970 at which it is looked at.
    pub now: u64,
    /// The root that the data owner has pinned, in DER.
    pub root: Vec<u8>,
    /// `swname`, by which a policy tells the neighbouring products apart.
    pub software_name: Option<&'static str>,
}

/// Every attack on a token, dated around `now`.
pub fn attacks(now: u64) -> Vec<Attack> {
    let forge = Forge::new(now);
    let groups = [
        header::attacks(&forge),
        chain::attacks(&forge),
        signature::attacks(&forge),
        claims::attacks(&forge),
    ];
    groups.into_iter().flatten().collect()
}

/// Every row that must verify, dated around `now`.
pub fn genuine(now: u64) -> Vec<Genuine> {
    let forge = Forge::new(now);
    let groups = [
        header::genuine(&forge),
        chain::genuine(&forge),
        certificates::genuine(&forge),
        claims::genuine(&forge),
        claims::neighbours(&forge),
    ];
    groups.into_iter().flatten().collect()
}

/// What forgers work with: a chain and a token key as good as Google's, and keys of their own.
pub struct Forge {
    now: u64,
    pki: Pki,
    chain: Chain,
    mint: Mint,
    /// The leaf's key, for headers and claims written by hand.
    leaf_key: TokenKey,
    /// A key that no certificate vouches for.
    attacker: Key,
}

impl Forge {
    /// Everything dated around `now`. The keys are shared by all tests of the build folder.
    pub fn new(now: u64) -> Self {
        let pki = Pki::shared_for_tests().unwrap();
        let chain = spec(&pki, now).issue().unwrap();
        Self {
            now,
            mint: Mint::chain(&chain).unwrap(),
            leaf_key: chain.leaf_key().token_key().unwrap(),
            attacker: Key::shared_for_tests(KeyKind::Rsa2048, "attacker").unwrap(),
            chain,
            pki,
        }
    }

    /// The root of the chain in DER.
    pub fn root(&self) -> &[u8] {
        self.chain.root()
    }

    /// A token with nothing wrong, of the size of Google's.
    pub fn token(&self) -> String {
        self.mint.token(&self.claims()).unwrap()
    }

    /// Claims like Google's, issued at `now`.
    fn claims(&self) -> Value {
        let nonce = STANDARD.encode([0x5a; 32]);
        mock_launcher::claims::default_claims("uwear", &[nonce], i64::try_from(self.now).unwrap())
    }

    /// The claims as JSON.
    fn claims_json(&self) -> Vec<u8> {
        mock_launcher::claims::to_json(&self.claims())
    }

    /// A description of the chain, to be made wrong in one way.
    fn spec(&self) -> ChainSpec {
        spec(&self.pki, self.now)
    }

    fn time(&self) -> OffsetDateTime {
        time(self.now)
    }

    /// A token whose header is changed by a merge patch, signed by the leaf as it then is.
    fn with_header(&self, patch: &Value) -> String {
        self.mint.token_with(patch, &self.claims()).unwrap()
    }

    /// A token whose claims are changed by a merge patch, signed by the leaf.
    fn with_claims(&self, patch: &Value) -> String {
        let mut claims = self.claims();
        mock_launcher::claims::merge(&mut claims, patch);
        self.mint.token(&claims).unwrap()
    }

    /// A token of exactly this header, signed by the leaf.
    fn with_raw_header(&self, header: impl AsRef<[u8]>) -> String {
        sign_compact(header.as_ref(), &self.claims_json(), &self.leaf_key).unwrap()
    }

    /// A token of exactly these claims, signed by the leaf.
    fn with_raw_claims(&self, claims: impl AsRef<[u8]>) -> String {
        let header = self.mint.header().to_string();
        sign_compact(header.as_bytes(), claims.as_ref(), &self.leaf_key).unwrap()
    }

    /// The x5c of the good chain as it is in headers.
    fn x5c(&self) -> Vec<String> {
        self.chain.x5c().iter().map(|der| STANDARD.encode(der)).collect()
    }

    fn attack(&self, group: &'static str, name: &str, token: String, wanted: VerifyError) -> Attack {
        Attack {
            group,
            name: name.to_owned(),
            token,
            now: self.now,
            root: self.root().to_vec(),
            wanted,
            also: Vec::new(),
        }
    }

    fn genuine(&self, name: &str, token: String) -> Genuine {
        Genuine {
            name: name.to_owned(),
            token,
            now: self.now,
            root: self.root().to_vec(),
            software_name: Some("CONFIDENTIAL_SPACE"),
        }
    }
}

/// The chain over the keys of the shared PKI, with a root of its own that is dated like the rest.
fn spec(pki: &Pki, now: u64) -> ChainSpec {
    let mut spec = pki.chain_spec(time(now)).unwrap();
    spec.root.ready = None;
    spec
}

fn time(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap()
}

/// An RSA public key as a JSON Web Key (RFC 7518 §6.3.1).
fn jwk(key: &Key) -> Value {
    let public = rsa::RsaPublicKey::from_pkcs1_der(key.key_pair().der_bytes()).unwrap();
    let number = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
    json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "n": number(public.n()), "e": number(public.e()) })
}

/// A PEM section (RFC 7468), 64 characters a line.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The three segments of a compact JWS.
fn segments(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}
