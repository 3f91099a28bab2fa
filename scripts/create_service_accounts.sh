#!/usr/bin/env bash
# Step 3: a service account for each workload, with what a workload needs and no more.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/create_service_accounts.sh [--dry-run]

Creates the service accounts of USleep and UWear, each in its own project, and grants
  iam.serviceAccountUser               on the account, to MEMBER: may attach it to a VM
  confidentialcomputing.workloadUser   to the account: may have attestation tokens made
  logging.logWriter                    to the account: its logs outlive the VM

  --dry-run    print the commands, run none
  -h, --help   this text

Reads config_env.sh's variables, and MEMBER, such as user:you@example.com.
TEXT
}
while (($#)); do common_flag "$1" && shift; done
load_config
check_member
need_gcloud

for workload in USLEEP UWEAR; do
  project=$(setting "$workload" PROJECT_ID)
  account=$(account_of "$workload")
  step "service account $account"
  ensure service-account "$project" global "$account" \
    gcloud iam service-accounts create "$(setting "$workload" WORKLOAD_SERVICE_ACCOUNT)" "--project=$project" \
    "--display-name=$workload workload"
  step "roles/iam.serviceAccountUser on it for $MEMBER"
  grant account-role "$project" "roles/iam.serviceAccountUser@@$account" "$MEMBER"
  for role in roles/confidentialcomputing.workloadUser roles/logging.logWriter; do
    step "$role for it"
    grant project-role "$project" "$role" "serviceAccount:$account"
  done
done
say ''
say 'Both accounts are ready. Next: scripts/create_usleep_workload.sh'
