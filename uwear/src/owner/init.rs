//! `uwear baseline init`: a baseline for the default policy from an authentic token, for the owner to review.
//!
//! What must hold of every token (a production image, supported, booted securely, no other command) is written as
//! required, not as found: a token of which it does not hold makes no baseline. What is written accepts the token
//! that it was made from.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use attestation::{Expectation, VerifiedToken, Verifier, printable};
use policy::{Baseline, FactsForReading, Policy, PolicySource, Role};
use rustls_pki_types::UnixTime;
use serde::Serialize;
use serde_json::Value;
use session::WIRE_VERSION;

use super::InitArguments;
use crate::advice::advice;
use crate::clock::date;
use crate::exit::{Exit, Failure};
use crate::load;

/// The default policy's keys in the order of the baseline that ships.
#[derive(Serialize)]
struct Draft {
    allowed_submods_container_image_digest: Vec<String>,
    image_digest_notes: BTreeMap<String, Note>,
    allowed_hwmodel: Vec<String>,
    allowed_aud: Vec<String>,
    allowed_issuer: Vec<String>,
    allowed_secboot: [bool; 1],
    allowed_sw_name: [&'static str; 1],
    allowed_dbgstat: [&'static str; 1],
    required_support_attributes: [&'static str; 1],
    allowed_project_id: Vec<String>,
    allowed_service_account: Vec<String>,
    allowed_env_override: Vec<String>,
    allow_cmd_override: bool,
}

#[derive(Serialize)]
struct Note {
    label: String,
    date: String,
}

pub(super) fn run(arguments: &InitArguments) -> Result<Exit, Failure> {
    let verifier = Verifier::new(load::anchors(&arguments.root)?, Expectation::default());
    let token = load::token(&arguments.from_token)?;
    let now = arguments.now.unwrap_or_else(UnixTime::now);
    let token = verifier.verify(&token, now).map_err(|error| {
        Failure::new(
            Exit::NotProven,
            format!("token {}: {error}", load::shown(&arguments.from_token)),
            "`uwear verify` shows every check; a token of another time needs --now with that time",
        )
    })?;

    let draft = Draft::of(&token, now);
    let mut text = serde_json::to_string_pretty(&draft)
        .map_err(|error| Failure::new(Exit::Unexpected, error.to_string(), ""))?;
    text.push('\n');
    acceptable(&text, &token, now)?;
    write(&text, arguments.output.as_deref())?;
    say(&draft, arguments.output.as_deref());
    Ok(Exit::Done)
}

impl Draft {
    fn of(token: &VerifiedToken, now: UnixTime) -> Self {
        let claims = token.claims();
        let list = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
        let note = |digest: &String| {
            let label = claims.image_reference.as_deref().map_or_else(String::new, printable);
            (digest.clone(), Note { label, date: date(now.as_secs()) })
        };
        let overridden = token
            .claims_json()
            .get("submods")
            .and_then(|submods| submods.get("container")?.get("env_override").and_then(Value::as_object));
        Self {
            allowed_submods_container_image_digest: list(&claims.image_digest),
            image_digest_notes: claims.image_digest.iter().map(note).collect(),
            allowed_hwmodel: list(&claims.hardware_model),
            allowed_aud: claims.audience.clone(),
            allowed_issuer: vec![claims.issuer.clone()],
            allowed_secboot: [true],
            allowed_sw_name: ["CONFIDENTIAL_SPACE"],
            allowed_dbgstat: ["disabled-since-boot"],
            required_support_attributes: ["STABLE"],
            allowed_project_id: list(&claims.project_id),
            allowed_service_account: claims.service_accounts.clone(),
            allowed_env_override: overridden.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
            allow_cmd_override: false,
        }
    }

    /// What the token says itself, and not the default policy.
    fn found(&self) -> impl Iterator<Item = &String> {
        [
            &self.allowed_submods_container_image_digest,
            &self.allowed_hwmodel,
            &self.allowed_aud,
            &self.allowed_project_id,
            &self.allowed_service_account,
            &self.allowed_env_override,
        ]
        .into_iter()
        .flatten()
    }
}

/// The default policy with this baseline accepts the token; a debug image is refused here, for example.
fn acceptable(text: &str, token: &VerifiedToken, now: UnixTime) -> Result<(), Failure> {
    let refused = |why: String, next: &str| {
        Failure::new(
            Exit::NotAcceptable,
            format!("the token is authentic, but makes no baseline: {why}"),
            next,
        )
    };
    let baseline = Baseline::parse(text).map_err(|error| refused(error.to_string(), ASK))?;
    let policy =
        Policy::compile(PolicySource::Default, baseline).map_err(|error| refused(error.to_string(), ASK))?;
    let facts = FactsForReading {
        nonce: None,
        audience: token.claims().audience.first().cloned().unwrap_or_default(),
        wire: WIRE_VERSION,
        role: Role::Server,
        now,
    };
    let evaluation = policy.evaluate(token.claims_json(), &facts);
    if evaluation.would_allow() {
        return Ok(());
    }
    let failed = evaluation.explain();
    let failed: Vec<&policy::Explained> =
        failed.iter().filter(|rule| rule.outcome.ok() == Some(false) && rule.name != "allow").collect();
    let why: Vec<String> = failed
        .iter()
        .map(|rule| match advice(&rule.name) {
            Some(advice) => format!("{} ({})", advice.meaning, rule.name),
            None => rule.name.clone(),
        })
        .collect();
    let next = failed.first().and_then(|rule| advice(&rule.name)).map_or(ASK, |advice| advice.next);
    Err(refused(why.join("; "), next))
}

const ASK: &str = "take a token of the production workload that you want to allow";

fn write(text: &str, file: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = file else {
        return io::stdout().write_all(text.as_bytes()).map_err(|error| {
            Failure::new(
                Exit::Unexpected,
                format!("standard output: {error}"),
                "write to a file with --output",
            )
        });
    };
    let failed = |error: io::Error| {
        let next = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                "name a file that does not exist; `uwear baseline diff` compares two"
            }
            _ => "name a file in a folder that exists and may be written",
        };
        Failure::usage(format!("baseline {}: {error}", load::shown(path)), next)
    };
    let mut new = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(|error| {
        // Half a baseline helps nobody; if it cannot be removed, the error says where it is.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

/// What the owner has to look at, on standard error: the baseline itself has no room for remarks.
fn say(draft: &Draft, file: Option<&Path>) {
    let mut lines = Vec::new();
    if let Some(path) = file {
        lines.push(format!("wrote {}; review it before you use it:", load::shown(path)));
    } else {
        lines.push("review it before you use it:".to_owned());
    }
    let mut look = |key: &str, at: &str| lines.push(format!("  {key:<40} {at}"));
    look(
        "allowed_submods_container_image_digest",
        "what code is this? the label is what the operator called it: audit the image",
    );
    look("allowed_project_id", "is this the operator that you agreed with?");
    look("allowed_service_account", "are these that operator's accounts? one of them is enough to pass");
    look("allowed_aud", "is this your own name? releases need it as --audience");
    if !draft.allowed_env_override.is_empty() {
        look(
            "allowed_env_override",
            "the operator sets these variables: may she choose their values freely? if not, remove them",
        );
    }
    if draft.found().any(|value| printable(value) != *value) {
        look("hidden characters", "some value holds characters that do not show: compare it byte by byte");
    }
    for line in lines {
        let _ = writeln!(io::stderr(), "{line}");
    }
}
