//! The messages of wire version 1 that are JSON, in the order in which they cross: strict when read, canonical
//! when written.

use serde_json::json;

use super::error::MessageError;
use super::fields::{Fields, base64};
use super::proof::{InclusionProof, Position};
use super::transcript::HelloNonce;
use super::{MAX_ATTESTATION_BYTES, MAX_HELLO_BYTES};
use crate::message::Token;

/// The version in a hello.
const VERSION: u64 = 1;

/// The client's first message: `{"v":1,"client_nonce":B,"attest":bool}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// 32 fresh random bytes.
    pub client_nonce: HelloNonce,
    /// Whether the client can and will attest itself if it is asked.
    pub attest: bool,
}

/// The server's attestation: `{"server_nonce":B,"token":"…","index":n,"size":n,"proof":[B…],"attest":bool}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// 32 fresh random bytes.
    pub server_nonce: HelloNonce,
    /// The token of the batch, unverified.
    pub token: Token,
    /// That this session is in the batch.
    pub proof: InclusionProof,
    /// Whether the server wants the client's own attestation.
    pub attest: bool,
}

/// The client's own attestation: `{"token":"…","index":n,"size":n,"proof":[B…]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAttestation {
    /// The client's token, unverified.
    pub token: Token,
    /// That this session is in the token's tree.
    pub proof: InclusionProof,
}

/// What ends a stream of nights: `{"end":true,"messages":n}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How many PHI messages there were.
    pub messages: u64,
}

impl Hello {
    /// Reads at most [`MAX_HELLO_BYTES`].
    ///
    /// # Errors
    /// [`MessageError`]; [`MessageError::Version`] for a hello of another version.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let mut fields = Fields::parse("hello", MAX_HELLO_BYTES, text)?;
        fields.version(VERSION)?;
        let hello = Self {
            client_nonce: HelloNonce::from_bytes(fields.hash("client_nonce")?),
            attest: fields.boolean("attest")?,
        };
        fields.finish()?;
        Ok(hello)
    }

    /// The message as it is sent.
    pub fn to_json(&self) -> String {
        let client_nonce = base64(self.client_nonce.as_bytes());
        json!({"v": VERSION, "client_nonce": client_nonce, "attest": self.attest}).to_string()
    }
}

impl Attestation {
    /// Reads at most [`MAX_ATTESTATION_BYTES`]. Index, size and length of the proof are judged before any hash is decoded.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let mut fields = Fields::parse("attestation", MAX_ATTESTATION_BYTES, text)?;
        let attestation = Self {
            server_nonce: HelloNonce::from_bytes(fields.hash("server_nonce")?),
            token: token(&mut fields)?,
            proof: proof(&mut fields)?,
            attest: fields.boolean("attest")?,
        };
        fields.finish()?;
        Ok(attestation)
    }

    /// The message as it is sent.
    pub fn to_json(&self) -> String {
        json!({
            "server_nonce": base64(self.server_nonce.as_bytes()),
            "token": self.token.as_str(),
            "index": self.proof.index(),
            "size": self.proof.size(),
            "proof": path(&self.proof),
            "attest": self.attest,
        })
        .to_string()
    }
}

impl ClientAttestation {
    /// Reads at most [`MAX_ATTESTATION_BYTES`]. Index, size and length of the proof are judged before any hash is decoded.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let mut fields = Fields::parse("client attestation", MAX_ATTESTATION_BYTES, text)?;
        let attestation = Self { token: token(&mut fields)?, proof: proof(&mut fields)? };
        fields.finish()?;
        Ok(attestation)
    }

    /// The message as it is sent.
    pub fn to_json(&self) -> String {
        json!({
            "token": self.token.as_str(),
            "index": self.proof.index(),
            "size": self.proof.size(),
            "proof": path(&self.proof),
        })
        .to_string()
    }
}

impl End {
    /// Reads at most [`MAX_HELLO_BYTES`].
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let mut fields = Fields::parse("end", MAX_HELLO_BYTES, text)?;
        if !fields.boolean("end")? {
            return Err(MessageError::NoEnd);
        }
        let end = Self { messages: fields.whole("messages")? };
        fields.finish()?;
        Ok(end)
    }

    /// The message as it is sent.
    pub fn to_json(&self) -> String {
        json!({"end": true, "messages": self.messages}).to_string()
    }
}

pub(super) fn token(fields: &mut Fields<'_>) -> Result<Token, MessageError> {
    let text = fields.text("token")?;
    Token::new(text).map_err(|error| MessageError::Token { message: fields.message(), error })
}

pub(super) fn proof(fields: &mut Fields<'_>) -> Result<InclusionProof, MessageError> {
    let message = fields.message();
    let wrong = |error| MessageError::Proof { message, error };
    let position = Position::new(fields.whole("index")?, fields.whole("size")?).map_err(wrong)?;
    let path = fields.hashes("proof", |siblings| position.admit(siblings))?.map_err(wrong)?;
    InclusionProof::at(position, path).map_err(wrong)
}

pub(super) fn path(proof: &InclusionProof) -> Vec<String> {
    proof.path().iter().map(|hash| base64(hash)).collect()
}
