//! The claims of a USleep in a Confidential Space VM, as the real service writes them.
//!
//! Names, values and their order are those of real tokens of a hardened image on AMD SEV (Google,
//! "Attestation token claims"); project, account and image are the mock's.

use serde_json::{Map, Value, json};

/// Digest of the image the mock's workload claims to run: the SHA-256 of the ASCII text
/// `mock-launcher: usleep`. No image has it.
pub const MOCK_IMAGE_DIGEST: &str = "sha256:66073822137aff1be1234064b1fee3b095ed548f604e1f9a570a6be364efca2e";

/// The project the mock's VM claims to be in.
pub const MOCK_PROJECT_ID: &str = "mock-usleep-project";

/// The service account the mock's VM claims to run as.
pub const MOCK_SERVICE_ACCOUNT: &str = "workload-sa@mock-usleep-project.iam.gserviceaccount.com";

/// What makes the default claims those of a UWear that runs in Confidential Space too: a merge patch, the text of
/// `claims/uwear.json`, for `--claims` and [`Builder::claims`](crate::Builder::claims). Its image digest is the SHA-256
/// of the ASCII text `mock-launcher: uwear`; nobody has signed that image.
pub const UWEAR_CLAIMS: &str = include_str!("../claims/uwear.json");

/// The issuer of every token of Google's attestation service.
pub const ISSUER: &str = "https://confidentialcomputing.googleapis.com";

/// Audience of the launcher's default token.
pub const DEFAULT_AUDIENCE: &str = "https://sts.googleapis.com";

/// How long the service's tokens are valid, in seconds (seen in real tokens).
pub const TOKEN_LIFETIME: i64 = 3600;

/// The claims of a token issued at `iat`, in seconds since 1970, for one audience and any number of
/// nonces: `eat_nonce` is a string for one, an array for several, absent for none.
pub fn default_claims(audience: &str, nonces: &[String], iat: i64) -> Value {
    let mut claims = json!({
        "aud": audience,
        "exp": iat.saturating_add(TOKEN_LIFETIME),
        "iat": iat,
        "iss": ISSUER,
        "nbf": iat,
        "sub": "https://www.googleapis.com/compute/v1/projects/mock-usleep-project/zones/us-west1-b/instances/usleep",
        "eat_profile":
            "https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims",
        "secboot": true,
        "oemid": 11129,
        "hwmodel": "GCP_AMD_SEV",
        "swname": "CONFIDENTIAL_SPACE",
        "swversion": ["250800"],
        "dbgstat": "disabled-since-boot",
        "submods": {
            "confidential_space": {
                "support_attributes": ["LATEST", "STABLE", "USABLE"],
                "monitoring_enabled": { "memory": false },
            },
            "container": {
                "image_reference":
                    "us-west1-docker.pkg.dev/mock-usleep-project/usleep/usleep:latest",
                "image_digest": MOCK_IMAGE_DIGEST,
                "restart_policy": "Never",
                "image_id": "sha256:568bf1688aac693ba645a61dcce8d11697f7c3ef6063547f890952051a1dc7c8",
                "env": {
                    "HOSTNAME": "usleep",
                    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                },
                "args": ["/usr/local/bin/usleep"],
            },
            "gce": {
                "zone": "us-west1-b",
                "project_id": MOCK_PROJECT_ID,
                "project_number": "123456789012",
                "instance_name": "usleep",
                "instance_id": "6256007950053690000",
            },
        },
        "google_service_accounts": [MOCK_SERVICE_ACCOUNT],
    });
    let nonce = match nonces {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    };
    merge(&mut claims, &json!({ "eat_nonce": nonce }));
    claims
}

/// Applies `patch` to `target` as a JSON merge patch (RFC 7396): objects are merged, null removes,
/// anything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

/// The claims as compact JSON, members in the order of real tokens; names that no real token has come
/// last, by name.
pub fn to_json(claims: &Value) -> Vec<u8> {
    let mut json = String::new();
    write(&mut json, claims);
    json.into_bytes()
}

/// Order of the members in real tokens, all levels in one list: no two levels order a pair of names
/// differently.
const ORDER: &[&str] = &[
    "aud",
    "exp",
    "iat",
    "iss",
    "nbf",
    "sub",
    "eat_nonce",
    "eat_profile",
    "secboot",
    "oemid",
    "hwmodel",
    "swname",
    "swversion",
    "attester_tcb",
    "dbgstat",
    "submods",
    "confidential_space",
    "support_attributes",
    "monitoring_enabled",
    "container",
    "image_reference",
    "image_digest",
    "restart_policy",
    "image_id",
    "env_override",
    "cmd_override",
    "env",
    "args",
    "gce",
    "zone",
    "project_id",
    "project_number",
    "instance_name",
    "instance_id",
    "tdx",
    "gcp_attester_tcb_status",
    "gcp_attester_tcb_date",
    "google_service_accounts",
];

fn write(json: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| {
                (ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()), *name)
            });
            write_all(json, ('{', '}'), members, |json, (name, member)| {
                json.push_str(&Value::from(name.as_str()).to_string());
                json.push(':');
                write(json, member);
            });
        }
        Value::Array(elements) => write_all(json, ('[', ']'), elements, write),
        scalar => json.push_str(&scalar.to_string()),
    }
}

fn write_all<T>(
    json: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    mut write_one: impl FnMut(&mut String, T),
) {
    json.push(open);
    for (count, item) in items.into_iter().enumerate() {
        if count > 0 {
            json.push(',');
        }
        write_one(json, item);
    }
    json.push(close);
}

#[cfg(test)]
mod tests {
    use rsa::sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_mock_image_digest_is_that_of_its_text() {
        let digest = hex::encode(Sha256::digest(b"mock-launcher: usleep"));
        assert_eq!(MOCK_IMAGE_DIGEST, format!("sha256:{digest}"));
    }

    #[test]
    fn the_claims_of_uwear_replace_all_that_is_usleeps() {
        let mut claims = default_claims("usleep", &[], 0);
        merge(&mut claims, &serde_json::from_str(UWEAR_CLAIMS).unwrap());
        let json = String::from_utf8(to_json(&claims)).unwrap();
        assert_eq!(json.matches("usleep").collect::<Vec<_>>(), ["usleep"], "the audience alone: {json}");
        let digest = hex::encode(Sha256::digest(b"mock-launcher: uwear"));
        assert_eq!(claims["submods"]["container"]["image_digest"], format!("sha256:{digest}"));
        assert_eq!(claims["submods"]["container"]["env_override"], json!({ "remote_ip_addr": "127.0.0.1" }));
    }

    #[test]
    fn a_patch_merges_as_rfc_7396_appendix_a_says() {
        let rows = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r"{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, r"null", r"null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r"[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            (r"{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ];
        for (target, patch, wanted) in rows {
            let [mut target, patch, wanted]: [Value; 3] =
                [target, patch, wanted].map(|text| serde_json::from_str(text).unwrap());
            merge(&mut target, &patch);
            assert_eq!(target, wanted, "patch {patch}");
        }
    }

    #[test]
    fn one_nonce_is_a_string_several_are_an_array_none_is_absent() {
        let nonces = |count| vec!["0123456789".to_owned(); count];
        assert_eq!(default_claims("uwear", &nonces(1), 0)["eat_nonce"], json!("0123456789"));
        assert_eq!(default_claims("uwear", &nonces(2), 0)["eat_nonce"], json!(["0123456789", "0123456789"]));
        assert!(default_claims("uwear", &[], 0).get("eat_nonce").is_none());
    }

    #[test]
    fn members_come_in_the_order_of_real_tokens() {
        let mut claims = default_claims("uwear", &["0123456789".to_owned()], 1_750_688_551);
        merge(&mut claims, &json!({ "zzz": 1, "abc": "\"\n" }));
        let json = String::from_utf8(to_json(&claims)).unwrap();
        assert!(json.starts_with(
            r#"{"aud":"uwear","exp":1750692151,"iat":1750688551,"iss":"https://confidentialcomputing.googleapis.com","nbf":1750688551,"sub":"#
        ));
        assert!(
            json.contains(
                r#""gce":{"zone":"us-west1-b","project_id":"mock-usleep-project","project_number":"#
            )
        );
        assert!(json.ends_with(&format!(
            r#""google_service_accounts":["{MOCK_SERVICE_ACCOUNT}"],"abc":"\"\n","zzz":1}}"#
        )));
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), claims);
    }
}
