#!/usr/bin/env bash
# Step 6, second half: launches UWear's VM by digest; it verifies USleep, releases or refuses, and ends.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"
# shellcheck source=scripts/lib_vm.sh
source "$scripts_dir/lib_vm.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/run_uwear.sh [--replace] [--debug-image] [--dry-run]

Launches the VM uwear with the image UWEAR_IMAGE_DIGEST, or that of the last create_uwear_workload.sh, and tells it
where USleep is: USLEEP_EXTERNAL_IP, or the address that the last run_usleep.sh found. The VM powers off when UWear is
done; run this again to start it again.

  --replace      a VM uwear that is there is deleted first, if these scripts created it
  --debug-image  Google's debug image: root for the operator
  --dry-run      print the commands, run none
  -h, --help     this text

Reads config_env.sh's variables, and CONFIDENTIAL_TYPE, MACHINE_TYPE, UWEAR_NETWORK, UWEAR_SUBNET; see run_usleep.sh --help.
TEXT
}
debug=no replace=no
while (($#)); do
  case $1 in
    --debug-image) debug=yes ;;
    --replace) replace=yes ;;
    *) common_flag "$1" ;;
  esac
  shift
done
load_config
load_vm_config
need_gcloud
digest=$UWEAR_IMAGE_DIGEST
address=$USLEEP_EXTERNAL_IP
if [[ -z $digest ]]; then
  if [[ $dry_run == no ]]; then refuse 'UWEAR_IMAGE_DIGEST is not known' 'scripts/create_uwear_workload.sh comes first'; fi
  digest=sha256:DIGEST_OF_UWEAR
fi
if [[ -z $address ]]; then
  if [[ $dry_run == no ]]; then refuse 'USLEEP_EXTERNAL_IP is not known' 'scripts/run_usleep.sh comes first'; fi
  address=USLEEP_EXTERNAL_IP
fi
if [[ $debug == yes ]]; then debug_image_warning; fi

vm_flags_of UWEAR "$digest" "tee-env-remote_ip_addr=$address"
launch_vm UWEAR "$replace"
say ''
say "UWear comes up in a minute or two and dials $address. What it found: scripts/logs.sh uwear"
