# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# cleanup.sh: only what these scripts created, asked first, as often as you like.

# everything: all steps were taken.
everything() {
  local script
  for script in setup_projects.sh create_service_accounts.sh create_usleep_workload.sh create_uwear_workload.sh \
    run_usleep.sh run_uwear.sh create_usleep_fleet.sh; do succeeds "$script"; done
  forget_calls
}
# answer TEXT: runs cleanup.sh with that on stdin.
answer() {
  code=0
  printf '%s' "$1" | (cd "$here" && env -i PATH="$here/bin:/usr/bin:/bin" HOME="$here/home" STAND_IN="$here/stand_in" \
    bash project/scripts/cleanup.sh) >"$here/out" 2>"$here/err" || code=$?
}

test_cleanup_deletes_all_that_was_created_what_uses_something_first() {
  everything
  # No settings: everything that is needed is in the record.
  settings=(EMPTY=)
  succeeds cleanup.sh --yes
  equal '' "$(cat "$here/stand_in/cloud" "$here/stand_in/policy")"
  [[ ! -e $created && ! -e $here/project/.usleep/usleep.ip && ! -e $here/project/.usleep/usleep.digest ]] || die 'the state is still there'
  local order
  order=$(words_of_calls | awk '/ delete | remove-iam-policy-binding / { print $3 == "instance-groups" ? $3 : $2 == "iam" ? $3 : $2 == "artifacts" ? $2 $4 : $2 == "projects" ? $2 : $3 }' | uniq | tr '\n' ' ')
  equal 'forwarding-rules addresses backend-services instance-groups instance-templates health-checks firewall-rules instances artifactsremove-iam-policy-binding artifactsdelete service-accounts projects service-accounts projects ' "$order"
  called 'gcloud compute instances delete usleep --project=p-usleep --zone=us-west1-b --quiet'
  called 'gcloud compute health-checks delete usleep-repair --project=p-usleep --global --quiet'
  called 'gcloud compute health-checks delete usleep-fleet --project=p-usleep --region=us-west1 --quiet'
  called 'gcloud artifacts repositories delete p-uwear-artifact-repo --project=p-uwear --location=us --quiet'
  called 'gcloud iam service-accounts delete workload-sa@p-usleep.iam.gserviceaccount.com --project=p-usleep --quiet'
  called 'gcloud projects remove-iam-policy-binding p-usleep --member=user:operator@example.com --role=roles/compute.admin --condition=None --quiet'
  not_called 'services disable'
}

test_cleanup_of_one_vm_is_these_calls() {
  built
  succeeds run_usleep.sh
  forget_calls
  succeeds cleanup.sh --yes
  want gcloud compute firewall-rules list --project=p-usleep --filter=name=usleep-8081 '--format=value(name)'
  want gcloud compute firewall-rules delete usleep-8081 --project=p-usleep --quiet
  want_look usleep
  want gcloud compute instances delete usleep --project=p-usleep --zone=us-west1-b --quiet
  same_calls
}

test_cleanup_asks_and_only_yes_is_yes() {
  everything
  local text
  for text in '' $'\n' $'n\n' $'no\n' $'yes please\n'; do
    answer "$text"
    equal 1 "$code"
    says 'nothing was deleted'
    no_calls
  done
  answer $'y\n'
  equal 0 "$code"
  says 'instance p-usleep us-west1-b usleep'
  equal '' "$(cat "$here/stand_in/cloud")"
}

test_cleanup_twice_is_no_error() {
  everything
  succeeds cleanup.sh --yes
  forget_calls
  succeeds cleanup.sh --yes
  says 'nothing to delete'
  no_calls
  succeeds cleanup.sh
}

test_cleanup_leaves_what_was_there_before() {
  printf '%s\n' 'artifacts repositories|p-usleep|p-usleep-artifact-repo' 'compute firewall-rules|p-usleep|usleep-8081' \
    'iam service-accounts|p-uwear|workload-sa@p-uwear.iam.gserviceaccount.com' | sort >"$here/stand_in/cloud"
  cp "$here/stand_in/cloud" "$here/before"
  everything
  succeeds cleanup.sh --yes
  equal "$(cat "$here/before")" "$(sort "$here/stand_in/cloud")"
  called 'repositories remove-iam-policy-binding p-usleep-artifact-repo'
}

test_cleanup_takes_what_somebody_deleted_by_hand_as_gone() {
  everything
  : >"$here/stand_in/cloud"
  : >"$here/stand_in/policy"
  # What is a role on something that is gone cannot even be asked for.
  fails_at always '(repositories|service-accounts) get-iam-policy' 'ERROR: NOT_FOUND'
  succeeds cleanup.sh --yes
  says 'gone already'
  not_called ' delete '
  [[ ! -e $created ]] || die 'something is still recorded'
}

test_cleanup_goes_on_after_a_failure_and_the_next_run_finishes() {
  everything
  fails_at 1 'instances delete usleep' 'ERROR: in use'
  ends_with 1 cleanup.sh --yes
  says 'not deleted: it stays recorded'
  says '1 of '
  equal 'instance p-usleep us-west1-b usleep' "$(cat "$created")"
  equal 'compute instances|p-usleep|usleep' "$(cat "$here/stand_in/cloud")"
  succeeds cleanup.sh --yes
  equal '' "$(cat "$here/stand_in/cloud")"
}

test_cleanup_keeps_the_record_when_google_cannot_be_reached() {
  everything
  local before
  before=$(sort "$created")
  fails_at always 'gcloud' 'ERROR: network is unreachable'
  ends_with 1 cleanup.sh --yes
  equal "$before" "$(sort "$created")"
}

test_cleanup_knows_a_vm_whose_creation_was_interrupted() {
  built
  fails_at 1 'instances create' 'Killed'
  ends_with 1 run_usleep.sh
  # The request had reached Google all the same.
  printf 'compute instances|p-usleep|usleep\n' >>"$here/stand_in/cloud"
  succeeds cleanup.sh --yes
  equal '' "$(cat "$here/stand_in/cloud")"
}

test_a_record_that_was_tampered_with_deletes_nothing() {
  local line
  mkdir -p "$here/project/.usleep"
  while IFS= read -r line; do
    printf '%s\n%s\n' 'instance p-usleep us-west1-b usleep' "$line" >"$created"
    play cleanup.sh --yes
    ((code != 0)) || die "accepted: $line"
    no_calls
  done <<'ROWS'
instance p-usleep us-west1-b
instance p-usleep us-west1-b usleep more
instance p-usleep us-west1-b usleep;true
instance p-usleep us-west1-b $(true)
project p-usleep global p-usleep
ROWS
}

test_a_dry_run_of_cleanup_shows_and_keeps_everything() {
  everything
  cp "$created" "$here/created_before"
  succeeds cleanup.sh --dry-run
  no_calls
  prints 'gcloud compute instances delete usleep --project=p-usleep --zone=us-west1-b --quiet'
  cmp "$created" "$here/created_before" || die 'the record changed'
}
