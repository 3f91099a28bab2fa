#!/usr/bin/env bash
# The tests of the Google Cloud scripts, without a cloud: each test gets a copy of the scripts in a temporary
# project, stand-ins for gcloud, skopeo and curl on PATH, and compares the whole command lines that were run.
#
# Usage: scripts/tests/run.sh [NAME]    only the tests whose name contains NAME
# Ends with `N passed, N failed`; exit status 1 if any failed.
set -euo pipefail

tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository_dir=$(cd "$tests_dir/../.." && pwd)
only=${1:-}
work=$(mktemp -d "${TMPDIR:-/tmp}/usleep-tests.XXXXXX")
trap 'rm -rf "$work"' EXIT

# --- What a test may use. It runs in a subshell, in its own folder, and fails by `die`. --------------------------

die() {
  printf '    %s\n' "$@"
  exit 1
}

# shellcheck disable=SC2034 # some of what it sets is for the tests alone
# fresh: a project with the scripts, a small baseline, and a build that writes what build_images.sh would.
fresh() {
  here=$(mktemp -d "$work/test.XXXXXX")
  mkdir -p "$here/project/scripts" "$here/project/policy" "$here/bin" "$here/stand_in" "$here/home"
  cp "$repository_dir"/scripts/*.sh "$here/project/scripts/"
  printf '{"allowed_submods_container_image_digest": []}\n' >"$here/project/policy/baseline.json"
  cat >"$here/project/scripts/build_images.sh" <<'BUILD'
#!/usr/bin/env bash
set -euo pipefail
printf -- '--- build_images.sh\nAUDIENCE=%q\nMUTUAL=%q\n' "${AUDIENCE-unset}" "${MUTUAL-unset}" >>"$STAND_IN/calls"
printf '%q\n' "$@" >>"$STAND_IN/calls"
if [[ -f $STAND_IN/build_fails ]]; then echo 'error: it does not compile' >&2 && exit 1; fi
name=${1#--} images=$3
mkdir -p "$images"
printf 'image of %s for %s' "$name" "${AUDIENCE-uwear}" >"$images/$name.oci.tar"
printf 'sha256:%s\n' "$(sha256sum "$images/$name.oci.tar" | cut -d ' ' -f 1)" >"$images/$name.digest"
BUILD
  local name
  for name in gcloud skopeo curl sleep; do cp "$tests_dir/stand_in.sh" "$here/bin/$name"; done
  chmod +x "$here"/bin/* "$here/project/scripts/build_images.sh"
  settings=(
    USLEEP_PROJECT_ID=p-usleep UWEAR_PROJECT_ID=p-uwear MEMBER=user:operator@example.com
  )
  created=$here/project/.usleep/created
  images=$here/project/target/images
}

# play SCRIPT [ARGUMENT...]: runs it with nothing but `settings` in its environment; sets code; files out and err.
play() {
  local script=$1
  shift
  code=0
  (cd "$here" && env -i PATH="$here/bin:${tools:-/usr/local/bin:/usr/bin:/bin}" HOME="$here/home" STAND_IN="$here/stand_in" \
    "${settings[@]}" bash "project/scripts/$script" "$@") >"$here/out" 2>"$here/err" </dev/null || code=$?
}

succeeds() { # succeeds SCRIPT [ARGUMENT...]
  play "$@"
  if ((code != 0)); then die "wanted $1 to succeed, got exit $code:" "$(cat "$here/err")"; fi
}
ends_with() { # ends_with CODE SCRIPT [ARGUMENT...]
  play "${@:2}"
  if ((code != $1)); then die "wanted $2 to exit with $1, got $code:" "$(cat "$here/out" "$here/err")"; fi
}

want() { # want NAME ARGUMENT...: one call that is expected next
  printf -- '--- %s\n' "$1" >>"$here/want"
  if (($# > 1)); then printf '%q\n' "${@:2}" >>"$here/want"; fi
}
same_calls() { # the calls since the last `forget_calls` are those wanted, word for word
  touch "$here/want" "$here/stand_in/calls"
  if ! diff -u --label wanted "$here/want" --label called "$here/stand_in/calls" >"$here/diff"; then
    die 'other calls than wanted:' "$(cat "$here/diff")"
  fi
}
no_calls() {
  if [[ -s $here/stand_in/calls ]]; then die 'wanted no call, got:' "$(cat "$here/stand_in/calls")"; fi
}
forget_calls() {
  if [[ -f $here/stand_in/calls ]]; then cat "$here/stand_in/calls" >>"$work/all_calls"; fi
  rm -f "$here/want" "$here/stand_in/calls"
}
called() { # called TEXT: some call, as one line of plain words, contains it
  words_of_calls >"$here/lines"
  grep -qF -- "$1" "$here/lines" || die "wanted a call with: $1" "$(cat "$here/lines")"
}
not_called() { # not_called TEXT
  words_of_calls >"$here/lines"
  if grep -F -- "$1" "$here/lines" >"$here/found"; then die "wanted no call with: $1" "$(cat "$here/found")"; fi
}
words_of_calls() { # each call on a line
  touch "$here/stand_in/calls"
  awk '/^--- /{ if (line) print line; line = substr($0, 5); next } { line = line " " $0 } END { if (line) print line }' \
    "$here/stand_in/calls"
}

prints() { grep -qF -- "$1" "$here/out" || die "wanted on stdout: $1" "$(cat "$here/out")"; }
says() { grep -qF -- "$1" "$here/err" || die "wanted on stderr: $1" "$(cat "$here/err")"; }
says_not() { if grep -qF -- "$1" "$here/err"; then die "wanted not on stderr: $1"; fi; }
equal() { if [[ $1 != "$2" ]]; then die "wanted: $1" "got:    $2"; fi; }

fails_at() { # fails_at TIMES|always PATTERN WORDS: calls that match fail and say that
  printf '%s\n' "$1" "$2" "$3" >"$here/stand_in/fail"
}
heal() { rm -f "$here/stand_in/fail"; }
digest_of() { # digest_of usleep|uwear AUDIENCE: what the stand-in's build gives
  printf 'sha256:%s' "$(printf 'image of %s for %s' "$1" "$2" | sha256sum | cut -d ' ' -f 1)"
}

# --- Running them -------------------------------------------------------------------------------------------------

passed=0 failed=0
for file in "$tests_dir"/*_test.sh; do
  # shellcheck disable=SC1090 # the tests, each a function called test_SENTENCE
  source "$file"
done
while read -r _ _ test; do
  if [[ $test != test_* || $test != *"$only"* ]]; then continue; fi
  sentence=${test#test_}
  # Not inside `if`: there `set -e` would be ignored, and a command that fails would go unnoticed.
  set +e
  (
    set -euo pipefail
    fresh
    "$test"
    forget_calls
  ) >"$work/output" 2>&1
  outcome=$?
  set -e
  if ((outcome == 0)); then
    passed=$((passed + 1))
    printf 'ok      %s\n' "${sentence//_/ }"
  else
    failed=$((failed + 1))
    printf 'FAILED  %s\n' "${sentence//_/ }"
  fi
  # What a test left out is said aloud, also when it passes.
  if ((outcome != 0)) || grep -q 'left out' "$work/output"; then cat "$work/output"; fi
done < <(declare -F)

# The command lines of all tests, before the parser of a real gcloud: a flag that does not exist would be found here.
parser_check() {
  local launcher sdk python
  launcher=$(command -v gcloud) || return 3
  sdk=$(cd "$(dirname "$(readlink -f "$launcher")")/.." && pwd)
  python=$sdk/platform/bundledpythonunix/bin/python3
  if [[ ! -x $python ]]; then python=$(command -v python3) || return 3; fi
  [[ -d $sdk/lib/googlecloudsdk ]] || return 3
  awk '/^--- /{ if (line) print line; line = substr($0, 5); next } { line = line " " $0 } END { print line }' "$work/all_calls" |
    grep '^gcloud ' | sed -E 's/launch=[0-9a-f]+/launch=x/; s/[0-9a-f]{64}/0/g' | sort -u |
    CLOUDSDK_CONFIG=$work/gcloud "$python" "$tests_dir/parse_gcloud.py" "$sdk"
}
if [[ -z $only ]]; then
  parsed=0
  parser_check || parsed=$?
  case $parsed in
    0) passed=$((passed + 1)) && printf 'ok      the parser of the installed gcloud takes every command line of these tests\n' ;;
    3) printf 'left out: no Google Cloud CLI here whose parser could read the command lines\n' ;;
    *) failed=$((failed + 1)) && printf 'FAILED  the parser of the installed gcloud takes every command line of these tests\n' ;;
  esac
fi

printf '%s passed, %s failed\n' "$passed" "$failed"
((failed == 0 && passed > 0))
