#!/usr/bin/env bash
# Step 4: USleep's image, from this source into USleep's repository, by digest.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"
# shellcheck source=scripts/lib_images.sh
source "$scripts_dir/lib_images.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/create_usleep_workload.sh [--dry-run]

Creates the repository, builds USleep's image (scripts/build_images.sh), pushes it unchanged, compares what
arrived, and lets USleep's service account read it. Prints the digest on stdout and keeps it for run_usleep.sh.

  --dry-run    print the commands, run none
  -h, --help   this text

Reads config_env.sh's variables, and what is part of the image, so that other values give another digest:
  AUDIENCE    whom USleep's tokens are made for (uwear)
  MUTUAL      1: USleep wants a token of UWear's too; build both images with it (0)
  SOURCE_URL  where the source is published, for the image's label (nothing)
TEXT
}
while (($#)); do common_flag "$1" && shift; done
load_config
load_image_config
audience=${AUDIENCE:-uwear}
check AUDIENCE "$audience" '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}$' 'at most 256 characters of A-Z, a-z, 0-9 and . _ : / -'
need_image_tools

ensure_repository USLEEP
build_image USLEEP "$audience"
push_image USLEEP "$built_digest"
let_account_read USLEEP
keep usleep.digest "$built_digest"
mention_exported USLEEP_IMAGE_DIGEST "$built_digest"
say ''
say "USleep's image is $(image_of USLEEP)@$built_digest"
say 'Next, the data owner: audit it (docs/auditing.md), pin it, then scripts/create_uwear_workload.sh:'
say "  scripts/pin_digest.sh $built_digest"
if [[ $dry_run == no ]]; then printf '%s\n' "$built_digest"; fi
