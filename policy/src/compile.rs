//! A policy and its baseline, checked and compiled once, to be evaluated many times.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use attestation::printable;
use aws_lc_rs::digest;
use regorus::Engine;
use regorus::Value as Rego;
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::program::Program;
use serde_json::Value;

use crate::calls::refused_call;
use crate::machine::Machines;
use crate::reads::{Path, Surface, Syntax};
use crate::{Baseline, BaselineError, DigestNote, PACKAGE, PolicyError, PolicySource, Waiver, facts};

/// A policy compiled together with its baseline. Cheap to clone, and shared freely between threads: an
/// evaluation changes nothing in it that another's verdict depends on.
#[derive(Clone)]
pub struct Policy {
    pub(crate) inner: Arc<Compiled>,
}

pub(crate) struct Compiled {
    name: String,
    source: Arc<PolicySource>,
    /// Keys of `data` that the text reads.
    pub(crate) keys: Arc<BTreeSet<String>>,
    pub(crate) surface: Arc<Surface>,
    /// `allow` first, the others in the order of the text; their places are those of the entry points.
    pub(crate) rules: Arc<[Rule]>,
    pub(crate) program: Arc<Program>,
    pub(crate) machines: Machines,
    /// The baseline as `data`.
    pub(crate) data: Rego,
    pub(crate) baseline: Baseline,
    waivers: Vec<Waiver>,
    pub(crate) policy_sha256: String,
}

/// A rule that is shown.
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) reads: Vec<Path>,
}

impl Rule {
    pub(crate) fn reads_session_nonce(&self) -> bool {
        self.reads.iter().any(|path| path.iter().eq(["input", facts::SESSION, "nonce"]))
    }
}

impl Policy {
    /// Checks and compiles a policy, and checks that the baseline has what it reads.
    ///
    /// Shown as rules are `allow` and every other complete rule that is boolean as written.
    ///
    /// # Errors
    /// [`PolicyError`] says what is wrong, with line and column where the compiler knows them.
    pub fn compile(source: PolicySource, baseline: Baseline) -> Result<Self, PolicyError> {
        Self::compile_unfitted(source, baseline)?.fitted()
    }

    /// The same policy with another baseline, without compiling it again.
    ///
    /// # Errors
    /// [`PolicyError::Baseline`] if the baseline has not what the policy reads.
    pub fn with_baseline(&self, baseline: Baseline) -> Result<Self, PolicyError> {
        let old = &*self.inner;
        Self {
            inner: Arc::new(Compiled {
                name: old.name.clone(),
                source: Arc::clone(&old.source),
                keys: Arc::clone(&old.keys),
                surface: Arc::clone(&old.surface),
                rules: Arc::clone(&old.rules),
                program: Arc::clone(&old.program),
                machines: Machines::default(),
                data: as_data(&baseline),
                waivers: baseline.waivers(&old.keys),
                baseline,
                policy_sha256: old.policy_sha256.clone(),
            }),
        }
        .fitted()
    }

    pub(crate) fn source(&self) -> &PolicySource {
        &self.inner.source
    }

    /// What is wrong with the baseline for this policy.
    pub(crate) fn baseline_faults(&self) -> Vec<BaselineError> {
        self.inner.baseline.faults(&self.inner.source, &self.inner.keys)
    }

    fn fitted(self) -> Result<Self, PolicyError> {
        match self.baseline_faults().into_iter().next() {
            Some(fault) => Err(fault.into()),
            None => Ok(self),
        }
    }

    /// Compiles a policy with whatever baseline: to look at both, never to decide.
    pub(crate) fn compile_unfitted(source: PolicySource, baseline: Baseline) -> Result<Self, PolicyError> {
        source.within_limits()?;
        let name = source.name();
        let failed = |error: String| compiler_error(&name, &error);

        let mut engine = Engine::new();
        let package = engine
            .add_policy(name.clone(), source.text().to_owned())
            .map_err(|error| failed(error.to_string()))?;
        if package.strip_prefix("data.") != Some(PACKAGE) {
            let got = printable(package.strip_prefix("data.").unwrap_or(&package));
            return Err(PolicyError::Package { name, got });
        }
        // References are counted, so this copies no syntax; the engine is needed again below.
        let modules = engine.get_modules().clone();
        let Some(module) = modules.first() else {
            return Err(PolicyError::NoAllow { name });
        };
        if let Some(call) = refused_call(module) {
            return Err(PolicyError::RefusedCall {
                name,
                line: call.line,
                column: call.column,
                function: call.function,
                why: call.why,
            });
        }
        let syntax = Syntax::of(module);
        if !syntax.is_complete("allow") {
            return Err(PolicyError::NoAllow { name });
        }
        if let Some(chain) = syntax.endless_chain() {
            let chain = printable(&chain.join(" -> "));
            return Err(PolicyError::EndlessChain { name, chain });
        }
        let mut names = vec!["allow"];
        names.extend(syntax.boolean_rules().into_iter().filter(|name| *name != "allow"));
        let rules = names
            .iter()
            .map(|rule| Rule { name: printable(rule), reads: syntax.reads(rule, &names) })
            .collect();

        let entry_points: Vec<String> = names.iter().map(|rule| format!("data.{PACKAGE}.{rule}")).collect();
        let entry_points: Vec<&str> = entry_points.iter().map(String::as_str).collect();
        let allow = format!("data.{PACKAGE}.allow");
        let compiled =
            engine.compile_with_entrypoint(&allow.into()).map_err(|error| failed(error.to_string()))?;
        let program = Compiler::compile_from_policy(&compiled, &entry_points)
            .map_err(|error| failed(error.to_string()))?;
        let program = without_empty_lists(program);

        let keys = syntax.data_keys();
        Ok(Self {
            inner: Arc::new(Compiled {
                rules,
                program,
                machines: Machines::default(),
                data: as_data(&baseline),
                waivers: baseline.waivers(&keys),
                baseline,
                policy_sha256: sha256_hex(source.text().as_bytes()),
                name,
                surface: Arc::new(syntax.surface()),
                keys: Arc::new(keys),
                source: Arc::new(source),
            }),
        })
    }

    /// The policy's name, printable.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Names of the rules that are shown: `allow`, then the others in the order of the text.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.inner.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Allow-lists that the owner has opened on purpose. Every report shows them.
    pub fn waivers(&self) -> &[Waiver] {
        &self.inner.waivers
    }

    /// The owner's note on an image digest.
    pub fn digest_note(&self, digest: &str) -> Option<DigestNote> {
        self.inner.baseline.digest_note(digest)
    }

    /// SHA-256 of the policy's exact text, in hex.
    pub fn policy_sha256(&self) -> &str {
        &self.inner.policy_sha256
    }

    /// SHA-256 of the baseline's exact text, in hex.
    pub fn baseline_sha256(&self) -> &str {
        self.inner.baseline.sha256()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.inner.name)
            .field("policy_sha256", &self.inner.policy_sha256)
            .field("baseline_sha256", &self.baseline_sha256())
            .finish_non_exhaustive()
    }
}

/// The machine copies what is known of a rule each time that it is called. Lists in which nothing is set say as much as none
/// (regorus reads both by place, and takes what is not there for not set), without the copying.
fn without_empty_lists(program: Arc<Program>) -> Arc<Program> {
    let mut program = Arc::unwrap_or_clone(program);
    for rule in &mut program.rule_infos {
        if rule.destructuring_blocks.iter().all(Option::is_none) {
            rule.destructuring_blocks = Vec::new();
        }
        if !rule.else_bodies.iter().flatten().any(|is_else| *is_else) {
            rule.else_bodies = Vec::new();
        }
    }
    Arc::new(program)
}

fn as_data(baseline: &Baseline) -> Rego {
    facts::to_rego(&Value::Object(baseline.members().clone()))
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// Takes place and message out of regorus' picture of an error:
///
/// ```text
/// --> policy.rego:3:10
///   |
/// 3 | allow if -
///   |          ^
/// error: unary - can only be used with numeric literals
/// ```
fn compiler_error(name: &str, picture: &str) -> PolicyError {
    let message = picture
        .lines()
        .find_map(|line| line.strip_prefix("error: "))
        .or_else(|| picture.lines().find(|line| !line.trim().is_empty()))
        .unwrap_or("regorus gave no reason");
    let (name, message) = (name.to_owned(), printable(message));
    match place(picture) {
        Some((line, column)) => PolicyError::Source { name, line, column, message },
        None => PolicyError::Compile { name, message },
    }
}

fn place(picture: &str) -> Option<(u32, u32)> {
    let line = picture.lines().find(|line| line.trim_start().starts_with("-->"))?;
    let (rest, column) = line.rsplit_once(':')?;
    let (_, line) = rest.rsplit_once(':')?;
    Some((line.parse().ok()?, column.parse().ok()?))
}
