//! What a check of policy and baseline finds before they ever decide.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use policy::{Baseline, Checked, Finding, PolicySource, Severity, check};
use serde_json::{Value, json};

fn checked(source: PolicySource, baseline: &str) -> Checked {
    check(source, Baseline::parse(baseline).unwrap()).unwrap()
}

/// The default policy with its baseline changed by a merge patch.
fn with_baseline(patch: &Value) -> Vec<Finding> {
    let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap().patched(patch).unwrap();
    check(PolicySource::Default, baseline).unwrap().findings
}

fn of_text(text: String, baseline: &str) -> Vec<Finding> {
    checked(PolicySource::Custom { name: "mine.rego".to_owned(), text }, baseline).findings
}

/// The default policy's text with one thing replaced.
fn with_policy(old: &str, new: &str) -> Vec<Finding> {
    assert!(policy::DEFAULT_POLICY.contains(old), "{old}");
    of_text(policy::DEFAULT_POLICY.replace(old, new), policy::DEFAULT_BASELINE)
}

/// A policy of these rules alone.
fn of_rules(rules: &str, baseline: &Value) -> Vec<Finding> {
    of_text(format!("package confidential_space\nimport rego.v1\n{rules}\n"), &baseline.to_string())
}

/// `error code place: what`, a line each.
fn lines(findings: &[Finding]) -> Vec<String> {
    let line = |Finding { severity, code, what, place }: &Finding| match place {
        Some(place) => format!("{severity} {code} {place}: {what}"),
        None => format!("{severity} {code}: {what}"),
    };
    findings.iter().map(line).collect()
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn the_default_policy_with_the_shipped_baseline_has_no_finding() {
    let checked = checked(PolicySource::Default, policy::DEFAULT_BASELINE);
    assert_eq!(checked.findings, []);
    assert!(checked.tried > 15, "{}", checked.tried);
}

#[test]
fn the_codelabs_policy_lets_through_what_it_is_known_for() {
    let checked = checked(PolicySource::Codelab, policy::CODELAB_BASELINE);
    assert_eq!(
        lines(&checked.findings),
        [
            "error debug-image-allowed: no rule reads dbgstat: an operator with root on a debug VM would pass",
            "error no-memory-encryption: allowed_hwmodel holds GCP_SHIELDED_VM, which has none",
            "error overrides-allowed: no rule reads submods.container.env_override or cmd_override",
            "error operator-not-pinned: no rule reads submods.gce.project_id or google_service_accounts: anybody's copy of the image passes",
            "warning support-not-required: no rule reads submods.confidential_space.support_attributes",
        ]
    );
    assert_eq!((checked.count(Severity::Error), checked.count(Severity::Warning)), (4, 1));
}

#[test]
fn a_policy_that_allows_everything_has_every_finding() {
    let findings = of_rules("allow := true", &json!({}));
    assert_eq!(
        codes(&findings),
        [
            "allows-without-claims",
            "debug-image-allowed",
            "no-memory-encryption",
            "overrides-allowed",
            "operator-not-pinned",
            "image-not-pinned",
            "plain-vm-allowed",
            "secure-boot-not-required",
            "support-not-required",
            "nonce-not-checked",
            "audience-not-checked",
        ]
    );
}

#[test]
fn a_policy_that_allows_when_all_is_undefined_is_found_however_it_is_written() {
    for rules in [
        "default allow := true",
        "default allow := true\nallow := false if input.dbgstat == \"enabled\"",
        "allow if not input.dbgstat == \"enabled\"",
        "allow if count(input.missing) == 0\nallow if not bad\nbad if input.dbgstat != \"disabled-since-boot\"",
        "allow if every account in object.get(input, \"google_service_accounts\", []) { account == \"a@b.c\" }",
    ] {
        let findings = of_rules(rules, &json!({}));
        assert!(codes(&findings).contains(&"allows-without-claims"), "{rules}: {:#?}", lines(&findings));
    }
    assert!(!codes(&of_rules("allow if input.secboot", &json!({}))).contains(&"allows-without-claims"));
}

/// A rule that mentions a claim and still lets the wrong value pass.
#[test]
fn a_bad_token_that_passes_is_found_though_its_claim_is_read() {
    let rows = [
        (
            "input.dbgstat in data.allowed_dbgstat",
            "input.dbgstat",
            "error debug-image-allowed: a debug image (dbgstat enabled) passes, although dbgstat is read",
        ),
        (
            "debug_status_verified if input.dbgstat in data.allowed_dbgstat",
            "debug_status_verified if input.dbgstat in data.allowed_dbgstat\ndebug_status_verified if not input.dbgstat",
            "error debug-image-allowed: a token without dbgstat passes, although dbgstat is read",
        ),
        (
            "default secboot_verified := false",
            "default secboot_verified := true",
            "error secure-boot-not-required: a VM without Secure Boot passes, although secboot is read",
        ),
        (
            "image_digest_verified if input.submods.container.image_digest in data.allowed_submods_container_image_digest",
            "image_digest_verified if startswith(input.submods.container.image_digest, \"sha256:\")",
            "error image-not-pinned: another image passes, although submods.container.image_digest is read",
        ),
        (
            "sw_name_verified if input.swname in data.allowed_sw_name",
            "sw_name_verified if input.swname",
            "error plain-vm-allowed: a plain Confidential VM (swname GCE) passes, although swname is read",
        ),
        (
            "\tcmd_override_verified\n",
            "",
            "error overrides-allowed: an overridden command passes: no rule reads submods.container.cmd_override",
        ),
        (
            "\tsupport_attributes_verified\n",
            "",
            "warning support-not-required: no rule reads submods.confidential_space.support_attributes",
        ),
        (
            "\tnonce_verified\n",
            "",
            "warning nonce-not-checked: no rule reads eat_nonce; that the token is for this session is required all the same",
        ),
        (
            "\taudience_verified\n",
            "",
            "warning audience-not-checked: no rule reads aud; that the token is for us is required all the same",
        ),
        (
            "\tproject_verified\n\tservice_account_verified\n",
            "",
            "error operator-not-pinned: no rule reads submods.gce.project_id or google_service_accounts: anybody's copy of the image passes",
        ),
    ];
    for (old, new, wanted) in rows {
        assert_eq!(lines(&with_policy(old, new)), [wanted], "{new}");
    }
    // Either of the two pins the operator.
    assert_eq!(with_policy("\tproject_verified\n", ""), []);
    assert_eq!(with_policy("\tservice_account_verified\n", ""), []);
}

#[test]
fn a_claim_that_no_token_has_is_named_with_its_line_and_the_nearest_one() {
    let rows = [
        ("allow if input.dbgstatus == \"x\"", "input.dbgstatus; the nearest is input.dbgstat"),
        ("allow if input[\"hw_model\"] == \"x\"", "input.hw_model; the nearest is input.hwmodel"),
        (
            "allow if object.get(input.submods.container, \"env_overide\", null) == null",
            "input.submods.container.env_overide; the nearest is input.submods.container.env_override",
        ),
        (
            "import input.submods.containers as c\nallow if c.image_digest == \"x\"",
            "input.submods.containers.image_digest; the nearest is input.submods.container.image_digest",
        ),
        ("allow if f(1)\nf(x) if x == input.oem_id", "input.oem_id; the nearest is input.oemid"),
        ("allow if input.secboot\nunused if input.secboots", "input.secboots; the nearest is input.secboot"),
        ("allow if input.session.nonces", "input.session.nonces; the nearest is input.session.nonce"),
    ];
    for (rules, wanted) in rows {
        let at = 2 + rules.lines().count();
        let wanted = format!("error unknown-claim mine.rego, line {at}: no token has {wanted}");
        let got = lines(&of_rules(rules, &json!({})));
        assert!(got.contains(&wanted), "wanted {wanted:?}, got {got:#?}");
    }
    // What is inside an object that the operator fills is nobody's typing error.
    let free = "allow if input.submods.container.env.MODE == \"x\"\nok if input.swversion[0] == \"250800\"";
    assert!(!codes(&of_rules(free, &json!({}))).contains(&"unknown-claim"));
}

#[test]
fn a_value_that_a_claim_never_has_is_named_in_the_policy_and_in_the_baseline() {
    let rows = [
        (
            "allow if input.hwmodel == \"AMD_SEV\"",
            "hwmodel is never \"AMD_SEV\"; the nearest value is GCP_AMD_SEV",
        ),
        (
            "allow if \"disabled\" = input.dbgstat",
            "dbgstat is never \"disabled\"; the nearest value is disabled-since-boot",
        ),
        (
            "allow if input.secboot == \"true\"",
            "secboot is never \"true\"; it is true or false, without quotes",
        ),
        (
            "allow if input.swname in {\"GCE\", \"confidential_space\"}",
            "swname is never \"confidential_space\"; the nearest value is CONFIDENTIAL_SPACE",
        ),
        (
            "allow if not \"Stable\" in input.submods.confidential_space.support_attributes",
            "submods.confidential_space.support_attributes is never \"Stable\"; the nearest value is STABLE",
        ),
        (
            "allow if input.oemid == \"11129\"",
            "oemid is never \"11129\"; it is a whole number, without quotes",
        ),
    ];
    for (rule, wanted) in rows {
        let wanted = format!("error impossible-value mine.rego, line 3: {wanted}");
        let got = lines(&of_rules(rule, &json!({})));
        assert!(got.contains(&wanted), "wanted {wanted:?}, got {got:#?}");
    }

    let rows = [
        (json!({"allowed_hwmodel": ["AMD_SEV"]}), "allowed_hwmodel: hwmodel is never \"AMD_SEV\""),
        (json!({"allowed_dbgstat": ["disabled"]}), "allowed_dbgstat: dbgstat is never \"disabled\""),
        (
            json!({"allowed_sw_name": ["confidential_space"]}),
            "allowed_sw_name: swname is never \"confidential_space\"",
        ),
        (
            json!({"allowed_issuer": ["https://x"]}),
            "allowed_issuer: iss is never \"https://x\"; it is always https://c",
        ),
        (
            json!({"required_support_attributes": ["SUPPORTED"]}),
            "required_support_attributes: submods.confidential_space.support_attributes is never \"SUPPORTED\"",
        ),
        (
            json!({"allowed_service_account": ["somebody"]}),
            "allowed_service_account: google_service_accounts is never \"somebody\"; it is an e-mail",
        ),
    ];
    for (patch, wanted) in rows {
        let wanted = format!("error impossible-value baseline {wanted}");
        let got = lines(&with_baseline(&patch));
        assert!(got.iter().any(|line| line.starts_with(&wanted)), "wanted {wanted:?}, got {got:#?}");
    }
    // Keys of the owner's own are known by what they are compared with.
    let own = of_rules("allow if input.hwmodel in data.my_machines", &json!({"my_machines": ["SEV"]}));
    let wanted = "error impossible-value baseline my_machines: hwmodel is never \"SEV\"; the nearest value is GCP_AMD_SEV";
    assert!(lines(&own).contains(&wanted.to_owned()), "{own:#?}");
}

#[test]
fn a_baseline_that_does_not_fit_is_a_finding_for_each_key() {
    let rows = [
        (json!({"allowed_aud": null}), "missing-key", "allowed_aud"),
        (json!({"allowed_aud": []}), "empty-list", "allowed_aud"),
        (json!({"allowed_aud": "uwear"}), "malformed-value", "allowed_aud"),
        (
            json!({"allowed_submods_container_image_digest": ["sha256:12"]}),
            "malformed-value",
            "allowed_submods_container_image_digest[0]",
        ),
        (json!({"allowed_hw_model": ["GCP_AMD_SEV"]}), "unused-key", "allowed_hw_model"),
        (json!({"confidential_space": {}}), "malformed-value", "confidential_space"),
    ];
    for (patch, code, place) in rows {
        let findings = with_baseline(&patch);
        let found = findings.iter().find(|finding| finding.code == code);
        let found = found.unwrap_or_else(|| panic!("{patch}: {:#?}", lines(&findings)));
        assert_eq!(
            (found.severity, found.place.as_deref()),
            (Severity::Error, Some(&*format!("baseline {place}")))
        );
    }
    let several = with_baseline(&json!({"allowed_aud": null, "allowed_hwmodel": []}));
    assert_eq!(codes(&several), ["missing-key", "empty-list", "not-tried"], "{several:#?}");
}

#[test]
fn what_the_owner_opened_on_purpose_is_a_warning_unless_it_gives_the_data_away() {
    let open = json!({"any": true, "reason": "mine"});
    let rows = [
        (
            json!({"allowed_project_id": open}),
            vec!["warning open-list baseline allowed_project_id: it allows anything: mine"],
        ),
        (
            json!({"allowed_project_id": open, "allowed_service_account": open}),
            vec![
                "warning operator-not-pinned: another operator's project and service account passes: allowed_project_id and allowed_service_account are open",
                "warning open-list baseline allowed_project_id: it allows anything: mine",
                "warning open-list baseline allowed_service_account: it allows anything: mine",
            ],
        ),
        (
            json!({"allowed_dbgstat": open}),
            vec![
                "error debug-image-allowed: a debug image (dbgstat enabled) passes: allowed_dbgstat is open",
                "warning open-list baseline allowed_dbgstat: it allows anything: mine",
            ],
        ),
        (
            json!({"allowed_dbgstat": ["disabled-since-boot", "enabled"]}),
            vec![
                "error debug-image-allowed: allowed_dbgstat holds enabled, which is a debug image: its operator has root",
            ],
        ),
        (
            json!({"allow_cmd_override": true}),
            vec!["error overrides-allowed: an overridden command passes: allow_cmd_override is true"],
        ),
        (json!({"allowed_env_override": ["remote_ip_addr"]}), vec![]),
        (
            json!({"allowed_hwmodel": ["GCP_AMD_SEV", "GCP_SHIELDED_VM"]}),
            vec![
                "warning useless-value baseline allowed_hwmodel: it holds \"GCP_SHIELDED_VM\", with which no token passes",
            ],
        ),
    ];
    for (patch, wanted) in rows {
        assert_eq!(lines(&with_baseline(&patch)), wanted, "{patch}");
    }
}

#[test]
fn a_policy_of_other_key_names_and_sessions_is_tried_too() {
    let rules = r#"
default allow := false
allow if {
	input.hwmodel in data.machines
	input.submods.container.image_digest == data.image
	some account in input.google_service_accounts
	account in data.accounts
	input.session.wire == 1
	input.session.role == "client"
}"#;
    let baseline = json!({"machines": ["GCP_AMD_SEV_ES"], "image": "sha256:0", "accounts": ["a@b.example"]});
    let findings = of_rules(rules, &baseline);
    // A single value is no list: what the digest must be is not known, so nothing passes, and that is said.
    assert!(codes(&findings).contains(&"not-tried"), "{:#?}", lines(&findings));
    assert!(codes(&findings).contains(&"debug-image-allowed"));
    assert!(!codes(&findings).contains(&"image-not-pinned"));

    let rules = rules.replace("== data.image", "in data.images");
    let baseline = json!({
        "machines": ["GCP_AMD_SEV_ES"],
        "images": [format!("sha256:{}", "ab".repeat(32))],
        "accounts": ["a@b.example"],
    });
    let findings = of_rules(&rules, &baseline);
    assert_eq!(
        codes(&findings),
        [
            "debug-image-allowed",
            "overrides-allowed",
            "plain-vm-allowed",
            "secure-boot-not-required",
            "support-not-required",
            "nonce-not-checked",
            "audience-not-checked",
        ]
    );
}

#[test]
fn the_client_policy_with_its_baseline_has_no_finding_by_whichever_way_a_client_is_pinned() {
    let rows = [
        json!({}),
        json!({"allowed_client": [{"image_signature_key_id": "0a".repeat(32)}]}),
        json!({"allowed_client": [
            {"image_signature_key_id": "0a".repeat(32)},
            {"project_id": "p", "service_account": "a@b.example"},
        ]}),
        json!({"allowed_env_override": []}),
    ];
    for patch in rows {
        let baseline = Baseline::parse(policy::CLIENT_BASELINE).unwrap().patched(&patch).unwrap();
        let checked = check(PolicySource::Client, baseline).unwrap();
        assert_eq!(lines(&checked.findings), [""; 0], "{patch}");
        assert!(checked.tried > 15, "{}", checked.tried);
    }
}

#[test]
fn what_is_wrong_with_a_client_policy_or_its_baseline_is_found() {
    let open = json!({"any": true, "reason": "mine"});
    let rows = [
        (
            json!({"allowed_client": open}),
            vec![
                "warning client-not-pinned: another image, signed and run by somebody else, passes: allowed_client is open",
                "warning open-list baseline allowed_client: it allows anything: mine",
            ],
        ),
        (
            json!({"allowed_client": [{"project_id": "p", "service_account": "somebody"}]}),
            vec![
                "error impossible-value baseline allowed_client: google_service_accounts is never \"somebody\"; it is an e-mail address",
            ],
        ),
        (
            json!({"allowed_dbgstat": ["disabled-since-boot", "enabled"]}),
            vec![
                "error debug-image-allowed: allowed_dbgstat holds enabled, which is a debug image: its operator has root",
            ],
        ),
        (
            json!({"allow_cmd_override": true}),
            vec!["error overrides-allowed: an overridden command passes: allow_cmd_override is true"],
        ),
        (
            json!({"allowed_client": []}),
            vec![
                "error empty-list baseline allowed_client: wanted a non-empty list of clients, or {\"any\": true, \"reason\": \"…\"} to allow any on purpose, got an empty list",
                "warning not-tried: no token made up from the baseline is allowed: what else the policy lets through was not tried",
            ],
        ),
    ];
    for (patch, wanted) in rows {
        let baseline = Baseline::parse(policy::CLIENT_BASELINE).unwrap().patched(&patch).unwrap();
        assert_eq!(lines(&check(PolicySource::Client, baseline).unwrap().findings), wanted, "{patch}");
    }

    let without = |old: &str, new: &str| {
        assert!(policy::CLIENT_POLICY.contains(old), "{old}");
        lines(&of_text(policy::CLIENT_POLICY.replace(old, new), policy::CLIENT_BASELINE))
    };
    assert_eq!(
        without("\tclient_verified\n", ""),
        [
            "error client-not-pinned: no rule reads submods.container.image_signatures or submods.gce.project_id or google_service_accounts: anybody's program passes for a client"
        ]
    );
    assert_eq!(
        without("\tdata.allowed_client.any == true\n", ""),
        [
            "error client-not-pinned: another image, signed and run by somebody else, passes, although submods.container.image_signatures or submods.gce.project_id or google_service_accounts is read"
        ]
    );
    // A policy for either role is judged as one for servers.
    let for_servers = without("\trole_verified\n", "");
    assert_eq!(
        for_servers.iter().map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>(),
        ["error image-not-pinned"]
    );
}

#[test]
fn a_policy_that_goes_by_the_key_of_an_images_signature_is_tried() {
    let key_id = "0a".repeat(32);
    let rules = "allow if {\n some signature in input.submods.container.image_signatures\n signature.key_id in data.keys\n}";
    let found = codes(&of_rules(rules, &json!({"keys": [key_id]})));
    assert!(!found.contains(&"not-tried") && !found.contains(&"image-not-pinned"), "{found:?}");
    let got = lines(&of_rules(rules, &json!({"keys": ["x"]})));
    let wanted = "error impossible-value baseline keys: submods.container.image_signatures.key_id is never \"x\"; it is 64 lower-case hexadecimal digits";
    assert!(got.contains(&wanted.to_owned()), "{got:#?}");
    let got =
        lines(&of_rules(&rules.replace("signature.key_id", "signature.keyid"), &json!({"keys": [key_id]})));
    let wanted = "error unknown-claim mine.rego, line 5: no token has input.submods.container.image_signatures.keyid; the nearest is input.submods.container.image_signatures.key_id";
    assert!(got.contains(&wanted.to_owned()), "{got:#?}");
}

#[test]
fn a_policy_that_does_not_compile_is_no_finding_but_an_error() {
    let source = PolicySource::Custom { name: "mine.rego".to_owned(), text: "package x".to_owned() };
    assert!(check(source, Baseline::parse("{}").unwrap()).is_err());
}
