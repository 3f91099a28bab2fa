//! The one extension of a certificate that webpki does not look at, read without building the whole certificate,
//! which would cost a twentieth of the verification.

use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Error, Reader, Result, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::ext::pkix::KeyUsage;

/// `extensions [3]` of a `TBSCertificate` (RFC 5280 §4.1).
const EXTENSIONS: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(3) };

/// The key usage (RFC 5280 §4.2.1.3) of a certificate that webpki has already accepted; `None` if it has none.
pub(crate) fn of(certificate: &[u8]) -> Result<Option<KeyUsage>> {
    SliceReader::new(certificate)?.sequence(|certificate| {
        let found = certificate.sequence(among_fields)?;
        skip_rest(certificate)?;
        Ok::<_, Error>(found)
    })
}

fn among_fields(tbs: &mut SliceReader<'_>) -> Result<Option<KeyUsage>> {
    let mut found = None;
    while !tbs.is_finished() {
        let field = AnyRef::decode(tbs)?;
        if field.tag() == EXTENSIONS {
            found = SliceReader::new(field.value())?.sequence(among_extensions)?;
        }
    }
    Ok(found)
}

fn among_extensions(extensions: &mut SliceReader<'_>) -> Result<Option<KeyUsage>> {
    let mut found = None;
    while !extensions.is_finished() {
        extensions.sequence(|extension| {
            if ObjectIdentifier::decode(extension)? != KeyUsage::OID {
                return skip_rest(extension);
            }
            let mut value = AnyRef::decode(extension)?;
            if value.tag() == Tag::Boolean {
                // `critical`
                value = AnyRef::decode(extension)?;
            }
            found = Some(KeyUsage::from_der(value.value())?);
            Ok(())
        })?;
    }
    Ok(found)
}

fn skip_rest(reader: &mut SliceReader<'_>) -> Result<()> {
    while !reader.is_finished() {
        AnyRef::decode(reader)?;
    }
    Ok(())
}
