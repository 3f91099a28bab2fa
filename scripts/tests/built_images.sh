#!/usr/bin/env bash
# The tests of the images themselves: what is in them, what changes their digest and what does not, and what the data
# owner's tools say of them. Commits go to the clone that is given, so give it one that nobody needs:
#
#   scripts/build_images.sh --check --keep DIR && scripts/tests/built_images.sh DIR
#
# Usage: scripts/tests/built_images.sh CLONE    a clone in which scripts/build_images.sh built both images
# Ends with `N passed, N failed`; exit status 1 if any failed. The compiler works for one of them only, the last.
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
clone=$(cd "${1:?a clone in which scripts/build_images.sh built both images}" && pwd)
if [[ $clone == "$project" ]]; then
  printf 'built_images.sh: wanted another clone, these tests commit to it: scripts/build_images.sh --check --keep DIR\n' >&2
  exit 2
fi
built=$clone/target/images
work=$(mktemp -d "${TMPDIR:-/tmp}/built-images.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$clone"

die() {
  printf '    %s\n' "$@"
  exit 1
}
equal() { if [[ $1 != "$2" ]]; then die 'wanted:' "$1" 'got:' "$2"; fi; }

config() { skopeo inspect --config "oci-archive:$1" | jq -cS "$2"; }        # config ARCHIVE FILTER
entry_point() { config "$1" '.config.Entrypoint'; }                         # entry_point ARCHIVE
digest() { cat "$1/$2.digest"; }                                            # digest FOLDER IMAGE
program_of() { sed -n 's/^binary *//p' "$1/$2.record"; }                    # program_of FOLDER IMAGE
build() { scripts/build_images.sh "$@" >"$work/build.log" 2>&1 || die "the build failed:" "$(tail -n 20 "$work/build.log")"; }

# unpacked ARCHIVE: its files under $files, the listing of its layers in $listing.
unpacked() {
  local layers layer
  files=$work/files.$(basename "$(dirname "$1")").$(basename "$1" .oci.tar) listing=$files.list
  if [[ -d $files ]]; then return; fi
  layers=$(mktemp -d "$work/layers.XXXXXX")
  skopeo copy --quiet "oci-archive:$1" "dir:$layers"
  mkdir "$files"
  for layer in $(jq -r '.layers[].digest' "$layers/manifest.json"); do
    tar --extract --gzip --file "$layers/${layer#sha256:}" --directory "$files"
    TZ=UTC tar --list --verbose --gzip --full-time --numeric-owner --file "$layers/${layer#sha256:}" |
      awk '{ print $1, $2, $4, $5, $6 }' >>"$listing"
  done
}

revision() { sed -n 's/^revision *//p' "$built/$1.record"; } # revision IMAGE
# commit IMAGE: its revision without the mark of a history that is cut off.
commit() { revision "$1" | sed 's/-shallow$//'; }
# committed IMAGE: when that was, as the listing has it.
committed() { TZ=UTC git log -1 --format=%cd --date='format-local:%Y-%m-%d %H:%M:%S' "$(commit "$1")"; }
labels() { # labels IMAGE OVERRIDABLE DESCRIPTION
  jq -cS . <<JSON
{
  "tee.launch_policy.allow_cmd_override": "false",
  "tee.launch_policy.allow_env_override": "$2",
  "tee.launch_policy.log_redirect": "always",
  "org.opencontainers.image.title": "$1",
  "org.opencontainers.image.description": "$3",
  "org.opencontainers.image.source": "",
  "org.opencontainers.image.revision": "$(revision "$1")",
  "org.opencontainers.image.version": "$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)",
  "org.opencontainers.image.licenses": "Apache-2.0"
}
JSON
}

path='"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'

test_usleeps_image_says_what_it_runs_and_lets_nobody_change_it() {
  local archive=$built/usleep.oci.tar
  equal '["/usleep","serve","--rules","recommended","--log-format","json"]' "$(entry_point "$archive")"
  equal "[$path,\"USLEEP_AUDIENCE=uwear\"]" "$(config "$archive" '.config.Env')"
  equal '{"8081/tcp":{}}' "$(config "$archive" '.config.ExposedPorts')"
  equal "$(labels usleep '' 'Analyses sleep data for clients to whom it has proven itself')" "$(config "$archive" '.config.Labels')"
  equal '["Entrypoint","Env","ExposedPorts","Labels"]' "$(config "$archive" '.config | keys')"
  equal '"linux amd64"' "$(config "$archive" '"\(.os) \(.architecture)"')"
}

test_uwears_image_lets_the_operator_say_where_usleep_is_and_nothing_else() {
  local archive=$built/uwear.oci.tar
  equal '["/uwear","release","--phi","/amy.json","--baseline","/policy/baseline.json","--audience","uwear","--print-result","--retry-for","5m"]' \
    "$(entry_point "$archive")"
  equal "[$path]" "$(config "$archive" '.config.Env')"
  equal "$(labels uwear remote_ip_addr 'Releases health data to a workload that has proven itself, and to nobody else')" \
    "$(config "$archive" '.config.Labels')"
  equal '["Entrypoint","Env","Labels"]' "$(config "$archive" '.config | keys')"
}

test_the_revision_is_the_last_commit_that_touched_what_the_image_is_made_of() {
  local name
  for name in usleep uwear; do
    [[ $(commit "$name") =~ ^[0-9a-f]{40}$ ]] || die "revision of $name: $(revision "$name")"
    git merge-base --is-ancestor "$(commit "$name")" HEAD || die "not a commit of this history: $(commit "$name")"
  done
}

test_usleeps_image_holds_one_program_and_nothing_else() {
  unpacked "$built/usleep.oci.tar"
  equal "-r-xr-xr-x 0/0 $(committed usleep) usleep" "$(cat "$listing")"
}

test_uwears_image_holds_its_program_the_baseline_and_the_night_of_amy() {
  unpacked "$built/uwear.oci.tar"
  local when
  when=$(committed uwear)
  equal "$(printf '%s\n' "-r--r--r-- 0/0 $when amy.json" "drwxr-xr-x 0/0 $when policy/" \
    "-r--r--r-- 0/0 $when policy/baseline.json" "-r-xr-xr-x 0/0 $when uwear")" "$(cat "$listing")"
  cmp "$files/policy/baseline.json" policy/baseline.json || die 'another baseline'
  cmp "$files/amy.json" sleep/testdata/amy.json || die 'another night'
}

test_the_programs_need_no_library_and_no_loader() {
  local name
  for name in usleep uwear; do
    unpacked "$built/$name.oci.tar"
    if readelf --wide --program-headers --dynamic "$files/$name" | grep -E 'INTERP|NEEDED'; then die "$name is not static"; fi
    "$files/$name" --version | grep -q "^$name " || die "$name does not run"
  done
}

test_the_programs_hold_no_key_and_no_folder_of_the_machine_that_built_them() {
  local name
  for name in usleep uwear; do
    unpacked "$built/$name.oci.tar"
    if grep -aoE -- '-----BEGIN [A-Z ]*PRIVATE KEY-----' "$files/$name"; then die "a key in $name"; fi
    if grep -aoF -e "$clone" -e "${CARGO_HOME:-$HOME/.cargo}/" "$files/$name" | sort | uniq -c; then die "folders in $name"; fi
  done
}

test_usleep_cannot_be_made_to_print_health_data() {
  unpacked "$built/usleep.oci.tar"
  "$files/usleep" serve --help >"$work/help"
  grep -q -- --audience "$work/help" || die 'not the help' "$(cat "$work/help")"
  if grep -F unsafe "$work/help"; then die 'the feature walkthrough is in the image'; fi
  local code=0
  "$files/usleep" serve --unsafe-log-phi >/dev/null 2>&1 || code=$?
  equal 2 "$code"
}

# knows ARCHIVE IMAGE: does its program take its entry point's flags?
knows() {
  local entry
  unpacked "$1"
  mapfile -t entry < <(entry_point "$1" | jq -r '.[1:][]')
  remote_ip_addr=192.0.2.1 "$files/$2" "${entry[@]}" --help >/dev/null 2>"$work/said"
}

test_the_programs_take_the_flags_of_their_entry_points() {
  local name
  for name in usleep uwear; do
    knows "$built/$name.oci.tar" "$name" || die "$name:" "$(cat "$work/said")"
  done
}

test_digest_and_record_are_those_of_the_archive() {
  local name
  for name in usleep uwear; do
    equal "$(digest "$built" "$name")" \
      "sha256:$(skopeo inspect --raw "oci-archive:$built/$name.oci.tar" | sha256sum | cut -d ' ' -f 1)"
    unpacked "$built/$name.oci.tar"
    equal "$(program_of "$built" "$name")" "sha256:$(sha256sum "$files/$name" | cut -d ' ' -f 1)"
  done
}

test_another_audience_is_another_digest_of_the_same_program() {
  AUDIENCE=anotherCompany.com build --usleep --output "$work/audience"
  if grep -E '^ +Compiling ' "$work/build.log"; then die 'it was compiled again'; fi
  if [[ $(digest "$work/audience" usleep) == $(digest "$built" usleep) ]]; then die 'the same digest'; fi
  equal "$(program_of "$built" usleep)" "$(program_of "$work/audience" usleep)"
  equal '"USLEEP_AUDIENCE=anotherCompany.com"' "$(config "$work/audience/usleep.oci.tar" '.config.Env[1]')"
}

test_mutual_is_another_entry_point_and_another_digest_and_can_be_reproduced() {
  local name run
  for run in once again; do MUTUAL=1 build --output "$work/mutual-$run"; done
  MUTUAL=0 build --output "$work/mutual-not"
  for name in usleep uwear; do
    if [[ $(digest "$work/mutual-once" "$name") == $(digest "$built" "$name") ]]; then die "$name: the same digest"; fi
    equal "$(digest "$work/mutual-once" "$name")" "$(digest "$work/mutual-again" "$name")"
    equal "$(digest "$built" "$name")" "$(digest "$work/mutual-not" "$name")"
    equal "$(program_of "$built" "$name")" "$(program_of "$work/mutual-once" "$name")"
    equal "$(config "$built/$name.oci.tar" '.config | del(.Entrypoint)' | sed "s/$(revision "$name")/X/")" \
      "$(config "$work/mutual-once/$name.oci.tar" '.config | del(.Entrypoint)' | sed -E 's/[0-9a-f]{40}/X/')"
  done
  equal '["--attest-client","required","--client-baseline","/policy/client_baseline.json"]' \
    "$(config "$work/mutual-once/usleep.oci.tar" '.config.Entrypoint[6:]')"
  equal '["--attest","required"]' "$(config "$work/mutual-once/uwear.oci.tar" '.config.Entrypoint[11:]')"
  unpacked "$work/mutual-once/usleep.oci.tar"
  equal '-r-xr-xr-x drwxr-xr-x -r--r--r--' "$(cut -d ' ' -f 1 "$listing" | paste -s -d ' ')"
  cmp "$files/policy/client_baseline.json" policy/client_baseline.json || die 'another baseline'
  for name in usleep uwear; do
    knows "$work/mutual-once/$name.oci.tar" "$name" || die "$name:" "$(cat "$work/said")"
  done
}

# audit CODE WORDS ARGUMENT...
audit() {
  local code=0
  scripts/audit_image.sh "${@:3}" >"$work/audit" 2>&1 || code=$?
  [[ $code == "$1" ]] || die "wanted exit $1, got $code:" "$(cat "$work/audit")"
  grep -qF -- "$2" "$work/audit" || die "wanted: $2" "$(cat "$work/audit")"
}

test_the_audit_says_yes_to_what_this_source_gives() {
  audit 0 'YES: this source gives' "$(digest "$built" usleep)" "$built/usleep.oci.tar"
  grep -qF 'entry point  ["/usleep","serve","--rules","recommended","--log-format","json"]' "$work/audit" || die "$(cat "$work/audit")"
  grep -qF 'label        "tee.launch_policy.allow_cmd_override"="false"' "$work/audit" || die "$(cat "$work/audit")"
  audit 0 'YES: this source gives' "$(digest "$built" usleep)"
  audit 0 'YES: this source gives' "$(digest "$built" uwear)" --uwear
}

test_the_audit_says_no_to_what_the_same_tools_make_of_something_else() {
  mkdir "$work/no"
  AUDIENCE=anotherCompany.com build --usleep --output "$work/no"
  audit 1 'NO: this source gives another digest' "$(digest "$work/no" usleep)" "$work/no/usleep.oci.tar"
  grep -qF 'USLEEP_AUDIENCE=anotherCompany.com' "$work/audit" || die 'it does not show the difference' "$(cat "$work/audit")"
  audit 1 'NO: the archive has another digest' "$(digest "$built" usleep)" "$work/no/usleep.oci.tar"
}

test_the_audit_cannot_judge_what_other_tools_made() {
  mkdir "$work/elsewhere"
  AUDIENCE=anotherCompany.com build --usleep --output "$work/elsewhere"
  sed -i 's/^rustc .*/rustc      rustc 1.94.0/' "$work/elsewhere/usleep.record"
  audit 3 'CANNOT JUDGE' "$(digest "$work/elsewhere" usleep)" "$work/elsewhere/usleep.oci.tar"
  grep -qF 'rustc 1.94.0' "$work/audit" || die 'it does not show the other tools' "$(cat "$work/audit")"
  audit 3 'CANNOT JUDGE' "sha256:$(printf '0%.0s' {1..64})"
}

test_a_baseline_can_be_made_from_usleeps_archive() {
  unpacked "$built/uwear.oci.tar"
  "$files/uwear" baseline init --from-image "$built/usleep.oci.tar" --project p-usleep \
    --service-account workload-sa@p-usleep.iam.gserviceaccount.com --output "$work/new_baseline.json" >"$work/said" 2>&1 ||
    die "$(cat "$work/said")"
  equal "[\"$(digest "$built" usleep)\"]" "$(jq -c .allowed_submods_container_image_digest "$work/new_baseline.json")"
  grep -qF '/usleep' "$work/said" || die 'it does not show the entry point' "$(cat "$work/said")"
}

# Last: it changes the clone, and the compiler has to work.
test_pin_commit_and_rebuild_gives_the_same_usleep_and_another_uwear() {
  scripts/pin_digest.sh "$(digest "$built" usleep)"
  jq '.allowed_client[0].label = "pinned"' policy/client_baseline.json >"$work/client.json"
  cp "$work/client.json" policy/client_baseline.json
  git -c user.name=Owner -c user.email=owner@example.com commit --quiet --message 'Pin' -- policy
  build --output "$work/pinned"
  grep -q 'Compiling policy' "$work/build.log" || die 'the compiler did not see the new baseline' "$(cat "$work/build.log")"
  equal "$(digest "$built" usleep)" "$(digest "$work/pinned" usleep)"
  if [[ $(digest "$built" uwear) == $(digest "$work/pinned" uwear) ]]; then die "UWear's image lacks the new baseline"; fi
  unpacked "$work/pinned/uwear.oci.tar"
  equal "[\"$(digest "$built" usleep)\"]" "$(jq -c .allowed_submods_container_image_digest "$files/policy/baseline.json")"
}

passed=0 failed=0
while read -r test; do
  sentence=${test#test_}
  # Not inside `if`: there `set -e` would be ignored, and a command that fails would go unnoticed.
  set +e
  (
    set -euo pipefail
    "$test"
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
  if ((outcome != 0)); then cat "$work/output"; fi
done < <(sed -n 's/^\(test_[a-z0-9_]*\)() {$/\1/p' "$project/scripts/tests/built_images.sh")

printf '%s passed, %s failed\n' "$passed" "$failed"
((failed == 0 && passed > 0))
