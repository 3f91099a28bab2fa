//! Certificate chains like Google's, and ones that are wrong in exactly one way.
//!
//! [`ChainSpec::new`] describes what Google's service uses (seen in real tokens): root and
//! intermediate RSA-4096 with keyCertSign and cRLSign, the intermediate limited to the extended key
//! usage 2.23.133.8.1, a leaf RSA-2048 for 60 days without key usages, everything signed with
//! sha256WithRSAEncryption. A test changes the one field it is about and calls [`ChainSpec::issue`].

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PublicKeyData, SignatureAlgorithm,
};
use time::{Duration, OffsetDateTime};
use x509_cert::der::Encode as _;
use x509_cert::der::asn1::Ia5String;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AccessDescription, AuthorityInfoAccessSyntax};
use x509_cert::spki::ObjectIdentifier;

use crate::{Key, KeyError, KeyKind};

/// Common name of the mock's root.
pub const ROOT_NAME: &str = "Mock Confidential Space Root CA";
/// Common name of the mock's intermediate.
pub const INTERMEDIATE_NAME: &str = "Mock Confidential Space Intermediate CA";
/// Common name of the mock's leaf.
pub const LEAF_NAME: &str = "Mock Confidential Space Leaf Certificate";

/// `tcg-kp-EKCertificate` of the TCG EK Credential Profile: the one extended key usage of Google's
/// intermediates.
pub const TCG_EK_CERTIFICATE: &[u64] = &[2, 23, 133, 8, 1];

/// Certificates are valid from this long before they are made, so that a clock that is a little
/// behind, or a test that looks back, still accepts them.
const BACKDATED: Duration = Duration::days(1);
/// How long Google's roots are valid.
const ROOT_LIFETIME: Duration = Duration::days(3650);
/// How long Google's intermediates are valid.
const INTERMEDIATE_LIFETIME: Duration = Duration::days(1095);
/// How long Google's leaves are valid.
const LEAF_LIFETIME: Duration = Duration::days(60);

/// Google's certificates name places of about this length, which keeps ours near their size. Nobody
/// fetches them: `.invalid` resolves nowhere (RFC 2606).
const PLACE: &str =
    "http://mock-privateca-content-00000000-0000-0000-0000-000000000000.storage.invalid/00000000000000000000";

/// `id-ad-caIssuers` (RFC 5280 §4.2.2.1).
const CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");

/// A chain to be issued: root, any intermediates from the root downwards, leaf.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    /// The self-signed root, last in x5c.
    pub root: CertSpec,
    /// One in Google's chains. The first is signed by the root.
    pub intermediates: Vec<CertSpec>,
    /// What signs tokens, first in x5c.
    pub leaf: CertSpec,
}

/// One certificate of a [`ChainSpec`].
#[derive(Clone, Debug)]
pub struct CertSpec {
    /// Common name; the rest of the subject is the same in all of the mock's certificates.
    pub common_name: String,
    /// Its own key pair.
    pub key: Key,
    /// An RSA public key (PKCS #1 DER, RFC 8017 §A.1.1) to certify instead of that of `key`, for
    /// moduli and exponents that aws-lc-rs does not generate.
    pub public_key: Option<Vec<u8>>,
    /// Start of its validity.
    pub not_before: OffsetDateTime,
    /// End of its validity, inclusive.
    pub not_after: OffsetDateTime,
    /// Its basic constraints.
    pub ca: Ca,
    /// Its key usages; none means no such extension.
    pub key_usages: Vec<KeyUsagePurpose>,
    /// Its extended key usages as object identifiers; none means no such extension.
    pub extended_key_usages: Vec<Vec<u64>>,
    /// Where its CRL is said to be; none means no such extension.
    pub crl: Option<String>,
    /// Any further extensions.
    pub extensions: Vec<CustomExtension>,
    /// The issuer's common name, if it is to be another than that of the certificate above.
    pub issuer_name: Option<String>,
    /// The key that signs it, if it is to be another than that of the certificate above.
    pub signed_by: Option<Key>,
    /// A finished certificate (DER) to be used as it is: of this description only `common_name` and
    /// `key` then matter, to those below.
    pub ready: Option<Vec<u8>>,
}

/// The basic constraints of a certificate (RFC 5280 §4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ca {
    /// No such extension.
    Absent,
    /// CA:FALSE, critical.
    No,
    /// CA:TRUE without a path length, critical.
    Yes,
    /// CA:TRUE with this path length, critical.
    PathLength(u8),
}

/// Certificates with the key that signs tokens below them.
#[derive(Clone, Debug)]
pub struct Chain {
    x5c: Vec<Vec<u8>>,
    leaf_key: Key,
}

/// A chain that could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A certificate could not be made.
    #[error("issuing a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// An extension could not be encoded.
    #[error("encoding an extension: {0}")]
    Extension(#[from] x509_cert::der::Error),
    /// A key of the tests.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl ChainSpec {
    /// A chain like Google's over these keys, valid around `now`.
    ///
    /// # Errors
    /// [`ChainError::Extension`], which does not happen with the constants of this file.
    pub fn new(now: OffsetDateTime, root: Key, intermediate: Key, leaf: Key) -> Result<Self, ChainError> {
        Ok(Self {
            root: CertSpec::root(root, now),
            intermediates: vec![CertSpec::intermediate(intermediate, now)?],
            leaf: CertSpec::leaf(leaf, now)?,
        })
    }

    /// A chain like Google's over keys that are made once for each build folder and `name`, and of
    /// the same subjects as the shared PKI's: a foreign chain of the same names.
    ///
    /// # Errors
    /// [`ChainError::Key`].
    pub fn foreign_for_tests(now: OffsetDateTime, name: &str) -> Result<Self, ChainError> {
        Self::new(
            now,
            Key::shared_for_tests(KeyKind::Rsa4096, &format!("{name}-root"))?,
            Key::shared_for_tests(KeyKind::Rsa4096, &format!("{name}-intermediate"))?,
            Key::shared_for_tests(KeyKind::Rsa2048, &format!("{name}-leaf"))?,
        )
    }

    /// Issues the certificates from the root downwards. The same description gives the same bytes, as
    /// far as its keys are RSA.
    ///
    /// # Errors
    /// [`ChainError::Certificate`].
    pub fn issue(&self) -> Result<Chain, ChainError> {
        let mut x5c = vec![self.root.issue(&self.root)?];
        let mut above = &self.root;
        for below in self.intermediates.iter().chain([&self.leaf]) {
            x5c.push(below.issue(above)?);
            above = below;
        }
        x5c.reverse();
        Ok(Chain { x5c, leaf_key: self.leaf.key.clone() })
    }
}

impl CertSpec {
    /// A root like Google's.
    pub fn root(key: Key, now: OffsetDateTime) -> Self {
        Self {
            common_name: ROOT_NAME.to_owned(),
            key,
            public_key: None,
            not_before: now - BACKDATED,
            not_after: now - BACKDATED + ROOT_LIFETIME,
            ca: Ca::Yes,
            key_usages: vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
            extended_key_usages: Vec::new(),
            crl: None,
            extensions: Vec::new(),
            issuer_name: None,
            signed_by: None,
            ready: None,
        }
    }

    /// An intermediate like Google's.
    ///
    /// # Errors
    /// [`ChainError::Extension`], which does not happen.
    pub fn intermediate(key: Key, now: OffsetDateTime) -> Result<Self, ChainError> {
        Ok(Self {
            common_name: INTERMEDIATE_NAME.to_owned(),
            not_after: now - BACKDATED + INTERMEDIATE_LIFETIME,
            extended_key_usages: vec![TCG_EK_CERTIFICATE.to_vec()],
            crl: Some(format!("{PLACE}/crl.crl")),
            extensions: vec![ca_issuers()?],
            ..Self::root(key, now)
        })
    }

    /// A leaf like Google's.
    ///
    /// # Errors
    /// [`ChainError::Extension`], which does not happen.
    pub fn leaf(key: Key, now: OffsetDateTime) -> Result<Self, ChainError> {
        Ok(Self {
            common_name: LEAF_NAME.to_owned(),
            not_after: now - BACKDATED + LEAF_LIFETIME,
            ca: Ca::No,
            key_usages: Vec::new(),
            extensions: vec![ca_issuers()?],
            ..Self::root(key, now)
        })
    }

    /// This certificate as DER, signed by `above`, or by itself if that is itself.
    ///
    /// # Errors
    /// [`ChainError::Certificate`].
    pub fn issue(&self, above: &CertSpec) -> Result<Vec<u8>, ChainError> {
        if let Some(ready) = &self.ready {
            return Ok(ready.clone());
        }
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = subject(self.issuer_name.as_ref().unwrap_or(&above.common_name));
        let signer = self.signed_by.as_ref().unwrap_or(&above.key);
        let issuer = Issuer::from_params(&issuer, signer.key_pair());

        let params = self.params();
        let certificate = match &self.public_key {
            Some(pkcs1) => params.signed_by(&RsaPublicKey(pkcs1), &issuer)?,
            None => params.signed_by(self.key.key_pair(), &issuer)?,
        };
        Ok(certificate.der().to_vec())
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&self.common_name);
        params.not_before = self.not_before;
        params.not_after = self.not_after;
        params.is_ca = match self.ca {
            Ca::Absent => IsCa::NoCa,
            Ca::No => IsCa::ExplicitNoCa,
            Ca::Yes => IsCa::Ca(BasicConstraints::Unconstrained),
            Ca::PathLength(length) => IsCa::Ca(BasicConstraints::Constrained(length)),
        };
        params.key_usages.clone_from(&self.key_usages);
        params.extended_key_usages =
            self.extended_key_usages.iter().cloned().map(ExtendedKeyUsagePurpose::Other).collect();
        params.crl_distribution_points =
            self.crl.iter().map(|uri| CrlDistributionPoint { uris: vec![uri.clone()] }).collect();
        params.custom_extensions.clone_from(&self.extensions);
        params.use_authority_key_identifier_extension = true;
        params
    }
}

impl Chain {
    /// The certificates as DER in the order of x5c (RFC 7515 §4.1.6): leaf first, root last.
    pub fn x5c(&self) -> &[Vec<u8>] {
        &self.x5c
    }

    /// The root as DER: what a verifier of this chain has to pin.
    pub fn root(&self) -> &[u8] {
        self.x5c.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// The key below the leaf.
    pub fn leaf_key(&self) -> &Key {
        &self.leaf_key
    }
}

/// A subject with Google's attributes, and values that nobody takes for Google's.
fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "US");
    name.push(DnType::StateOrProvinceName, "California");
    name.push(DnType::LocalityName, "Mountain View");
    name.push(DnType::OrganizationName, "Mock, not Google LLC");
    name.push(DnType::OrganizationalUnitName, "Mock Launcher");
    name.push(DnType::CommonName, common_name);
    name
}

/// Authority information access with the place of the issuer's certificate (RFC 5280 §4.2.2.1).
fn ca_issuers() -> Result<CustomExtension, ChainError> {
    let access = AuthorityInfoAccessSyntax(vec![AccessDescription {
        access_method: CA_ISSUERS,
        access_location: GeneralName::UniformResourceIdentifier(Ia5String::new(&format!("{PLACE}/ca.crt"))?),
    }]);
    // id-pe-authorityInfoAccess
    Ok(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access.to_der()?))
}

/// An RSA public key from elsewhere.
struct RsaPublicKey<'a>(&'a [u8]);

impl PublicKeyData for RsaPublicKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}
