# shellcheck shell=bash disable=SC2154 # lib.sh, which comes first, sets project_dir, dry_run and the like
# A Confidential Space VM: what it is made of, and launching it again and again without surprises.

# The technology decides machine type and maintenance policy. N2D machines with SEV can migrate live; TDX runs on C3,
# which cannot, so that the VM ends when its host is maintained. Google, "Deploy workloads" of Confidential Space.
load_vm_config() {
  confidential_type=${CONFIDENTIAL_TYPE:-SEV}
  case $confidential_type in
    SEV) machine_type=n2d-standard-2 maintenance_policy=MIGRATE ;;
    TDX) machine_type=c3-standard-4 maintenance_policy=TERMINATE ;;
    *) refuse "CONFIDENTIAL_TYPE: wanted SEV or TDX, got $(escaped "$confidential_type")" ;;
  esac
  machine_type=${MACHINE_TYPE:-$machine_type}
  check MACHINE_TYPE "$machine_type" '^[a-z][a-z0-9-]{2,62}$' 'a machine type such as n2d-standard-2'
  image_family=confidential-space
}

debug_image_warning() {
  image_family=confidential-space-debug
  loudly 'DEBUG IMAGE: whoever operates this VM is root in it and can read everything.' \
    'Its tokens say so (dbgstat is "enabled", no support_attributes), and the default policy' \
    'REFUSES them: UWear will release nothing. Never put real health data near such a VM.'
}

# vm_flags_of WORKLOAD DIGEST [KEY=VALUE...]: sets vm_flags, what an instance and an instance template have in common.
# Metadata is separated by ~ (gcloud topic escaping): no value here can hold one, `check` saw to that.
vm_flags_of() {
  local metadata pair
  metadata="tee-image-reference=$(image_of "$1")@$2~tee-restart-policy=Never~tee-container-log-redirect=true"
  for pair in "${@:3}"; do metadata+="~$pair"; done
  vm_flags=(
    "--confidential-compute-type=$confidential_type" "--machine-type=$machine_type" --shielded-secure-boot
    "--maintenance-policy=$maintenance_policy" --scopes=cloud-platform
    --image-project=confidential-space-images "--image-family=$image_family"
    "--service-account=$(account_of "$1")" "--network=$(setting "$1" NETWORK)"
  )
  if [[ -n $(setting "$1" SUBNET) ]]; then vm_flags+=("--subnet=$(setting "$1" SUBNET)"); fi
  vm_flags+=("--tags=${1,,}" "--metadata=^~^$metadata")
}

# fingerprint_of WORD...: 40 hexadecimal digits for what a VM was launched with; fits a label (63 characters).
fingerprint_of() {
  local sum
  sum=$(printf '%s\n' "$@" | sha256sum)
  printf '%s' "${sum:0:40}"
}

# launch_vm WORKLOAD REPLACE: the VM called usleep or uwear, with vm_flags. One that was launched with the same flags
# is used, and started if it has ended; another one stands in the way. With REPLACE yes whichever is there is deleted
# and launched anew, if these scripts created it.
launch_vm() {
  local name=${1,,} project zone launch described status
  project=$(setting "$1" PROJECT_ID)
  zone=$(setting "$1" PROJECT_ZONE)
  launch=$(fingerprint_of "${vm_flags[@]}")
  local resource=(instance "$project" "$zone" "$name")
  local create=(
    gcloud compute instances create "$name" "--project=$project" "--zone=$zone" "${vm_flags[@]}"
    "--labels=launch=$launch"
  )

  step "VM $name in $project, $zone"
  if ! is_there "${resource[@]}"; then
    if [[ $dry_run == yes ]]; then say 'only if that did not show it:'; fi
    record "${resource[@]}"
    run "${create[@]}"
    did 'created'
    return
  fi
  if [[ $2 == yes ]]; then
    if ! is_recorded "${resource[@]}"; then
      fail "a VM $name is there that these scripts did not create: they will not delete it" \
        "gcloud compute instances delete $name --project=$project --zone=$zone, if it is yours"
    fi
    step "replace VM $name"
    run gcloud compute instances delete "$name" "--project=$project" "--zone=$zone" --quiet
    run "${create[@]}"
    did 'created'
    return
  fi
  ask described gcloud compute instances describe "$name" "--project=$project" "--zone=$zone" \
    '--format=csv[no-heading](status,labels.launch)'
  status=${described%%,*}
  if [[ ${described#*,} != "$launch" ]]; then
    fail "a VM $name is there, launched with something else (status $(escaped "$status"))" \
      "$program --replace deletes it and launches this one, if these scripts created it"
  fi
  case $status in
    TERMINATED | STOPPED)
      step "start VM $name, which was launched with the same and has ended"
      run gcloud compute instances start "$name" "--project=$project" "--zone=$zone"
      ;;
    STOPPING | SUSPENDING) fail "VM $name is about to end (status $status)" 'wait a minute and run the same command again' ;;
    *) say "  already there, launched with the same (status $(escaped "$status")): used as it is" ;;
  esac
}

# open_port: a firewall rule that lets clients reach USleep's VMs; without it the VPC drops every connection.
# The image's EXPOSE 8081 opens the port inside the VM, this opens it outside; both are needed.
open_port() {
  local ranges=${USLEEP_SOURCE_RANGES:-0.0.0.0/0} octet='(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])' range
  range="$octet(\\.$octet){3}/(3[0-2]|[12]?[0-9])"
  check USLEEP_SOURCE_RANGES "$ranges" "^$range(,$range)*\$" 'IPv4 ranges such as 203.0.113.0/24, separated by commas'
  step "firewall rule usleep-8081: tcp:8081 from $ranges to VMs tagged usleep"
  if [[ $ranges == 0.0.0.0/0 ]]; then
    say '  from everywhere: each connection costs an attestation, narrow it with USLEEP_SOURCE_RANGES'
  fi
  local resource=(firewall-rule "$USLEEP_PROJECT_ID" global usleep-8081)
  ensure "${resource[@]}" gcloud compute firewall-rules create usleep-8081 "--project=$USLEEP_PROJECT_ID" \
    "--network=$USLEEP_NETWORK" --direction=INGRESS --action=ALLOW --rules=tcp:8081 "--source-ranges=$ranges" \
    --target-tags=usleep
  if [[ $ensured == ours && $(cat "$state_dir/usleep.ranges" 2>/dev/null) != "$ranges" ]]; then
    step "firewall rule usleep-8081 lets in $ranges from now on"
    run gcloud compute firewall-rules update usleep-8081 "--project=$USLEEP_PROJECT_ID" "--source-ranges=$ranges"
  fi
  if [[ $ensured != theirs ]]; then keep usleep.ranges "$ranges"; fi
}
