//! What holds of any claims, tried on thousands: the default policy says what its second writing, in Rust, says.
//!
//! The invariants are those of the fuzz target `policy_input`, whose file is included here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../fuzz/src/forge.rs"]
mod forge;
#[path = "../../fuzz/src/policy_input.rs"]
mod policy_input;
#[path = "../../fuzz/src/shown.rs"]
mod shown;

use policy::DEFAULT_BASELINE;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use forge::{NONCE, NOW, good_claims};
use policy_input::{check, check_baseline, check_claims};

/// Where a rule looks, and beside it.
const POINTERS: [&str; 22] = [
    "/iss",
    "/aud",
    "/eat_nonce",
    "/iat",
    "/hwmodel",
    "/secboot",
    "/swname",
    "/dbgstat",
    "/google_service_accounts",
    "/google_service_accounts/0",
    "/session",
    "/submods",
    "/submods/confidential_space",
    "/submods/confidential_space/support_attributes",
    "/submods/confidential_space/support_attributes/1",
    "/submods/container",
    "/submods/container/image_digest",
    "/submods/container/env_override",
    "/submods/container/cmd_override",
    "/submods/gce",
    "/submods/gce/project_id",
    "/x",
];

/// Any value, those that some rule accepts somewhere more often than others.
fn value() -> impl Strategy<Value = Value> {
    let known = select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
        json!(NONCE),
        json!([NONCE]),
        json!([NONCE, NONCE]),
        json!("uwear"),
        json!(["uwear"]),
        json!(["uwear", "x"]),
        json!(["STABLE"]),
        json!(["STABLE", "EXPERIMENTAL"]),
        json!("GCP_INTEL_TDX"),
        json!("GCP_SHIELDED_VM"),
        json!("enabled"),
        json!({"any": true, "reason": "x"}),
        json!({"NAME": "value"}),
        json!(["sh", "-c"]),
        json!("workload-sa@mock-usleep-project.iam.gserviceaccount.com"),
        json!(["workload-sa@mock-usleep-project.iam.gserviceaccount.com", 1]),
    ]);
    let seconds = (-400_i64..100).prop_map(|offset| json!(i64::try_from(NOW).unwrap() + offset));
    let fractions = (-400.0..100_f64).prop_map(|offset| json!(NOW as f64 + offset));
    let whole = (-400_i32..100).prop_map(|offset| json!(NOW as f64 + f64::from(offset)));
    let any_scalar = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    prop_oneof![4 => known, 1 => seconds, 1 => fractions, 1 => whole, 1 => any_scalar]
}

/// Puts the value at the pointer, or takes away what is there; a place that there is not stays so.
fn put(claims: &mut Value, pointer: &str, value: Option<Value>) {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    match (claims.pointer_mut(above), value) {
        (Some(Value::Object(members)), Some(value)) => drop(members.insert(name.to_owned(), value)),
        (Some(Value::Object(members)), None) => drop(members.remove(name)),
        (Some(Value::Array(items)), Some(value)) if !items.is_empty() => {
            let last = items.len() - 1;
            items[name.parse::<usize>().unwrap_or(last).min(last)] = value;
        }
        (Some(Value::Array(items)), None) => drop(items.pop()),
        _ => {}
    }
}

#[test]
fn every_seed_of_the_fuzzing_is_judged_as_it_should_be() {
    let accepted = policy_input::seeds().into_iter().filter(|(_, seed)| check(seed)).map(|(name, _)| name);
    assert_eq!(
        accepted.collect::<Vec<_>>(),
        ["good", "arrays", "empty-overrides", "whole-fraction", "baseline", "waiver"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_claims_are_judged_as_the_second_writing_judges_them(
        changes in prop::collection::vec((select(POINTERS.to_vec()), prop::option::weighted(0.8, value())), 1..3),
    ) {
        let mut claims = good_claims();
        changes.into_iter().for_each(|(pointer, value)| put(&mut claims, pointer, value));
        check_claims(claims.as_object().unwrap());
    }

    #[test]
    fn an_edited_seed_is_judged_as_the_second_writing_judges_it(seed in any::<Index>(), at in any::<Index>(), cut in 0..9_usize, put in "[\\[\\]{}\":,a-z0-9.]{0,4}") {
        let seeds = policy_input::seeds();
        let mut bytes = seed.get(&seeds).1.clone();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + cut).min(bytes.len()), put.into_bytes());
        check(&bytes);
    }

    #[test]
    fn a_changed_baseline_leaves_no_list_open_by_accident(key in any::<Index>(), value in prop::option::weighted(0.8, value())) {
        let mut baseline: Value = serde_json::from_str(DEFAULT_BASELINE).unwrap();
        let keys: Vec<String> = baseline.as_object().unwrap().keys().cloned().collect();
        put(&mut baseline, &format!("/{}", key.get(&keys)), value);
        check_baseline(&baseline.to_string());
    }
}
