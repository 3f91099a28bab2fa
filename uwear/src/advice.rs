//! What a failed check or rule means, and what to do about it. The names are the stable codes of reports.

/// Words for one failed check or rule.
pub(crate) struct Advice {
    /// What is wrong, for the one who owns the data.
    pub(crate) meaning: &'static str,
    /// What to do.
    pub(crate) next: &'static str,
}

const SESSION: Advice = Advice {
    meaning: "the token is authentic, but for another TLS session",
    next: "something between you and USleep ends TLS: a proxy, a load balancer in HTTP mode, or an attacker. Use a \
           passthrough (TCP) balancer.",
};

const AUDIENCE: Advice = Advice {
    meaning: "the token was made for somebody else",
    next: "ask the operator to run the workload that asks for your audience, or set --audience to your own name",
};

/// The advice for a check of the verifier or of the session.
pub(crate) fn of_check(name: &str) -> Option<Advice> {
    advice(name).filter(|_| !is_rule(name))
}

/// The advice for a rule of the policies that come with the program; rules of a policy of the owner's own have none,
/// also where one is named like a check.
pub(crate) fn of_rule(name: &str) -> Option<Advice> {
    advice(name).filter(|_| is_rule(name))
}

/// How those rules are named, and no check is.
fn is_rule(name: &str) -> bool {
    name.ends_with("_verified")
}

/// The advice for a name, whichever of the two it is.
pub(crate) fn advice(name: &str) -> Option<Advice> {
    Some(match name {
        "session_nonce" | "nonce_verified" => SESSION,
        "session_audience" | "audience_verified" => AUDIENCE,
        "session_claim_absent" => Advice {
            meaning: "the token has a claim named session, which is ours to set",
            next: "Google's service makes no such claim: do not trust what answered",
        },
        "size" | "shape" | "header" | "claims" => Advice {
            meaning: "what came is no well-formed token",
            next: "check that the address is USleep's",
        },
        "algorithm" | "critical" => Advice {
            meaning: "the token is not signed in the one way that is accepted",
            next: "Google's tokens are signed with RS256: do not trust what answered",
        },
        "x5c" => Advice {
            meaning: "the token does not bring the three certificates of a PKI token",
            next: "the server must ask its launcher for token_type PKI, in capitals",
        },
        "root_pinned" => Advice {
            meaning: "the token was not issued under a root that is trusted",
            next: "against mock-launcher give its root with --root; otherwise do not trust what answered",
        },
        "chain" => Advice {
            meaning: "the token's certificates are not a path to the root that is valid now",
            next: "check this machine's clock; otherwise do not trust what answered",
        },
        "root_validity" => Advice {
            meaning: "the root is not valid now",
            next: "check this machine's clock; a new root is given with --root",
        },
        "leaf_key" => Advice {
            meaning: "the key that signed the token is too weak or of another kind",
            next: "Google's are RSA-2048: do not trust what answered",
        },
        "signature" => Advice {
            meaning: "the token was altered or not signed by its certificate's key",
            next: "do not trust what answered",
        },
        "issuer" => Advice {
            meaning: "the token was issued by another service",
            next: "only Google's attestation service is accepted, not Intel's and not the launcher's own test service",
        },
        "not_before" | "issued_at" => Advice {
            meaning: "the token comes from the future",
            next: "set this machine's clock; if it is right, do not trust what answered",
        },
        "expiry" | "age" => Advice {
            meaning: "the token is too old to have been made for this session",
            next: "check this machine's clock; otherwise somebody replays a recorded token",
        },
        "lifetime" => Advice {
            meaning: "the token lives longer than Google's service lets tokens live",
            next: "do not trust what answered",
        },
        "image_digest_verified" => Advice {
            meaning: "the workload is not one you approved",
            next: "audit the image with the digest found; if it is sound, add the digest to \
                   allowed_submods_container_image_digest of your baseline",
        },
        "hw_verified" => Advice {
            meaning: "the hardware is not one you approved",
            next: "ask the operator for a VM of an allowed kind, or add the one found to allowed_hwmodel",
        },
        "memory_encryption_verified" => Advice {
            meaning: "the hardware does not encrypt its memory",
            next: "ask the operator for a Confidential VM (AMD SEV or Intel TDX)",
        },
        "debug_status_verified" => Advice {
            meaning: "a debug image: its operator has root and can read everything",
            next: "ask the operator to launch the image family confidential-space, not confidential-space-debug",
        },
        "support_attributes_verified" => Advice {
            meaning: "the Confidential Space image is not a supported production image",
            next: "ask the operator to launch a current image of the family confidential-space",
        },
        "secboot_verified" => Advice {
            meaning: "the VM did not boot securely",
            next: "ask the operator to launch with --shielded-secure-boot",
        },
        "sw_name_verified" => Advice {
            meaning: "not a Confidential Space: a plain VM proves no workload",
            next: "ask the operator to launch a Confidential Space image",
        },
        "issuer_verified" => Advice {
            meaning: "the token was issued by a service that your baseline does not allow",
            next: "compare allowed_issuer of your baseline with the one found",
        },
        "project_verified" => Advice {
            meaning: "another operator runs this copy of the image",
            next: "if you know the project, add it to allowed_project_id of your baseline",
        },
        "service_account_verified" => Advice {
            meaning: "the workload runs as an account that you did not approve",
            next: "if you know the account, add it to allowed_service_account of your baseline",
        },
        "env_override_verified" => Advice {
            meaning: "the operator changed the workload's environment",
            next: "if the variables found are harmless, add their names to allowed_env_override of your baseline",
        },
        "cmd_override_verified" => Advice {
            meaning: "the operator changed the workload's command line",
            next: "ask the operator to launch the image as it was audited",
        },
        "freshness_verified" => Advice {
            meaning: "the token was not made just now",
            next: "check this machine's clock; otherwise somebody replays a recorded token",
        },
        _ => return None,
    })
}

/// Whether the failure of this check is said by that rule too, so that one of them is enough.
pub(crate) fn same_matter(check: &str, rule: &str) -> bool {
    matches!((check, rule), ("session_nonce", "nonce_verified") | ("session_audience", "audience_verified"))
}
