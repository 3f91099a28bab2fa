//! Would anybody notice if the project's own policies were weaker? Takes each of its conditions away, inverts it, moves
//! each constant and operator, and demands that at least one case of `cases/` comes out differently.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

use policy::cases::{Case, Shipped, Suite};
use policy::{
    Baseline, CLIENT_BASELINE, CLIENT_POLICY, DEFAULT_BASELINE, DEFAULT_POLICY, Policy, PolicyError,
    PolicySource,
};

/// A policy whose mutants are tried.
struct Original {
    shipped: Shipped,
    text: &'static str,
    baseline: &'static str,
    /// Mutants that mean the same as the policy, each with the reason. One that a case notices does not belong here.
    equivalent: &'static [(&'static str, &'static str)],
}

const DEFAULT: Original =
    Original { shipped: Shipped::Default, text: DEFAULT_POLICY, baseline: DEFAULT_BASELINE, equivalent: &[] };

const CLIENT: Original =
    Original { shipped: Shipped::Client, text: CLIENT_POLICY, baseline: CLIENT_BASELINE, equivalent: &[] };

/// A policy that differs from the original in one place.
struct Mutant {
    /// The rule in which it differs.
    rule: String,
    /// `rule: old => new`
    name: String,
    text: String,
}

#[test]
fn some_case_notices_when_any_condition_of_the_default_policy_is_gone_or_changed() {
    every_mutant_is_noticed(&DEFAULT);
}

#[test]
fn some_case_notices_when_any_condition_of_the_client_policy_is_gone_or_changed() {
    every_mutant_is_noticed(&CLIENT);
}

fn every_mutant_is_noticed(original: &Original) {
    let suite = suite();
    let cases = original.cases(&suite);
    let mutants = mutants(original.text);
    let (mut noticed, mut unnoticed) = (0, BTreeSet::new());
    for mutant in &mutants {
        let policy =
            original.compile(&mutant.text).unwrap_or_else(|error| panic!("{}: {error}", mutant.name));
        if notices(&cases, &mutant.rule, &policy) {
            noticed += 1;
        } else {
            unnoticed.insert(mutant.name.as_str());
        }
    }
    let equivalent: BTreeSet<&str> = original.equivalent.iter().map(|(name, _)| *name).collect();
    println!("{} mutants, {noticed} noticed, {} equivalent", mutants.len(), equivalent.len());
    assert!(mutants.len() >= 200, "wanted at least 200 mutants, got {}", mutants.len());
    assert_eq!(unnoticed, equivalent, "left: noticed by no case; right: said to be equivalent");
}

/// The mutants are real only if the text itself is none.
#[test]
fn no_case_notices_the_policies_themselves() {
    for original in [DEFAULT, CLIENT] {
        let suite = suite();
        let policy = original.compile(original.text).unwrap();
        assert!(!notices(&original.cases(&suite), "allow", &policy));
        for mutant in mutants(original.text) {
            assert_ne!(mutant.text, original.text, "{}", mutant.name);
        }
    }
}

fn suite() -> Suite {
    Suite::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")).unwrap()
}

impl Original {
    fn cases<'a>(&self, suite: &'a Suite) -> Vec<&'a Case> {
        suite.cases().iter().filter(|case| case.policy() == Some(self.shipped)).collect()
    }

    fn compile(&self, text: &str) -> Result<Policy, PolicyError> {
        let source = PolicySource::Custom { name: "mutant.rego".to_owned(), text: text.to_owned() };
        Policy::compile(source, Baseline::parse(self.baseline).unwrap())
    }
}

/// Asks the cases about this rule first: the answer is the same, and comes sooner.
fn notices(cases: &[&Case], rule: &str, policy: &Policy) -> bool {
    let about = |case: &&&Case| case.failing_rules().any(|failing| failing == rule);
    let (first, rest): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| about(case));
    first.iter().chain(&rest).any(|case| case.run(policy).map_or(true, |result| !result.passed()))
}

fn mutants(text: &str) -> Vec<Mutant> {
    let lines: Vec<&str> = text.lines().collect();
    let mut mutants = Vec::new();
    let mut rule = String::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim();
        if code.is_empty()
            || code.starts_with('#')
            || ["package ", "import ", "}"].iter().any(|start| code.starts_with(start))
        {
            continue;
        }
        if !line.starts_with('\t') {
            rule = head(code);
        }
        let mut add = |new: String, through: usize, what: &str| {
            let mut changed: Vec<&str> = lines[..at].to_vec();
            changed.push(&new);
            changed.extend(&lines[through + 1..]);
            mutants.push(Mutant {
                rule: rule.clone(),
                name: format!("{rule}: {code} => {what}"),
                text: changed.join("\n"),
            });
        };
        for (new, through) in wholes(&lines, at) {
            let what = if new.is_empty() { "nothing".to_owned() } else { new.trim().replace('\n', "; ") };
            add(new, through, &what);
        }
        for new in parts(line) {
            let what = new.trim().to_owned();
            add(new, at, &what);
        }
    }
    mutants
}

/// The rule that a line at the margin defines; a function by the one rule that uses it.
fn head(code: &str) -> String {
    let code = code.strip_prefix("default ").unwrap_or(code);
    let name = code.split([' ', '(']).next().unwrap();
    match name {
        "supported" => "support_attributes_verified",
        "signed_with_key_of" | "runs_as" => "client_verified",
        name => name,
    }
    .to_owned()
}

/// What can stand for a whole line, and the last line that it replaces: a condition taken away or inverted, a
/// definition or a default gone.
fn wholes(lines: &[&str], at: usize) -> Vec<(String, usize)> {
    let line = lines[at];
    let code = line.trim();
    let indent = &line[..line.len() - line.trim_start().len()];
    let block_ends =
        || (at..lines.len()).find(|&end| lines[end] == format!("{indent}}}")).expect("a block ends");
    if indent.is_empty() {
        let mut wholes = Vec::new();
        if let Some(default) = code.strip_suffix(":= false") {
            wholes.push((format!("{default}:= true"), at));
        }
        if let Some((head, condition)) = code.split_once(" if ").filter(|_| !code.ends_with('{')) {
            wholes.push((format!("{head} if true"), at));
            wholes.push((format!("{head} if {}", inverted(condition)), at));
        }
        // A function that is used cannot be gone: it holds for nothing.
        let gone = match code.split_once(" if ") {
            Some((head, _)) if head.ends_with(')') => format!("{head} if false"),
            _ => String::new(),
        };
        wholes.push((gone, if code.ends_with('{') { block_ends() } else { at }));
        return wholes;
    }
    if let Some(every) = code.strip_prefix("every ") {
        // One that holds instead of all, and none at all.
        let end = block_ends();
        let inside = lines[at + 1..end].join("\n");
        let some = format!("{indent}some {}\n{inside}", every.strip_suffix(" {").unwrap());
        return vec![(format!("{indent}true"), end), (some, end)];
    }
    if let Some(some) = code.strip_prefix("some ") {
        // It binds a name: taken away, that name is whatever would do.
        let name = some.split(" in ").next().unwrap();
        let whatever = match name {
            "account" => "data.allowed_service_account",
            "signature" => "[{\"key_id\": client.image_signature_key_id}]",
            "client" if lines[at + 1].contains("signed_with_key_of") => {
                "[{\"image_signature_key_id\": input.submods.container.image_signatures[0].key_id}]"
            }
            "client" => {
                "[{\"project_id\": input.submods.gce.project_id, \
                   \"service_account\": input.google_service_accounts[0]}]"
            }
            name => panic!("what would do for {name}?"),
        };
        return vec![(format!("{indent}some {name} in {whatever}"), at)];
    }
    vec![(format!("{indent}true"), at), (format!("{indent}{}", inverted(code)), at)]
}

fn inverted(condition: &str) -> String {
    condition.strip_prefix("not ").map_or_else(|| format!("not {condition}"), str::to_owned)
}

/// The line with one operator, constant, element or name changed.
fn parts(line: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for (old, new) in [
        (" == ", " != "),
        (" <= ", " < "),
        (" <= ", " > "),
        (" <= ", " >= "),
        (" <= ", " == "),
        (" + ", " - "),
        (" - ", " + "),
        (" % ", " * "),
        ("== true", "== false"),
        ("null)", "false)"),
        ("== null", "== false"),
        ("[null, []]", "[null]"),
        ("[null, []]", "[[]]"),
        ("[null, []]", "[]"),
        ("{\"GCP", "{\"GCP_SHIELDED_VM\", \"GCP"),
    ] {
        parts.extend(line.match_indices(old).map(|(at, _)| replaced(line, at, old.len(), new)));
    }
    // Numbers, up and down by one.
    for (at, number) in words(line, |character| character.is_ascii_digit()) {
        let value: i64 = number.parse().unwrap();
        for new in [value - 1, value + 1] {
            parts.push(replaced(line, at, number.len(), &new.to_string()));
        }
    }
    // Strings, misspelt; in a set that leaves the element out.
    let quotes: Vec<usize> = line.match_indices('"').map(|(at, _)| at).collect();
    for string in quotes.chunks_exact(2) {
        parts.push(replaced(line, string[1], 0, "_"));
    }
    // Claims and the session's facts, misspelt at their end.
    for (at, name) in words(line, |character| character.is_ascii_alphanumeric() || "._".contains(character)) {
        if name.starts_with("input.") {
            parts.push(replaced(line, at + name.len(), 0, "_"));
        }
    }
    parts
}

/// The longest pieces of such characters that no other word character touches.
fn words(line: &str, of: impl Fn(char) -> bool) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, character) in line.char_indices().chain([(line.len(), ' ')]) {
        match (start, of(character)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                let before = line[..from].chars().next_back().unwrap_or(' ');
                if !before.is_alphanumeric()
                    && before != '_'
                    && !character.is_alphanumeric()
                    && character != '_'
                {
                    words.push((from, &line[from..at]));
                }
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn replaced(line: &str, at: usize, length: usize, new: &str) -> String {
    format!("{}{new}{}", &line[..at], &line[at + length..])
}
