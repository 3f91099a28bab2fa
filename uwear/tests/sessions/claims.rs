//! Authentic tokens of this instant, genuine but for one claim, the nonce or the audience, or made for something else
//! than a Confidential Space.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use serde_json::{Value, json};

/// One token. It verifies; unless it is genuine, exactly the checks and rules that it names fail.
pub struct Row {
    pub group: &'static str,
    /// What is forged; unique.
    pub name: &'static str,
    /// The change of the claims (a JSON merge patch), given the session's nonce.
    pub patch: fn(&str) -> Value,
    /// The checks and rules that fail, exactly; none where it is genuine, to be accepted all the same.
    pub fails: &'static [&'static str],
}

impl Row {
    /// Whether it is odd and to be accepted all the same.
    pub fn is_genuine(&self) -> bool {
        self.fails.is_empty()
    }
}

const fn nonce(name: &'static str, patch: fn(&str) -> Value) -> Row {
    Row { group: "nonce", name, patch, fails: &["session_nonce", "nonce_verified"] }
}

const fn audience(name: &'static str, patch: fn(&str) -> Value) -> Row {
    Row { group: "audience", name, patch, fails: &["session_audience", "audience_verified"] }
}

const fn genuine(row: Row) -> Row {
    Row { fails: &[], ..row }
}

pub const ROWS: &[Row] = &[
    nonce("no nonce", |_| json!({"eat_nonce": null})),
    nonce("an empty nonce", |_| json!({"eat_nonce": ""})),
    nonce("no nonce in an array", |_| json!({"eat_nonce": []})),
    nonce("an empty nonce in an array", |_| json!({"eat_nonce": [""]})),
    nonce("ours and another", |ours| json!({"eat_nonce": [ours, ANOTHER]})),
    nonce("another and ours", |ours| json!({"eat_nonce": [ANOTHER, ours]})),
    nonce("two others", |_| json!({"eat_nonce": [ANOTHER, "YW5vdGhlciBvbmU="]})),
    nonce("another in an array", |_| json!({"eat_nonce": [ANOTHER]})),
    nonce("ours twice", |ours| json!({"eat_nonce": [ours, ours]})),
    nonce("ours and an empty one", |ours| json!({"eat_nonce": [ours, ""]})),
    nonce("another session's", |_| json!({"eat_nonce": ANOTHER})),
    nonce("the first 43 characters of ours", |ours| json!({"eat_nonce": ours[..43]})),
    nonce("the first half of ours", |ours| json!({"eat_nonce": ours[..22]})),
    nonce("ours without its first character", |ours| json!({"eat_nonce": ours[1..]})),
    nonce("ours twice in one string", |ours| json!({"eat_nonce": format!("{ours}{ours}")})),
    nonce("ours before a space", |ours| json!({"eat_nonce": format!("{ours} ")})),
    nonce("ours behind a space", |ours| json!({"eat_nonce": format!(" {ours}")})),
    nonce("ours before a line break", |ours| json!({"eat_nonce": format!("{ours}\n")})),
    nonce("ours before a NUL", |ours| json!({"eat_nonce": format!("{ours}\0")})),
    nonce("ours and another with a comma between", |ours| json!({"eat_nonce": format!("{ours},{ANOTHER}")})),
    nonce("ours in quotes", |ours| json!({"eat_nonce": format!("\"{ours}\"")})),
    // One nonce in four reads the same in both alphabets, and then has one letter changed.
    nonce(
        "ours in the URL's alphabet",
        |ours| json!({"eat_nonce": other_than(ours, URL_SAFE.encode(hash(ours)))}),
    ),
    nonce("ours without padding", |ours| json!({"eat_nonce": STANDARD_NO_PAD.encode(hash(ours))})),
    nonce("ours with bits set that decode to nothing", |ours| json!({"eat_nonce": with_unused_bits(ours)})),
    nonce("ours in lower case", |ours| json!({"eat_nonce": ours.to_lowercase()})),
    nonce("ours in upper case", |ours| json!({"eat_nonce": ours.to_uppercase()})),
    nonce("the same hash in hexadecimal", |ours| json!({"eat_nonce": hex::encode(hash(ours))})),
    nonce(
        "the base64 of the hexadecimal",
        |ours| json!({"eat_nonce": STANDARD.encode(hex::encode(hash(ours)))}),
    ),
    nonce(
        "ours hashed once more",
        |ours| json!({"eat_nonce": STANDARD.encode(digest(&SHA256, &hash(ours)))}),
    ),
    nonce("ours encoded once more", |ours| json!({"eat_nonce": STANDARD.encode(ours)})),
    nonce("ours under another name", |ours| json!({"eat_nonce": null, "nonce": ours})),
    nonce("ours in EAT_NONCE", |ours| json!({"eat_nonce": null, "EAT_NONCE": ours})),
    genuine(nonce("ours in an array of one", |ours| json!({"eat_nonce": [ours]}))),
    audience("another audience", |_| json!({"aud": "anotherCompany.com"})),
    audience("the service's default audience", |_| json!({"aud": "https://sts.googleapis.com"})),
    audience("the audience of the other role", |_| json!({"aud": "usleep"})),
    audience("an empty audience", |_| json!({"aud": ""})),
    audience("the beginning of ours for audience", |_| json!({"aud": "uwea"})),
    audience("ours and more for audience", |_| json!({"aud": "uwear.attacker.invalid"})),
    audience("ours before a space for audience", |_| json!({"aud": "uwear "})),
    audience("ours before a line break for audience", |_| json!({"aud": "uwear\n"})),
    audience("ours before a NUL for audience", |_| json!({"aud": "uwear\0"})),
    audience("ours in capitals for audience", |_| json!({"aud": "UWEAR"})),
    audience("ours with one capital for audience", |_| json!({"aud": "Uwear"})),
    audience("a Cyrillic letter in ours for audience", |_| json!({"aud": "uwe\u{430}r"})),
    audience("ours as a URL for audience", |_| json!({"aud": "https://uwear"})),
    audience("ours and another audience", |_| json!({"aud": ["uwear", "anotherCompany.com"]})),
    audience("another audience and ours", |_| json!({"aud": ["anotherCompany.com", "uwear"]})),
    audience("ours twice for audience", |_| json!({"aud": ["uwear", "uwear"]})),
    audience("another audience in an array", |_| json!({"aud": ["anotherCompany.com"]})),
    genuine(audience("our audience in an array of one", |_| json!({"aud": ["uwear"]}))),
    // The same service signs them under the same root, for the same audience and this very session.
    Row {
        group: "claims",
        name: "a Confidential VM's token for this session",
        patch: |_| {
            json!({
                "swname": "GCE",
                "swversion": null,
                "secboot": false,
                "eat_profile":
                    "https://cloud.google.com/confidential-computing/confidential-vm/docs/token-claims",
                "submods": {"container": null, "confidential_space": null},
            })
        },
        fails: &[
            "image_digest_verified",
            "secboot_verified",
            "sw_name_verified",
            "support_attributes_verified",
            "env_override_verified",
            "cmd_override_verified",
        ],
    },
    // Its claims are not documented: as far as they are known.
    Row {
        group: "claims",
        name: "a Confidential GKE node's token for this session",
        patch: |_| {
            json!({
                "swname": "GKE",
                "swversion": null,
                "eat_profile": null,
                "submods": {
                    "container": null,
                    "confidential_space": null,
                    "gke": {"cluster_name": "usleep", "node_pool": "default-pool"},
                },
            })
        },
        fails: &[
            "image_digest_verified",
            "sw_name_verified",
            "support_attributes_verified",
            "env_override_verified",
            "cmd_override_verified",
        ],
    },
    Row {
        group: "claims",
        name: "a claim with the name of our own facts, and our values",
        patch: |ours| json!({"session": {"nonce": ours, "audience": "uwear", "role": "server", "wire": 0}}),
        fails: &["session_claim_absent"],
    },
];

/// A nonce of no session: base64 of 32 bytes like any.
const ANOTHER: &str = "fiQuFll+1NL8Fri2nnjwIG1qTV7mnmy9aOWfM3A43s0=";

/// What a nonce is the base64 of.
fn hash(nonce: &str) -> Vec<u8> {
    STANDARD.decode(nonce).unwrap()
}

fn other_than(ours: &str, other: String) -> String {
    if other == ours { format!("_{}", &other[1..]) } else { other }
}

/// The last character before the padding has two bits that decode to nothing.
fn with_unused_bits(nonce: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (head, last) = nonce.trim_end_matches('=').split_at(42);
    let value = ALPHABET.find(last).unwrap();
    format!("{head}{}=", &ALPHABET[value + 1..value + 2])
}
