//! What a relying party accepts: a Rego policy over the claims of a verified token, and the data owner's
//! baseline of allowed values.
//!
//! What holds: [`Policy::decide`] alone makes an [`Allowance`], for one verified token and one session, and
//! only if the policy's `allow` is true *and*, whatever the policy says, the token carries exactly this
//! session's nonce and exactly our audience. Undefined, non-boolean, error and timeout deny. A policy reaches
//! neither network nor files, and runs within a time and an instruction limit.
//!
//! What does not: that the policy is a good one; [`PolicySource::Default`] and [`PolicySource::Client`] are meant to be. Nor is the memory of
//! a policy of the owner's own bounded in all: functions that take memory by a number are refused, but one that
//! doubles a text or a list line by line takes what there is.
//!
//! ```
//! use policy::{Baseline, Policy, PolicySource};
//!
//! let baseline = Baseline::parse(policy::CODELAB_BASELINE)?;
//! let policy = Policy::compile(PolicySource::Codelab, baseline)?;
//! assert_eq!(policy.rule_names().next(), Some("allow"));
//! # Ok::<(), policy::PolicyError>(())
//! ```
//!
//! In mutual mode the client proves itself as well, and the server judges it by a policy of its own.
//! [`PolicySource::Client`] is the project's: it is the default policy, except that a client is known by the key that
//! signed its image, or by project and service account, and never by a digest (two images cannot hold each other's
//! digests). Its baseline lists them:
//!
//! ```
//! use policy::{Baseline, Policy, PolicySource};
//!
//! # let key_id = "0f".repeat(32);
//! # let (project, account) = ("their-project", "workload-sa@their-project.iam.gserviceaccount.com");
//! let clients = serde_json::json!({"allowed_client": [
//!     {"image_signature_key_id": key_id, "label": "whatever this key has signed"},
//!     {"project_id": project, "service_account": account, "label": "whatever runs as this account"},
//! ]});
//! let baseline = Baseline::parse(policy::CLIENT_BASELINE)?.patched(&clients)?;
//! let policy = Policy::compile(PolicySource::Client, baseline)?;
//! assert!(policy.waivers().is_empty());
//!
//! // Any client that has a genuine token, image and operator unknown: said aloud, and shown by every report.
//! let any = serde_json::json!({"allowed_client": {"any": true, "reason": "an open service"}});
//! let open = policy.with_baseline(Baseline::parse(policy::CLIENT_BASELINE)?.patched(&any)?)?;
//! assert_eq!(open.waivers()[0].key, "allowed_client");
//! # Ok::<(), policy::PolicyError>(())
//! ```
//!
//! The server then calls [`Policy::decide`] with [`SessionFacts`] of [`Role::Client`], wire version 1 and its own name
//! as audience (`usleep` in the baseline that ships).

mod baseline;
mod calls;
pub mod cases;
mod check;
mod comparisons;
mod compile;
mod decision;
mod difference;
mod error;
mod evaluate;
mod explain;
mod facts;
mod machine;
mod merge;
mod reads;
mod source;

pub use attestation::Role;
pub use baseline::{Baseline, DigestNote, MAX_BASELINE_BYTES, Waiver};
pub use check::{Checked, Finding, Severity, check};
pub use compile::Policy;
pub use decision::{Allowance, Decision, Denied, Evaluation, Outcome, RuleOutcome};
pub use difference::{Change, Effect};
pub use error::{BaselineError, PolicyError};
pub use explain::{Explained, MAX_SHOWN_VALUES, Read, Shown};
pub use facts::{FactsForReading, SessionFacts};
pub use source::{MAX_POLICY_BYTES, PolicySource};

/// The package in which a policy's rules live.
pub const PACKAGE: &str = "confidential_space";

/// Text of the default policy.
pub const DEFAULT_POLICY: &str = include_str!("../confidential_space.rego");

/// Text of the codelab's policy.
pub const CODELAB_POLICY: &str = include_str!("../codelab.rego");

/// Text of the baseline that the project ships: it approves the mock launcher's identity, for the
/// walk-through, until the data owner pins her own.
pub const DEFAULT_BASELINE: &str = include_str!("../baseline.json");

/// Text of the same under the codelab's key names, for [`PolicySource::Codelab`].
pub const CODELAB_BASELINE: &str = include_str!("../codelab_baseline.json");

/// Text of the client policy, by which a server judges a client that proves itself too (mutual mode).
pub const CLIENT_POLICY: &str = include_str!("../client.rego");

/// Text of the baseline that ships with it: it approves the mock launcher's UWear, for the walk-through, until the
/// operator pins the client's own.
pub const CLIENT_BASELINE: &str = include_str!("../client_baseline.json");
