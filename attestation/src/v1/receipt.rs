//! The receipt: the workload's signed word on what it received and what it answered.
//!
//! It is signed with the server's TLS key, whose hash is in the transcript, which the token's nonce commits to. So
//! "this attested image said this" follows from token, proof, transcript and receipt, also years later. Who the client is,
//! it does not say.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::json;

use super::MAX_RECEIPT_BYTES;
use super::commitment::Commitment;
use super::error::MessageError;
use super::fields::{Fields, base64};

/// What the signature's input begins with: nothing else that a TLS key signs does (RFC 8446 §4.4.3 begins with 64 spaces).
const PREFIX: &[u8] = b"attested-sleep/1 receipt\0";

/// A SubjectPublicKeyInfo of an uncompressed point on P-256 up to its coordinates (RFC 5480 §2): DER leaves no choice.
const P256_SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// How much of the prefix belongs to the headers; the rest is the point's own first byte.
const P256_SPKI_HEADER: usize = 26;

/// Both coordinates of a point on P-256.
const P256_COORDINATES: usize = 64;

/// What a receipt says:
/// `{"transcript":B,"token":B,"phi":B,"result":B,"rules":"…","program":"…","time":n}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// SHA-256 of the session's transcript in which the server attests.
    pub transcript: [u8; 32],
    /// SHA-256 of the token.
    pub token: [u8; 32],
    /// To all PHI messages.
    pub phi: Commitment,
    /// To all result messages.
    pub result: Commitment,
    /// By which rules the workload judged. A foreign string: to be shown through [`printable`](crate::printable()).
    pub rules: String,
    /// Which program it is, with its version. A foreign string too.
    pub program: String,
    /// The workload's clock, seconds since 1970.
    pub time: u64,
}

/// A receipt and its signature as they cross: `{"receipt":"<the exact JSON text that is signed>","signature":B}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    receipt_json: String,
    signature: Vec<u8>,
}

/// What the client knows for itself, and a receipt must repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedReceipt {
    /// SHA-256 of the session's transcript in which the server attests.
    pub transcript: [u8; 32],
    /// SHA-256 of the token.
    pub token: [u8; 32],
    /// To all PHI messages.
    pub phi: Commitment,
    /// To all result messages.
    pub result: Commitment,
}

/// Why a receipt is not the workload's on this session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The server's key is not ECDSA on P-256.
    #[error("the server's key cannot sign receipts: wanted an uncompressed point on P-256, got another key")]
    Key,
    /// Not signed by the server's key, or altered since.
    #[error(
        "the receipt's signature is not the server's: wanted one by the key of the TLS handshake, got another"
    )]
    Signature,
    /// Signed, but not what a receipt is.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Signed, but about something else.
    #[error("the receipt is for another {what}: wanted {wanted}, got {got}")]
    Mismatch {
        /// `session`, `token`, `PHI` or `result`.
        what: &'static str,
        /// Hex.
        wanted: String,
        /// Hex.
        got: String,
    },
}

impl Receipt {
    /// Reads at most [`MAX_RECEIPT_BYTES`].
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let mut fields = Fields::parse("receipt", MAX_RECEIPT_BYTES, text)?;
        let receipt = Self {
            transcript: fields.hash("transcript")?,
            token: fields.hash("token")?,
            phi: Commitment::from_bytes(fields.hash("phi")?),
            result: Commitment::from_bytes(fields.hash("result")?),
            rules: fields.text("rules")?.into_owned(),
            program: fields.text("program")?.into_owned(),
            time: fields.whole("time")?,
        };
        fields.finish()?;
        Ok(receipt)
    }

    /// The text that is signed.
    pub fn to_json(&self) -> String {
        json!({
            "transcript": base64(&self.transcript),
            "token": base64(&self.token),
            "phi": base64(self.phi.as_bytes()),
            "result": base64(self.result.as_bytes()),
            "rules": self.rules,
            "program": self.program,
            "time": self.time,
        })
        .to_string()
    }

    fn require(&self, expected: &ExpectedReceipt) -> Result<(), ReceiptError> {
        let rows = [
            ("session", &expected.transcript, &self.transcript),
            ("token", &expected.token, &self.token),
            ("PHI", expected.phi.as_bytes(), self.phi.as_bytes()),
            ("result", expected.result.as_bytes(), self.result.as_bytes()),
        ];
        match rows.into_iter().find(|(_, wanted, got)| wanted != got) {
            Some((what, wanted, got)) => {
                Err(ReceiptError::Mismatch { what, wanted: hex::encode(wanted), got: hex::encode(got) })
            }
            None => Ok(()),
        }
    }
}

impl SignedReceipt {
    /// Has a receipt signed: `sign` makes an ECDSA signature in ASN.1 (RFC 3279 §2.2.3) with SHA-256 by the server's TLS key
    /// over the bytes that it is given.
    ///
    /// # Errors
    /// Whatever `sign` answers.
    pub fn sign<E>(receipt: &Receipt, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<Self, E> {
        let receipt_json = receipt.to_json();
        let signature = sign(&signed_bytes(&receipt_json))?;
        Ok(Self { receipt_json, signature })
    }

    /// Reads at most [`MAX_RECEIPT_BYTES`]. Neither the signature nor what is signed is looked into.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let mut fields = Fields::parse("signed receipt", MAX_RECEIPT_BYTES, text)?;
        let signed = Self::take(&mut fields)?;
        fields.finish()?;
        Ok(signed)
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<Self, MessageError> {
        Ok(Self { receipt_json: fields.text("receipt")?.into_owned(), signature: fields.bytes("signature")? })
    }

    /// The message as it is sent.
    pub fn to_json(&self) -> String {
        json!({"receipt": self.receipt_json, "signature": base64(&self.signature)}).to_string()
    }

    /// The text that was signed, UNVERIFIED.
    pub fn receipt_json(&self) -> &str {
        &self.receipt_json
    }

    /// The signature, ASN.1.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The receipt, if the key in `spki_der` signed it and it says what is expected. `spki_der` is the
    /// SubjectPublicKeyInfo of the certificate of this very handshake.
    ///
    /// # Errors
    /// [`ReceiptError`] for the first that is not so: key, signature, shape, session, token, PHI, result.
    pub fn verify(&self, spki_der: &[u8], expected: &ExpectedReceipt) -> Result<Receipt, ReceiptError> {
        self.verify_signature(spki_der)?;
        let receipt = Receipt::parse(&self.receipt_json)?;
        receipt.require(expected)?;
        Ok(receipt)
    }

    pub(super) fn verify_signature(&self, spki_der: &[u8]) -> Result<(), ReceiptError> {
        let point = p256_point(spki_der).ok_or(ReceiptError::Key)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        key.verify(&signed_bytes(&self.receipt_json), &self.signature).map_err(|_| ReceiptError::Signature)
    }
}

fn signed_bytes(receipt_json: &str) -> Vec<u8> {
    [PREFIX, receipt_json.as_bytes()].concat()
}

/// The point of a key that is id-ecPublicKey, prime256v1 and uncompressed, and nothing else. That it lies on the curve is
/// checked with the signature.
pub(super) fn p256_point(spki_der: &[u8]) -> Option<&[u8]> {
    let coordinates = spki_der.strip_prefix(&P256_SPKI_PREFIX)?;
    if coordinates.len() != P256_COORDINATES {
        return None;
    }
    spki_der.get(P256_SPKI_HEADER..)
}
