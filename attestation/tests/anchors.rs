//! What may be pinned as a root, and what a change of roots looks like.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use attestation::{AnchorError, Anchors, Expectation, GOOGLE_ROOT_SHA256, Token, Verifier, VerifyError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mock_launcher::time::OffsetDateTime;
use mock_launcher::{Ca, Chain, ChainSpec, Key, KeyKind, Mint, Pki, claims};
use rustls_pki_types::UnixTime;

const NOW: u64 = 1_750_688_561;

fn time() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW as i64).unwrap()
}

/// A chain over the shared keys, its root dated like the rest.
fn spec() -> ChainSpec {
    let mut spec = Pki::shared_for_tests().unwrap().chain_spec(time()).unwrap();
    spec.root.ready = None;
    spec
}

fn foreign() -> Chain {
    ChainSpec::foreign_for_tests(time(), "foreign").unwrap().issue().unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn certificate(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

fn from_der(der: &[u8]) -> Result<Vec<String>, AnchorError> {
    Anchors::from_der([der]).map(|anchors| anchors.fingerprints())
}

fn from_pem(pem: &str) -> Result<Vec<String>, AnchorError> {
    Anchors::from_pem(pem.as_bytes()).map(|anchors| anchors.fingerprints())
}

fn verdict(anchors: Anchors, chain: &Chain) -> Result<(), VerifyError> {
    let claims = claims::default_claims("uwear", &["0123456789".to_owned()], NOW as i64);
    let token = Token::new(Mint::chain(chain).unwrap().token(&claims).unwrap()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    Verifier::new(anchors, Expectation::default()).verify(&token, now).map(drop)
}

#[test]
fn only_a_self_signed_ca_can_be_pinned() {
    let chain = spec().issue().unwrap();
    let [leaf, intermediate, root] = chain.x5c() else { panic!("not three") };
    let changed = |change: &dyn Fn(&mut ChainSpec)| {
        let mut spec = spec();
        change(&mut spec);
        spec.issue().unwrap().root().to_vec()
    };
    let elliptic = changed(&|spec| spec.root.key = Key::shared_for_tests(KeyKind::EcP256, "root").unwrap());
    let mut altered = root.clone();
    *altered.last_mut().unwrap() ^= 1;

    let rows: [(&str, Vec<u8>, AnchorError); 12] = [
        ("a leaf", leaf.clone(), AnchorError::NotSelfSigned),
        ("an intermediate", intermediate.clone(), AnchorError::NotSelfSigned),
        ("a root with an altered signature", altered, AnchorError::NotSelfSigned),
        ("a root with an elliptic key", elliptic, AnchorError::NotSelfSigned),
        (
            "a root of another issuer's name",
            changed(&|spec| {
                spec.root.issuer_name = Some("Somebody Else".to_owned());
            }),
            AnchorError::NotSelfSigned,
        ),
        ("a self-signed leaf", changed(&|spec| spec.root.ca = Ca::No), AnchorError::NotACa),
        (
            "a self-signed certificate that does not say",
            changed(&|spec| spec.root.ca = Ca::Absent),
            AnchorError::NotACa,
        ),
        (
            "a root that allows no intermediate",
            changed(&|spec| spec.root.ca = Ca::PathLength(0)),
            AnchorError::PathLength,
        ),
        ("nothing", Vec::new(), AnchorError::NotACertificate),
        ("garbage", b"garbage".to_vec(), AnchorError::NotACertificate),
        ("a root with a byte behind it", [&root[..], &[0]].concat(), AnchorError::NotACertificate),
        ("a root cut short", root[..root.len() - 1].to_vec(), AnchorError::NotACertificate),
    ];
    for (name, der, wanted) in rows {
        assert_eq!(from_der(&der), Err(wanted.clone()), "{name}");
        assert_eq!(Anchors::from_der([&root[..], &der]).map(drop), Err(wanted), "{name} beside a root");
    }
    assert!(from_der(root).is_ok());
    assert!(from_der(&changed(&|spec| spec.root.ca = Ca::PathLength(1))).is_ok());
    assert_eq!(Anchors::from_der(std::iter::empty::<&[u8]>()).map(drop), Err(AnchorError::None));
}

#[test]
fn a_file_of_roots_holds_roots_and_nothing_else() {
    let chain = spec().issue().unwrap();
    let [leaf, intermediate, root] = chain.x5c() else { panic!("not three") };
    let key = Pki::shared_for_tests().unwrap().leaf_key().key_pair().serialize_pem();
    let whole_chain: String = chain.x5c().iter().map(|der| certificate(der)).collect();
    let rows = [
        ("empty", String::new(), AnchorError::None),
        ("white space", "\n \n".to_owned(), AnchorError::NotACertificate),
        ("text", "no certificate here\n".to_owned(), AnchorError::NotACertificate),
        ("a private key", key, AnchorError::NotACertificate),
        ("a leaf", certificate(leaf), AnchorError::NotSelfSigned),
        ("an intermediate", certificate(intermediate), AnchorError::NotSelfSigned),
        ("a whole chain", whole_chain, AnchorError::NotSelfSigned),
        ("a certificate that is none", certificate(b"garbage"), AnchorError::NotACertificate),
        ("another label", pem("TRUSTED CERTIFICATE", root), AnchorError::NotACertificate),
        ("base64 without its lines", STANDARD.encode(root), AnchorError::NotACertificate),
        ("cut short", certificate(root)[..400].to_owned(), AnchorError::NotACertificate),
    ];
    for (name, file, wanted) in rows {
        assert_eq!(from_pem(&file), Err(wanted), "{name}");
    }
    assert_eq!(Anchors::from_pem(root).map(drop), Err(AnchorError::NotACertificate), "DER");
    assert_eq!(Anchors::from_pem(&[0xff, 0xfe]).map(drop), Err(AnchorError::NotACertificate), "not UTF-8");

    assert_eq!(from_pem(&certificate(root)), from_der(root));
    assert_eq!(
        from_pem(&certificate(root).replace('\n', "\r\n")),
        from_der(root),
        "with the line ends of Windows"
    );
}

#[test]
fn two_roots_are_trusted_while_one_replaces_the_other() {
    let (old, new) = (spec().issue().unwrap(), foreign());
    let both = || Anchors::from_der([old.root(), new.root()]).unwrap();
    assert_eq!(verdict(both(), &old), Ok(()));
    assert_eq!(verdict(both(), &new), Ok(()));

    let one = |chain: &Chain| Anchors::from_der([chain.root()]).unwrap();
    assert_eq!(one(&old).and(one(&new)).fingerprints(), both().fingerprints());
    let in_one_file = certificate(old.root()) + &certificate(new.root());
    assert_eq!(from_pem(&in_one_file), Ok(both().fingerprints()));

    let not_pinned = |chain: &Chain| {
        let got = one(chain).fingerprints().remove(0);
        Err(VerifyError::RootNotPinned { got })
    };
    assert_eq!(verdict(one(&new), &old), not_pinned(&old));
    assert_eq!(verdict(one(&old), &new), not_pinned(&new));
}

#[test]
fn googles_root_alone_does_not_trust_the_mock() {
    let chain = spec().issue().unwrap();
    let refused = verdict(Anchors::google(), &chain).unwrap_err();
    assert_eq!(refused, VerifyError::RootNotPinned { got: from_der(chain.root()).unwrap().remove(0) });
    assert_eq!(Anchors::google().fingerprints(), [hex::encode(GOOGLE_ROOT_SHA256)]);
}
