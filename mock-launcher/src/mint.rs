//! Makes tokens: good ones comfortably, forged ones byte by byte.
//!
//! The lowest level, [`sign_compact`], signs any header and claims bytes with any key and does not
//! look at them; [`assemble`] takes a signature from elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde_json::{Value, json};

use crate::{Chain, ChainError, KeyError, Pki, TokenKey, claims};

/// A token that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Signing, or taking the key's thumbprint.
    #[error("signing a token: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Makes tokens with one chain and one key.
#[derive(Clone, Debug)]
pub struct Mint {
    x5c: Vec<Vec<u8>>,
    key: TokenKey,
    kid: String,
}

impl Mint {
    /// PKI tokens of this PKI, like the real ones.
    ///
    /// # Errors
    /// [`MintError`].
    pub fn pki(pki: &Pki) -> Result<Self, MintError> {
        Self::new(pki.x5c(), pki.leaf_key().token_key()?)
    }

    /// PKI tokens below another chain, signed by its leaf.
    ///
    /// # Errors
    /// [`MintError`].
    pub fn chain(chain: &Chain) -> Result<Self, MintError> {
        Self::new(chain.x5c().to_vec(), chain.leaf_key().token_key()?)
    }

    /// OIDC tokens: no chain, a `kid` of 40 hex digits as Google's key set has.
    ///
    /// # Errors
    /// [`MintError`].
    pub fn oidc(pki: &Pki) -> Result<Self, MintError> {
        let mint = Self::new(Vec::new(), pki.oidc_key().token_key()?)?;
        let kid = hex::encode(mint.kid.as_bytes()).chars().take(40).collect();
        Ok(Self { kid, ..mint })
    }

    /// Tokens with any certificates in x5c, signed by any key. `kid` is the key's thumbprint
    /// (RFC 7638, SHA-256), as in real PKI tokens.
    ///
    /// # Errors
    /// [`MintError::Sign`] if the key is of a kind that has no thumbprint.
    pub fn new(x5c: Vec<Vec<u8>>, key: TokenKey) -> Result<Self, MintError> {
        let jwk = Jwk::from_encoding_key(key.encoding(), key.algorithm())?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        Ok(Self { x5c, key, kid })
    }

    /// The same, signed by another key: header and chain stay as they are.
    #[must_use]
    pub fn signed_by(self, key: TokenKey) -> Self {
        Self { key, ..self }
    }

    /// The same with other certificates in x5c; with none, the header has no x5c.
    #[must_use]
    pub fn with_x5c(self, x5c: Vec<Vec<u8>>) -> Self {
        Self { x5c, ..self }
    }

    /// The header of its tokens: alg, kid, typ and, unless there are no certificates, x5c.
    pub fn header(&self) -> Value {
        let mut header = json!({
            "alg": self.key.algorithm(),
            "kid": self.kid,
            "typ": "JWT",
        });
        if !self.x5c.is_empty() {
            let x5c: Vec<_> = self.x5c.iter().map(|der| STANDARD.encode(der)).collect();
            claims::merge(&mut header, &json!({ "x5c": x5c }));
        }
        header
    }

    /// A token over these claims.
    ///
    /// # Errors
    /// [`MintError::Sign`].
    pub fn token(&self, claims: &Value) -> Result<String, MintError> {
        self.token_with(&json!({}), claims)
    }

    /// A token over these claims whose header is changed by a merge patch (RFC 7396). The signature is
    /// by this mint's key and algorithm, whatever the header then says.
    ///
    /// # Errors
    /// [`MintError::Sign`].
    pub fn token_with(&self, header_patch: &Value, claims: &Value) -> Result<String, MintError> {
        let mut header = self.header();
        claims::merge(&mut header, header_patch);
        // By name is the order of real headers: alg, kid, typ, x5c.
        sign_compact(header.to_string().as_bytes(), &claims::to_json(claims), &self.key)
    }
}

/// A JWS in compact serialization (RFC 7515 §7.1) over exactly these bytes, whatever they are.
///
/// # Errors
/// [`MintError::Sign`] if the key cannot sign with its algorithm.
pub fn sign_compact(header: &[u8], claims: &[u8], key: &TokenKey) -> Result<String, MintError> {
    let input = signing_input(header, claims);
    let signature = key.sign(input.as_bytes())?;
    Ok(format!("{input}.{signature}"))
}

/// What a signature is over: both parts in base64url, with a dot between (RFC 7515 §5.1).
pub fn signing_input(header: &[u8], claims: &[u8]) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// A token from a [`signing_input`] and a signature made elsewhere.
pub fn assemble(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}
