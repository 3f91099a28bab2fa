# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# What build_images.sh, audit_image.sh and run_local.sh refuse before anything is built. The images have tests of their
# own: built_images.sh.

test_what_would_make_an_image_that_nobody_meant_is_refused_before_anything_is_built() {
  cp "$repository_dir/scripts/build_images.sh" "$here/project/scripts/build_images.sh"
  local wrong wanted
  while IFS='|' read -r wrong wanted; do
    settings=("$(printf '%b' "$wrong")")
    ends_with 2 build_images.sh
    says "$wanted"
  done <<'TABLE'
AUDIENCE=two words|AUDIENCE: wanted
AUDIENCE=a"b|AUDIENCE: wanted
AUDIENCE=a\nb|AUDIENCE: wanted
AUDIENCE=$(id)|AUDIENCE: wanted
MUTUAL=2|MUTUAL: wanted 0 or 1
MUTUAL=true|MUTUAL: wanted 0 or 1
SOURCE_URL=https://example.com/a b|SOURCE_URL: wanted
SOURCE_URL=https://example.com/"|SOURCE_URL: wanted
TABLE
  settings=(A=b)
  ends_with 2 build_images.sh --everything
  says 'unknown argument: --everything'
  ends_with 2 build_images.sh --keep "$here/kept"
  says '--keep goes with --check'
  ends_with 2 build_images.sh --contexts "$here/contexts" --sizes
  says '--contexts goes with neither'
  [[ ! -e $here/project/target ]] || die 'something was built'
}

test_an_audit_wants_one_digest_and_at_most_one_archive() {
  local digest wrong
  digest=sha256:$(printf '1%.0s' {1..64})
  for wrong in '' latest "${digest#sha256:}" "${digest}0" "${digest%1}A"; do
    ends_with 2 audit_image.sh "$wrong"
  done
  ends_with 2 audit_image.sh "$digest" one.oci.tar two.oci.tar
  says 'at most one archive'
  ends_with 2 audit_image.sh "$digest" nowhere.oci.tar
  says 'no archive at nowhere.oci.tar'
  ends_with 2 audit_image.sh "$digest" --trust
  no_calls
}

test_an_audit_that_cannot_build_judges_nothing() {
  touch "$here/stand_in/build_fails"
  ends_with 3 audit_image.sh "sha256:$(printf '1%.0s' {1..64})"
  says 'error: it does not compile'
  prints 'CANNOT JUDGE: the image could not be built here.'
}
