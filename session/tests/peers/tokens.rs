//! Tokens of the mock's PKI.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mock_launcher::claims::{default_claims, merge};
use mock_launcher::{Mint, Pki};
use serde_json::{Value, json};

pub fn pki() -> Arc<Pki> {
    static SHARED: OnceLock<Arc<Pki>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| Arc::new(Pki::shared_for_tests().unwrap())))
}

/// The file of the mock's root, for `--root`.
pub fn root_file() -> PathBuf {
    Pki::root_path(&Pki::shared_folder_for_tests().unwrap())
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// An authentic token of now over one nonce, its claims changed by a merge patch.
pub fn token(nonce: &str, patch: &Value) -> String {
    token_at(nonce, patch, now())
}

/// The same issued at another time.
pub fn token_at(nonce: &str, patch: &Value, iat: i64) -> String {
    Mint::pki(&pki()).unwrap().token(&claims(nonce, patch, iat)).unwrap()
}

/// A token of the same claims that brings no certificates.
pub fn oidc_token(nonce: &str) -> String {
    Mint::oidc(&pki()).unwrap().token(&claims(nonce, &json!({}), now())).unwrap()
}

/// The claims of a token that nobody has verified.
pub fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn claims(nonce: &str, patch: &Value, iat: i64) -> Value {
    let mut claims = default_claims("uwear", &[nonce.to_owned()], iat);
    merge(&mut claims, patch);
    claims
}
