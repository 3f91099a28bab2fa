//! What can be wrong with a token: which check failed, what it wanted, what it found.

use std::fmt;

use crate::chain::Certificate;
use crate::message::MAX_TOKEN_BYTES;
use crate::token::X5C_CERTIFICATES;

/// The checks in the order in which they run. Their names are stable: reports and tests rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The token is at most [`MAX_TOKEN_BYTES`] long.
    Size,
    /// Three non-empty segments of base64url.
    Shape,
    /// The header is a JSON object with unique names.
    Header,
    /// `alg` is RS256 and nothing else.
    Algorithm,
    /// No `crit`.
    Critical,
    /// `x5c` holds exactly three certificates in strict base64 and DER.
    X5c,
    /// The third is a pinned root, byte for byte.
    RootPinned,
    /// Leaf, intermediate and root form a path (RFC 5280 §6) that is valid now.
    Chain,
    /// The root itself is valid now (path validation ignores an anchor's dates).
    RootValidity,
    /// The leaf's key is RSA of 2048 to 8192 bits with a sound exponent.
    LeafKey,
    /// The leaf's key signed this header and these claims.
    Signature,
    /// The claims are a JSON object with unique names and the right types.
    Claims,
    /// `iss` is Google's attestation service.
    Issuer,
    /// `nbf` is not in the future, leeway allowed.
    NotBefore,
    /// `exp` is not in the past, leeway allowed.
    Expiry,
    /// `iat` is not in the future, leeway allowed.
    IssuedAt,
    /// `iat` is recent enough.
    Age,
    /// `exp` comes after `iat`, by at most the longest lifetime that the service gives.
    Lifetime,
}

impl Check {
    /// All checks, in order.
    pub const ALL: [Self; 18] = [
        Self::Size,
        Self::Shape,
        Self::Header,
        Self::Algorithm,
        Self::Critical,
        Self::X5c,
        Self::RootPinned,
        Self::Chain,
        Self::RootValidity,
        Self::LeafKey,
        Self::Signature,
        Self::Claims,
        Self::Issuer,
        Self::NotBefore,
        Self::Expiry,
        Self::IssuedAt,
        Self::Age,
        Self::Lifetime,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Shape => "shape",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::X5c => "x5c",
            Self::RootPinned => "root_pinned",
            Self::Chain => "chain",
            Self::RootValidity => "root_validity",
            Self::LeafKey => "leaf_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::NotBefore => "not_before",
            Self::Expiry => "expiry",
            Self::IssuedAt => "issued_at",
            Self::Age => "age",
            Self::Lifetime => "lifetime",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a token is not authentic, or not valid now. Foreign text in it is already safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("token too large: wanted at most {MAX_TOKEN_BYTES} bytes, got {got}")]
    TooLarge {
        /// Bytes.
        got: usize,
    },
    /// Not three segments.
    #[error("not a JWT in compact form: wanted 3 segments, got {got}")]
    Segments {
        /// Segments.
        got: usize,
    },
    /// A segment without content.
    #[error("not a signed JWT: the {segment} segment is empty")]
    EmptySegment {
        /// `header`, `payload` or `signature`.
        segment: &'static str,
    },
    /// A segment that is not canonical base64url without padding.
    #[error("the {segment} segment is not strict base64url")]
    SegmentEncoding {
        /// `header`, `payload` or `signature`.
        segment: &'static str,
    },
    /// The header is no JSON object.
    #[error("the header is not a JSON object (line {line}, column {column})")]
    HeaderJson {
        /// Line within the decoded header.
        line: usize,
        /// Column within that line.
        column: usize,
    },
    /// A header parameter occurs twice (RFC 7515 §4).
    #[error("the header has {name} twice")]
    DuplicateHeaderParameter {
        /// Its name.
        name: String,
    },
    /// `alg` is something else.
    #[error("wrong algorithm: wanted RS256, got {got}")]
    Algorithm {
        /// What the header says.
        got: String,
    },
    /// The header has `crit`.
    #[error("the header names critical extensions (crit): none is understood")]
    CriticalParameters,
    /// No `x5c`: an OIDC token, for example.
    #[error("no x5c in the header: wanted a PKI token, got another type, such as OIDC")]
    NoX5c,
    /// `x5c` is no array.
    #[error("x5c has the wrong type: wanted an array, got {got}")]
    X5cType {
        /// Its JSON type.
        got: &'static str,
    },
    /// `x5c` has another number of entries.
    #[error("x5c has the wrong length: wanted {X5C_CERTIFICATES} certificates, got {got}")]
    X5cCount {
        /// Entries.
        got: usize,
    },
    /// An entry of `x5c` is no string.
    #[error("x5c[{index}] has the wrong type: wanted a string, got {got}")]
    X5cEntryType {
        /// Which.
        index: usize,
        /// Its JSON type.
        got: &'static str,
    },
    /// An entry of `x5c` is not canonical standard base64 with padding.
    #[error("x5c[{index}] is not strict standard base64")]
    X5cEncoding {
        /// Which.
        index: usize,
    },
    /// An entry of `x5c` is not one DER certificate and nothing else.
    #[error("x5c[{index}] is not one X.509 certificate in DER")]
    X5cDer {
        /// Which.
        index: usize,
    },
    /// The third certificate is not pinned.
    #[error("the root is not pinned: wanted one of the pinned roots, got sha256 {got}")]
    RootNotPinned {
        /// SHA-256 of the certificate, hex.
        got: String,
    },
    /// A certificate is not valid yet.
    #[error("the {certificate} certificate is not valid yet: it begins at {not_before} (seconds since 1970)")]
    CertificateNotValidYet {
        /// Which.
        certificate: Certificate,
        /// `notBefore`, seconds since 1970.
        not_before: u64,
    },
    /// A certificate has expired.
    #[error("the {certificate} certificate has expired: it ended at {not_after} (seconds since 1970)")]
    CertificateExpired {
        /// Which.
        certificate: Certificate,
        /// `notAfter`, seconds since 1970.
        not_after: u64,
    },
    /// No path from leaf over intermediate to root, by webpki's words.
    #[error("the certificates form no valid path to the root: {0:?}")]
    Path(webpki::Error),
    /// The path leads past the intermediate that came with the token.
    #[error("the leaf was not issued by the intermediate that came with it")]
    IntermediateUnused,
    /// The intermediate's key usage forbids signing certificates (RFC 5280 §6.1.4 (n)).
    #[error("the intermediate's key usage does not allow it to sign certificates")]
    IntermediateKeyUsage,
    /// The leaf's key is not RSA, or not written as RFC 4055 §1.2 wants it.
    #[error("the leaf's key is not RSA: wanted rsaEncryption with NULL parameters")]
    LeafKeyType,
    /// The leaf's RSA key is too short or too long.
    #[error("wrong size of the leaf's RSA key: wanted 2048 to 8192 bits, got {got}")]
    LeafKeySize {
        /// Bits of the modulus.
        got: usize,
    },
    /// The leaf's public exponent is even, too small or too large (FIPS 186-5 §A.1.1 wants 65537 or more).
    #[error("unsound exponent of the leaf's RSA key: wanted an odd number from 65537 to 2^33 - 1")]
    LeafKeyExponent,
    /// Not signed by the leaf's key, or altered since.
    #[error("the signature is not the leaf's over this header and these claims")]
    Signature,
    /// The claims are no JSON object, or have a name twice.
    #[error("the claims are not a JSON object with unique names: {0}")]
    ClaimsJson(String),
    /// A claim has the wrong type.
    #[error("claim {claim} has the wrong type: wanted {wanted}, got {got}")]
    ClaimType {
        /// Path of the claim.
        claim: String,
        /// Wanted type.
        wanted: &'static str,
        /// Found type.
        got: &'static str,
    },
    /// A claim is missing.
    #[error("claim {claim} is missing")]
    MissingClaim {
        /// Path of the claim.
        claim: String,
    },
    /// Issued by somebody else.
    #[error("wrong issuer: wanted {wanted}, got {got}")]
    Issuer {
        /// The attestation service.
        wanted: String,
        /// `iss`.
        got: String,
    },
    /// `nbf` lies ahead.
    #[error("not valid yet: nbf is {ahead} s ahead of the clock, wanted at most {leeway} s")]
    NotYetValid {
        /// Seconds.
        ahead: u64,
        /// Seconds.
        leeway: u64,
    },
    /// `exp` has passed.
    #[error("expired: exp passed {ago} s ago, wanted less than {leeway} s")]
    Expired {
        /// Seconds.
        ago: u64,
        /// Seconds.
        leeway: u64,
    },
    /// `iat` lies ahead.
    #[error("issued in the future: iat is {ahead} s ahead of the clock, wanted at most {leeway} s")]
    IssuedInFuture {
        /// Seconds.
        ahead: u64,
        /// Seconds.
        leeway: u64,
    },
    /// Issued too long ago to have been made for a session of now.
    #[error("too old: issued {age} s ago, wanted at most {wanted} s")]
    TooOld {
        /// Seconds.
        age: u64,
        /// Seconds, leeway included.
        wanted: u64,
    },
    /// `exp` is not after `iat`.
    #[error("wrong lifetime: exp does not come after iat")]
    NoLifetime,
    /// A longer lifetime than the service gives.
    #[error("wrong lifetime: wanted at most {wanted} s from iat to exp, got {got} s")]
    Lifetime {
        /// Seconds.
        got: u64,
        /// Seconds.
        wanted: u64,
    },
}

impl VerifyError {
    /// The check that failed.
    pub const fn check(&self) -> Check {
        match self {
            Self::TooLarge { .. } => Check::Size,
            Self::Segments { .. } | Self::EmptySegment { .. } | Self::SegmentEncoding { .. } => Check::Shape,
            Self::HeaderJson { .. } | Self::DuplicateHeaderParameter { .. } => Check::Header,
            Self::Algorithm { .. } => Check::Algorithm,
            Self::CriticalParameters => Check::Critical,
            Self::NoX5c
            | Self::X5cType { .. }
            | Self::X5cCount { .. }
            | Self::X5cEntryType { .. }
            | Self::X5cEncoding { .. }
            | Self::X5cDer { .. } => Check::X5c,
            Self::RootNotPinned { .. } => Check::RootPinned,
            Self::CertificateNotValidYet { certificate: Certificate::Root, .. }
            | Self::CertificateExpired { certificate: Certificate::Root, .. } => Check::RootValidity,
            Self::CertificateNotValidYet { .. }
            | Self::CertificateExpired { .. }
            | Self::Path(_)
            | Self::IntermediateUnused
            | Self::IntermediateKeyUsage => Check::Chain,
            Self::LeafKeyType | Self::LeafKeySize { .. } | Self::LeafKeyExponent => Check::LeafKey,
            Self::Signature => Check::Signature,
            Self::ClaimsJson(_) | Self::ClaimType { .. } | Self::MissingClaim { .. } => Check::Claims,
            Self::Issuer { .. } => Check::Issuer,
            Self::NotYetValid { .. } => Check::NotBefore,
            Self::Expired { .. } => Check::Expiry,
            Self::IssuedInFuture { .. } => Check::IssuedAt,
            Self::TooOld { .. } => Check::Age,
            Self::NoLifetime | Self::Lifetime { .. } => Check::Lifetime,
        }
    }
}
