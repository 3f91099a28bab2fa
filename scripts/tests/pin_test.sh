# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# pin_digest.sh: the digest that a data owner accepts, written into her baseline.

one=sha256:$(printf '1%.0s' {1..64})
two=sha256:$(printf '2%.0s' {1..64})

# with_baseline: the project's own, and a version to name in the note.
with_baseline() {
  baseline=$here/project/policy/baseline.json
  cp "$repository_dir/policy/baseline.json" "$baseline"
  printf '[workspace.package]\nversion = "1.2.3"\n' >"$here/project/Cargo.toml"
}
holds() { equal "$2" "$(jq -c "$1" "$baseline")"; } # holds FILTER WANTED

test_pinning_changes_the_digest_and_its_note_and_no_other_line() {
  with_baseline
  local before=$here/before
  cp "$baseline" "$before"
  succeeds pin_digest.sh "$one"
  holds .allowed_submods_container_image_digest "[\"$one\"]"
  holds .image_digest_notes "{\"$one\":{\"label\":\"usleep 1.2.3\",\"date\":\"$(date -u +%F)\"}}"
  local rest='del(.allowed_submods_container_image_digest, .image_digest_notes)'
  equal "$(jq "$rest" "$before")" "$(jq "$rest" "$baseline")"
  cmp <(sed '1,/^  },$/d' "$before") <(sed '1,/^  },$/d' "$baseline") || die 'the form of other lines changed'
  equal "$(stat -c %a "$before")" "$(stat -c %a "$baseline")"
  prints "pinned $one (usleep 1.2.3)"
}

test_the_indentation_of_the_file_is_kept() {
  local indent
  with_baseline
  for indent in '--indent 4' --tab; do
    # shellcheck disable=SC2086 # two words
    jq $indent . "$repository_dir/policy/baseline.json" >"$baseline"
    succeeds pin_digest.sh "$one"
    # shellcheck disable=SC2086
    cmp "$baseline" <(jq $indent . "$baseline") || die "other than with $indent"
  done
}

test_a_rollout_keeps_the_digests_that_are_there_and_their_notes() {
  with_baseline
  succeeds pin_digest.sh "$one" --label 'audited by us'
  succeeds pin_digest.sh "$two" --add
  holds .allowed_submods_container_image_digest "[\"$one\",\"$two\"]"
  holds "[.image_digest_notes[].label]" '["audited by us","usleep 1.2.3"]'
  succeeds pin_digest.sh "$two" --add
  holds .allowed_submods_container_image_digest "[\"$one\",\"$two\"]"
  succeeds pin_digest.sh "$two"
  holds .allowed_submods_container_image_digest "[\"$two\"]"
  holds '.image_digest_notes | keys' "[\"$two\"]"
}

test_a_waiver_is_replaced_by_a_pin_and_nothing_can_be_added_to_it() {
  with_baseline
  jq '.allowed_submods_container_image_digest = {"any": true, "reason": "trying out"} | del(.image_digest_notes)' \
    "$repository_dir/policy/baseline.json" >"$baseline"
  cp "$baseline" "$here/before"
  ends_with 2 pin_digest.sh "$one" --add
  says 'is no list of digests'
  cmp "$baseline" "$here/before" || die 'the baseline was changed'
  succeeds pin_digest.sh "$one"
  holds .allowed_submods_container_image_digest "[\"$one\"]"
}

test_the_digest_of_the_last_build_is_pinned_unless_one_is_given() {
  with_baseline
  ends_with 2 pin_digest.sh
  says 'run scripts/build_images.sh first'
  mkdir -p "$images"
  printf '%s' "$two" >"$images/usleep.digest"
  succeeds pin_digest.sh
  holds .allowed_submods_container_image_digest "[\"$two\"]"
}

test_what_is_no_digest_is_refused_and_nothing_is_written() {
  with_baseline
  cp "$baseline" "$here/before"
  local wrong
  for wrong in latest "${one#sha256:}" "${one%1}" "${one}1" "sha512:${one#sha256:}" "SHA256:${one#sha256:}" \
    "sha256:$(printf 'A%.0s' {1..64})" "$one"$'\n' "$one"$'\n'"$two" " $one" "usleep@$one"; do
    ends_with 2 pin_digest.sh "$wrong"
    says 'not a digest'
  done
  ends_with 2 pin_digest.sh "$one" "$two"
  ends_with 2 pin_digest.sh --forget
  cmp "$baseline" "$here/before" || die 'the baseline was changed'
  equal 'baseline.json' "$(ls "$here/project/policy")"
}

test_a_file_that_is_no_baseline_is_left_alone() {
  with_baseline
  local text
  for text in '' '[]' '{' '"x"' '{"a": 1} {"a": 2}' '{"image_digest_notes": []}'; do
    printf '%s' "$text" >"$baseline"
    ends_with 2 pin_digest.sh "$one"
    equal "$text" "$(cat "$baseline")"
  done
  rm "$baseline"
  ends_with 2 pin_digest.sh "$one"
  says 'no baseline at'
}

test_a_baseline_behind_a_link_is_changed_and_the_link_stays() {
  with_baseline
  mv "$baseline" "$here/kept.json"
  ln -s "$here/kept.json" "$baseline"
  succeeds pin_digest.sh "$one"
  [[ -L $baseline ]] || die 'the link was replaced by a file'
  holds .allowed_submods_container_image_digest "[\"$one\"]"
}

test_an_option_without_its_value_is_named() {
  with_baseline
  local option
  for option in --label --baseline; do
    ends_with 2 pin_digest.sh "$one" "$option"
    says "$option wants a"
  done
}
