//! Attacks on the chain: whose certificates they are, what they may sign, when.
//!
//! With one intermediate only the root can set a path length that is exceeded; such a root cannot be pinned.

use attestation::{Certificate, VerifyError};
use aws_lc_rs::digest;
use mock_launcher::rcgen::{CustomExtension, KeyUsagePurpose};
use mock_launcher::time::Duration;
use mock_launcher::{
    Ca, Chain, ChainSpec, INTERMEDIATE_NAME, Key, KeyKind, Mint, ROOT_NAME, TCG_EK_CERTIFICATE,
};
use serde_json::json;
use webpki::{KeyUsage, RequiredEkuNotFoundContext};

use super::{Attack, Forge, Genuine, certificates};

/// `id-kp-serverAuth` (RFC 5280 §4.2.1.12).
const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
/// `anyExtendedKeyUsage` (RFC 5280 §4.2.1.12).
const ANY_USAGE: &[u64] = &[2, 5, 29, 37, 0];
/// `id-ce-keyUsage` (RFC 5280 §4.2.1.3).
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
/// `id-ce-extKeyUsage` (RFC 5280 §4.2.1.12).
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

pub fn attacks(forge: &Forge) -> Vec<Attack> {
    let groups = [
        roots(forge),
        issuers(forge),
        authorities(forge),
        dates(forge),
        usages(forge),
        certificates::attacks(forge),
    ];
    groups.into_iter().flatten().collect()
}

/// A token below a chain that is described by changing the good one.
pub fn changed(
    forge: &Forge,
    name: &str,
    wanted: VerifyError,
    change: impl FnOnce(&mut ChainSpec),
) -> Attack {
    let mut spec = forge.spec();
    change(&mut spec);
    below(forge, name, &spec.issue().unwrap(), wanted)
}

/// A token below this chain, whose root is pinned.
fn below(forge: &Forge, name: &str, chain: &Chain, wanted: VerifyError) -> Attack {
    // Whatever the leaf's key is, the header says what is wanted.
    let token = Mint::chain(chain).unwrap().token_with(&json!({ "alg": "RS256" }), &forge.claims()).unwrap();
    Attack { root: chain.root().to_vec(), ..forge.attack("chain", name, token, wanted) }
}

/// A token with these certificates, signed by `key`; the good chain's root is pinned.
pub fn with_x5c(forge: &Forge, name: &str, x5c: &[&[u8]], key: &Key, wanted: VerifyError) -> Attack {
    let x5c = x5c.iter().map(|der| der.to_vec()).collect();
    let mint = forge.mint.clone().with_x5c(x5c).signed_by(key.token_key().unwrap());
    forge.attack("chain", name, mint.token(&forge.claims()).unwrap(), wanted)
}

pub fn not_pinned(root: &[u8]) -> VerifyError {
    VerifyError::RootNotPinned { got: hex::encode(digest::digest(&digest::SHA256, root)) }
}

pub fn path(error: webpki::Error) -> VerifyError {
    VerifyError::Path(error)
}

pub fn wrong_signature() -> VerifyError {
    path(webpki::Error::InvalidSignatureForPublicKey)
}

fn unknown_issuer() -> VerifyError {
    path(webpki::Error::UnknownIssuer)
}

fn roots(forge: &Forge) -> Vec<Attack> {
    let ours = forge.root();
    let foreign = ChainSpec::foreign_for_tests(forge.time(), "foreign").unwrap().issue().unwrap();
    let key = foreign.leaf_key();
    let [leaf, intermediate, root] = three(&foreign);
    let pinned = |attack: Attack, root: &[u8]| Attack { root: root.to_vec(), ..attack };

    let mut later = forge.spec();
    later.root.not_after += Duration::days(1);
    let later = later.issue().unwrap();
    let mut self_signed = forge.spec().leaf;
    self_signed.common_name = ROOT_NAME.to_owned();
    self_signed.ca = Ca::Yes;
    let alone = self_signed.issue(&self_signed).unwrap();
    vec![
        pinned(below(forge, "a foreign root of the same name", &foreign, not_pinned(root)), ours),
        pinned(below(forge, "a good chain whose root is not pinned", &forge.chain, not_pinned(ours)), root),
        pinned(
            below(
                forge,
                "the pinned root's name and key in a certificate of other dates",
                &later,
                not_pinned(later.root()),
            ),
            ours,
        ),
        with_x5c(
            forge,
            "a foreign chain under the pinned root",
            &[leaf, intermediate, ours],
            key,
            wrong_signature(),
        ),
        with_x5c(
            forge,
            "a self-signed certificate of the root's name alone",
            &[&alone, &alone, &alone],
            &self_signed.key,
            not_pinned(&alone),
        ),
        with_x5c(
            forge,
            "a foreign root with a bit changed in its signature",
            &[leaf, intermediate, &flipped(ours)],
            key,
            not_pinned(&flipped(ours)),
        ),
    ]
}

fn issuers(forge: &Forge) -> Vec<Attack> {
    let good = forge.spec();
    let [leaf, intermediate, root] = three(&forge.chain);
    let leaf_key = &good.leaf.key;

    let mut other = good.intermediates[0].clone();
    other.key = Key::shared_for_tests(KeyKind::Rsa2048, "other-intermediate").unwrap();
    let same_name = other.issue(&good.root).unwrap();
    other.common_name = "Another Intermediate CA".to_owned();
    let other_name = other.issue(&good.root).unwrap();

    let mut selfish = good.leaf.clone();
    selfish.key = forge.attacker.clone();
    let self_signed = selfish.issue(&selfish).unwrap();
    selfish.issuer_name = Some(INTERMEDIATE_NAME.to_owned());
    let in_its_name = selfish.issue(&selfish).unwrap();
    selfish.issuer_name = Some(ROOT_NAME.to_owned());
    let in_the_roots_name = selfish.issue(&selfish).unwrap();

    let by_root = good.leaf.issue(&good.root).unwrap();
    let unused = || VerifyError::IntermediateUnused;
    let attacker = &forge.attacker;
    vec![
        with_x5c(
            forge,
            "a self-signed leaf",
            &[&self_signed, intermediate, root],
            attacker,
            unknown_issuer(),
        ),
        with_x5c(
            forge,
            "a self-signed leaf in the intermediate's name",
            &[&in_its_name, intermediate, root],
            attacker,
            wrong_signature(),
        ),
        with_x5c(
            forge,
            "a self-signed leaf in the root's name",
            &[&in_the_roots_name, intermediate, root],
            attacker,
            wrong_signature(),
        ),
        with_x5c(
            forge,
            "another intermediate of the same root and name",
            &[leaf, &same_name, root],
            leaf_key,
            wrong_signature(),
        ),
        with_x5c(
            forge,
            "another intermediate of the same root",
            &[leaf, &other_name, root],
            leaf_key,
            unknown_issuer(),
        ),
        with_x5c(
            forge,
            "a leaf of the root with an unrelated intermediate between",
            &[&by_root, intermediate, root],
            leaf_key,
            unused(),
        ),
        with_x5c(
            forge,
            "a leaf of the root with the root between",
            &[&by_root, root, root],
            leaf_key,
            unused(),
        ),
        with_x5c(forge, "a leaf of the root twice", &[&by_root, &by_root, root], leaf_key, unused()),
        with_x5c(forge, "the leaf twice", &[leaf, leaf, root], leaf_key, unknown_issuer()),
        with_x5c(
            forge,
            "the root instead of the intermediate",
            &[leaf, root, root],
            leaf_key,
            unknown_issuer(),
        ),
        with_x5c(
            forge,
            "a bit changed in the leaf",
            &[&flipped(leaf), intermediate, root],
            leaf_key,
            wrong_signature(),
        ),
        with_x5c(
            forge,
            "a bit changed in the intermediate",
            &[leaf, &flipped(intermediate), root],
            leaf_key,
            wrong_signature(),
        ),
        with_x5c(forge, "x5c upside down", &[root, intermediate, leaf], leaf_key, not_pinned(leaf)),
        with_x5c(
            forge,
            "intermediate and root exchanged",
            &[leaf, root, intermediate],
            leaf_key,
            not_pinned(intermediate),
        ),
        with_x5c(forge, "the leaf three times", &[leaf, leaf, leaf], leaf_key, not_pinned(leaf)),
        changed(forge, "a leaf that names another issuer", unknown_issuer(), |spec| {
            spec.leaf.issuer_name = Some("Somebody Else".to_owned());
        }),
        changed(forge, "an intermediate that names another issuer", unknown_issuer(), |spec| {
            spec.intermediates[0].issuer_name = Some("Somebody Else".to_owned());
        }),
        changed(forge, "a leaf signed by another key", wrong_signature(), |spec| {
            spec.leaf.signed_by = Some(forge.attacker.clone());
        }),
        changed(forge, "an intermediate signed by another key", wrong_signature(), |spec| {
            spec.intermediates[0].signed_by = Some(forge.attacker.clone());
        }),
    ]
}

fn authorities(forge: &Forge) -> Vec<Attack> {
    let good = forge.spec();
    let [leaf, intermediate, root] = three(&forge.chain);
    let no_ca = || path(webpki::Error::EndEntityUsedAsCa);
    let ca_as_leaf = || path(webpki::Error::CaUsedAsEndEntity);
    let no_signing = || VerifyError::IntermediateKeyUsage;

    // What the holder of a leaf's key can issue.
    let mut forged = good.leaf.clone();
    forged.key = forge.attacker.clone();
    forged.common_name = "Issued by a leaf".to_owned();
    let by_leaf = forged.issue(&good.leaf).unwrap();
    forged.issuer_name = Some(INTERMEDIATE_NAME.to_owned());
    let by_leaf_in_its_name = forged.issue(&good.leaf).unwrap();
    let mut direct = good.leaf.clone();
    let leaf_of_root = direct.issue(&good.root).unwrap();
    direct.ca = Ca::Absent;
    let silent_leaf_of_root = direct.issue(&good.root).unwrap();

    let attacker = &forge.attacker;
    vec![
        changed(forge, "an intermediate that is no CA", no_ca(), |spec| spec.intermediates[0].ca = Ca::No),
        changed(forge, "an intermediate that does not say it is a CA", no_ca(), |spec| {
            spec.intermediates[0].ca = Ca::Absent;
        }),
        changed(forge, "a leaf that is a CA", ca_as_leaf(), |spec| spec.leaf.ca = Ca::Yes),
        with_x5c(forge, "a leaf that issues another", &[&by_leaf, leaf, root], attacker, no_ca()),
        with_x5c(
            forge,
            "a leaf of the root that issues another",
            &[&by_leaf, &leaf_of_root, root],
            attacker,
            no_ca(),
        ),
        with_x5c(
            forge,
            "a leaf of the root without constraints that issues another",
            &[&by_leaf, &silent_leaf_of_root, root],
            attacker,
            no_ca(),
        ),
        with_x5c(
            forge,
            "a leaf that issues another in the intermediate's name",
            &[&by_leaf_in_its_name, intermediate, root],
            attacker,
            wrong_signature(),
        ),
        with_x5c(
            forge,
            "the intermediate as a leaf",
            &[intermediate, intermediate, root],
            &good.intermediates[0].key,
            ca_as_leaf(),
        ),
        with_x5c(forge, "the root three times", &[root, root, root], &good.root.key, ca_as_leaf()),
        changed(forge, "an intermediate for CRLs only", no_signing(), |spec| {
            spec.intermediates[0].key_usages = vec![KeyUsagePurpose::CrlSign];
        }),
        changed(forge, "an intermediate for signatures only", no_signing(), |spec| {
            spec.intermediates[0].key_usages = vec![KeyUsagePurpose::DigitalSignature];
        }),
        changed(forge, "an intermediate with a key usage that cannot be read", no_signing(), |spec| {
            spec.intermediates[0].key_usages.clear();
            let nonsense = CustomExtension::from_oid_content(KEY_USAGE, vec![4, 1, 0xff]);
            spec.intermediates[0].extensions.push(nonsense);
        }),
        changed(forge, "an intermediate with a key usage of no bits", no_signing(), |spec| {
            spec.intermediates[0].key_usages.clear();
            let none = CustomExtension::from_oid_content(KEY_USAGE, vec![3, 1, 0]);
            spec.intermediates[0].extensions.push(none);
        }),
    ]
}

fn dates(forge: &Forge) -> Vec<Attack> {
    let now = forge.now;
    let [past, future] = [forge.time() - Duration::seconds(1), forge.time() + Duration::seconds(1)];
    let expired = |certificate| VerifyError::CertificateExpired { certificate, not_after: now - 1 };
    let early = |certificate| VerifyError::CertificateNotValidYet { certificate, not_before: now + 1 };
    use Certificate::{Intermediate, Leaf, Root};
    vec![
        changed(forge, "a leaf that ended a second ago", expired(Leaf), |spec| spec.leaf.not_after = past),
        changed(forge, "a leaf that begins in a second", early(Leaf), |spec| spec.leaf.not_before = future),
        changed(forge, "an intermediate that ended a second ago", expired(Intermediate), |spec| {
            spec.intermediates[0].not_after = past;
        }),
        changed(forge, "an intermediate that begins in a second", early(Intermediate), |spec| {
            spec.intermediates[0].not_before = future;
        }),
        changed(forge, "a root that ended a second ago", expired(Root), |spec| spec.root.not_after = past),
        changed(forge, "a root that begins in a second", early(Root), |spec| spec.root.not_before = future),
        changed(forge, "a leaf and a root that ended", expired(Leaf), |spec| {
            spec.leaf.not_after = past;
            spec.root.not_after = past;
        }),
        changed(
            forge,
            "a leaf that ends before it begins",
            path(webpki::Error::InvalidCertValidity),
            |spec| {
                spec.leaf.not_before = future;
                spec.leaf.not_after = past;
            },
        ),
    ]
}

fn usages(forge: &Forge) -> Vec<Attack> {
    let wrong = |present: &[u64]| {
        path(webpki::Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext {
            // 2.23.133.8.1 as DER content.
            required: KeyUsage::required_if_present(&[0x67, 0x81, 0x05, 0x08, 0x01]),
            present: vec![present.iter().map(|arc| usize::try_from(*arc).unwrap()).collect()],
        }))
    };
    let no_usage = || CustomExtension::from_oid_content(EXTENDED_KEY_USAGE, vec![0x30, 0]);
    vec![
        changed(forge, "an intermediate for TLS servers", wrong(SERVER_AUTH), |spec| {
            spec.intermediates[0].extended_key_usages = vec![SERVER_AUTH.to_vec()];
        }),
        changed(forge, "an intermediate for any usage", wrong(ANY_USAGE), |spec| {
            spec.intermediates[0].extended_key_usages = vec![ANY_USAGE.to_vec()];
        }),
        changed(forge, "an intermediate for no usage", path(webpki::Error::EmptyEkuExtension), |spec| {
            spec.intermediates[0].extended_key_usages.clear();
            spec.intermediates[0].extensions.push(no_usage());
        }),
        changed(forge, "a leaf for TLS servers", wrong(SERVER_AUTH), |spec| {
            spec.leaf.extended_key_usages = vec![SERVER_AUTH.to_vec()];
        }),
        changed(forge, "a leaf for no usage", path(webpki::Error::EmptyEkuExtension), |spec| {
            spec.leaf.extensions.push(no_usage());
        }),
    ]
}

/// Chains at the limits, and what Google may change without asking.
pub fn genuine(forge: &Forge) -> Vec<Genuine> {
    let now = forge.time();
    let changed = |name: &str, change: &dyn Fn(&mut ChainSpec)| {
        let mut spec = forge.spec();
        change(&mut spec);
        let chain = spec.issue().unwrap();
        let token = Mint::chain(&chain).unwrap().token(&forge.claims()).unwrap();
        Genuine { root: chain.root().to_vec(), ..forge.genuine(name, token) }
    };
    vec![
        changed("a leaf in its last second", &|spec| spec.leaf.not_after = now),
        changed("a leaf in its first second", &|spec| spec.leaf.not_before = now),
        changed("an intermediate in its last second", &|spec| spec.intermediates[0].not_after = now),
        changed("an intermediate in its first second", &|spec| spec.intermediates[0].not_before = now),
        changed("a root in its last second", &|spec| spec.root.not_after = now),
        changed("a root in its first second", &|spec| spec.root.not_before = now),
        changed("an intermediate that allows no further CA", &|spec| {
            spec.intermediates[0].ca = Ca::PathLength(0);
        }),
        changed("a renewed intermediate of the same key", &|spec| {
            spec.intermediates[0].not_after += Duration::days(365);
        }),
        changed("an intermediate without extended key usage", &|spec| {
            spec.intermediates[0].extended_key_usages.clear();
        }),
        changed("an intermediate without key usage", &|spec| spec.intermediates[0].key_usages.clear()),
        changed("a leaf with the intermediate's extended key usage", &|spec| {
            spec.leaf.extended_key_usages = vec![TCG_EK_CERTIFICATE.to_vec()];
        }),
        changed("a leaf without constraints", &|spec| spec.leaf.ca = Ca::Absent),
        changed("a leaf with an RSA-3072 key", &|spec| {
            spec.leaf.key = Key::shared_for_tests(KeyKind::Rsa3072, "leaf").unwrap();
        }),
    ]
}

pub fn three(chain: &Chain) -> [&[u8]; 3] {
    let x5c: Vec<&[u8]> = chain.x5c().iter().map(Vec::as_slice).collect();
    x5c.try_into().unwrap()
}

/// The last bit of the signature is another.
fn flipped(certificate: &[u8]) -> Vec<u8> {
    let mut certificate = certificate.to_vec();
    *certificate.last_mut().unwrap() ^= 1;
    certificate
}
