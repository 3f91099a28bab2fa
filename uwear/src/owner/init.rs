//! `uwear baseline init`: a baseline for the default policy, from an authentic token or for an image, for the owner
//! to review.
//!
//! What is written accepts the token that it was made from; a token that the default policy could never accept makes
//! no baseline. An image does not say where and by whom it is run: the owner has to.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use attestation::{Expectation, VerifiedToken, Verifier, printable};
use policy::{Baseline, FactsForReading, Policy, PolicySource, Role};
use rustls_pki_types::UnixTime;
use session::WIRE_VERSION;

use super::InitArguments;
use super::draft::{Draft, Given};
use super::image::{self, Image};
use crate::advice::advice;
use crate::exit::{Exit, Failure};
use crate::load;

pub(super) fn run(arguments: &InitArguments) -> Result<Exit, Failure> {
    let now = arguments.now.unwrap_or_else(UnixTime::now);
    if let Some(archive) = &arguments.from_image {
        return from_image(archive, arguments, now);
    }
    let Some(file) = &arguments.from_token else {
        return Err(Failure::usage("a baseline from what?", "give --from-token or --from-image"));
    };
    from_token(file, arguments, now)
}

fn from_token(file: &Path, arguments: &InitArguments, now: UnixTime) -> Result<Exit, Failure> {
    let verifier = Verifier::new(load::anchors(&arguments.root)?, Expectation::default());
    let token = load::token(file)?;
    let token = verifier.verify(&token, now).map_err(|error| {
        Failure::new(
            Exit::NotProven,
            format!("token {}: {error}", load::shown(file)),
            "`uwear verify` shows every check; a token of another time needs --now with that time",
        )
    })?;

    let draft = Draft::of_token(&token, arguments.label.as_deref(), now.as_secs());
    let text = text(&draft)?;
    acceptable(&text, &token, now)?;
    write(&text, arguments.output.as_deref())?;
    say(&draft, &of_token(&draft), arguments.output.as_deref());
    Ok(Exit::Done)
}

fn from_image(archive: &Path, arguments: &InitArguments, now: UnixTime) -> Result<Exit, Failure> {
    if arguments.project.is_empty() || arguments.service_account.is_empty() {
        return Err(Failure::usage(
            "an image does not say who runs it: wanted --project ID and --service-account EMAIL",
            "name the operator that you agreed with; to leave one open on purpose, give any value and write \
             {\"any\": true, \"reason\": \"…\"} by hand in place of its list",
        ));
    }
    let image = image::read(archive).map_err(|error| {
        Failure::usage(
            format!("image {}: {error}", load::shown(archive)),
            "give the archive of one image, as scripts/build_images.sh or `buildah push IMAGE oci-archive:FILE` writes it",
        )
    })?;
    let label = arguments.label.clone().or_else(|| image.title()).unwrap_or_else(|| load::shown(archive));
    let given = Given {
        audience: arguments.audience.clone().unwrap_or_else(|| "uwear".to_owned()),
        projects: arguments.project.clone(),
        service_accounts: arguments.service_account.clone(),
    };
    let draft = Draft::of_image(&image, &label, given, now.as_secs());
    let text = text(&draft)?;
    compile(&text).map_err(|why| {
        Failure::usage(
            format!("what was given makes no baseline: {why}"),
            "correct --project, --service-account or --audience",
        )
    })?;
    write(&text, arguments.output.as_deref())?;
    say(&draft, &of_image(&image), arguments.output.as_deref());
    Ok(Exit::Done)
}

fn text(draft: &Draft) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(draft)
        .map_err(|error| Failure::new(Exit::Unexpected, error.to_string(), ""))?;
    text.push('\n');
    Ok(text)
}

/// The default policy with this baseline, or why it has no use for it.
fn compile(text: &str) -> Result<Policy, String> {
    let baseline = Baseline::parse(text).map_err(|error| error.to_string())?;
    Policy::compile(PolicySource::Default, baseline).map_err(|error| error.to_string())
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
    let policy = compile(text).map_err(|why| refused(why, ASK))?;
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
fn say(draft: &Draft, remarks: &[(String, String)], file: Option<&Path>) {
    let mut lines = Vec::new();
    if let Some(path) = file {
        lines.push(format!("wrote {}; review it before you use it:", load::shown(path)));
    } else {
        lines.push("review it before you use it:".to_owned());
    }
    lines.extend(remarks.iter().map(|(key, at)| format!("  {key:<40} {at}")));
    if draft.found().any(|value| printable(value) != *value) {
        let what = "some value holds characters that do not show: compare it byte by byte";
        lines.push(format!("  {:<40} {what}", "hidden characters"));
    }
    for line in lines {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn remark(key: &str, at: impl Into<String>) -> (String, String) {
    (key.to_owned(), at.into())
}

fn of_token(draft: &Draft) -> Vec<(String, String)> {
    let mut remarks = vec![
        remark(
            "allowed_submods_container_image_digest",
            "what code is this? the label is what the operator called it: audit the image",
        ),
        remark("allowed_project_id", "is this the operator that you agreed with?"),
        remark(
            "allowed_service_account",
            "are these that operator's accounts? one of them is enough to pass",
        ),
        remark("allowed_aud", "is this your own name? releases need it as --audience"),
    ];
    if !draft.allowed_env_override.is_empty() {
        remarks.push(remark(
            "allowed_env_override",
            "the operator sets these variables: may she choose their values freely? if not, remove them",
        ));
    }
    remarks
}

/// With what the image says of itself, which is part of the digest.
fn of_image(image: &Image) -> Vec<(String, String)> {
    let list = |values: &[String]| printable(&serde_json::json!(values).to_string());
    let mut remarks = vec![
        remark(
            "allowed_submods_container_image_digest",
            format!(
                "what code is this? scripts/audit_image.sh {} ARCHIVE rebuilds and compares",
                image.digest
            ),
        ),
        remark("allowed_project_id", "is this the operator that you agreed with?"),
        remark(
            "allowed_service_account",
            "are these that operator's accounts? one of them is enough to pass",
        ),
        remark("allowed_aud", "is this your own name? releases need it as --audience"),
        remark("allowed_hwmodel", "is this the hardware that you agreed on? remove what is not"),
        remark("the image's entry point", list(&image.entry_point)),
    ];
    if !image.command.is_empty() {
        remarks.push(remark("the image's command", list(&image.command)));
    }
    remarks.push(remark("the image's environment", list(&image.environment)));
    let labels = image.labels.iter().filter(|(name, _)| name.starts_with("tee.launch_policy."));
    remarks.extend(labels.map(|(name, value)| remark(&printable(name), printable(value))));
    if image.lets_the_operator_override() {
        remarks.push(remark(
            "allowed_env_override, allow_cmd_override",
            "the image lets the operator change its command or variables; this baseline refuses every such token",
        ));
    }
    remarks
}
