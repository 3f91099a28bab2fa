# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# config_env.sh, flags and values that every script has in common.

all_scripts=(
  setup_projects.sh download_root.sh create_service_accounts.sh create_usleep_workload.sh create_uwear_workload.sh
  run_usleep.sh run_uwear.sh run_unauthorized_usleep.sh create_usleep_fleet.sh cleanup.sh logs.sh
)

test_every_script_explains_itself_and_runs_nothing() {
  local script
  settings=(EMPTY=)
  for script in "${all_scripts[@]}"; do
    succeeds "$script" --help
    prints "Usage: scripts/$script"
    ends_with 2 "$script" --no-such-flag
    says 'unknown argument'
  done
  no_calls
}

test_a_dry_run_runs_nothing_and_leaves_nothing() {
  local script
  for script in "${all_scripts[@]}"; do
    if [[ $script == logs.sh ]]; then succeeds "$script" usleep --dry-run; else succeeds "$script" --dry-run; fi
  done
  no_calls
  [[ ! -e $here/project/.usleep && ! -e $here/project/target && ! -e $here/project/certs ]] || die 'a dry run wrote something'
}

test_what_a_dry_run_prints_is_what_a_run_executes() {
  local script
  for script in setup_projects.sh create_service_accounts.sh run_usleep.sh create_usleep_fleet.sh run_uwear.sh; do
    settings+=("USLEEP_IMAGE_DIGEST=$(digest_of usleep uwear)" "UWEAR_IMAGE_DIGEST=$(digest_of uwear uwear)")
    settings+=(USLEEP_EXTERNAL_IP=203.0.113.9)
    succeeds "$script" --dry-run
    cp "$here/out" "$here/dry"
    succeeds "$script"
    mv "$here/stand_in/calls" "$here/real_calls"
    rm -rf "$here/stand_in" "$here/project/.usleep" && mkdir "$here/stand_in"
    # The printed lines, as a shell script of their own, against an equally empty cloud.
    env -i PATH="$here/bin:/usr/bin:/bin" STAND_IN="$here/stand_in" bash -e "$here/dry" >/dev/null
    diff "$here/real_calls" "$here/stand_in/calls" || die "$script: the dry run prints something else"
    rm -rf "$here/stand_in" && mkdir "$here/stand_in"
  done
}

test_a_missing_tool_is_named_with_what_to_install() {
  local tool
  mkdir "$here/tools"
  for tool in bash env dirname cat grep head tr sha256sum mktemp rm mkdir mv cp; do ln -s "$(command -v "$tool")" "$here/tools/$tool"; done
  tools=$here/tools
  rm "$here/bin/gcloud" "$here/bin/skopeo" "$here/bin/curl"
  ends_with 2 setup_projects.sh
  says 'gcloud is missing'
  says 'https://cloud.google.com/sdk/docs/install'
  ends_with 2 download_root.sh
  says 'curl is missing'
  cp "$tests_dir/stand_in.sh" "$here/bin/gcloud"
  ends_with 2 create_usleep_workload.sh
  says 'skopeo is missing'
  no_calls
}

source_config() { # source_config COMMANDS: sources config_env.sh in a bash with `settings`, then runs the commands
  code=0
  env -i PATH=/usr/bin:/bin "${settings[@]}" bash -c "source '$here/project/scripts/config_env.sh' || exit \$?; $1" \
    >"$here/out" 2>"$here/err" || code=$?
}

test_the_defaults_are_the_codelabs() {
  source_config 'env | grep -E "^(USLEEP|UWEAR)_" | sort'
  local workload id expected=''
  for workload in USLEEP UWEAR; do
    id=p-${workload,,}
    expected+="${workload}_ARTIFACT_REPOSITORY=$id-artifact-repo
${workload}_NETWORK=default
${workload}_PROJECT_ID=$id
${workload}_PROJECT_LOCATION=global
${workload}_PROJECT_REGION=us-west1
${workload}_PROJECT_REPOSITORY_REGION=us
${workload}_PROJECT_ZONE=us-west1-b
${workload}_WORKLOAD_IMAGE_NAME=workload-container
${workload}_WORKLOAD_IMAGE_TAG=latest
${workload}_WORKLOAD_SERVICE_ACCOUNT=workload-sa
"
  done
  equal "$(printf '%s' "$expected")" "$(cat "$here/out")"
  equal 0 "$code"
}

test_a_variable_that_is_set_is_kept() {
  settings+=(USLEEP_ARTIFACT_REPOSITORY=mine UWEAR_PROJECT_ZONE=europe-west4-a)
  # shellcheck disable=SC2016 # the inner shell expands them
  source_config 'echo "$USLEEP_ARTIFACT_REPOSITORY $UWEAR_PROJECT_ZONE"'
  equal 'mine europe-west4-a' "$(cat "$here/out")"
}

test_sourcing_twice_reads_the_last_steps_results_anew_unless_they_are_exported() {
  mkdir -p "$here/project/.usleep"
  printf '203.0.113.1' >"$here/project/.usleep/usleep.ip"
  local again="printf 203.0.113.2 >'$here/project/.usleep/usleep.ip'; source '$here/project/scripts/config_env.sh'; echo \$USLEEP_EXTERNAL_IP"
  source_config "echo \$USLEEP_EXTERNAL_IP; $again; env | grep -c EXTERNAL_IP || true"
  equal $'203.0.113.1\n203.0.113.2\n0' "$(cat "$here/out")"
  settings+=(USLEEP_EXTERNAL_IP=198.51.100.7)
  source_config "$again"
  equal 198.51.100.7 "$(cat "$here/out")"
}

test_missing_or_equal_project_ids_are_refused() {
  settings=(UWEAR_PROJECT_ID=p-uwear)
  source_config true
  equal 2 "$code"
  says 'USLEEP_PROJECT_ID is not set'
  settings=(USLEEP_PROJECT_ID=project-1 UWEAR_PROJECT_ID=project-1)
  source_config true
  equal 2 "$code"
  says 'two parties need two projects'
  ends_with 2 run_usleep.sh --dry-run
}

test_executing_config_env_says_that_it_must_be_sourced() {
  ends_with 2 config_env.sh
  says 'source it'
}

# NAME|VALUE: what may not pass. printf %b makes the newlines.
test_values_that_a_command_line_could_misread_are_refused_and_nothing_runs() {
  local name value script
  while IFS='|' read -r name value; do
    fresh
    printf -v value '%b' "$value"
    settings+=("USLEEP_IMAGE_DIGEST=$(digest_of usleep uwear)" "UWEAR_IMAGE_DIGEST=$(digest_of uwear uwear)")
    settings+=(USLEEP_EXTERNAL_IP=203.0.113.9 "$name=$value")
    case $name in
      MEMBER) script=setup_projects.sh ;;
      AUDIENCE) script=create_usleep_workload.sh ;;
      FLEET_*) script=create_usleep_fleet.sh ;;
      *) script=run_usleep.sh ;;
    esac
    play "$script"
    if ((code != 2)); then die "$name=$(printf '%q' "$value") was not refused by $script: exit $code"; fi
    says "$name: wanted"
    no_calls
    play "$script" --dry-run
    if ((code != 2)); then die "$name=$(printf '%q' "$value") was not refused in a dry run"; fi
  done <<'ROWS'
USLEEP_PROJECT_ID|short
USLEEP_PROJECT_ID|a-project-id-of-thirty-one-chars
USLEEP_PROJECT_ID|1-digit-first
USLEEP_PROJECT_ID|hyphen-last-
USLEEP_PROJECT_ID|Upper-Case
USLEEP_PROJECT_ID|two words
USLEEP_PROJECT_ID|p-usleep~x
USLEEP_PROJECT_ID|p-usleep\nx-and-more
USLEEP_PROJECT_ID|p-usleep\n
USLEEP_PROJECT_ID|--quiet-all
USLEEP_PROJECT_ID|$(touch x)
USLEEP_PROJECT_ID|p-üsleep
USLEEP_PROJECT_ZONE|us-west1
USLEEP_PROJECT_ZONE|us-west1-b us-west1-c
USLEEP_PROJECT_REGION|us west1
USLEEP_PROJECT_LOCATION|glob'al
USLEEP_PROJECT_REPOSITORY_REGION|us/../x
USLEEP_ARTIFACT_REPOSITORY|repo"quoted
USLEEP_ARTIFACT_REPOSITORY|repo~tee-cmd=x
USLEEP_WORKLOAD_IMAGE_NAME|../other/image
USLEEP_WORKLOAD_IMAGE_NAME|name~tee-cmd=["sh"]
USLEEP_WORKLOAD_IMAGE_TAG|latest@sha256:0
USLEEP_WORKLOAD_SERVICE_ACCOUNT|workload sa
USLEEP_WORKLOAD_SERVICE_ACCOUNT|workload-sa,other
UWEAR_WORKLOAD_SERVICE_ACCOUNT|workload-sa'
USLEEP_NETWORK|default;x
USLEEP_SUBNET|sub net
USLEEP_IMAGE_DIGEST|latest
USLEEP_IMAGE_DIGEST|sha256:ABCDEF
USLEEP_IMAGE_DIGEST|sha256:66073822137aff1be1234064b1fee3b095ed548f604e1f9a570a6be364efca2e~tee-cmd=x
USLEEP_IMAGE_DIGEST|sha256:66073822137aff1be1234064b1fee3b095ed548f604e1f9a570a6be364efca2e\n
USLEEP_EXTERNAL_IP|203.0.113.9~tee-env-x=1
USLEEP_EXTERNAL_IP|203.0.113.256
USLEEP_EXTERNAL_IP|example.com
CONFIDENTIAL_TYPE|sev
CONFIDENTIAL_TYPE|SEV --no-shielded-secure-boot
MACHINE_TYPE|n2d standard
USLEEP_SOURCE_RANGES|0.0.0.0
USLEEP_SOURCE_RANGES|203.0.113.0/33
USLEEP_SOURCE_RANGES|203.0.113.0/24, 198.51.100.0/24
MEMBER|operator@example.com
MEMBER|user:two words@example.com
MEMBER|user:a@b.c,user:d@e.f
MEMBER|allUsers
AUDIENCE|two words
AUDIENCE|a\nb
AUDIENCE|a~b
FLEET_MIN|0
FLEET_MIN|two
FLEET_MIN|11
FLEET_MAX|1001
FLEET_CPU|100
FLEET_CPU|060
FLEET_ZONES|europe-west4-a
FLEET_ZONES|us-west1-a us-west1-b
ROWS
}
