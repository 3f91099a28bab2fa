//! Attacks with certificates of odd forms and odd keys.

use attestation::VerifyError;
use mock_launcher::rcgen::{self, CustomExtension, KeyPair, SigningKey as _};
use mock_launcher::{Ca, Chain, Key, KeyKind, signing_input};
use webpki::UnsupportedSignatureAlgorithmContext;

use super::chain::{changed, not_pinned, path, three, with_x5c, wrong_signature};
use super::der::{self, by};
use super::odd_keys::{self, OddKey};
use super::{Attack, Forge, Genuine};

/// Its place among the fields of a `TBSCertificate` with a version (RFC 5280 §4.1).
const SUBJECT_PUBLIC_KEY_INFO: usize = 6;

pub fn attacks(forge: &Forge) -> Vec<Attack> {
    [forms(forge), leaf_keys(forge)].into_iter().flatten().collect()
}

/// The largest exponent that is sound.
pub fn genuine(forge: &Forge) -> Vec<Genuine> {
    let largest = OddKey::with_exponent((1 << 33) - 1);
    let (chain, token) = token_with_public_key(forge, largest.public_key(), |input| largest.rs256(input));
    let root = chain.root().to_vec();
    vec![Genuine { root, ..forge.genuine("a leaf with the largest exponent", token) }]
}

/// Certificates of odd versions, algorithms and extensions.
fn forms(forge: &Forge) -> Vec<Attack> {
    let good = forge.spec();
    let [leaf, intermediate, root] = three(&forge.chain);
    let (above_leaf, above_intermediate, key) = (&good.intermediates[0].key, &good.root.key, &good.leaf.key);
    let version = || path(webpki::Error::UnsupportedCertVersion);
    let critical_extension = || path(webpki::Error::UnsupportedCriticalExtension);
    let algorithm = |oid: &[u8]| unsupported(&[oid, &[5, 0]].concat());
    let mut rows = Vec::new();

    let old_leaf = der::rebuilt(leaf, by(above_leaf), der::to_version_1);
    let old_intermediate = der::rebuilt(intermediate, by(above_intermediate), der::to_version_1);
    rows.push(with_x5c(forge, "an X.509 v1 leaf", &[&old_leaf, intermediate, root], key, version()));
    rows.push(with_x5c(forge, "an X.509 v1 intermediate", &[leaf, &old_intermediate, root], key, version()));
    rows.push(with_x5c(
        forge,
        "an X.509 v1 leaf under a root that is not pinned",
        &[&old_leaf, intermediate, leaf],
        key,
        not_pinned(leaf),
    ));

    let unknown = || {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        extension
    };
    rows.push(changed(forge, "a leaf with an unknown critical extension", critical_extension(), |spec| {
        spec.leaf.extensions.push(unknown());
    }));
    rows.push(changed(
        forge,
        "an intermediate with an unknown critical extension",
        critical_extension(),
        |spec| {
            spec.intermediates[0].extensions.push(unknown());
        },
    ));
    rows.push(changed(
        forge,
        "a leaf with constraints twice, the second no CA",
        path(webpki::Error::ExtensionValueInvalid),
        |spec| {
            spec.leaf.ca = Ca::Yes;
            spec.leaf.extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 0]));
        },
    ));

    // Of 2048 bits, because the rsa crate signs with it.
    let small = Key::shared_for_tests(KeyKind::Rsa2048, "other-intermediate").unwrap();
    let mut spec = forge.spec();
    spec.intermediates[0].key = small.clone();
    let chain = spec.issue().unwrap();
    let [leaf, intermediate, root] = three(&chain);
    let sha1 = |tbs: &[u8]| OddKey::of(&small).padded(odd_keys::SHA1_INFO, &odd_keys::sha1(tbs));
    let sha1_leaf = der::replaced(leaf, der::SHA256_WITH_RSA, der::SHA1_WITH_RSA, sha1);
    rows.push(with_x5c(
        forge,
        "a leaf signed with SHA-1",
        &[&sha1_leaf, intermediate, root],
        key,
        algorithm(der::SHA1_WITH_RSA),
    ));
    let sha384 = |tbs: &[u8]| signed_by_with(&small, &rcgen::PKCS_RSA_SHA384, tbs);
    let sha384_leaf = der::replaced(leaf, der::SHA256_WITH_RSA, der::SHA384_WITH_RSA, sha384);
    rows.push(with_x5c(
        forge,
        "a leaf signed with SHA-384",
        &[&sha384_leaf, intermediate, root],
        key,
        algorithm(der::SHA384_WITH_RSA),
    ));
    let mixed = der::with_outer_algorithm(leaf, der::SHA256_WITH_RSA, der::SHA1_WITH_RSA);
    let mismatch = path(webpki::Error::SignatureAlgorithmMismatch);
    rows.push(with_x5c(
        forge,
        "a leaf that names two algorithms",
        &[&mixed, intermediate, root],
        key,
        mismatch,
    ));

    let ecdsa = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    rows.push(changed(forge, "an intermediate with an elliptic key", unsupported(&ecdsa), |spec| {
        spec.intermediates[0].key = Key::shared_for_tests(KeyKind::EcP256, "other-intermediate").unwrap();
    }));
    let tiny = OddKey::of_1024_bits();
    rows.push({
        let mut spec = forge.spec();
        spec.intermediates[0].public_key = Some(tiny.public_key());
        let chain = spec.issue().unwrap();
        let [leaf, intermediate, root] = three(&chain);
        let sign = |tbs: &[u8]| tiny.padded(odd_keys::SHA256_INFO, &odd_keys::sha256(tbs));
        let leaf = der::rebuilt(leaf, sign, |_| {});
        with_x5c(
            forge,
            "an intermediate with an RSA-1024 key",
            &[&leaf, intermediate, root],
            key,
            wrong_signature(),
        )
    });
    rows
}

fn leaf_keys(forge: &Forge) -> Vec<Attack> {
    let exponent = || VerifyError::LeafKeyExponent;
    let size = |got| VerifyError::LeafKeySize { got };
    let no_rsa = || VerifyError::LeafKeyType;
    let mut rows = Vec::new();

    for (name, kind) in [("an EC leaf on P-256", KeyKind::EcP256), ("an EC leaf on P-384", KeyKind::EcP384)] {
        rows.push(changed(forge, name, no_rsa(), |spec| {
            spec.leaf.key = Key::shared_for_tests(kind, "attacker").unwrap();
        }));
    }
    // Keys that do sign what they are said to sign.
    for (name, key, wanted) in [
        ("a leaf with an RSA-1024 key", OddKey::of_1024_bits(), size(1024)),
        ("a leaf with the exponent 3", OddKey::with_exponent(3), exponent()),
        ("a leaf with the exponent 65 535", OddKey::with_exponent(65_535), exponent()),
    ] {
        rows.push(signed_by_odd_key(forge, name, &key, wanted));
    }
    // With the exponent 1 the padded hash is its own signature: anybody can sign.
    let modulus = OddKey::of(&forge.attacker).modulus();
    rows.push(with_public_key(
        forge,
        "a leaf with the exponent 1",
        der::rsa_public_key(&modulus, &[1]),
        exponent(),
        |input| {
            let [info, hash] =
                [odd_keys::SHA256_INFO, &odd_keys::sha256(input.as_bytes())].map(<[u8]>::to_vec);
            let padding = vec![0xff; modulus.len() - 3 - info.len() - hash.len()];
            [vec![0, 1], padding, vec![0], info, hash].concat()
        },
    ));

    let unsigned = |_: &str| vec![0x5a; 256];
    let key = |modulus: &[u8], exponent: &[u8]| der::rsa_public_key(modulus, exponent);
    let too_large = [2, 0, 0, 0, 1];
    let mut of_2047_bits = modulus.clone();
    of_2047_bits[0] = 0x7f;
    let of_8193_bits = [&[1][..], &[0x5b; 1024]].concat();
    let leading_zero =
        der::sequence(&[der::tlv(2, &[&[0, 0], &modulus[..]].concat()), der::integer(&[1, 0, 1])]);
    let negative = der::sequence(&[der::tlv(2, &modulus), der::integer(&[1, 0, 1])]);
    for (name, public_key, wanted) in [
        ("a leaf with an even exponent", key(&modulus, &[1, 0, 0]), exponent()),
        ("a leaf with the exponent 0", key(&modulus, &[0]), exponent()),
        ("a leaf with an exponent of 34 bits", key(&modulus, &too_large), exponent()),
        ("a leaf with an exponent as long as its modulus", key(&modulus, &modulus), exponent()),
        ("a leaf with an RSA key of 2047 bits", key(&of_2047_bits, &[1, 0, 1]), size(2047)),
        ("a leaf with an RSA key of 8193 bits", key(&of_8193_bits, &[1, 0, 1]), size(8193)),
        ("a leaf with the modulus 0", key(&[0], &[1, 0, 1]), size(0)),
        ("a leaf with zeros before its modulus", leading_zero, no_rsa()),
        ("a leaf with a negative modulus", negative, no_rsa()),
        ("a leaf with bytes behind its key", [key(&modulus, &[1, 0, 1]), vec![0]].concat(), no_rsa()),
        ("a leaf with an empty key", Vec::new(), no_rsa()),
    ] {
        rows.push(with_public_key(forge, name, public_key, wanted, unsigned));
    }

    let good = forge.spec();
    let [leaf, intermediate, root] = three(&forge.chain);
    let sign = by(&good.intermediates[0].key);
    let only_pss = der::replaced(leaf, der::RSA_ENCRYPTION, der::RSASSA_PSS, sign);
    rows.push(with_x5c(
        forge,
        "a leaf whose key is for PSS only",
        &[&only_pss, intermediate, root],
        &good.leaf.key,
        no_rsa(),
    ));
    // RFC 4055 §1.2: the parameters must be there, and must be NULL.
    for (name, parameters) in [
        ("a leaf whose key has other parameters than NULL", vec![vec![0x45, 0]]),
        ("a leaf whose key has parameters behind the NULL", vec![vec![5, 0], vec![5, 0]]),
        ("a leaf whose key has no parameters", vec![]),
    ] {
        let algorithm = [vec![der::RSA_ENCRYPTION.to_vec()], parameters].concat();
        let odd = der::rebuilt(leaf, by(&good.intermediates[0].key), |fields| {
            let key = der::members(&fields[SUBJECT_PUBLIC_KEY_INFO])[1].clone();
            fields[SUBJECT_PUBLIC_KEY_INFO] = der::sequence(&[der::sequence(&algorithm), key]);
        });
        rows.push(with_x5c(forge, name, &[&odd, intermediate, root], &good.leaf.key, no_rsa()));
    }
    rows
}

/// A leaf that certifies this key, and a token that it signed.
fn signed_by_odd_key(forge: &Forge, name: &str, key: &OddKey, wanted: VerifyError) -> Attack {
    with_public_key(forge, name, key.public_key(), wanted, |input| key.rs256(input))
}

/// A leaf that certifies this `RSAPublicKey`, and a token signed in some way.
fn with_public_key(
    forge: &Forge,
    name: &str,
    public_key: Vec<u8>,
    wanted: VerifyError,
    sign: impl FnOnce(&str) -> Vec<u8>,
) -> Attack {
    let (chain, token) = token_with_public_key(forge, public_key, sign);
    Attack { root: chain.root().to_vec(), ..forge.attack("chain", name, token, wanted) }
}

fn token_with_public_key(
    forge: &Forge,
    public_key: Vec<u8>,
    sign: impl FnOnce(&str) -> Vec<u8>,
) -> (Chain, String) {
    let mut spec = forge.spec();
    spec.leaf.public_key = Some(public_key);
    let chain = spec.issue().unwrap();
    let header = forge.mint.clone().with_x5c(chain.x5c().to_vec()).header();
    let input = signing_input(header.to_string().as_bytes(), &forge.claims_json());
    let token = mock_launcher::assemble(&input, &sign(&input));
    (chain, token)
}

/// What webpki says of an algorithm that it was not told to use.
fn unsupported(signature_algorithm_id: &[u8]) -> VerifyError {
    path(webpki::Error::UnsupportedSignatureAlgorithmContext(UnsupportedSignatureAlgorithmContext {
        signature_algorithm_id: signature_algorithm_id.to_vec(),
        supported_algorithms: vec![webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256.signature_alg_id()],
    }))
}

fn signed_by_with(key: &Key, algorithm: &'static rcgen::SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
    let der = key.key_pair().serialized_der().into();
    KeyPair::from_pkcs8_der_and_sign_algo(&der, algorithm).unwrap().sign(message).unwrap()
}
