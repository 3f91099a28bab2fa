# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# download_root.sh. Google's certificate itself is not part of the repository: where it is at hand, it is used too.

root_url=https://confidentialcomputing.googleapis.com/.well-known/confidential_space_root.crt

# stand_in_root NAME: a self-signed certificate in $here/NAME.pem.
stand_in_root() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" \
    -keyout "$here/$1.key" -out "$here/$1.pem" 2>/dev/null
}
# pin NAME: lets this test's copy of the script want that certificate instead of Google's.
pin() {
  local sha256 sha1
  sha256=$(openssl x509 -in "$here/$1.pem" -outform DER | sha256sum | cut -d ' ' -f 1)
  sha1=$(openssl x509 -in "$here/$1.pem" -outform DER | sha1sum | cut -d ' ' -f 1)
  sed -i -e "s/^wanted_sha256=.*/wanted_sha256=${sha256^^}/" -e "s/^wanted_sha1=.*/wanted_sha1=${sha1^^}/" \
    "$here/project/scripts/download_root.sh"
}
kept=project/certs/confidential_space_root.pem

test_the_pinned_root_is_kept_without_the_text_around_it() {
  stand_in_root right && pin right
  { echo 'some text' && cat "$here/right.pem" && echo 'more text'; } >"$here/stand_in/served"
  succeeds download_root.sh
  cmp "$here/right.pem" "$here/$kept" || die 'another file was kept'
  equal "--- curl --fail --silent --show-error --location --proto =https --tlsv1.2 --max-time 60 --max-filesize 65536 --output" \
    "--- $(words_of_calls | sed 's/ --output .*/ --output/')"
  called "/root.pem $root_url"
  forget_calls
  succeeds download_root.sh
  says 'it is the pinned root'
  no_calls
}

test_anything_else_is_refused_and_not_kept() {
  stand_in_root right && stand_in_root wrong && pin right
  local what
  for what in wrong two none empty key; do
    case $what in
      wrong) cat "$here/wrong.pem" ;;
      two) cat "$here/right.pem" "$here/wrong.pem" ;;
      none) echo '<html>not found</html>' ;;
      empty) ;;
      key) cat "$here/right.pem" "$here/right.key" ;;
    esac >"$here/stand_in/served"
    ends_with 1 download_root.sh
    says 'wanted'
    says 'nothing was kept'
    [[ ! -e $here/$kept ]] || die "$what was kept"
  done
}

test_both_fingerprints_must_agree() {
  stand_in_root right && pin right
  cp "$here/right.pem" "$here/stand_in/served"
  sed -i 's/^wanted_sha1=.*/wanted_sha1=0000000000000000000000000000000000000000/' "$here/project/scripts/download_root.sh"
  ends_with 1 download_root.sh
  says 'SHA-1: wanted 0000'
}

test_a_root_that_was_changed_on_disk_is_noticed() {
  stand_in_root right && stand_in_root wrong && pin right
  mkdir "$here/project/certs"
  cp "$here/wrong.pem" "$here/$kept"
  ends_with 1 download_root.sh
  says 'somebody changed'
  no_calls
}

test_a_download_that_fails_keeps_nothing() {
  fails_at always 'curl' 'curl: (6) Could not resolve host'
  ends_with 1 download_root.sh
  says 'Could not resolve host'
  says 'this step failed (exit 1): download'
  [[ ! -e $here/$kept ]] || die 'something was kept'
}

test_googles_root_is_accepted_and_a_stand_in_is_not() {
  stand_in_root wrong
  cp "$here/wrong.pem" "$here/stand_in/served"
  ends_with 1 download_root.sh
  says 'SHA-256: wanted 148B293821BB0C6A317F413C8BA475814091CB22D49B9E3C94198DB8E8F86C39, got'
  local real=$repository_dir/../shared/vectors/confidential_space_root.pem
  if [[ ! -f $real ]]; then
    echo "left out: Google's own root, which is not here"
    return
  fi
  cp "$real" "$here/stand_in/served"
  succeeds download_root.sh
  says 'It is the pinned root'
}
