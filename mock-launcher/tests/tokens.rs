//! Tokens and chains are like Google's, according to libraries that did not make them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{NONCE, Token, rsa_says_signed};
use mock_launcher::time::{Duration, OffsetDateTime};
use mock_launcher::{
    Algorithm, Ca, Chain, ChainSpec, Key, KeyKind, Mint, Pki, TokenKey, assemble, claims, sign_compact,
    signing_input,
};
use rsa::pkcs8::DecodePublicKey as _;
use rsa::sha2::{Digest as _, Sha256};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

fn pki() -> Pki {
    Pki::shared_for_tests().unwrap()
}

fn good_claims() -> Value {
    claims::default_claims("uwear", &[NONCE.to_owned()], 1_750_688_551)
}

fn parsed(der: &[u8]) -> Certificate {
    Certificate::from_der(der).unwrap()
}

fn signed_by(below: &[u8], above: &[u8]) -> bool {
    let certificate = parsed(below);
    let message = certificate.tbs_certificate().to_der().unwrap();
    rsa_says_signed(above, &message, certificate.signature().raw_bytes())
}

fn rsa_key(der: &[u8]) -> rsa::RsaPublicKey {
    let key = parsed(der).tbs_certificate().subject_public_key_info().to_der().unwrap();
    rsa::RsaPublicKey::from_public_key_der(&key).unwrap()
}

#[test]
fn header_order_sizes_and_signature_are_those_of_real_tokens() {
    let token = Token::parse(&Mint::pki(&pki()).unwrap().token(&good_claims()).unwrap());

    let header = URL_SAFE_NO_PAD.decode(token.text.split('.').next().unwrap()).unwrap();
    let header = String::from_utf8(header).unwrap();
    assert!(header.starts_with(r#"{"alg":"RS256","kid":""#), "{}", &header[..40]);
    assert!(header.contains(r#"","typ":"JWT","x5c":["MII"#) && header.ends_with("\"]}"));
    assert!((10_000..=11_500).contains(&token.text.len()), "{} bytes", token.text.len());
    assert_eq!(token.signature.len(), 256);
    assert!(rsa_says_signed(&token.x5c()[0], token.signing_input.as_bytes(), &token.signature));
}

#[test]
fn kid_is_the_rfc_7638_thumbprint_of_the_leaf() {
    let pki = pki();
    let token = Token::parse(&Mint::pki(&pki).unwrap().token(&good_claims()).unwrap());
    let leaf = rsa_key(&token.x5c()[0]);
    let [e, n] = [leaf.e(), leaf.n()].map(|number| URL_SAFE_NO_PAD.encode(number.to_bytes_be()));
    let thumbprint = Sha256::digest(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#));
    assert_eq!(token.header["kid"], URL_SAFE_NO_PAD.encode(thumbprint));
}

#[test]
fn the_chain_has_googles_keys_extensions_and_sizes() {
    let x5c = pki().x5c();
    let [leaf, intermediate, root] = &x5c[..] else { panic!("not three") };
    assert!(signed_by(leaf, intermediate) && signed_by(intermediate, root) && signed_by(root, root));
    for (der, bits) in [(leaf, 2048), (intermediate, 4096), (root, 4096)] {
        assert_eq!(rsa_key(der).n().bits(), bits);
        assert_eq!(rsa_key(der).e().to_string(), "65537");
        assert_eq!(parsed(der).signature_algorithm().oid.to_string(), "1.2.840.113549.1.1.11");
        assert!((1_300..=1_950).contains(&der.len()), "{} bytes", der.len());
    }

    let [leaf, intermediate, root] = [leaf, intermediate, root].map(|der| parsed(der));
    let [of_leaf, of_intermediate, of_root] = [&leaf, &intermediate, &root].map(Certificate::tbs_certificate);
    for ca in [of_intermediate, of_root] {
        let (critical, constraints) = ca.get_extension::<BasicConstraints>().unwrap().unwrap();
        assert!(critical && constraints.ca && constraints.path_len_constraint.is_none());
        let (critical, usage) = ca.get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(critical && usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    }
    let (_, usages) = of_intermediate.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
    assert_eq!(usages.0.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2.23.133.8.1"]);

    let (critical, constraints) = of_leaf.get_extension::<BasicConstraints>().unwrap().unwrap();
    assert!(critical && !constraints.ca);
    assert!(of_leaf.get_extension::<KeyUsage>().unwrap().is_none());
    assert!(of_leaf.get_extension::<ExtendedKeyUsage>().unwrap().is_none());
    assert!(of_leaf.get_extension::<SubjectAltName>().unwrap().is_none());

    let days = |certificate: &Certificate| {
        let validity = certificate.tbs_certificate().validity();
        (validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration()).as_secs() / 86_400
    };
    assert_eq!([&leaf, &intermediate, &root].map(days), [60, 1095, 3650]);
}

#[test]
fn a_chain_can_be_wrong_in_one_way_at_a_time() {
    let pki = pki();
    let now = OffsetDateTime::now_utc();
    let spec = || pki.chain_spec(now).unwrap();
    let issue = |change: &dyn Fn(&mut ChainSpec)| {
        let mut spec = spec();
        change(&mut spec);
        spec.issue().unwrap()
    };
    let validity = |chain: &Chain, at: usize| *parsed(&chain.x5c()[at]).tbs_certificate().validity();
    let constraints = |chain: &Chain, at: usize| {
        let found = parsed(&chain.x5c()[at]).tbs_certificate().get_extension::<BasicConstraints>().unwrap();
        found.map(|(_, constraints)| (constraints.ca, constraints.path_len_constraint))
    };

    let good = issue(&|_| {});
    assert_eq!(good.root(), pki.root());
    assert_eq!(good.x5c(), issue(&|_| {}).x5c(), "the same description gives the same bytes");
    assert!(signed_by(&good.x5c()[0], &good.x5c()[1]) && signed_by(&good.x5c()[1], pki.root()));

    let over = issue(&|spec| spec.intermediates[0].not_after = now - Duration::hours(1));
    assert!(validity(&over, 1).not_after.to_unix_duration().as_secs() < now.unix_timestamp() as u64);
    assert_eq!(validity(&over, 0), validity(&good, 0));

    let no_ca = issue(&|spec| spec.intermediates[0].ca = Ca::No);
    assert_eq!(constraints(&no_ca, 1), Some((false, None)));
    let limited = issue(&|spec| spec.intermediates[0].ca = Ca::PathLength(0));
    assert_eq!(constraints(&limited, 1), Some((true, Some(0))));
    let silent = issue(&|spec| spec.leaf.ca = Ca::Absent);
    assert_eq!(constraints(&silent, 0), None);

    let other_usage = issue(&|spec| spec.leaf.extended_key_usages = vec![vec![1, 3, 6, 1, 5, 5, 7, 3, 1]]);
    let (_, usages) =
        parsed(&other_usage.x5c()[0]).tbs_certificate().get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
    assert_eq!(usages.0[0].to_string(), "1.3.6.1.5.5.7.3.1");

    let forged = issue(&|spec| spec.leaf.signed_by = Some(pki.oidc_key().clone()));
    assert!(!signed_by(&forged.x5c()[0], &forged.x5c()[1]));

    let renamed = issue(&|spec| spec.leaf.issuer_name = Some("Somebody Else".to_owned()));
    assert!(parsed(&renamed.x5c()[0]).tbs_certificate().issuer().to_string().contains("Somebody Else"));

    let longer = issue(&|spec| {
        let mut acting = spec.leaf.clone();
        acting.common_name = "Leaf acting as CA".to_owned();
        spec.intermediates.push(acting);
    });
    assert_eq!(longer.x5c().len(), 4);
    assert!(signed_by(&longer.x5c()[0], &longer.x5c()[1]));

    let elliptic = issue(&|spec| spec.leaf.key = Key::generate(KeyKind::EcP256).unwrap());
    let token = Mint::chain(&elliptic).unwrap().token(&good_claims()).unwrap();
    assert_eq!(Token::parse(&token).header["alg"], "ES256");
    assert_eq!(Token::parse(&token).signature.len(), 64);

    // An RSA key that aws-lc-rs would not make: PKCS #1 of a tiny modulus.
    let small = issue(&|spec| spec.leaf.public_key = Some(vec![0x30, 6, 2, 1, 0x23, 2, 1, 3]));
    assert_eq!(rsa_key_bytes(&small.x5c()[0]), [0x30, 6, 2, 1, 0x23, 2, 1, 3]);
}

fn rsa_key_bytes(der: &[u8]) -> Vec<u8> {
    parsed(der).tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes().to_vec()
}

#[test]
fn a_foreign_chain_has_our_names_and_other_keys() {
    let foreign =
        ChainSpec::foreign_for_tests(OffsetDateTime::now_utc(), "foreign").unwrap().issue().unwrap();
    for (theirs, ours) in foreign.x5c().iter().zip(pki().x5c()) {
        let (theirs, ours) = (parsed(theirs), parsed(&ours));
        assert_eq!(theirs.tbs_certificate().subject(), ours.tbs_certificate().subject());
        assert_ne!(
            theirs.tbs_certificate().subject_public_key_info(),
            ours.tbs_certificate().subject_public_key_info()
        );
    }
}

#[test]
fn any_bytes_can_be_signed_with_any_algorithm() {
    let pki = pki();
    let rsa = pki.leaf_key().token_key().unwrap();
    let rows = [
        (rsa.clone(), 256),
        (rsa.clone().with_algorithm(Algorithm::RS512), 256),
        (rsa.clone().with_algorithm(Algorithm::PS256), 256),
        (TokenKey::hmac(pki.root(), Algorithm::HS256), 32),
    ];
    for (key, signature_bytes) in rows {
        let token = sign_compact(b"{\"alg\":\"none\"", &[0xff, 0], &key).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[0]).unwrap(), b"{\"alg\":\"none\"");
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[1]).unwrap(), [0xff, 0]);
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[2]).unwrap().len(), signature_bytes);
    }
    assert_eq!(assemble(&signing_input(b"{}", b"{}"), b""), "e30.e30.");
}

#[test]
fn a_header_patch_changes_the_header_and_not_the_key() {
    let mint = Mint::pki(&pki()).unwrap();
    let token =
        mint.token_with(&json!({ "alg": "none", "crit": ["exp"], "typ": null }), &good_claims()).unwrap();
    let token = Token::parse(&token);
    assert_eq!((&token.header["alg"], &token.header["crit"]), (&json!("none"), &json!(["exp"])));
    assert_eq!(token.header.get("typ"), None);
    assert!(rsa_says_signed(&token.x5c()[0], token.signing_input.as_bytes(), &token.signature));
}
