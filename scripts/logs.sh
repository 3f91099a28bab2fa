#!/usr/bin/env bash
# What a workload said: from the VM's serial port, or from Cloud Logging, where it outlives the VM.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/logs.sh usleep|uwear [--cloud] [--since DURATION] [--limit N] [--dry-run]

Prints the serial port of the workload's VM: the launcher's lines and the workload's.

  --cloud            from Cloud Logging instead; works when the VM is gone, a minute behind
  --since DURATION   with --cloud: how far back, such as 30m, 6h or 2d (1d)
  --limit N          with --cloud: at most so many entries, the oldest first (1000)
  --dry-run          print the command, run none
  -h, --help         this text

Reads config_env.sh's variables.
TEXT
}
workload='' cloud=no since=1d limit=1000
while (($#)); do
  case $1 in
    usleep | uwear) workload=${1^^} ;;
    --cloud) cloud=yes ;;
    --since)
      since=$(value_of "$@")
      shift
      ;;
    --limit)
      limit=$(value_of "$@")
      shift
      ;;
    *) common_flag "$1" ;;
  esac
  shift
done
if [[ -z $workload ]]; then refuse 'whose log: usleep or uwear?' 'see logs.sh --help'; fi
check --since "$since" '^[1-9][0-9]{0,4}[smhdw]$' 'a duration such as 30m, 6h or 2d'
check_number --limit "$limit" 1 100000
load_config
need_gcloud

project=$(setting "$workload" PROJECT_ID)
if [[ $cloud == yes ]]; then
  # The launcher writes under this log name, its own lines and the workload's.
  command=(
    gcloud logging read "logName=\"projects/$project/logs/confidential-space-launcher\"" "--project=$project"
    "--freshness=$since" --order=asc "--limit=$limit"
    '--format=value(timestamp,textPayload,jsonPayload.MESSAGE,jsonPayload.message)'
  )
else
  command=(
    gcloud compute instances get-serial-port-output "${workload,,}" "--project=$project"
    "--zone=$(setting "$workload" PROJECT_ZONE)" --port=1
  )
fi
current_step="read the log of ${workload,,}"
show "$(quoted "${command[@]}")"
if [[ $dry_run == yes ]]; then exit 0; fi
# A workload is somebody else's program: what could move the cursor, set colours or reorder text is taken out, C1
# controls and bidirectional characters in UTF-8 included.
"${command[@]}" | LC_ALL=C tr -d '\000-\010\013-\037\177' |
  LC_ALL=C sed -E 's/\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]//g' ||
  fail "the log of ${workload,,} cannot be read" 'is the VM there (the serial port goes with it)? Then try --cloud'
