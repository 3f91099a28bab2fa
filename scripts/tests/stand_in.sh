#!/usr/bin/env bash
# Plays gcloud, skopeo, curl and sleep for the tests, under whichever of these names it is called. It records each call
# in $STAND_IN/calls, `--- NAME` and then an argument on each line, escaped: a value that was split would be two lines.
# It keeps a small model of Google Cloud in $STAND_IN/cloud, so that what was created is listed later.
set -euo pipefail
name=${0##*/}
{
  printf -- '--- %s\n' "$name"
  if (($#)); then printf '%q\n' "$@"; fi
} >>"$STAND_IN/calls"
line="$name $*"

# $STAND_IN/fail holds how often (a number, or always), then a pattern of the call that fails, then what it says.
if [[ -f $STAND_IN/fail ]]; then
  { read -r times && read -r pattern && read -r words; } <"$STAND_IN/fail"
  if [[ $line =~ $pattern && $times != 0 ]]; then
    if [[ $times != always ]]; then printf '%s\n' "$((times - 1))" "$pattern" "$words" >"$STAND_IN/fail"; fi
    printf '%s\n' "$words" >&2
    exit 1
  fi
fi

flag() { # flag NAME ARGUMENT...: the value of --NAME=
  local argument
  for argument in "${@:2}"; do
    if [[ $argument == "--$1="* ]]; then printf '%s' "${argument#*=}" && return; fi
  done
}
without() { { grep -vxF -- "$2" "$1" || true; } >"$1.new" && mv "$1.new" "$1"; } # without FILE LINE

case $name in
  sleep) exit 0 ;;
  curl)
    while (($#)); do
      if [[ $1 == --output ]]; then cp "$STAND_IN/served" "$2"; fi
      shift
    done
    exit 0
    ;;
  skopeo)
    last=${*: -1}
    stored=$STAND_IN/registry.$(printf '%s' "$last" | tr -c 'A-Za-z0-9\n' '_')
    case $1 in
      login) cat >"$STAND_IN/password" ;;
      # The archives of these tests are nothing but their manifest.
      copy) archive=${*: -2:1} && cp "${archive#oci-archive:}" "$stored" ;;
      inspect) cat "$stored" ;;
    esac
    exit 0
    ;;
esac

# gcloud: GROUP... VERB [NAME] --flags
words=()
for argument in "$@"; do
  if [[ $argument == --* ]]; then break; fi
  words+=("$argument")
done
project=$(flag project "$@")
cloud=$STAND_IN/cloud policy=$STAND_IN/policy
touch "$cloud" "$policy"
verb='' group='' target=''
for index in "${!words[@]}"; do
  case ${words[index]} in
    create | list | delete | describe | start | get-iam-policy | add-iam-policy-binding | remove-iam-policy-binding)
      verb=${words[index]} group="${words[*]:0:index}" target=${words[*]:index+1}
      break
      ;;
  esac
done
target=${target#tcp } # health-checks create tcp NAME
case $verb in
  create)
    if [[ $group == 'iam service-accounts' ]]; then target=$target@$project.iam.gserviceaccount.com; fi
    printf '%s|%s|%s\n' "$group" "$project" "$target" >>"$cloud"
    if [[ $group == 'compute instances' ]]; then
      printf RUNNING >"$STAND_IN/status.$target"
      printf '%s' "$(flag labels "$@")" >"$STAND_IN/labels.$target"
    fi
    printf 'Created [%s].\n' "$target"
    ;;
  list)
    wanted=$(flag filter "$@")
    while IFS='|' read -r one_group one_project one_name; do
      if [[ $one_group == "$group" && $one_project == "$project" ]] && [[ -z $wanted || $one_name == "${wanted#*=}" ]]; then
        printf '%s\n' "$one_name"
      fi
    done <"$cloud"
    ;;
  delete) without "$cloud" "$group|$project|$target" ;;
  start) printf RUNNING >"$STAND_IN/status.$target" ;;
  describe)
    case $(flag format "$@") in
      *natIP*) cat "$STAND_IN/ip" 2>/dev/null || printf '203.0.113.9\n' ;;
      *status*) printf '%s,%s\n' "$(cat "$STAND_IN/status.$target")" "$(sed 's/^launch=//' "$STAND_IN/labels.$target")" ;;
      *backends*) cat "$STAND_IN/backend" 2>/dev/null || true ;;
      *address*) printf '203.0.113.50\n' ;;
    esac
    ;;
  get-iam-policy) grep -F -- "$group $target|" "$policy" | cut -d '|' -f 2 || true ;;
  add-iam-policy-binding) printf '%s|%s,%s,\n' "$group $target" "$(flag role "$@")" "$(flag member "$@")" >>"$policy" ;;
  remove-iam-policy-binding) without "$policy" "$group $target|$(flag role "$@"),$(flag member "$@")," ;;
  *)
    case $line in
      *' print-access-token') printf 'the-access-token\n' ;;
      *' add-backend '*) printf 'https://x/regions/us-west1/instanceGroups/usleep-fleet\n' >"$STAND_IN/backend" ;;
      *get-serial-port-output* | *'logging read'*) printf 'Starting Server..\033[2J\r\nPolicy check PASSED\n' ;;
    esac
    ;;
esac
