#!/usr/bin/env bash
# Step 7: a USleep that nobody approved. The source is the same, its audience is not: another image, another digest.
# UWear must refuse it for both reasons, and send nothing.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"
# shellcheck source=scripts/lib_images.sh
source "$scripts_dir/lib_images.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/run_unauthorized_usleep.sh [--dry-run]

Builds USleep with AUDIENCE=anotherCompany.com, pushes it under a tag of its own, and replaces both VMs: usleep with
that image, uwear as it was, so that it dials again. The approved image, its digest and its archive stay as they are;
scripts/run_usleep.sh --replace brings it back.

  --dry-run    print the commands, run none
  -h, --help   this text

Reads the variables of run_usleep.sh and run_uwear.sh.
TEXT
}
while (($#)); do common_flag "$1" && shift; done
load_config
load_image_config
need_image_tools
approved=$USLEEP_IMAGE_DIGEST
if [[ $dry_run == no && -z $approved ]]; then
  refuse 'USLEEP_IMAGE_DIGEST is not known' 'run the approved one first: scripts/create_usleep_workload.sh'
fi
forwarded=()
if [[ $dry_run == yes ]]; then forwarded=(--dry-run); fi

# Built into a folder of its own: target/images is what pin_digest.sh and audit_image.sh read.
images_dir=$images_dir/unauthorized
build_image USLEEP anotherCompany.com
if [[ $dry_run == no && $built_digest == "$approved" ]]; then
  fail 'the image for another audience has the approved digest: the audience did not reach the build' \
    'see scripts/build_images.sh'
fi
USLEEP_WORKLOAD_IMAGE_TAG=unauthorized push_image USLEEP "$built_digest"

step 'relaunch USleep with it'
if [[ $dry_run == yes ]]; then
  USLEEP_IMAGE_DIGEST='' bash "$scripts_dir/run_usleep.sh" --replace "${forwarded[@]}"
else
  USLEEP_IMAGE_DIGEST=$built_digest bash "$scripts_dir/run_usleep.sh" --replace >/dev/null ||
    fail 'USleep was not relaunched' 'put right what is said above and run the same command again'
fi
step 'relaunch UWear, which dials it'
# The address is read anew: run_usleep.sh has just kept it.
env --unset=USLEEP_EXTERNAL_IP bash "$scripts_dir/run_uwear.sh" --replace "${forwarded[@]}" ||
  fail 'UWear was not relaunched' 'put right what is said above and run the same command again'

say ''
say 'In two or three minutes scripts/logs.sh uwear must show, among others:'
say '  [ audience_verified ]: false'
say '  [ image_digest_verified ]: false'
say '  [ allow ]: false'
say '  Policy check FAILED'
say 'and scripts/logs.sh usleep a session whose client refused. Nothing was sent.'
say 'Back to the approved one: scripts/run_usleep.sh --replace, then scripts/run_uwear.sh --replace'
