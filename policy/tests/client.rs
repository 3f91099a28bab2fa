//! The client policy: whom a server takes for its client, and what its baseline may say of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::LazyLock;
use std::time::Duration;

use attestation::{Anchors, Expectation, Nonce, Token, Verifier};
use mock_launcher::claims::{UWEAR_CLAIMS, default_claims, merge};
use mock_launcher::{Mint, Pki};
use policy::cases::Case;
use policy::{Baseline, Outcome, Policy, PolicyError, PolicySource, Role, SessionFacts};
use proptest::prelude::*;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};

const NONCE: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";
const PROJECT: &str = "mock-uwear-project";
const ACCOUNT: &str = "workload-sa@mock-uwear-project.iam.gserviceaccount.com";

fn base() -> Value {
    serde_json::from_str(include_str!("../cases/base-client.json")).unwrap()
}

/// The client policy with the baseline that ships changed by a merge patch.
fn client_policy(patch: &Value) -> Result<Policy, PolicyError> {
    let baseline = Baseline::parse(policy::CLIENT_BASELINE).unwrap().patched(patch).unwrap();
    Policy::compile(PolicySource::Client, baseline)
}

/// What the rules come to on these claims, in a session of a client.
fn outcomes(policy: &Policy, claims: &Value) -> Vec<(String, Outcome)> {
    let case = r#"{"note": "", "policy": "client", "want": {"allow": false, "rules": {}}}"#;
    let evaluation = Case::parse("", claims, case).unwrap().evaluate(policy).unwrap();
    evaluation.rules().iter().map(|rule| (rule.name.clone(), rule.outcome.clone())).collect()
}

fn knows(policy: &Policy, claims: &Value) -> bool {
    let outcomes = outcomes(policy, claims);
    outcomes.iter().find(|(name, _)| name == "client_verified").unwrap().1 == Outcome::True
}

#[test]
fn its_rules_are_those_of_the_default_policy_with_the_client_for_the_image_and_its_operator() {
    let of = |source, baseline| {
        let policy = Policy::compile(source, Baseline::parse(baseline).unwrap()).unwrap();
        policy.rule_names().map(str::to_owned).collect::<Vec<_>>()
    };
    let client = of(PolicySource::Client, policy::CLIENT_BASELINE);
    let others = ["client_verified", "role_verified"];
    let of_the_operator = ["image_digest_verified", "project_verified", "service_account_verified"];
    let rest: Vec<_> = client.iter().filter(|name| !others.contains(&name.as_str())).collect();
    let default = of(PolicySource::Default, policy::DEFAULT_BASELINE);
    let default: Vec<_> = default.iter().filter(|name| !of_the_operator.contains(&name.as_str())).collect();
    assert_eq!(rest, default);
    assert_eq!(rest.len() + others.len(), client.len());
}

/// Through the real verifier: only UWear, only as the client, only for this session and audience.
#[test]
fn of_authentic_tokens_only_that_of_the_client_is_accepted_and_only_in_its_role() {
    let pki = Pki::shared_for_tests().unwrap();
    let iat = mock_launcher::time::OffsetDateTime::now_utc().unix_timestamp();
    let verifier =
        Verifier::new(Anchors::from_pem(pki.root_pem().as_bytes()).unwrap(), Expectation::default());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(iat as u64 + 10));
    let uwear: Value = serde_json::from_str(UWEAR_CLAIMS).unwrap();
    let other_account =
        json!({"google_service_accounts": ["other@mock-uwear-project.iam.gserviceaccount.com"]});
    let other_image =
        json!({"submods": {"container": {"image_digest": format!("sha256:{}", "22".repeat(32))}}});

    // patches of the claims, audience, nonce, role, what is not true
    type Row<'a> = (&'a [&'a Value], &'a str, &'a str, Role, &'a [&'a str]);
    let rows: [Row<'_>; 7] = [
        (&[&uwear], "usleep", NONCE, Role::Client, &[]),
        (&[&uwear, &other_image], "usleep", NONCE, Role::Client, &[]),
        (&[&uwear, &other_account], "usleep", NONCE, Role::Client, &["allow", "client_verified"]),
        (&[], "usleep", NONCE, Role::Client, &["allow", "client_verified"]),
        (&[&uwear], "usleep", NONCE, Role::Server, &["allow", "role_verified"]),
        (
            &[&uwear],
            "usleep",
            "another session's nonce",
            Role::Client,
            &["session_nonce", "allow", "nonce_verified"],
        ),
        (&[&uwear], "uwear", NONCE, Role::Client, &["session_audience", "allow", "audience_verified"]),
    ];
    let policy = client_policy(&json!({})).unwrap();
    for (patches, audience, nonce, role, wanted) in rows {
        let mut claims = default_claims(audience, &[nonce.to_owned()], iat);
        patches.iter().for_each(|patch| merge(&mut claims, patch));
        let token = Token::new(Mint::pki(&pki).unwrap().token(&claims).unwrap()).unwrap();
        let token = verifier.verify(&token, now).unwrap();
        let facts = SessionFacts {
            nonce: Nonce::from_text(NONCE),
            audience: "usleep".to_owned(),
            wire: 1,
            role,
            now,
        };
        let decision = policy.decide(&token, &facts);
        assert_eq!(decision.allowed(), wanted.is_empty(), "{wanted:?}");
        let failed = decision
            .into_allowance()
            .map_or_else(|denied| denied.failed().map(str::to_owned).collect(), |_| Vec::new());
        assert_eq!(failed, wanted);
    }
}

#[test]
fn a_claim_of_a_wrong_type_or_none_makes_its_rules_false_and_never_an_error() {
    let by_key = json!({"allowed_client": [{"image_signature_key_id": "aa".repeat(32)}]});
    let policies = [client_policy(&json!({})).unwrap(), client_policy(&by_key).unwrap()];
    let values = [
        json!(null),
        json!(false),
        json!(0),
        json!(1e308),
        json!(""),
        json!("any"),
        json!([]),
        json!([[]]),
        json!([null]),
        json!([{}]),
        json!([{"key_id": null}]),
        json!([{"key_id": ["aa"]}]),
        json!({}),
        json!({"any": true, "reason": "mine"}),
    ];
    let pointers = [
        "/submods",
        "/submods/container",
        "/submods/container/image_signatures",
        "/submods/gce",
        "/submods/gce/project_id",
        "/google_service_accounts",
    ];
    for pointer in pointers {
        for value in &values {
            let mut claims = base();
            claims["submods"]["container"]["image_signatures"] = json!([{"key_id": "aa".repeat(32)}]);
            *claims.pointer_mut(pointer).unwrap() = value.clone();
            // What the one policy goes by, the other does not read.
            let (of_operator, of_key) = match pointer {
                "/submods/container" | "/submods/container/image_signatures" => (true, false),
                "/submods" => (false, false),
                _ => (false, true),
            };
            for (policy, wanted) in policies.iter().zip([of_operator, of_key]) {
                for (name, outcome) in outcomes(policy, &claims) {
                    assert!(
                        matches!(outcome, Outcome::True | Outcome::False),
                        "{pointer}: {value}: {name}: {outcome}"
                    );
                }
                assert_eq!(knows(policy, &claims), wanted, "{pointer}: {value}");
            }
        }
    }
}

#[test]
fn a_baseline_that_pins_no_client_or_half_of_one_is_refused() {
    let key_id = "aa".repeat(32);
    let wanted_client = "wanted {\"image_signature_key_id\": \"…\"} or {\"project_id\": \"…\", \"service_account\": \"…\"}, and a label if you like, got ";
    let rows = [
        (json!(null), "the policy reads allowed_client, which is missing; add it: a non-empty list of clients".to_owned()),
        (json!([]), "allowed_client: wanted a non-empty list of clients, or {\"any\": true, \"reason\": \"…\"} to allow any on purpose, got an empty list".to_owned()),
        (json!("any"), "allowed_client: wanted a non-empty list of clients".to_owned()),
        (json!({"any": true}), "allowed_client: wanted exactly".to_owned()),
        (json!({"any": true, "reason": ""}), "allowed_client: wanted exactly".to_owned()),
        (json!({"project_id": "p", "service_account": "a@b.c"}), "allowed_client: wanted a non-empty list of clients".to_owned()),
        (json!(["p"]), format!("allowed_client[0]: {wanted_client}a string")),
        (json!([{}]), format!("allowed_client[0]: {wanted_client}neither")),
        (json!([{"label": "nobody"}]), format!("allowed_client[0]: {wanted_client}neither")),
        (json!([{"project_id": "p"}]), format!("allowed_client[0]: {wanted_client}project_id")),
        (json!([{"service_account": "a@b.c"}]), format!("allowed_client[0]: {wanted_client}service_account")),
        (
            json!([{"image_signature_key_id": key_id, "project_id": "p", "service_account": "a@b.c"}]),
            format!("allowed_client[0]: {wanted_client}image_signature_key_id, project_id, service_account"),
        ),
        (json!([{"image_digest": "sha256:00"}]), format!("allowed_client[0]: {wanted_client}image_digest")),
        (json!([{"image_signature_key_id": key_id}, {"any": true}]), "allowed_client[1].any: wanted a text that is not empty, got a boolean".to_owned()),
        (json!([{"image_signature_key_id": "AA".repeat(32)}]), format!("allowed_client[0].image_signature_key_id: wanted 64 lower-case hexadecimal digits, the SHA-256 of the public key, got {}", "AA".repeat(32))),
        (json!([{"image_signature_key_id": ""}]), "allowed_client[0].image_signature_key_id: wanted 64".to_owned()),
        (json!([{"image_signature_key_id": 7}]), "allowed_client[0].image_signature_key_id: wanted 64 lower-case hexadecimal digits, the SHA-256 of the public key, got a whole number".to_owned()),
        (json!([{"project_id": " ", "service_account": "a@b.c"}]), "allowed_client[0].project_id: wanted a text that is not empty, got  ".to_owned()),
        (json!([{"project_id": "p", "service_account": ["a@b.c"]}]), "allowed_client[0].service_account: wanted a text that is not empty, got an array".to_owned()),
        (json!([{"image_signature_key_id": key_id, "label": ""}]), "allowed_client[0].label: wanted a text that is not empty".to_owned()),
    ];
    for (clients, wanted) in rows {
        let patch = json!({"allowed_client": clients});
        let error =
            client_policy(&patch).map_or_else(|error| error.to_string(), |_| format!("{clients} is taken"));
        assert!(error.contains(&wanted), "{clients}: wanted {wanted:?}, got {error:?}");
    }
    // By digest no client can be pinned, and who tries is told.
    let digests = json!({"allowed_submods_container_image_digest": [format!("sha256:{key_id}")]});
    let error = client_policy(&digests).unwrap_err().to_string();
    assert!(error.starts_with("baseline: no rule reads allowed_submods_container_image_digest"), "{error}");
}

#[test]
fn an_explanation_shows_the_keys_found_and_the_clients_wanted() {
    let policy = client_policy(&json!({})).unwrap();
    let mut claims = base();
    claims["google_service_accounts"] = json!(["x@somebody-else.iam.gserviceaccount.com"]);
    claims["submods"]["container"]["image_signatures"] =
        json!([{"key_id": "aa", "signature": "secret"}, {"signature": "secret"}, {"key_id": "b\u{1b}b"}]);
    let case = r#"{"note": "", "policy": "client", "want": {"allow": false, "rules": {}}}"#;
    let evaluation = Case::parse("", &claims, case).unwrap().evaluate(&policy).unwrap();
    let explained = evaluation.explain();
    let client = explained.iter().find(|rule| rule.name == "client_verified").unwrap();
    let shown = |reads: &[policy::Read]| {
        reads.iter().map(|read| format!("{} {}", read.path, read.value)).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&client.found),
        [
            "submods.container.image_signatures.key_id aa, b\\u{1b}b",
            "submods.gce.project_id mock-uwear-project",
            "google_service_accounts x@somebody-else.iam.gserviceaccount.com",
        ]
    );
    let wanted = format!(
        "allowed_client {{\"label\":\"the mock launcher's UWear, for the walk-through: pin your own client instead\",\
         \"project_id\":\"{PROJECT}\",\"service_account\":\"{ACCOUNT}\"}}"
    );
    assert_eq!(shown(&client.wanted), [wanted]);

    claims["submods"]["container"]["image_signatures"] = json!([]);
    let evaluation = Case::parse("", &claims, case).unwrap().evaluate(&policy).unwrap();
    let explained = evaluation.explain();
    let client = explained.iter().find(|rule| rule.name == "client_verified").unwrap();
    assert_eq!(client.found[0].value.to_string(), "none");
}

/// Keys, projects and accounts to choose from; the last of each is nobody's.
const KEYS: [&str; 3] = [
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
];
const PROJECTS: [&str; 3] = ["p0", "p1", "p2"];
const ACCOUNTS: [&str; 3] = ["a0@p.example", "a1@p.example", "a2@p.example"];

/// Compiled once.
static POLICY: LazyLock<Policy> = LazyLock::new(|| client_policy(&json!({})).unwrap());

#[derive(Clone, Debug)]
enum Client {
    Key(usize),
    Operator(usize, usize),
}

fn client() -> impl Strategy<Value = Client> {
    prop_oneof![
        (0..3_usize).prop_map(Client::Key),
        (0..3_usize, 0..3_usize).prop_map(|(p, a)| Client::Operator(p, a))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_is_known_exactly_if_one_entry_matches_it(
        clients in prop::collection::vec(client(), 1..4),
        keys in prop::collection::vec(0..3_usize, 0..3),
        project in 0..3_usize,
        accounts in prop::collection::vec(0..3_usize, 0..3),
    ) {
        let list: Vec<Value> = clients.iter().map(|client| match client {
            Client::Key(key) => json!({"image_signature_key_id": KEYS[*key]}),
            Client::Operator(project, account) =>
                json!({"project_id": PROJECTS[*project], "service_account": ACCOUNTS[*account], "label": "x"}),
        }).collect();
        let mut claims = base();
        claims["submods"]["container"]["image_signatures"] =
            keys.iter().map(|key| json!({"key_id": KEYS[*key], "signature": "MEUCIQ=="})).collect();
        claims["submods"]["gce"]["project_id"] = json!(PROJECTS[project]);
        claims["google_service_accounts"] = accounts.iter().map(|account| ACCOUNTS[*account]).collect();
        let wanted = clients.iter().any(|client| match client {
            Client::Key(key) => keys.contains(key),
            Client::Operator(p, account) => *p == project && accounts.contains(account),
        });
        let baseline = Baseline::parse(policy::CLIENT_BASELINE).unwrap();
        let baseline = baseline.patched(&json!({"allowed_client": list})).unwrap();
        let policy = POLICY.with_baseline(baseline).unwrap();
        prop_assert_eq!(knows(&policy, &claims), wanted);
    }
}
