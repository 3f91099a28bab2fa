# May this client's health data be read?
#
# The policy by which USleep judges UWear in mutual mode, before it reads a byte of the data. It is the mirror of the
# default policy: it denies unless every rule below holds, and a rule holds only if the claims that it reads are there
# and of the right type: absence never passes, except the two overrides, whose absence means that nothing was
# overridden. Each rule is shown to the operator by name.
#
# Two images cannot hold each other's digests, so UWear is not known by its own: it is known by the key that signed its
# image, or by the project and the service account that it runs as.
#
# Input: the claims of a token that has already been verified (chain, signature, issuer, times), with the
# session's facts added by the relying party:
#
#   {
#     "iss": "https://confidentialcomputing.googleapis.com", "aud": "usleep", "eat_nonce": "fiQu...43s=",
#     "iat": 1757060250, "hwmodel": "GCP_INTEL_TDX", "secboot": true, "swname": "CONFIDENTIAL_SPACE",
#     "dbgstat": "disabled-since-boot", "google_service_accounts": ["workload-sa@..."],
#     "submods": {
#       "confidential_space": {"support_attributes": ["LATEST", "STABLE", "USABLE"]},
#       "container": {
#         "image_signatures": [{"key_id": "...", "signature": "...", "signature_algorithm": "ECDSA_P256_SHA256"}],
#         "env_override": {"remote_ip_addr": "203.0.113.9"}, "cmd_override": []
#       },
#       "gce": {"project_id": "..."}
#     },
#     "session": {"nonce": "fiQu...43s=", "wire": 1, "role": "client", "now": 1757060260}
#   }
#
# Data: client_baseline.json, the values that the operator of USleep has approved. Each of its lists is non-empty, or
# is replaced by {"any": true, "reason": "..."}, which waives it in the open: every report shows it.
#
# Claims: https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims

package confidential_space

import rego.v1

default allow := false

allow if {
	hw_verified
	client_verified
	role_verified
	audience_verified
	nonce_verified
	issuer_verified
	secboot_verified
	sw_name_verified
	debug_status_verified
	support_attributes_verified
	memory_encryption_verified
	env_override_verified
	cmd_override_verified
	freshness_verified
}

# The hardware is of a model that the operator approved.
default hw_verified := false

hw_verified if input.hwmodel in data.allowed_hwmodel

hw_verified if {
	data.allowed_hwmodel.any == true
	is_string(input.hwmodel)
}

# The client is one that the operator knows: its image is signed with an approved key, or it runs in an approved
# project as that project's approved service account. Approving a key approves whatever it signs, a project and an
# account whatever they run.
default client_verified := false

client_verified if {
	some client in data.allowed_client
	signed_with_key_of(client)
}

client_verified if {
	some client in data.allowed_client
	runs_as(client)
}

client_verified if {
	data.allowed_client.any == true
	is_string(input.submods.gce.project_id)
}

# Listed are only signatures that the attestation service has verified over this image's digest.
signed_with_key_of(client) if {
	is_array(input.submods.container.image_signatures)
	some signature in input.submods.container.image_signatures
	signature.key_id == client.image_signature_key_id
}

runs_as(client) if {
	input.submods.gce.project_id == client.project_id
	is_array(input.google_service_accounts)
	client.service_account in input.google_service_accounts
}

# It is the end that opened the connection which proves itself. The nonce is bound to the role too, so that a server's
# token that is sent back to it proves no client.
default role_verified := false

role_verified if input.session.role == "client"

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

# It is no debug image: on one of those whoever started it is root, and the program is what root makes of it.
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

# No environment variable of the client's image has been overridden, except those that are allowed by name: with the
# right one the same image does something else. UWear is told by remote_ip_addr where USleep is.
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

# The command of the client's image has not been replaced, unless that is allowed.
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
