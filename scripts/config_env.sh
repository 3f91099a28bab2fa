# shellcheck shell=bash
# The names and places of the walk-through on Google Cloud. Source it in bash:
#
#   export USLEEP_PROJECT_ID=... UWEAR_PROJECT_ID=...
#   source scripts/config_env.sh
#
# Both project ids are required. Everything else has the codelab's defaults; a variable that is set already names
# a resource of yours, which is used if it exists. All values are checked, so that none can be split or taken
# for a flag on its way to gcloud. The scripts read this file themselves; sourcing it yourself shows the values.
#
# Three values come out of the steps: USLEEP_IMAGE_DIGEST, UWEAR_IMAGE_DIGEST and USLEEP_EXTERNAL_IP. Exported ones
# are yours and win. Otherwise the last step's are read anew each time and not exported: an exported copy would go
# stale with the next build or launch, and silently start the wrong thing.

if [ -z "${BASH_VERSION:-}" ]; then
  echo 'config_env.sh: needs bash: source it there' >&2
  # shellcheck disable=SC2317 # exit: when it was executed by another shell
  return 2 2>/dev/null || exit 2
fi

config_env_wrong() { # config_env_wrong NAME WANTED: says what is wrong with a variable; its value escaped and cut
  local shown
  printf -v shown '%q' "${!1:-}"
  printf 'config_env.sh: %s: wanted %s, got %s\n' "$1" "$2" "${shown:0:100}" >&2
}

config_env_check() { # config_env_check NAME REGEX WANTED: false and a message unless the whole value matches
  local LC_ALL=C
  [[ ${!1:-} =~ $2 ]] && return
  config_env_wrong "$1" "$3"
  return 1
}

config_env_default() { # config_env_default NAME VALUE: sets and exports it, unless it has a value
  if [[ -z ${!1:-} ]]; then printf -v "$1" '%s' "$2"; fi
  export "${1?}"
}

config_env_result() { # config_env_result NAME FILE: the value of an earlier step, unless NAME is exported
  local folder=${USLEEP_STATE_DIR:-$(dirname "${BASH_SOURCE[0]}")/../.usleep} attributes=
  if [[ -n ${!1+set} ]]; then attributes=${!1@a}; fi
  if [[ $attributes == *x* ]]; then return; fi
  printf -v "$1" '%s' ''
  if [[ -f $folder/$2 ]]; then printf -v "$1" '%s' "$(head -c 300 "$folder/$2" | tr -d '\0')"; fi
}

# The body is a function so that `local` keeps the caller's shell clean.
config_env() {
  local wrong=0 workload name
  local id='^[a-z][a-z0-9-]{4,28}[a-z0-9]$'
  local id_wanted='6 to 30 characters of a-z, 0-9 and -, a letter first, no - at the end'
  for workload in USLEEP UWEAR; do
    name=${workload}_PROJECT_ID
    if [[ -z ${!name:-} ]]; then
      printf 'config_env.sh: %s is not set: export %s=<Google Cloud project id>\n' "$name" "$name" >&2
      wrong=1
      continue
    fi
    config_env_check "$name" "$id" "$id_wanted" || { wrong=1 && continue; }
    export "${name?}"
    config_env_default "${workload}_PROJECT_REGION" us-west1
    config_env_default "${workload}_PROJECT_ZONE" us-west1-b
    config_env_default "${workload}_PROJECT_LOCATION" global
    config_env_default "${workload}_PROJECT_REPOSITORY_REGION" us
    config_env_default "${workload}_ARTIFACT_REPOSITORY" "${!name}-artifact-repo"
    config_env_default "${workload}_WORKLOAD_IMAGE_NAME" workload-container
    config_env_default "${workload}_WORKLOAD_IMAGE_TAG" latest
    config_env_default "${workload}_WORKLOAD_SERVICE_ACCOUNT" workload-sa
    config_env_default "${workload}_NETWORK" default

    local place='^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$' resource='^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'
    local resource_wanted='at most 63 characters of a-z, 0-9 and -, a letter first, no - at the end'
    config_env_check "${workload}_PROJECT_REGION" '^[a-z]+(-[a-z]+)+[0-9]+$' 'a region such as us-west1' || wrong=1
    config_env_check "${workload}_PROJECT_ZONE" '^[a-z]+(-[a-z]+)+[0-9]+-[a-z]$' 'a zone such as us-west1-b' || wrong=1
    config_env_check "${workload}_PROJECT_LOCATION" "$place" 'a location such as global' || wrong=1
    config_env_check "${workload}_PROJECT_REPOSITORY_REGION" "$place" 'a location such as us or us-west1' || wrong=1
    config_env_check "${workload}_ARTIFACT_REPOSITORY" "$resource" "$resource_wanted" || wrong=1
    config_env_check "${workload}_WORKLOAD_IMAGE_NAME" '^[a-z0-9]+([._-][a-z0-9]+)*$' \
      'an image name of a-z and 0-9, single . _ - between them' || wrong=1
    config_env_check "${workload}_WORKLOAD_IMAGE_TAG" '^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$' \
      'a tag: at most 128 characters of A-Z, a-z, 0-9 and . _ -' || wrong=1
    config_env_check "${workload}_WORKLOAD_SERVICE_ACCOUNT" "$id" "$id_wanted" || wrong=1
    config_env_check "${workload}_NETWORK" "$resource" "$resource_wanted" || wrong=1
    name=${workload}_SUBNET
    if [[ -n ${!name:-} ]]; then config_env_check "$name" "$resource" "$resource_wanted" || wrong=1; fi
  done
  if [[ -n ${USLEEP_PROJECT_ID:-} && ${USLEEP_PROJECT_ID:-} == "${UWEAR_PROJECT_ID:-}" ]]; then
    printf 'config_env.sh: USLEEP_PROJECT_ID and UWEAR_PROJECT_ID are the same: two parties need two projects\n' >&2
    wrong=1
  fi

  config_env_result USLEEP_IMAGE_DIGEST usleep.digest
  config_env_result UWEAR_IMAGE_DIGEST uwear.digest
  config_env_result USLEEP_EXTERNAL_IP usleep.ip
  for name in USLEEP_IMAGE_DIGEST UWEAR_IMAGE_DIGEST; do
    if [[ -n ${!name} ]]; then
      config_env_check "$name" '^sha256:[0-9a-f]{64}$' 'sha256: and 64 digits of 0-9 and a-f' || wrong=1
    fi
  done
  if [[ -n $USLEEP_EXTERNAL_IP ]]; then
    local octet='(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])'
    config_env_check USLEEP_EXTERNAL_IP "^$octet(\.$octet){3}\$" 'an IPv4 address' || wrong=1
  fi
  return "$wrong"
}

config_env_status=0
config_env || config_env_status=2
unset -f config_env config_env_default config_env_result config_env_check config_env_wrong
# What was executed instead of sourced has set nothing where it matters; that deserves a word.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  echo 'config_env.sh: nothing is set in your shell: source it there (see its first lines)' >&2
  exit 2
fi
eval "unset config_env_status; return $config_env_status"
