# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# create_usleep_fleet.sh.

want_list() { # want_list GROUP NAME WHERE...: looked for, in p-usleep
  local group
  read -r -a group <<<"$1"
  want gcloud "${group[@]}" list --project=p-usleep "${@:3}" "--filter=name=$2" '--format=value(name)'
}

test_a_fleet_is_a_template_a_group_and_a_passthrough_balancer() {
  built
  succeeds create_usleep_fleet.sh
  local template place=(--project=p-usleep --region=us-west1)
  template=$(words_of_calls | sed -n 's/.*instance-templates create \([a-z0-9-]*\) .*/\1/p')
  [[ $template == usleep-sev-"$(usleep_digest | cut -c 8-19)"-???????? ]] || die "template $template"
  want_list 'compute instance-templates' "$template"
  want gcloud compute instance-templates create "$template" --project=p-usleep --confidential-compute-type=SEV \
    --machine-type=n2d-standard-2 --shielded-secure-boot --maintenance-policy=MIGRATE --scopes=cloud-platform \
    --image-project=confidential-space-images --image-family=confidential-space \
    --service-account=workload-sa@p-usleep.iam.gserviceaccount.com --network=default --tags=usleep \
    "--metadata=$(usleep_metadata)"
  want_list 'compute health-checks' usleep-fleet --regions=us-west1
  want gcloud compute health-checks create tcp usleep-fleet "${place[@]}" --port=8081 --check-interval=10s --timeout=5s \
    --healthy-threshold=1 --unhealthy-threshold=2
  want_list 'compute health-checks' usleep-repair --global
  want gcloud compute health-checks create tcp usleep-repair --project=p-usleep --global --port=8081 --check-interval=30s \
    --timeout=10s --healthy-threshold=1 --unhealthy-threshold=4
  want_port 0.0.0.0/0
  want_list 'compute firewall-rules' usleep-fleet-health
  want gcloud compute firewall-rules create usleep-fleet-health --project=p-usleep --network=default --direction=INGRESS \
    --action=ALLOW --rules=tcp:8081 --source-ranges=35.191.0.0/16,130.211.0.0/22,209.85.152.0/22,209.85.204.0/22 \
    --target-tags=usleep
  want_list 'compute instance-groups managed' usleep-fleet --regions=us-west1
  want gcloud compute instance-groups managed create usleep-fleet "${place[@]}" --base-instance-name=usleep \
    "--template=$template" --size=2 --health-check=usleep-repair --initial-delay=180
  want gcloud compute instance-groups managed set-autoscaling usleep-fleet "${place[@]}" --min-num-replicas=2 \
    --max-num-replicas=10 --target-cpu-utilization=0.60 --cool-down-period=120
  want_list 'compute backend-services' usleep-fleet --regions=us-west1
  want gcloud compute backend-services create usleep-fleet "${place[@]}" --load-balancing-scheme=EXTERNAL --protocol=TCP \
    --health-checks=usleep-fleet --health-checks-region=us-west1 --connection-draining-timeout=60
  want gcloud compute backend-services describe usleep-fleet "${place[@]}" '--format=value(backends[].group)'
  want gcloud compute backend-services add-backend usleep-fleet "${place[@]}" --instance-group=usleep-fleet \
    --instance-group-region=us-west1 --balancing-mode=CONNECTION
  want_list 'compute addresses' usleep-fleet --regions=us-west1
  want gcloud compute addresses create usleep-fleet "${place[@]}"
  want_list 'compute forwarding-rules' usleep-fleet --regions=us-west1
  want gcloud compute forwarding-rules create usleep-fleet "${place[@]}" --load-balancing-scheme=EXTERNAL \
    --address=usleep-fleet --ip-protocol=TCP --ports=8081 --backend-service=usleep-fleet
  want gcloud compute addresses describe usleep-fleet "${place[@]}" '--format=value(address)'
  same_calls
  equal 203.0.113.50 "$(cat "$here/out")"
  equal 203.0.113.50 "$(cat "$here/project/.usleep/usleep.ip")"
}

test_another_digest_rolls_the_fleet_over_new_vms_first() {
  built
  succeeds create_usleep_fleet.sh
  forget_calls
  digest_of usleep next >"$here/project/.usleep/usleep.digest"
  succeeds create_usleep_fleet.sh
  local template
  template=$(words_of_calls | sed -n 's/.*instance-templates create \([a-z0-9-]*\) .*/\1/p')
  called "instance-groups managed rolling-action start-update usleep-fleet --project=p-usleep --region=us-west1 --version=template=$template --type=proactive --max-surge=3 --max-unavailable=0"
  not_called 'instance-groups managed create'
  not_called 'add-backend'
  not_called 'forwarding-rules create'
}

test_a_fleet_that_failed_half_way_is_finished_by_the_same_command() {
  built
  local step
  for step in 'instance-templates create' 'health-checks create tcp usleep-repair' 'managed create' 'set-autoscaling' \
    'backend-services create' 'add-backend' 'addresses create' 'forwarding-rules create'; do
    fails_at 1 "$step" 'ERROR: quota'
    ends_with 1 create_usleep_fleet.sh
    says 'this step failed (exit 1)'
    heal
  done
  succeeds create_usleep_fleet.sh
  for step in 'instance-templates create' 'health-checks create tcp usleep-repair' 'managed create' \
    'backend-services create' 'add-backend' 'addresses create' 'forwarding-rules create'; do
    equal 2 "$(words_of_calls | grep -c -- "$step")"
  done
}

test_zones_of_a_fleet_set_how_many_vms_a_roll_over_adds() {
  built
  settings+=('FLEET_ZONES=us-west1-a,us-west1-b' CONFIDENTIAL_TYPE=TDX FLEET_MIN=3 FLEET_MAX=3 FLEET_CPU=75)
  succeeds create_usleep_fleet.sh
  called '--zones=us-west1-a\,us-west1-b'
  called '--size=3'
  called '--target-cpu-utilization=0.75'
  called '--confidential-compute-type=TDX --machine-type=c3-standard-4 --shielded-secure-boot --maintenance-policy=TERMINATE'
  succeeds create_usleep_fleet.sh
  called '--max-surge=2'
}

test_a_group_of_somebody_else_is_not_changed() {
  built
  printf 'compute instance-groups managed|p-usleep|usleep-fleet\n' >"$here/stand_in/cloud"
  ends_with 1 create_usleep_fleet.sh
  says 'did not create'
  not_called start-update
  not_called set-autoscaling
}

test_a_fleet_without_a_digest_says_what_comes_first() {
  ends_with 2 create_usleep_fleet.sh
  says 'scripts/create_usleep_workload.sh comes first'
  no_calls
}
