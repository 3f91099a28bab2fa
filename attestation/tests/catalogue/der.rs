//! Just enough DER (X.690) to take a certificate apart and put it together otherwise.

use mock_launcher::Key;
use mock_launcher::rcgen::SigningKey as _;
use x509_cert::der::{Decode as _, Header, Reader as _, SliceReader};

/// DER of `sha256WithRSAEncryption`, 1.2.840.113549.1.1.11 (RFC 8017 §A.2.4).
pub const SHA256_WITH_RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
/// DER of `sha1WithRSAEncryption`, 1.2.840.113549.1.1.5, of the same length.
pub const SHA1_WITH_RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
/// DER of `sha384WithRSAEncryption`, 1.2.840.113549.1.1.12, of the same length.
pub const SHA384_WITH_RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
/// DER of `rsaEncryption`, 1.2.840.113549.1.1.1, the algorithm of a public key.
pub const RSA_ENCRYPTION: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// DER of `id-RSASSA-PSS`, 1.2.840.113549.1.1.10, of the same length.
pub const RSASSA_PSS: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];

/// The members of a SEQUENCE, each as its whole TLV.
pub fn members(sequence: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = SliceReader::new(sequence).unwrap();
    let header = Header::decode(&mut reader).unwrap();
    let mut content = SliceReader::new(reader.read_slice(header.length()).unwrap()).unwrap();
    let mut members = Vec::new();
    while !content.is_finished() {
        members.push(content.tlv_bytes().unwrap().to_vec());
    }
    members
}

/// A SEQUENCE of these members.
pub fn sequence(members: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &members.concat())
}

/// Tag, length, value; for values of up to 64 KiB.
pub fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let length = match u16::try_from(length).unwrap().to_be_bytes() {
        [0, short] if short < 0x80 => vec![short],
        [0, one] => vec![0x81, one],
        [high, low] => vec![0x82, high, low],
    };
    [&[tag][..], &length, value].concat()
}

/// An unsigned INTEGER of these big-endian bytes.
pub fn integer(number: &[u8]) -> Vec<u8> {
    let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    match number.first() {
        Some(first) if *first < 0x80 => tlv(2, &number),
        _ => tlv(2, &[&[0], &number[..]].concat()),
    }
}

/// An `RSAPublicKey` (RFC 8017 §A.1.1).
pub fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    sequence(&[integer(modulus), integer(exponent)])
}

/// A certificate with other fields in its `TBSCertificate`, signed anew.
pub fn rebuilt(
    certificate: &[u8],
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
    change: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Vec<u8> {
    let [tbs, algorithm, _signature] = parts(certificate);
    let mut fields = members(&tbs);
    change(&mut fields);
    let tbs = sequence(&fields);
    let signature = sign(&tbs);
    with_signature(tbs, algorithm, &signature)
}

/// A certificate with every occurrence of `from` replaced, signed anew.
pub fn replaced(certificate: &[u8], from: &[u8], to: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let [tbs, algorithm, _signature] = parts(certificate);
    let [tbs, algorithm] = [tbs, algorithm].map(|part| replace(&part, from, to));
    let signature = sign(&tbs);
    with_signature(tbs, algorithm, &signature)
}

/// A certificate whose outer algorithm is no longer the one inside.
pub fn with_outer_algorithm(certificate: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let [tbs, algorithm, signature] = parts(certificate);
    sequence(&[tbs, replace(&algorithm, from, to), signature])
}

/// What `key` signs with sha256WithRSA.
pub fn by(key: &Key) -> impl FnOnce(&[u8]) -> Vec<u8> {
    |tbs| key.key_pair().sign(tbs).unwrap()
}

/// Turns the fields of a version 3 certificate into those of version 1: no version, no extensions.
pub fn to_version_1(fields: &mut Vec<Vec<u8>>) {
    fields.retain(|field| field.first().is_some_and(|tag| tag & 0xe0 != 0xa0));
}

fn parts(certificate: &[u8]) -> [Vec<u8>; 3] {
    members(certificate).try_into().unwrap()
}

fn with_signature(tbs: Vec<u8>, algorithm: Vec<u8>, signature: &[u8]) -> Vec<u8> {
    let bit_string = tlv(3, &[&[0], signature].concat());
    sequence(&[tbs, algorithm, bit_string])
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths inside stay as they are");
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes.get(*at..at + from.len()) == Some(from)).collect();
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
