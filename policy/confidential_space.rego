# When may health data be released to a Confidential Space workload?
#
# The default policy. It denies unless every rule below holds, and a rule holds only if the claims that it
# reads are there and of the right type: absence never passes, except the two overrides, whose absence means
# that nothing was overridden. Each rule is shown to the data owner by name.
#
# Input: the claims of a token that has already been verified (chain, signature, issuer, times), with the
# session's facts added by the relying party:
#
#   {
#     "iss": "https://confidentialcomputing.googleapis.com", "aud": "uwear", "eat_nonce": "fiQu...43s=",
#     "iat": 1757060250, "hwmodel": "GCP_INTEL_TDX", "secboot": true, "swname": "CONFIDENTIAL_SPACE",
#     "dbgstat": "disabled-since-boot", "google_service_accounts": ["workload-sa@..."],
#     "submods": {
#       "confidential_space": {"support_attributes": ["LATEST", "STABLE", "USABLE"]},
#       "container": {"image_digest": "sha256:...", "env_override": {}, "cmd_override": []},
#       "gce": {"project_id": "..."}
#     },
#     "session": {"nonce": "fiQu...43s=", "wire": 0, "role": "server", "now": 1757060260}
#   }
#
# Data: baseline.json, the values that the data owner has approved. Each of its lists is non-empty, or is
# replaced by {"any": true, "reason": "..."}, which waives it in the open: every report shows it.
#
# Claims: https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims

package confidential_space

import rego.v1

default allow := false

allow if {
	hw_verified
	image_digest_verified
	audience_verified
	nonce_verified
	issuer_verified
	secboot_verified
	sw_name_verified
	debug_status_verified
	support_attributes_verified
	memory_encryption_verified
	project_verified
	service_account_verified
	env_override_verified
	cmd_override_verified
	freshness_verified
}

# The hardware is of a model that the owner approved.
default hw_verified := false

hw_verified if input.hwmodel in data.allowed_hwmodel

hw_verified if {
	data.allowed_hwmodel.any == true
	is_string(input.hwmodel)
}

# The workload is an image that the owner audited: its digest says what code runs.
default image_digest_verified := false

image_digest_verified if input.submods.container.image_digest in data.allowed_submods_container_image_digest

image_digest_verified if {
	data.allowed_submods_container_image_digest.any == true
	is_string(input.submods.container.image_digest)
}

# The token was made for this relying party and not for somebody else.
default audience_verified := false

audience_verified if input.aud in data.allowed_aud

audience_verified if {
	data.allowed_aud.any == true
	is_string(input.aud)
}

# The token was made for this very TLS session.
default nonce_verified := false

nonce_verified if input.eat_nonce == input.session.nonce

# The token comes from the attestation service.
default issuer_verified := false

issuer_verified if input.iss in data.allowed_issuer

issuer_verified if {
	data.allowed_issuer.any == true
	is_string(input.iss)
}

# The VM booted with Secure Boot.
default secboot_verified := false

secboot_verified if input.secboot in data.allowed_secboot

secboot_verified if {
	data.allowed_secboot.any == true
	is_boolean(input.secboot)
}

# The VM runs Confidential Space: a plain Confidential VM has tokens of the same issuer and keys.
default sw_name_verified := false

sw_name_verified if input.swname in data.allowed_sw_name

sw_name_verified if {
	data.allowed_sw_name.any == true
	is_string(input.swname)
}

# It is no debug image: on one of those the operator is root and reads everything.
default debug_status_verified := false

debug_status_verified if input.dbgstat in data.allowed_dbgstat

debug_status_verified if {
	data.allowed_dbgstat.any == true
	is_string(input.dbgstat)
}

# The Confidential Space image is one that Google still supports, and not an experiment. Debug images
# have no support attributes at all.
default support_attributes_verified := false

support_attributes_verified if {
	supported(input.submods.confidential_space.support_attributes)
	not "EXPERIMENTAL" in input.submods.confidential_space.support_attributes
}

supported(attributes) if {
	is_array(attributes)
	every attribute in data.required_support_attributes {
		attribute in attributes
	}
}

supported(attributes) if {
	data.required_support_attributes.any == true
	is_array(attributes)
}

# The hardware encrypts the VM's memory, whatever the baseline lists: GCP_SHIELDED_VM does not.
default memory_encryption_verified := false

memory_encryption_verified if {
	input.hwmodel in {"GCP_AMD_SEV", "GCP_AMD_SEV_ES", "GCP_AMD_SEV_SNP", "GCP_INTEL_TDX"}
}

# The VM belongs to the operator that the owner has agreed with. Somebody else's copy of the same image
# is genuine too; only this rule and the next tell them apart.
default project_verified := false

project_verified if input.submods.gce.project_id in data.allowed_project_id

project_verified if {
	data.allowed_project_id.any == true
	is_string(input.submods.gce.project_id)
}

# The workload acts as at least one service account that the owner has agreed with.
default service_account_verified := false

service_account_verified if {
	is_array(input.google_service_accounts)
	some account in input.google_service_accounts
	account in data.allowed_service_account
}

service_account_verified if {
	data.allowed_service_account.any == true
	is_array(input.google_service_accounts)
	some account in input.google_service_accounts
	is_string(account)
}

# The operator has overridden no environment variable of the image, except those the owner allows by name:
# with the right one the same digest does something else.
default env_override_verified := false

env_override_verified if object.get(input.submods.container, "env_override", null) == null

env_override_verified if {
	is_object(input.submods.container.env_override)
	every name, _ in input.submods.container.env_override {
		name in data.allowed_env_override
	}
}

env_override_verified if {
	data.allowed_env_override.any == true
	is_object(input.submods.container.env_override)
}

# The operator has not replaced the image's command, unless the owner allows that.
default cmd_override_verified := false

cmd_override_verified if object.get(input.submods.container, "cmd_override", null) in [null, []]

cmd_override_verified if {
	data.allow_cmd_override == true
	is_array(input.submods.container.cmd_override)
}

# The token was made for this moment: at most 300 seconds old, with 60 seconds of clock difference either way.
default freshness_verified := false

freshness_verified if {
	input.iat % 1 == 0
	input.iat <= input.session.now + 60
	input.session.now - input.iat <= 300 + 60
}
