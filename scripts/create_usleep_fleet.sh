#!/usr/bin/env bash
# Many USleeps behind one address: a managed instance group with autoscaling behind a passthrough load balancer.
# TLS must end inside the enclave, so the balancer passes TCP through and decrypts nothing; a session lives on
# one VM and shares no state, so any VM can take the next one.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"
# shellcheck source=scripts/lib_vm.sh
source "$scripts_dir/lib_vm.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/create_usleep_fleet.sh [--dry-run]

Creates, in USLEEP_PROJECT_REGION: an instance template for USLEEP_IMAGE_DIGEST, a health check, a managed instance
group of such VMs with autoscaling and repair, and an external passthrough network load balancer for TCP 8081. Prints
its address on stdout and keeps it for run_uwear.sh.

Run again with another digest it makes another template and rolls the group over to it, new VMs first, so that
capacity never falls. Data owners must have pinned the new digest before that, and drop the old one after it.

  --dry-run    print the commands, run none
  -h, --help   this text

Reads the variables of run_usleep.sh, and
  FLEET_MIN, FLEET_MAX   VMs, at least and at most (2, 10)
  FLEET_CPU              percent of CPU that autoscaling aims at (60)
  FLEET_ZONES            zones of the region, separated by commas; Google's choice of three unless set. TDX is not in
                         every zone
TEXT
}
while (($#)); do common_flag "$1" && shift; done
load_config
load_vm_config
minimum=${FLEET_MIN:-2} maximum=${FLEET_MAX:-10} cpu=${FLEET_CPU:-60} zones=${FLEET_ZONES:-}
check_number FLEET_MIN "$minimum" 1 1000
check_number FLEET_MAX "$maximum" 1 1000
check_number FLEET_CPU "$cpu" 10 95
if ((minimum > maximum)); then refuse "FLEET_MIN: wanted at most FLEET_MAX, $maximum, got $minimum"; fi
project=$USLEEP_PROJECT_ID region=$USLEEP_PROJECT_REGION
surge=3
zone_flags=()
if [[ -n $zones ]]; then
  check FLEET_ZONES "$zones" "^$region-[a-z](,$region-[a-z])*\$" "zones of $region, separated by commas"
  zone_flags=("--zones=$zones")
  commas=${zones//[^,]/}
  surge=$((${#commas} + 1))
fi
need_gcloud
digest=$USLEEP_IMAGE_DIGEST
if [[ -z $digest ]]; then
  if [[ $dry_run == no ]]; then refuse 'USLEEP_IMAGE_DIGEST is not known' 'scripts/create_usleep_workload.sh comes first'; fi
  digest=sha256:0000000000000000000000000000000000000000000000000000000000000000
  say "USLEEP_IMAGE_DIGEST is not known yet: zeros stand for it"
fi

# A template cannot be changed, only replaced: its name says which image and which flags it is for.
vm_flags_of USLEEP "$digest"
if [[ -n $(setting USLEEP SUBNET) ]]; then vm_flags+=("--region=$region"); fi
launch=$(fingerprint_of "${vm_flags[@]}")
hex=${digest#sha256:}
template=usleep-${confidential_type,,}-${hex:0:12}-${launch:0:8}
step "instance template $template for $digest"
ensure instance-template "$project" global "$template" \
  gcloud compute instance-templates create "$template" "--project=$project" "${vm_flags[@]}"

# A TCP connection shows that USleep listens; more would cost an attestation each time. Two checks, as Google advises:
# the balancer's (regional) takes a VM out quickly, the group's (global) is slower to replace one.
step 'health check usleep-fleet: TCP 8081, for the balancer'
ensure health-check "$project" "$region" usleep-fleet \
  gcloud compute health-checks create tcp usleep-fleet "--project=$project" "--region=$region" --port=8081 \
  --check-interval=10s --timeout=5s --healthy-threshold=1 --unhealthy-threshold=2
step 'health check usleep-repair: TCP 8081, for the group'
ensure health-check "$project" global usleep-repair \
  gcloud compute health-checks create tcp usleep-repair "--project=$project" --global --port=8081 \
  --check-interval=30s --timeout=10s --healthy-threshold=1 --unhealthy-threshold=4

open_port
# Google's documented ranges of health check probes: of passthrough load balancers, and of instance groups.
step 'firewall rule usleep-fleet-health: the health checks of Google'
ensure firewall-rule "$project" global usleep-fleet-health \
  gcloud compute firewall-rules create usleep-fleet-health "--project=$project" "--network=$USLEEP_NETWORK" \
  --direction=INGRESS --action=ALLOW --rules=tcp:8081 \
  --source-ranges=35.191.0.0/16,130.211.0.0/22,209.85.152.0/22,209.85.204.0/22 --target-tags=usleep

step "instance group usleep-fleet in $region"
group=(instance-group "$project" "$region" usleep-fleet)
if is_there "${group[@]}"; then
  if ! is_recorded "${group[@]}"; then
    fail 'an instance group usleep-fleet is there that these scripts did not create' 'delete or rename it: it will not be changed'
  fi
  say '  already there'
  step "roll it over to $template, new VMs first (nothing happens where that runs already)"
  run gcloud compute instance-groups managed rolling-action start-update usleep-fleet "--project=$project" \
    "--region=$region" "--version=template=$template" --type=proactive "--max-surge=$surge" --max-unavailable=0
else
  if [[ $dry_run == yes ]]; then say 'only if that did not show it:'; fi
  record "${group[@]}"
  run gcloud compute instance-groups managed create usleep-fleet "--project=$project" "--region=$region" \
    "${zone_flags[@]}" --base-instance-name=usleep "--template=$template" "--size=$minimum" \
    --health-check=usleep-repair --initial-delay=180
  did 'created'
fi

step "autoscaling: $minimum to $maximum VMs, $cpu % of CPU"
run gcloud compute instance-groups managed set-autoscaling usleep-fleet "--project=$project" "--region=$region" \
  "--min-num-replicas=$minimum" "--max-num-replicas=$maximum" "--target-cpu-utilization=0.$cpu" --cool-down-period=120

step 'backend service usleep-fleet: TCP, passed through'
ensure backend-service "$project" "$region" usleep-fleet \
  gcloud compute backend-services create usleep-fleet "--project=$project" "--region=$region" \
  --load-balancing-scheme=EXTERNAL --protocol=TCP --health-checks=usleep-fleet "--health-checks-region=$region" \
  --connection-draining-timeout=60
backends=''
ask backends gcloud compute backend-services describe usleep-fleet "--project=$project" "--region=$region" \
  '--format=value(backends[].group)'
if [[ $backends == *"/instanceGroups/usleep-fleet"* ]]; then
  say '  the group is its backend already'
else
  if [[ $dry_run == yes ]]; then say 'only if that did not show the group:'; fi
  run gcloud compute backend-services add-backend usleep-fleet "--project=$project" "--region=$region" \
    --instance-group=usleep-fleet "--instance-group-region=$region" --balancing-mode=CONNECTION
fi

step 'address usleep-fleet'
ensure address "$project" "$region" usleep-fleet \
  gcloud compute addresses create usleep-fleet "--project=$project" "--region=$region"
step 'forwarding rule usleep-fleet: TCP 8081 of that address'
ensure forwarding-rule "$project" "$region" usleep-fleet \
  gcloud compute forwarding-rules create usleep-fleet "--project=$project" "--region=$region" \
  --load-balancing-scheme=EXTERNAL --address=usleep-fleet --ip-protocol=TCP --ports=8081 --backend-service=usleep-fleet

step 'its address'
address=''
ask address gcloud compute addresses describe usleep-fleet "--project=$project" "--region=$region" '--format=value(address)'
if [[ $dry_run == yes ]]; then exit 0; fi
check_ip 'the address of the fleet' "$address"
keep usleep.ip "$address"
mention_exported USLEEP_EXTERNAL_IP "$address"
say "The fleet comes up in some minutes: gcloud compute backend-services get-health usleep-fleet --project=$project --region=$region"
printf '%s\n' "$address"
