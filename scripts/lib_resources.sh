# shellcheck shell=bash disable=SC2154 # lib.sh, which comes first, sets project_dir, dry_run and the like
# Resources of Google Cloud: is it there, create it if not, remember that we did, delete what we created.
#
# The memory is $state_dir/created, a line for each resource: KIND PROJECT SCOPE NAME, single spaces, no value has
# one. A resource is written down before it is created, after a look has shown that it is not there: if the
# script is killed in between, cleanup.sh still knows. What was there before is never written down, and so never deleted.
#
# Looks are lists, not descriptions: a list that works and does not show the name says "not there", while a
# description fails alike for what is missing, forbidden or out of reach.

created_file=$state_dir/created

# Deleting goes by these kinds in this order: what uses something goes before what it uses.
# `operator-role` is last, since the operator needs it for the rest.
# shellcheck disable=SC2034 # read by cleanup.sh
kinds_in_order_of_deletion=(
  forwarding-rule address backend-service instance-group instance-template health-check firewall-rule instance
  repository-role repository account-role project-role service-account operator-role
)

# resource_commands KIND PROJECT SCOPE NAME: sets look (a list), wanted (the line of that list), and gone (deletes it).
# SCOPE is the zone, region or location; `global` where there is none; for a role on something: that thing.
resource_commands() {
  local kind=$1 project=$2 scope=$3 name=$4
  local policy=('--flatten=bindings[].members' '--format=csv[no-heading](bindings.role,bindings.members,bindings.condition.title)')
  wanted=$name
  case $kind in
    instance)
      look=(gcloud compute instances list "--project=$project" "--zones=$scope" "--filter=name=$name" '--format=value(name)')
      gone=(gcloud compute instances delete "$name" "--project=$project" "--zone=$scope" --quiet)
      ;;
    instance-group)
      look=(gcloud compute instance-groups managed list "--project=$project" "--regions=$scope" "--filter=name=$name" '--format=value(name)')
      gone=(gcloud compute instance-groups managed delete "$name" "--project=$project" "--region=$scope" --quiet)
      ;;
    instance-template | firewall-rule)
      look=(gcloud compute "${kind}s" list "--project=$project" "--filter=name=$name" '--format=value(name)')
      gone=(gcloud compute "${kind}s" delete "$name" "--project=$project" --quiet)
      ;;
    health-check)
      look=(gcloud compute health-checks list "--project=$project" "--regions=$scope" "--filter=name=$name" '--format=value(name)')
      gone=(gcloud compute health-checks delete "$name" "--project=$project" "--region=$scope" --quiet)
      if [[ $scope == global ]]; then
        look=(gcloud compute health-checks list "--project=$project" --global "--filter=name=$name" '--format=value(name)')
        gone=(gcloud compute health-checks delete "$name" "--project=$project" --global --quiet)
      fi
      ;;
    address)
      look=(gcloud compute addresses list "--project=$project" "--regions=$scope" "--filter=name=$name" '--format=value(name)')
      gone=(gcloud compute addresses delete "$name" "--project=$project" "--region=$scope" --quiet)
      ;;
    backend-service | forwarding-rule)
      look=(gcloud compute "${kind}s" list "--project=$project" "--regions=$scope" "--filter=name=$name" '--format=value(name)')
      gone=(gcloud compute "${kind}s" delete "$name" "--project=$project" "--region=$scope" --quiet)
      ;;
    repository)
      look=(gcloud artifacts repositories list "--project=$project" "--location=$scope" '--format=value(name.basename())')
      gone=(gcloud artifacts repositories delete "$name" "--project=$project" "--location=$scope" --quiet)
      ;;
    service-account)
      look=(gcloud iam service-accounts list "--project=$project" "--filter=email=$name" '--format=value(email)')
      gone=(gcloud iam service-accounts delete "$name" "--project=$project" --quiet)
      ;;
    project-role | operator-role) # SCOPE is the role, NAME the member
      look=(gcloud projects get-iam-policy "$project" "${policy[@]}")
      wanted="$scope,$name,"
      give=(gcloud projects add-iam-policy-binding "$project" "--member=$name" "--role=$scope" --condition=None)
      gone=(gcloud projects remove-iam-policy-binding "$project" "--member=$name" "--role=$scope" --condition=None --quiet)
      ;;
    account-role) # SCOPE is ROLE@@ACCOUNT, NAME the member
      look=(gcloud iam service-accounts get-iam-policy "${scope#*@@}" "--project=$project" "${policy[@]}")
      wanted="${scope%%@@*},$name,"
      give=(gcloud iam service-accounts add-iam-policy-binding "${scope#*@@}" "--project=$project" "--member=$name" "--role=${scope%%@@*}" --condition=None)
      gone=(gcloud iam service-accounts remove-iam-policy-binding "${scope#*@@}" "--project=$project" "--member=$name" "--role=${scope%%@@*}" --condition=None --quiet)
      ;;
    repository-role) # SCOPE is ROLE@@LOCATION@@REPOSITORY, NAME the member
      local role=${scope%%@@*} location=${scope#*@@} repository=${scope##*@@}
      location=${location%%@@*}
      look=(gcloud artifacts repositories get-iam-policy "$repository" "--project=$project" "--location=$location" "${policy[@]}")
      wanted="$role,$name,"
      give=(gcloud artifacts repositories add-iam-policy-binding "$repository" "--project=$project" "--location=$location" "--member=$name" "--role=$role" --condition=None)
      gone=(gcloud artifacts repositories remove-iam-policy-binding "$repository" "--project=$project" "--location=$location" "--member=$name" "--role=$role" --condition=None --quiet)
      ;;
    *) fail "unknown kind of resource: $(escaped "$kind")" "see $created_file" ;;
  esac
}

is_recorded() { # is_recorded KIND PROJECT SCOPE NAME: did these scripts create it?
  [[ -f $created_file ]] && grep -qxF -- "$*" "$created_file"
}

record() { # record KIND PROJECT SCOPE NAME
  if [[ $dry_run == yes ]] || is_recorded "$@"; then return; fi
  keep_state_dir
  printf '%s\n' "$*" >>"$created_file"
}

forget() { # forget KIND PROJECT SCOPE NAME
  if [[ $dry_run == yes ]]; then return; fi
  { grep -vxF -- "$*" "$created_file" || true; } >"$created_file.new"
  mv "$created_file.new" "$created_file"
}

# is_there KIND PROJECT SCOPE NAME: true if Google Cloud has it. In a dry run nobody is asked and the answer is no,
# so that what would create it is printed too.
is_there() {
  local look=() wanted='' give=() gone=() listed
  resource_commands "$@"
  ask listed "${look[@]}"
  grep -qxF -- "$wanted" <<<"$listed"
}

# ensure KIND PROJECT SCOPE NAME COMMAND...: runs the command, which creates the resource, unless it is there. Sets
# `ensured`: created (now), ours (by these scripts, earlier) or theirs (by somebody else).
# shellcheck disable=SC2034 # read by the callers that care
ensure() {
  local resource=("${@:1:4}")
  if is_there "${resource[@]}"; then
    if is_recorded "${resource[@]}"; then
      ensured=ours
      say '  already there, created by these scripts earlier'
    else
      ensured=theirs
      say '  already there, not created by these scripts: used as it is, and cleanup.sh will leave it'
    fi
    return
  fi
  if [[ $dry_run == yes ]]; then say 'only if that did not show it:'; fi
  record "${resource[@]}"
  run "${@:5}"
  ensured=created
  did 'created'
}

# grant KIND PROJECT SCOPE MEMBER: gives the role, unless the member has it (without a condition).
grant() {
  local look=() wanted='' give=() gone=()
  if is_there "$@"; then
    say '  has it already'
    return
  fi
  if [[ $dry_run == yes ]]; then say 'only if that did not show it:'; fi
  record "$@"
  resource_commands "$@"
  run_patiently "${give[@]}"
  did 'granted'
}

# holder_gone KIND PROJECT SCOPE NAME: true if this is a role on something that is itself no longer there.
holder_gone() {
  local look=() wanted='' give=() gone=() listed holder
  case $1 in
    account-role) resource_commands service-account "$2" global "${3#*@@}" ;;
    repository-role) holder=${3#*@@} && resource_commands repository "$2" "${holder%%@@*}" "${holder##*@@}" ;;
    *) return 1 ;;
  esac
  show "$(quoted "${look[@]}")"
  if [[ $dry_run == yes ]]; then return 1; fi
  listed=$("${look[@]}") || return 1
  ! grep -qxF -- "$wanted" <<<"$listed"
}

# delete_recorded KIND PROJECT SCOPE NAME: deletes what these scripts created, if it is still there, and forgets it.
# False, with everything as it was, if it cannot be deleted now.
delete_recorded() {
  local look=() wanted='' give=() gone=() listed
  if holder_gone "$@"; then
    say '  gone already, with what it was a role on'
    forget "$@"
    return
  fi
  resource_commands "$@"
  show "$(quoted "${look[@]}")"
  if [[ $dry_run == yes ]]; then
    say 'only if that did show it:'
    show "$(quoted "${gone[@]}")"
    return
  fi
  listed=$("${look[@]}") || return 1
  if ! grep -qxF -- "$wanted" <<<"$listed"; then
    say '  gone already'
  else
    show "$(quoted "${gone[@]}")"
    "${gone[@]}" >&2 || return 1
    did 'deleted'
  fi
  forget "$@"
}
