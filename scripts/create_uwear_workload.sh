#!/usr/bin/env bash
# Step 5: UWear's image, with the baseline that says which USleep is acceptable, into UWear's repository, by digest.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"
# shellcheck source=scripts/lib_images.sh
source "$scripts_dir/lib_images.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/create_uwear_workload.sh [--dry-run]

Says what policy/baseline.json, which goes into the image, lacks for this walk-through. Creates the repository,
builds UWear's image (scripts/build_images.sh), pushes it unchanged, compares what arrived, and lets UWear's
service account read it. Prints the digest on stdout and keeps it for run_uwear.sh.

  --dry-run    print the commands, run none
  -h, --help   this text

Reads config_env.sh's variables, and what is part of the image, so that other values give another digest:
  MUTUAL      1: UWear shows USleep a token of its own; build both images with it (0)
  SOURCE_URL  where the source is published, for the image's label (nothing)
TEXT
}
while (($#)); do common_flag "$1" && shift; done
load_config
load_image_config
need_image_tools

baseline=$project_dir/policy/baseline.json
lacks() { # lacks VALUE NEXT: says so if the baseline does not hold the value as a string
  if [[ -f $baseline ]] && grep -qF -- "\"$1\"" "$baseline"; then return; fi
  loudly "policy/baseline.json does not hold $1" "UWear will then refuse this walk-through's USleep." "$2"
}
step "is this walk-through's USleep in the baseline?"
if [[ -n $USLEEP_IMAGE_DIGEST ]]; then
  lacks "$USLEEP_IMAGE_DIGEST" "Audit it (docs/auditing.md), then: scripts/pin_digest.sh $USLEEP_IMAGE_DIGEST"
else
  say '  its digest is not known yet: scripts/create_usleep_workload.sh comes first'
fi
lacks "$USLEEP_PROJECT_ID" 'Put the operator you deal with into allowed_project_id.'
lacks "$(account_of USLEEP)" 'Put the account you deal with into allowed_service_account.'

ensure_repository UWEAR
build_image UWEAR
push_image UWEAR "$built_digest"
let_account_read UWEAR
keep uwear.digest "$built_digest"
mention_exported UWEAR_IMAGE_DIGEST "$built_digest"
say ''
say "UWear's image is $(image_of UWEAR)@$built_digest"
say 'Next: scripts/run_usleep.sh, then scripts/run_uwear.sh'
if [[ $dry_run == no ]]; then printf '%s\n' "$built_digest"; fi
