# shellcheck shell=bash
# What the Google Cloud scripts share: how they speak, fail, print commands instead of running them, and check
# what they are given. It guarantees:
#
# - A command that fails ends the script with the step that failed and what to do; the same command continues.
# - With --dry-run nothing is run and nothing is written; the commands are printed, quoted for a shell.
# - Steps go to stderr, results (a digest, an address) to stdout. No access token reaches a command line.
set -euo pipefail

# A question in the middle of a script would hang an unattended run; gcloud then takes its safe default.
export CLOUDSDK_CORE_DISABLE_PROMPTS=1

program=${0##*/}
project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scripts_dir=$project_dir/scripts
state_dir=${USLEEP_STATE_DIR:-$project_dir/.usleep}
dry_run=no
current_step='starting'

exit_actions=()
at_exit() { exit_actions+=("$1"); } # at_exit FUNCTION: called when the script ends, however it ends; last first
run_exit_actions() {
  local index
  for ((index = ${#exit_actions[@]} - 1; index >= 0; index--)); do "${exit_actions[index]}" || true; done
}
trap run_exit_actions EXIT

# --- Speaking ---------------------------------------------------------------------------------------------------

say() { # say TEXT: for people. In a dry run it is a comment, so that the whole output can be read as a script
  if [[ $dry_run == yes ]]; then printf '# %s\n' "$1"; else printf '%s\n' "$1" >&2; fi
}

step() { # step TEXT: what is done next; also what a failure will name
  current_step=$1
  if [[ $dry_run == yes ]]; then printf '\n# %s\n' "$1"; else printf '\n== %s\n' "$1" >&2; fi
}

did() { # did TEXT: how a step went; a dry run has done nothing
  if [[ $dry_run == no ]]; then say "  $1"; fi
}

loudly() { # loudly LINE...: what nobody may overlook
  local line
  say '!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!'
  for line in "$@"; do say "!!  $line"; done
  say '!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!'
}

fail() { # fail WHAT [NEXT]: ends the script with 1
  printf '%s: %s\n' "$program" "$1" >&2
  if [[ -n ${2:-} ]]; then printf '  next     %s\n' "$2" >&2; fi
  exit 1
}

refuse() { # refuse WHAT [NEXT]: ends the script with 2, for what was asked wrongly
  printf '%s: %s\n' "$program" "$1" >&2
  if [[ -n ${2:-} ]]; then printf '  next     %s\n' "$2" >&2; fi
  exit 2
}

escaped() { # escaped VALUE: safe to show, cut at 100 characters
  local shown
  printf -v shown '%q' "$1"
  printf '%s' "${shown:0:100}"
}

# --- Arguments and tools ----------------------------------------------------------------------------------------

common_flag() { # common_flag ARGUMENT: the flags that every script has; ends the script for an unknown one
  case $1 in
    --dry-run) dry_run=yes ;;
    -h | --help) usage && exit 0 ;;
    *) refuse "unknown argument: $(escaped "$1")" "see $program --help" ;;
  esac
}

value_of() { # value_of FLAG [VALUE]: the value, or a usage error where there is none
  if (($# < 2)) || [[ -z $2 ]]; then refuse "$1 needs a value" "see $program --help"; fi
  printf '%s' "$2"
}

need() { # need COMMAND ADVICE: the command must be there, unless nothing is going to be run
  if [[ $dry_run == yes ]] || command -v "$1" >/dev/null 2>&1; then return; fi
  refuse "$1 is missing" "$2"
}

need_gcloud() { need gcloud 'install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install'; }

load_config() { # all variables of config_env.sh, checked
  # shellcheck source=scripts/config_env.sh
  source "$scripts_dir/config_env.sh" || exit 2
}

# check NAME VALUE REGEX WANTED: a usage error unless the whole value matches. Every value that reaches a command
# line goes through this or config_env.sh: no space, quote, ~, comma or newline gets past.
check() {
  local LC_ALL=C
  if [[ $2 =~ $3 ]]; then return; fi
  refuse "$1: wanted $4, got $(escaped "$2")"
}

check_digest() { check "$1" "$2" '^sha256:[0-9a-f]{64}$' 'sha256: and 64 digits of 0-9 and a-f'; }

check_ip() { # check_ip NAME VALUE
  local octet='(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])'
  check "$1" "$2" "^$octet(\\.$octet){3}\$" 'an IPv4 address'
}

check_number() { # check_number NAME VALUE FROM TO
  check "$1" "$2" '^(0|[1-9][0-9]{0,5})$' "a number from $3 to $4"
  if (($2 < $3 || $2 > $4)); then refuse "$1: wanted a number from $3 to $4, got $2"; fi
}

check_member() { # the operator, as IAM writes it
  if [[ -z ${MEMBER:-} ]]; then
    refuse 'MEMBER is not set: who operates the workloads' 'export MEMBER=user:<your account>; see gcloud auth list'
  fi
  check MEMBER "$MEMBER" '^(user|group|serviceAccount):[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+$' \
    'user:, group: or serviceAccount: and an e-mail address'
}

# --- Running ----------------------------------------------------------------------------------------------------

quoted() { # quoted COMMAND...: one line that a shell splits into exactly these words
  local word line='' plain='^[A-Za-z0-9_@%+=:,./-]+$'
  for word in "$@"; do
    if ! [[ $word =~ $plain ]]; then word="'${word//\'/\'\\\'\'}'"; fi
    line+=" $word"
  done
  printf '%s' "${line:1}"
}

show() { # show LINE: a command line that is about to be run, or would be
  if [[ $dry_run == yes ]]; then printf '%s\n' "$1"; else printf '+ %s\n' "$1" >&2; fi
}

failed() { # failed EXIT_CODE: the current step did
  fail "this step failed (exit $1): $current_step" \
    'put right what is said above and run the same command again: what is done is kept, and it continues here'
}

run() { # run COMMAND...: what it prints goes to stderr, since stdout is for results
  show "$(quoted "$@")"
  if [[ $dry_run == yes ]]; then return; fi
  "$@" >&2 || failed $?
}

ask() { # ask VARIABLE COMMAND...: its output into the variable; empty in a dry run
  local ask_output=
  show "$(quoted "${@:2}")"
  if [[ $dry_run == no ]]; then ask_output=$("${@:2}") || failed $?; fi
  printf -v "$1" '%s' "$ask_output"
}

# run_patiently COMMAND...: as `run`, but a new service account takes some seconds until it can be named in a grant,
# and IAM says "does not exist" until then.
run_patiently() {
  local pause words code
  show "$(quoted "$@")"
  if [[ $dry_run == yes ]]; then return; fi
  for pause in 2 4 8 16 0; do
    code=0
    words=$("$@" 2>&1 >/dev/null) || code=$?
    printf '%s\n' "$words" >&2
    if ((code == 0)); then return; fi
    if [[ $words != *'does not exist'* ]] || ((pause == 0)); then failed "$code"; fi
    say "  not known everywhere yet, again in $pause s"
    sleep "$pause"
  done
}

# --- What the steps leave for the next ones ---------------------------------------------------------------------

keep_state_dir() { # makes the folder for the state; git ignores it by its own means
  if [[ -d $state_dir ]]; then return; fi
  mkdir -p "$state_dir"
  printf '*\n' >"$state_dir/.gitignore"
}

keep() { # keep FILE VALUE: a result that later steps read through config_env.sh
  if [[ $dry_run == yes ]]; then return; fi
  keep_state_dir
  printf '%s' "$2" >"$state_dir/$1.new"
  mv "$state_dir/$1.new" "$state_dir/$1"
}

mention_exported() { # mention_exported NAME VALUE: says so if the shell exports another value, which will win
  local name=$1
  if [[ -z ${!name:-} || ${!name} == "$2" ]]; then return; fi
  if [[ ${!name@a} == *x* ]]; then
    loudly "$1 is exported as ${!name}" "and wins over what was just found: $2" "unless you change it: unset $1"
  fi
}

setting() { # setting USLEEP|UWEAR NAME: the value of USLEEP_NAME or UWEAR_NAME
  local name=${1}_$2
  printf '%s' "${!name:-}"
}

account_of() { # account_of USLEEP|UWEAR: the e-mail address of the workload's service account
  printf '%s@%s.iam.gserviceaccount.com' "$(setting "$1" WORKLOAD_SERVICE_ACCOUNT)" "$(setting "$1" PROJECT_ID)"
}

image_of() { # image_of USLEEP|UWEAR: registry path of the image, without tag or digest
  printf '%s-docker.pkg.dev/%s/%s/%s' "$(setting "$1" PROJECT_REPOSITORY_REGION)" "$(setting "$1" PROJECT_ID)" \
    "$(setting "$1" ARTIFACT_REPOSITORY)" "$(setting "$1" WORKLOAD_IMAGE_NAME)"
}
