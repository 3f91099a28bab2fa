# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# run_usleep.sh, run_uwear.sh, logs.sh.

usleep_digest() { digest_of usleep uwear; }
uwear_digest() { digest_of uwear uwear; }

# built: both digests are known, as after the create_*_workload scripts.
built() {
  mkdir -p "$here/project/.usleep"
  usleep_digest >"$here/project/.usleep/usleep.digest"
  uwear_digest >"$here/project/.usleep/uwear.digest"
}
want_port() { # want_port RANGES: the firewall rule, looked for and created
  want gcloud compute firewall-rules list --project=p-usleep --filter=name=usleep-8081 '--format=value(name)'
  want gcloud compute firewall-rules create usleep-8081 --project=p-usleep --network=default --direction=INGRESS \
    --action=ALLOW --rules=tcp:8081 "--source-ranges=$1" --target-tags=usleep
}
want_look() { # want_look usleep|uwear
  want gcloud compute instances list "--project=p-$1" --zones=us-west1-b "--filter=name=$1" '--format=value(name)'
}
# want_create NAME TYPE MACHINE POLICY FAMILY METADATA
want_create() {
  local launch
  launch=$(words_of_calls | sed -n "s/.*instances create $1 .*--labels=launch=\([0-9a-f]\{40\}\).*/\1/p" | tail -1)
  want gcloud compute instances create "$1" "--project=p-$1" --zone=us-west1-b "--confidential-compute-type=$2" \
    "--machine-type=$3" --shielded-secure-boot "--maintenance-policy=$4" --scopes=cloud-platform \
    --image-project=confidential-space-images "--image-family=$5" \
    "--service-account=workload-sa@p-$1.iam.gserviceaccount.com" --network=default "--tags=$1" "--metadata=$6" \
    "--labels=launch=$launch"
}
want_address() {
  want gcloud compute instances describe usleep --project=p-usleep --zone=us-west1-b \
    '--format=value(networkInterfaces[0].accessConfigs[0].natIP)'
}
usleep_metadata() {
  printf '^~^tee-image-reference=us-docker.pkg.dev/p-usleep/p-usleep-artifact-repo/workload-container@%s~tee-restart-policy=Never~tee-container-log-redirect=true' \
    "$(usleep_digest)"
}

test_usleep_is_launched_by_digest_with_its_port_open_and_its_address_kept() {
  built
  succeeds run_usleep.sh
  want_port 0.0.0.0/0
  want_look usleep
  want_create usleep SEV n2d-standard-2 MIGRATE confidential-space "$(usleep_metadata)"
  want_address
  same_calls
  equal 203.0.113.9 "$(cat "$here/out")"
  equal 203.0.113.9 "$(cat "$here/project/.usleep/usleep.ip")"
  says 'from everywhere'
}

test_tdx_is_one_variable() {
  built
  settings+=(CONFIDENTIAL_TYPE=TDX 'USLEEP_SOURCE_RANGES=203.0.113.0/24,198.51.100.7/32')
  succeeds run_usleep.sh
  want_port 203.0.113.0/24,198.51.100.7/32
  want_look usleep
  want_create usleep TDX c3-standard-4 TERMINATE confidential-space "$(usleep_metadata)"
  want_address
  same_calls
  says_not 'from everywhere'
}

test_the_debug_image_is_announced_loudly() {
  built
  succeeds run_usleep.sh --debug-image
  want_port 0.0.0.0/0
  want_look usleep
  want_create usleep SEV n2d-standard-2 MIGRATE confidential-space-debug "$(usleep_metadata)"
  want_address
  same_calls
  says '!!  DEBUG IMAGE'
  says 'REFUSES them'
}

test_a_network_and_a_machine_of_ones_own_are_passed_on() {
  built
  settings+=(USLEEP_NETWORK=vpc-1 USLEEP_SUBNET=sub-1 MACHINE_TYPE=n2d-standard-8)
  succeeds run_usleep.sh
  called 'firewall-rules create usleep-8081 --project=p-usleep --network=vpc-1'
  called '--machine-type=n2d-standard-8'
  called '--network=vpc-1 --subnet=sub-1 --tags=usleep'
}

test_a_vm_that_runs_the_same_is_used() {
  built
  succeeds run_usleep.sh
  forget_calls
  succeeds run_usleep.sh
  says 'already there, launched with the same (status RUNNING): used as it is'
  not_called ' create '
  not_called ' delete '
  equal 203.0.113.9 "$(cat "$here/out")"
}

test_a_vm_that_has_ended_is_started_again() {
  built
  succeeds run_usleep.sh
  succeeds run_uwear.sh
  printf TERMINATED >"$here/stand_in/status.uwear"
  forget_calls
  succeeds run_uwear.sh
  want_look uwear
  want gcloud compute instances describe uwear --project=p-uwear --zone=us-west1-b '--format=csv[no-heading](status,labels.launch)'
  want gcloud compute instances start uwear --project=p-uwear --zone=us-west1-b
  same_calls
}

test_a_vm_that_is_about_to_end_is_waited_for_by_the_operator() {
  built
  succeeds run_usleep.sh
  printf STOPPING >"$here/stand_in/status.usleep"
  ends_with 1 run_usleep.sh
  says 'wait a minute'
}

test_a_vm_that_runs_something_else_stands_in_the_way_until_it_may_be_replaced() {
  built
  succeeds run_usleep.sh
  forget_calls
  digest_of usleep other >"$here/project/.usleep/usleep.digest"
  ends_with 1 run_usleep.sh
  says 'launched with something else'
  not_called ' delete '
  succeeds run_usleep.sh --replace
  called 'instances delete usleep --project=p-usleep --zone=us-west1-b --quiet'
  called "@$(digest_of usleep other)~"
}

test_a_vm_of_somebody_else_is_never_deleted() {
  built
  printf 'compute instances|p-usleep|usleep\n' >"$here/stand_in/cloud"
  ends_with 1 run_usleep.sh --replace
  says 'these scripts did not create'
  not_called 'instances delete'
}

test_a_vm_whose_launch_failed_half_way_is_launched_by_the_same_command() {
  built
  fails_at 1 'instances create' 'ERROR: ZONE_RESOURCE_POOL_EXHAUSTED'
  ends_with 1 run_usleep.sh
  says 'ZONE_RESOURCE_POOL_EXHAUSTED'
  says 'this step failed (exit 1): VM usleep in p-usleep, us-west1-b'
  forget_calls
  succeeds run_usleep.sh
  called 'instances create usleep'
  not_called 'firewall-rules create'
}

test_a_firewall_rule_of_ours_follows_the_variable_and_one_of_others_does_not() {
  built
  succeeds run_usleep.sh
  settings+=(USLEEP_SOURCE_RANGES=203.0.113.0/24)
  forget_calls
  succeeds run_usleep.sh
  called 'firewall-rules update usleep-8081 --project=p-usleep --source-ranges=203.0.113.0/24'
  forget_calls
  succeeds run_usleep.sh
  not_called 'firewall-rules update'
  fresh && built
  printf 'compute firewall-rules|p-usleep|usleep-8081\n' >"$here/stand_in/cloud"
  settings+=(USLEEP_SOURCE_RANGES=203.0.113.0/24)
  succeeds run_usleep.sh
  says 'not created by these scripts'
  not_called 'firewall-rules update'
}

test_usleep_without_a_digest_or_an_address_says_what_comes_first() {
  ends_with 2 run_usleep.sh
  says 'scripts/create_usleep_workload.sh comes first'
  no_calls
  built
  : >"$here/stand_in/ip"
  ends_with 1 run_usleep.sh
  says 'no external address'
  [[ ! -e $here/project/.usleep/usleep.ip ]] || die 'an address was kept'
}

test_what_gcloud_answers_is_not_believed_to_be_an_address() {
  built
  printf '203.0.113.9~tee-cmd=["x"]\n' >"$here/stand_in/ip"
  ends_with 2 run_usleep.sh
  says 'wanted an IPv4 address'
  [[ ! -e $here/project/.usleep/usleep.ip ]] || die 'it was kept'
}

test_an_exported_address_that_will_win_over_the_new_one_is_mentioned() {
  built
  settings+=(USLEEP_EXTERNAL_IP=198.51.100.7)
  succeeds run_usleep.sh
  says 'unset USLEEP_EXTERNAL_IP'
}

test_uwear_is_launched_by_digest_and_told_where_usleep_is() {
  built
  printf 203.0.113.9 >"$here/project/.usleep/usleep.ip"
  succeeds run_uwear.sh
  want_look uwear
  want_create uwear SEV n2d-standard-2 MIGRATE confidential-space \
    "^~^tee-image-reference=us-docker.pkg.dev/p-uwear/p-uwear-artifact-repo/workload-container@$(uwear_digest)~tee-restart-policy=Never~tee-container-log-redirect=true~tee-env-remote_ip_addr=203.0.113.9"
  same_calls
}

test_uwear_without_a_digest_or_an_address_says_what_comes_first() {
  ends_with 2 run_uwear.sh
  says 'scripts/create_uwear_workload.sh comes first'
  built
  ends_with 2 run_uwear.sh
  says 'scripts/run_usleep.sh comes first'
  no_calls
}

test_logs_come_from_the_serial_port_without_control_characters() {
  succeeds logs.sh uwear
  want gcloud compute instances get-serial-port-output uwear --project=p-uwear --zone=us-west1-b --port=1
  same_calls
  equal $'Starting Server..[2J\nPolicy check PASSED' "$(cat "$here/out")"
}

test_logs_come_from_cloud_logging_when_asked() {
  succeeds logs.sh usleep --cloud --since 6h --limit 50
  want gcloud logging read 'logName="projects/p-usleep/logs/confidential-space-launcher"' --project=p-usleep \
    --freshness=6h --order=asc --limit=50 '--format=value(timestamp,textPayload,jsonPayload.MESSAGE,jsonPayload.message)'
  same_calls
}

test_logs_refuse_what_they_cannot_read() {
  ends_with 2 logs.sh
  says 'usleep or uwear'
  ends_with 2 logs.sh usleep --since
  says '--since needs a value'
  ends_with 2 logs.sh usleep --since '1d or more'
  ends_with 2 logs.sh usleep --limit 0
  no_calls
  fails_at always 'get-serial-port-output' 'ERROR: was not found'
  ends_with 1 logs.sh usleep
  says 'try --cloud'
}
