//! `uwear inspect`: a look at a token that nobody verified.

use attestation::{CertificateSummary, decode_unverified, printable};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cli::{Format, InspectArguments};
use crate::clock::{date, rfc3339};
use crate::exit::{Exit, Failure};
use crate::load;
use crate::text::Printer;

/// Most certificates that are listed; a token that is accepted has three.
const MAX_CERTIFICATES: usize = 16;

pub(crate) fn run(arguments: &InspectArguments) -> Result<Exit, Failure> {
    let token = load::token(&arguments.token)?;
    let decoded = decode_unverified(&token).map_err(|error| {
        Failure::new(Exit::NotProven, error.to_string(), "give a file that holds one token")
    })?;
    let certificates = certificates(&decoded.header);
    let mut header = safe(decoded.header);
    if let Some(x5c) = header.get_mut("x5c") {
        // Thousands of characters of base64 help nobody; what they say is listed below.
        let entries = x5c.as_array().map_or(0, Vec::len);
        *x5c = Value::String(format!("{entries} entries"));
    }
    let claims = safe(decoded.claims);
    match arguments.output.format {
        Format::Json => crate::print_json(&json!({
            "verified": false,
            "header": header,
            "certificates": certificates.iter().map(|found| found.as_ref().map(certificate)).collect::<Vec<_>>(),
            "claims": claims,
        })),
        Format::Text => print(&header, &certificates, &claims)?,
    }
    Ok(Exit::Done)
}

fn print(
    header: &Map<String, Value>,
    certificates: &[Option<CertificateSummary>],
    claims: &Map<String, Value>,
) -> Result<(), Failure> {
    let pretty = |object: &Map<String, Value>| {
        serde_json::to_string_pretty(object)
            .map_err(|error| Failure::new(Exit::Unexpected, error.to_string(), ""))
    };
    let mut printer = Printer::new(Format::Text);
    printer.verdict(("UNVERIFIED", false, ": anybody can have written this; `uwear verify` checks it"));
    printer.line("\nheader");
    printer.line(pretty(header)?);
    for found in certificates {
        let Some(found) = found else {
            printer.line("certificate  (cannot be read)");
            continue;
        };
        printer.line(format_args!(
            "certificate  {}   {} .. {}",
            found.name,
            date(found.not_before),
            date(found.not_after)
        ));
    }
    printer.line("\nclaims");
    printer.line(pretty(claims)?);
    for name in ["iat", "nbf", "exp"] {
        if let Some(seconds) = claims.get(name).and_then(Value::as_u64) {
            printer.line(format_args!("{name}  {}", rfc3339(seconds)));
        }
    }
    Ok(())
}

/// The entries of `x5c` by position, `None` for one that is no certificate, whatever else the header says: most who
/// look at a token want to know why it is refused.
fn certificates(header: &Map<String, Value>) -> Vec<Option<CertificateSummary>> {
    let entries = header.get("x5c").and_then(Value::as_array).into_iter().flatten();
    let read = |entry: &Value| CertificateSummary::of(&STANDARD.decode(entry.as_str()?).ok()?);
    entries.take(MAX_CERTIFICATES).map(read).collect()
}

fn certificate(found: &CertificateSummary) -> Value {
    json!({
        "name": found.name,
        "not_before": rfc3339(found.not_before),
        "not_after": rfc3339(found.not_after),
        "sha256": found.sha256,
    })
}

/// Every string, names included, made safe to show.
fn safe(object: Map<String, Value>) -> Map<String, Value> {
    object.into_iter().map(|(name, value)| (printable(&name), safe_value(value))).collect()
}

fn safe_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(printable(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(safe_value).collect()),
        Value::Object(members) => Value::Object(safe(members)),
        other => other,
    }
}
