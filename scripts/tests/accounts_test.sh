# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# setup_projects.sh and create_service_accounts.sh.

policy_flags=('--flatten=bindings[].members' '--format=csv[no-heading](bindings.role,bindings.members,bindings.condition.title)')

want_role() { # want_role PROJECT ROLE MEMBER: looked for, not found, given
  want gcloud projects get-iam-policy "$1" "${policy_flags[@]}"
  want gcloud projects add-iam-policy-binding "$1" "--member=$3" "--role=$2" --condition=None
}
want_services() { # want_services PROJECT
  want gcloud services enable cloudapis.googleapis.com cloudshell.googleapis.com container.googleapis.com \
    containerregistry.googleapis.com confidentialcomputing.googleapis.com compute.googleapis.com \
    artifactregistry.googleapis.com "--project=$1"
}

test_setup_enables_the_services_and_grants_the_operators_roles() {
  succeeds setup_projects.sh
  local project role operator=user:operator@example.com
  for project in p-usleep p-uwear; do
    want_services "$project"
    for role in roles/iam.serviceAccountAdmin roles/artifactregistry.admin; do want_role "$project" "$role" "$operator"; done
  done
  for role in roles/compute.admin roles/compute.storageAdmin; do want_role p-usleep "$role" "$operator"; done
  same_calls
}

test_setup_again_grants_nothing_again() {
  succeeds setup_projects.sh
  cp "$created" "$here/created_before"
  forget_calls
  succeeds setup_projects.sh
  says 'has it already'
  not_called add-iam-policy-binding
  cmp "$created" "$here/created_before" || die 'the record changed'
}

test_a_role_that_the_operator_had_before_is_never_recorded() {
  printf 'projects p-usleep|roles/compute.admin,user:operator@example.com,\n' >"$here/stand_in/policy"
  succeeds setup_projects.sh
  if grep -F 'p-usleep roles/compute.admin ' "$created"; then die 'recorded, so cleanup.sh would take it away'; fi
  grep -qxF 'operator-role p-usleep roles/compute.storageAdmin user:operator@example.com' "$created" || die 'not recorded'
}

test_a_role_with_a_condition_is_not_taken_for_the_role() {
  printf 'projects p-usleep|roles/compute.admin,user:operator@example.com,only on Mondays\n' >"$here/stand_in/policy"
  succeeds setup_projects.sh
  called 'projects add-iam-policy-binding p-usleep --member=user:operator@example.com --role=roles/compute.admin'
}

test_setup_without_a_member_says_how_to_set_it() {
  settings=(USLEEP_PROJECT_ID=p-usleep UWEAR_PROJECT_ID=p-uwear)
  ends_with 2 setup_projects.sh
  says 'export MEMBER=user:'
  no_calls
}

test_a_failure_half_way_names_the_step_and_the_same_command_continues() {
  fails_at 1 'add-iam-policy-binding p-uwear .*artifactregistry' 'ERROR: PERMISSION_DENIED'
  ends_with 1 setup_projects.sh
  says 'ERROR: PERMISSION_DENIED'
  says 'this step failed (exit 1): roles/artifactregistry.admin for user:operator@example.com in p-uwear'
  says 'run the same command again'
  not_called roles/compute.admin
  forget_calls
  succeeds setup_projects.sh
  not_called 'add-iam-policy-binding p-usleep --member=user:operator@example.com --role=roles/iam.serviceAccountAdmin'
  called 'add-iam-policy-binding p-uwear --member=user:operator@example.com --role=roles/artifactregistry.admin'
  called 'add-iam-policy-binding p-usleep --member=user:operator@example.com --role=roles/compute.admin'
}

test_accounts_are_created_with_their_three_roles() {
  succeeds create_service_accounts.sh
  local workload account
  for workload in USLEEP UWEAR; do
    account=workload-sa@p-${workload,,}.iam.gserviceaccount.com
    want gcloud iam service-accounts list "--project=p-${workload,,}" "--filter=email=$account" '--format=value(email)'
    want gcloud iam service-accounts create workload-sa "--project=p-${workload,,}" "--display-name=$workload workload"
    want gcloud iam service-accounts get-iam-policy "$account" "--project=p-${workload,,}" "${policy_flags[@]}"
    want gcloud iam service-accounts add-iam-policy-binding "$account" "--project=p-${workload,,}" \
      --member=user:operator@example.com --role=roles/iam.serviceAccountUser --condition=None
    want_role "p-${workload,,}" roles/confidentialcomputing.workloadUser "serviceAccount:$account"
    want_role "p-${workload,,}" roles/logging.logWriter "serviceAccount:$account"
  done
  same_calls
}

test_an_account_that_was_there_before_is_used_and_not_recorded() {
  printf 'iam service-accounts|p-usleep|workload-sa@p-usleep.iam.gserviceaccount.com\n' >"$here/stand_in/cloud"
  succeeds create_service_accounts.sh
  says 'not created by these scripts: used as it is'
  not_called 'service-accounts create workload-sa --project=p-usleep'
  if grep '^service-account p-usleep' "$created"; then die 'recorded, so cleanup.sh would delete it'; fi
}

test_a_grant_waits_for_a_new_account_to_be_known() {
  fails_at 2 'projects add-iam-policy-binding p-usleep .*workloadUser' \
    'ERROR: INVALID_ARGUMENT: Service account workload-sa@p-usleep.iam.gserviceaccount.com does not exist.'
  succeeds create_service_accounts.sh
  equal 2 "$(words_of_calls | grep -c '^sleep')"
  equal 3 "$(words_of_calls | grep -c 'add-iam-policy-binding p-usleep .*workloadUser')"
}

test_a_grant_that_fails_otherwise_is_not_tried_again() {
  fails_at always 'projects add-iam-policy-binding' 'ERROR: PERMISSION_DENIED'
  ends_with 1 create_service_accounts.sh
  equal 0 "$(words_of_calls | grep -c '^sleep')"
  equal 1 "$(words_of_calls | grep -c 'projects add-iam-policy-binding')"
}

test_a_list_that_cannot_be_had_is_not_taken_for_nothing_there() {
  fails_at always 'service-accounts list' 'ERROR: network is unreachable'
  ends_with 1 create_service_accounts.sh
  not_called ' create '
  [[ ! -e $created ]] || die 'something was recorded'
}
