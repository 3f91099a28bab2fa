#!/usr/bin/env bash
# Step 6, first half: launches USleep's VM by digest, reachable on port 8081, and tells its address.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"
# shellcheck source=scripts/lib_vm.sh
source "$scripts_dir/lib_vm.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/run_usleep.sh [--replace] [--debug-image] [--dry-run]

Opens port 8081 and launches the VM usleep with the image USLEEP_IMAGE_DIGEST, or that of the last
create_usleep_workload.sh. Prints its external address on stdout and keeps it for run_uwear.sh. A VM that runs the
same already is used; one that has ended is started again.

  --replace      a VM usleep that is there is deleted first, if these scripts created it
  --debug-image  Google's debug image: root for the operator; the default policy refuses its tokens
  --dry-run      print the commands, run none
  -h, --help     this text

Reads config_env.sh's variables, and
  CONFIDENTIAL_TYPE     SEV (n2d-standard-2) or TDX (c3-standard-4); SEV unless set
  MACHINE_TYPE          another machine type of that technology
  USLEEP_SOURCE_RANGES  who may connect, such as 203.0.113.0/24; everybody unless set
  USLEEP_NETWORK, USLEEP_SUBNET  the VPC network (default) and subnet
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
digest=$USLEEP_IMAGE_DIGEST
if [[ -z $digest ]]; then
  if [[ $dry_run == no ]]; then refuse 'USLEEP_IMAGE_DIGEST is not known' 'scripts/create_usleep_workload.sh comes first'; fi
  digest=sha256:DIGEST_OF_USLEEP
fi
if [[ $debug == yes ]]; then debug_image_warning; fi

open_port
vm_flags_of USLEEP "$digest"
launch_vm USLEEP "$replace"

step 'its external address'
address=''
ask address gcloud compute instances describe usleep "--project=$USLEEP_PROJECT_ID" "--zone=$USLEEP_PROJECT_ZONE" \
  '--format=value(networkInterfaces[0].accessConfigs[0].natIP)'
if [[ $dry_run == yes ]]; then exit 0; fi
if [[ -z $address ]]; then
  fail 'the VM has no external address (yet)' 'run the same command again in a minute; an organisation policy may forbid external addresses'
fi
check_ip 'the address of the VM' "$address"
keep usleep.ip "$address"
mention_exported USLEEP_EXTERNAL_IP "$address"
say "USleep comes up in a minute or two. Its log: scripts/logs.sh usleep. Next: scripts/run_uwear.sh"
printf '%s\n' "$address"
