#!/usr/bin/env bash
# Step 1: enables the services that both projects need, and gives the operator the roles for the other steps.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/setup_projects.sh [--dry-run]

Enables services in both projects, and grants MEMBER iam.serviceAccountAdmin and artifactregistry.admin in both,
compute.admin and compute.storageAdmin in USleep's. Whoever runs it must be allowed to do that, as an owner is.
Services stay enabled after cleanup.sh, since others may use them by then; the roles it granted are taken back.

  --dry-run    print the commands, run none
  -h, --help   this text

Reads USLEEP_PROJECT_ID, UWEAR_PROJECT_ID (and the rest of config_env.sh), and MEMBER, such as user:you@example.com.
TEXT
}
while (($#)); do common_flag "$1" && shift; done
load_config
check_member
need_gcloud

# The last two are what the codelab forgets.
services=(
  cloudapis.googleapis.com cloudshell.googleapis.com container.googleapis.com containerregistry.googleapis.com
  confidentialcomputing.googleapis.com compute.googleapis.com artifactregistry.googleapis.com
)
for project in "$USLEEP_PROJECT_ID" "$UWEAR_PROJECT_ID"; do
  step "services of $project (those that are enabled stay so)"
  run gcloud services enable "${services[@]}" "--project=$project"
  for role in roles/iam.serviceAccountAdmin roles/artifactregistry.admin; do
    step "$role for $MEMBER in $project"
    grant operator-role "$project" "$role" "$MEMBER"
  done
done
for role in roles/compute.admin roles/compute.storageAdmin; do
  step "$role for $MEMBER in $USLEEP_PROJECT_ID"
  grant operator-role "$USLEEP_PROJECT_ID" "$role" "$MEMBER"
done
say ''
say 'Both projects are ready. Next: scripts/create_service_accounts.sh'
